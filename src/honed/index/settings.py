"""How a vector index is built and searched: one record for ``honed.toml``, bundles, stores and the tuner."""

import math
from dataclasses import Field, asdict, dataclass, field, fields, replace
from typing import Self

from honed.core.errors import ArtifactError, ConfigError
from honed.core.json import Json, JsonObject
from honed.core.plain import as_integer, as_text
from honed.core.registry import Registry, instance_of
from honed.core.sections import limits
from honed.index.codes import CODES, FULL

_LEARNED = ("sample", "seed")
_CODED = ("bits", "rescore", "dims", *_LEARNED)
_CLUSTERED = ("nlist", "nprobe")
_MOST_CLUSTERS = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendFacts:
    """The facts about a backend that settings are checked by: names of the settings it takes, and its kind of codes.

    ``codes`` is empty for a backend without clusters and codes, and for one that takes the setting of that name.
    """

    takes: tuple[str, ...] = ()
    codes: str = ""


# how each is built is in honed.index.backends; so is what a plug-in brings
BACKENDS: Registry[BackendFacts] = Registry(
    "index backend",
    group="honed.backends",
    built_in={
        "exact": BackendFacts(),
        "flat": BackendFacts(),
        "hnsw": BackendFacts(takes=("links", "build_width", "search_width")),
        "ivf": BackendFacts(takes=(*_CLUSTERED, *_LEARNED), codes=FULL),
        "scalar": BackendFacts(takes=_CODED, codes="scalar"),
        "product": BackendFacts(takes=_CODED, codes="product"),
        "fastscan": BackendFacts(takes=_CODED, codes="fastscan"),
        "sign": BackendFacts(takes=("rescore", "dims"), codes="sign"),
        "rabitq": BackendFacts(takes=_CODED, codes="rabitq"),
        "composed": BackendFacts(takes=("codes", *_CLUSTERED, *_CODED)),
    },
    accepts=instance_of(BackendFacts),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSettings:
    """The backend of a vector index and its parameters; 0 lets honed choose by the number of vectors.

    ``nlist`` clusters are made, the ``nprobe`` nearest are searched; ``codes`` with ``bits`` for each dimension are
    compared there; the best ``rescore`` are compared again by their full vectors (0: by their codes alone). ``dims``
    cuts vectors before they are coded (for models trained with Matryoshka loss). ``links``, ``build_width`` and
    ``search_width`` are M, efConstruction and efSearch of HNSW. Clusters and codes are learned from ``sample`` vectors
    at most.
    """

    backend: str = field(default="flat", metadata=limits(one_of=BACKENDS))
    codes: str = field(default=FULL, metadata=limits(one_of=CODES))
    bits: int = field(default=0, metadata=limits(low=0, high=32))
    nlist: int = field(default=0, metadata=limits(low=0, high=_MOST_CLUSTERS))
    nprobe: int = field(default=0, metadata=limits(low=0, high=_MOST_CLUSTERS))
    rescore: int = field(default=100, metadata=limits(low=0, high=100_000))
    dims: int = field(default=0, metadata=limits(low=0, high=65_536))
    links: int = field(default=32, metadata=limits(low=2, high=256))
    build_width: int = field(default=80, metadata=limits(low=4, high=10_000))
    search_width: int = field(default=128, metadata=limits(low=1, high=100_000))
    sample: int = field(default=100_000, metadata=limits(low=1, high=100_000_000))
    seed: int = field(default=0, metadata=limits(low=0, high=2**31 - 2))

    def check(self, where: str = "index") -> Self:
        """Return the settings themselves; `ConfigError` for one that its backend does not take or cannot have."""
        takes = self.takes
        for known in fields(IndexSettings)[1:]:
            if known.name not in takes and getattr(self, known.name) != known.default:
                shown = f"it takes {', '.join(takes)}" if takes else "it takes no settings"
                raise ConfigError(
                    "E_INDEX", f"{where}.{known.name}: backend {self.backend!r} does not take it; {shown}"
                )
        if self.bits and self.bits not in CODES[self.kind].bits:
            shown = ", ".join(str(bits) for bits in sorted(CODES[self.kind].bits))
            raise ConfigError("E_INDEX", f"{where}.bits: {self.bits}; {self.kind} codes can have {shown}")
        if self.nlist and self.nprobe > self.nlist:
            raise ConfigError("E_INDEX", f"{where}.nprobe: {self.nprobe} of nlist {self.nlist} clusters")
        return self

    @property
    def takes(self) -> tuple[str, ...]:
        """The names of the settings that the backend takes."""
        return BACKENDS[self.backend].takes

    @property
    def kind(self) -> str:
        """The kind of codes; of a backend that has none, `FULL`."""
        return self.codes if "codes" in self.takes else BACKENDS[self.backend].codes or FULL

    @property
    def is_coded(self) -> bool:
        """Whether the index is of clusters and codes."""
        return "codes" in self.takes or bool(BACKENDS[self.backend].codes)

    def resolved(self, n: int, dim: int) -> "IndexSettings":
        """Return the settings with every automatic value (0) replaced, for ``n`` vectors of ``dim``.

        Raises `ConfigError` where the dimensions cannot be divided into the groups that the codes need.
        """
        if not self.is_coded:
            return self
        nlist = 1
        if "nlist" in self.takes:
            nlist = self.nlist or max(1, round(2 * math.sqrt(n)))
        nlist = max(1, min(nlist, n))
        nprobe = min(self.nprobe or max(1, math.ceil(nlist / 16)), nlist)
        code = CODES[self.kind]
        bits = self.bits or code.bits[0]
        dims = min(self.dims or dim, dim)
        if not code.divides(bits, dims):
            raise ConfigError(
                "E_INDEX", f"index.bits: {bits} bits need dimensions divisible by {code.group(bits)}, not {dims}"
            )
        rescore = 0 if self.kind == FULL and dims == dim else self.rescore
        return replace(self, nlist=nlist, nprobe=nprobe, bits=bits, dims=dims, rescore=rescore)

    def as_dict(self) -> dict[str, Json]:
        """Return the backend and the settings that it takes, as plain data."""
        takes = self.takes
        return {name: value for name, value in asdict(self).items() if name == "backend" or name in takes}

    def without_defaults(self) -> dict[str, Json]:
        """Return the backend and those of its settings that are not at their defaults, as plain data."""
        defaults = {known.name: known.default for known in fields(IndexSettings)}
        return {name: value for name, value in self.as_dict().items() if name == "backend" or value != defaults[name]}

    @classmethod
    def from_manifest(cls, data: JsonObject) -> Self:
        """Read the settings that stand among other keys, in a manifest; see `from_dict`."""
        return cls.from_dict({known.name: data[known.name] for known in fields(IndexSettings) if known.name in data})

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read what `as_dict` returned, of a file; `ArtifactError` for a name or value that no settings have."""
        try:
            backend, codes = (
                as_text(data.get(name, default)) for name, default in (("backend", "flat"), ("codes", FULL))
            )
            numbers = {name: as_integer(value) for name, value in data.items() if name not in ("backend", "codes")}
            settings = cls(backend=backend, codes=codes, **numbers)
            for known in fields(IndexSettings):
                _check_limits(known, getattr(settings, known.name))
            return settings.check()
        except (TypeError, ValueError, ConfigError) as error:
            raise ArtifactError("E_INDEX", f"the settings of the index cannot be read: {error}") from error


def _check_limits(setting: "Field[int] | Field[str]", value: int | str) -> None:
    """Raise `ValueError` for a value that a setting cannot have."""
    low, high, one_of = (setting.metadata[key] for key in ("low", "high", "one_of"))
    if (one_of and value not in one_of) or (isinstance(value, int) and not low <= value <= high):
        raise ValueError(f"{setting.name} = {value!r}")
