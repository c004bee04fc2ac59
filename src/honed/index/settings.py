"""How a vector index is built and searched: one record for ``honed.toml``, bundles, stores and the tuner."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from honed.core.errors import ArtifactError, ConfigError
from honed.core.sections import limits

FULL = "full"
# bits for each dimension that a kind of code can have, its own choice first; 32 is the vector as it is
BITS: Mapping[str, tuple[int, ...]] = {
    FULL: (32,),
    "scalar": (8, 4, 6, 16),
    "product": (1, 2, 4),
    "fastscan": (2, 1, 4),
    "sign": (1,),
    "rabitq": (1, 2, 3, 4, 5, 6, 7, 8),
}
GROUPED: Mapping[str, int] = {"product": 8, "fastscan": 4}  # bits of a code that stands for a group of dimensions
_LEARNED = ("sample", "seed")
_CODED = ("bits", "rescore", "dims", *_LEARNED)
_CLUSTERED = ("nlist", "nprobe")
# backend -> the settings that it takes
TAKEN: Mapping[str, tuple[str, ...]] = {
    "exact": (),
    "flat": (),
    "hnsw": ("links", "build_width", "search_width"),
    "annoy": ("trees", "search_k", "seed"),
    "ivf": (*_CLUSTERED, *_LEARNED),
    "scalar": _CODED,
    "product": _CODED,
    "fastscan": _CODED,
    "sign": ("rescore", "dims"),
    "rabitq": _CODED,
    "composed": ("codes", *_CLUSTERED, *_CODED),
}
_MOST_CLUSTERS = 65_536


def can_group(codes: str, bits: int, dims: int) -> bool:
    """Tell whether so many dimensions are a whole number of the groups that a kind of codes makes of them."""
    return codes not in GROUPED or dims % (GROUPED[codes] // bits) == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexSettings:
    """The backend of a vector index and its parameters; 0 lets honed choose by the number of vectors.

    ``nlist`` clusters are made, the ``nprobe`` nearest are searched; ``codes`` with ``bits`` for each dimension are
    compared there; the best ``rescore`` are compared again by their full vectors (0: by their codes alone). ``dims``
    cuts vectors before they are coded (for models trained with Matryoshka loss). ``links``, ``build_width`` and
    ``search_width`` are M, efConstruction and efSearch of HNSW; ``trees`` and ``search_k`` are Annoy's. Clusters and
    codes are learned from ``sample`` vectors at most.
    """

    backend: str = field(default="flat", metadata=limits(one_of=tuple(TAKEN)))
    codes: str = field(default=FULL, metadata=limits(one_of=tuple(BITS)))
    bits: int = field(default=0, metadata=limits(low=0, high=32))
    nlist: int = field(default=0, metadata=limits(low=0, high=_MOST_CLUSTERS))
    nprobe: int = field(default=0, metadata=limits(low=0, high=_MOST_CLUSTERS))
    rescore: int = field(default=100, metadata=limits(low=0, high=100_000))
    dims: int = field(default=0, metadata=limits(low=0, high=65_536))
    links: int = field(default=32, metadata=limits(low=2, high=256))
    build_width: int = field(default=80, metadata=limits(low=4, high=10_000))
    search_width: int = field(default=128, metadata=limits(low=1, high=100_000))
    trees: int = field(default=20, metadata=limits(low=1, high=10_000))
    search_k: int = field(default=0, metadata=limits(low=0, high=2**31 - 1))
    sample: int = field(default=100_000, metadata=limits(low=1, high=100_000_000))
    seed: int = field(default=0, metadata=limits(low=0, high=2**31 - 2))

    def check(self, where: str = "index") -> Self:
        """Return the settings themselves; `ConfigError` for one that its backend does not take or cannot have."""
        taken = TAKEN[self.backend]
        for each in fields(IndexSettings)[1:]:
            if each.name not in taken and getattr(self, each.name) != each.default:
                shown = f"it takes {', '.join(taken)}" if taken else "it takes no settings"
                raise ConfigError("E_INDEX", f"{where}.{each.name}: backend {self.backend!r} does not take it; {shown}")
        allowed = BITS[self.kind]
        if self.bits and self.bits not in allowed:
            shown = ", ".join(str(bits) for bits in sorted(allowed))
            raise ConfigError("E_INDEX", f"{where}.bits: {self.bits}; {self.kind} codes can have {shown}")
        if self.nlist and self.nprobe > self.nlist:
            raise ConfigError("E_INDEX", f"{where}.nprobe: {self.nprobe} of nlist {self.nlist} clusters")
        return self

    @property
    def kind(self) -> str:
        """The kind of codes; of a backend that has none, `FULL`."""
        return self.codes if self.backend == "composed" else self.backend if self.backend in BITS else FULL

    @property
    def is_coded(self) -> bool:
        """Whether the index is of clusters and codes."""
        return self.backend == "composed" or self.backend == "ivf" or self.backend in BITS

    def resolved(self, n: int, dim: int) -> "IndexSettings":
        """Return the settings with every 0 that stands for a choice made, for ``n`` vectors of ``dim``."""
        if not self.is_coded:
            return self
        nlist = 1
        if "nlist" in TAKEN[self.backend]:
            nlist = self.nlist or max(1, round(2 * math.sqrt(n)))
        nlist = max(1, min(nlist, n))
        nprobe = min(self.nprobe or max(1, math.ceil(nlist / 16)), nlist)
        bits = self.bits or BITS[self.kind][0]
        dims = min(self.dims or dim, dim)
        if not can_group(self.kind, bits, dims):
            group = GROUPED[self.kind] // bits
            raise ConfigError("E_INDEX", f"index.bits: {bits} bits need dimensions divisible by {group}, not {dims}")
        rescore = 0 if self.kind == FULL and dims == dim else self.rescore
        return replace(self, nlist=nlist, nprobe=nprobe, bits=bits, dims=dims, rescore=rescore)

    def as_dict(self) -> dict[str, Any]:
        """Return the backend and what it takes, as plain data."""
        return {name: value for name, value in asdict(self).items() if name in ("backend", *TAKEN[self.backend])}

    def changed(self) -> dict[str, Any]:
        """Return the backend and what of it is not as it comes."""
        own = {each.name: each.default for each in fields(IndexSettings)}
        return {name: value for name, value in self.as_dict().items() if name == "backend" or value != own[name]}

    @classmethod
    def among(cls, data: Mapping[str, Any]) -> Self:
        """Read the settings that stand among others, in a manifest; see `from_dict`."""
        return cls.from_dict({each.name: data[each.name] for each in fields(IndexSettings) if each.name in data})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `as_dict` returned, of a file; `ArtifactError` for what cannot be."""
        known = {each.name: each for each in fields(IndexSettings)}
        try:
            for name, value in data.items():
                low, high, one_of = (known[name].metadata[key] for key in ("low", "high", "one_of"))
                if one_of:
                    sound = value in one_of
                else:
                    sound = type(value) is int and low <= value and (high is None or value <= high)
                if not sound:
                    raise ValueError(f"{name} = {value!r}")
            return cls(**data).check()
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise ArtifactError("E_INDEX", f"the settings of the index cannot be read: {error}") from error
