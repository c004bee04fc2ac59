"""Which encoder, and how it is used; free of heavy imports."""

from dataclasses import dataclass, field

from honed.core.sections import limits

VOCABULARIES = ("whole", "known")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """The section ``[model]``.

    ``base`` is "minilm", a local folder or a Hub id, or an encoder of a plug-in as ``NAME:ARGUMENT``
    (`honed.encode.encoders`); ``max_length`` (tokens) 0 keeps the model's own. ``dim`` > 0 uses
    only the first of each vector's numbers, for models that were trained for it (Matryoshka). The prompts are
    put before every query and document, in training, indexing and search alike; an empty one keeps the model's own.
    """

    base: str = "minilm"
    max_length: int = field(default=0, metadata=limits(low=0))
    dim: int = field(default=0, metadata=limits(low=0))
    query_prompt: str = ""
    document_prompt: str = ""
    precision: str = field(default="auto", metadata=limits(one_of=PRECISIONS))
