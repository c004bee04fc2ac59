"""Which encoder, and how it is used; free of heavy imports."""

from dataclasses import asdict, dataclass, field

from honed.core.json import Json
from honed.core.sections import limits

PRECISIONS = ("auto", "fp32", "bf16")
PROMPTS = ("auto", "names", "search", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderConfig:
    """The section ``[model]``.

    ``base`` is a short name such as "minilm" (`honed.encode.bases`), a local folder or a Hub id, or an encoder of a
    plug-in as ``NAME:ARGUMENT`` (`honed.encode.encoders`); ``max_length`` (tokens) 0 keeps the model's own. ``dim`` > 0
    uses only the first of each vector's numbers, for models that were trained for it (Matryoshka).

    The prompts are put before every query and document, in training, indexing and search alike. Empty ones are those
    that the model was trained with, for what ``prompts`` says: "names" (one prompt on both sides), "search" (questions
    and passages), "none"; "auto" is what the shape of the data asks for.
    """

    base: str = "minilm"
    max_length: int = field(default=0, metadata=limits(low=0))
    dim: int = field(default=0, metadata=limits(low=0))
    query_prompt: str = ""
    document_prompt: str = ""
    precision: str = field(default="auto", metadata=limits(one_of=PRECISIONS))
    prompts: str = field(default="auto", metadata=limits(one_of=PROMPTS))

    def settings(self) -> dict[str, Json]:
        """Return what shapes vectors, as plain data for fingerprints: ``prompts`` only chose what stands there."""
        return {name: value for name, value in asdict(self).items() if name != "prompts"}
