"""Which encoder, and how it is used; free of heavy imports."""

from dataclasses import asdict, dataclass, field

from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.sections import limits

VOCABULARIES = ("whole", "known")
PRECISIONS = ("auto", "fp32", "bf16")
AUTO = "auto"
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

    Base "auto" tries those of ``bases`` on dev, within so many ``minutes``, and takes one of them; without ``bases``
    the known ones that are on this machine. See `honed.encode.candidates`.
    """

    base: str = "minilm"
    max_length: int = field(default=0, metadata=limits(low=0))
    dim: int = field(default=0, metadata=limits(low=0))
    query_prompt: str = ""
    document_prompt: str = ""
    precision: str = field(default="auto", metadata=limits(one_of=PRECISIONS))
    prompts: str = field(default="auto", metadata=limits(one_of=PROMPTS))
    bases: tuple[str, ...] = ()
    minutes: float = field(default=10.0, metadata=limits(low=0.1, high=10_000))

    @property
    def is_open(self) -> bool:
        """Whether the base model is still to be chosen."""
        return self.base == AUTO

    def settings(self) -> dict[str, Json]:
        """Return what shapes vectors, as plain data for fingerprints: ``prompts`` only chose what stands there."""
        return {name: value for name, value in self.kept().items() if name != "prompts"}

    def kept(self) -> dict[str, Json]:
        """Return what is kept beside vectors, as plain data, to load their model again."""
        return {name: value for name, value in asdict(self).items() if name not in ("bases", "minutes")}

    def check(self, file: str) -> None:
        """Raise `ConfigError` for candidates beside a base that is named, or that are to be chosen themselves."""
        if self.bases and not self.is_open:
            raise ConfigError(
                "E_CONFIG_RANGE", f'{file}: model.bases: these are tried where model.base is "auto", not {self.base!r}'
            )
        if AUTO in self.bases:
            raise ConfigError("E_CONFIG_RANGE", f'{file}: model.bases: "auto" is no base model; name those to try')
