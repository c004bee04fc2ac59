"""The settings of an index that the tuner tries."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

from honed.index.codes import CODES, FULL
from honed.index.settings import IndexSettings

RESCORE = (0, 20, 50, 100, 200, 400, 1000)
WIDTHS = (16, 32, 64, 128, 256, 512)
KINDS: Sequence[tuple[str, int]] = (
    (FULL, 32),
    ("scalar", 8),
    ("scalar", 4),
    ("fastscan", 2),
    ("fastscan", 1),
    ("rabitq", 2),
    ("rabitq", 1),
    ("sign", 1),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchSpace:
    """Values of each setting that are tried: numbers of clusters, kinds of codes with their bits, rescoring widths.

    ``dims`` are widths that vectors are cut to before they are coded, 0 for whole ones; ``search_width`` and ``links``
    are those of HNSW.
    """

    nlist: Sequence[int]
    codes: Sequence[tuple[str, int]] = KINDS
    rescore: Sequence[int] = RESCORE
    dims: Sequence[int] = (0,)
    search_width: Sequence[int] = WIDTHS
    links: Sequence[int] = (32,)

    @classmethod
    def of(cls, n: int, dim: int, *, dims: Sequence[int] = (0,)) -> Self:
        """Return the space for ``n`` vectors of ``dim``: clusters from sqrt(n) / 2 to 8 sqrt(n), in powers of two."""
        middle = round(math.log2(max(4.0, math.sqrt(n))))
        nlist = [2**power for power in range(max(2, middle - 1), middle + 4) if 2**power <= n // 16] or [1]
        return cls(
            nlist=nlist, codes=[(codes, bits) for codes, bits in KINDS if CODES[codes].divides(bits, dim)], dims=dims
        )

    def nprobes(self, nlist: int) -> list[int]:
        """Return how many of ``nlist`` clusters are searched, in powers of two, up to all."""
        return [*(2**power for power in range(int(math.log2(nlist)) + 1) if 2**power < nlist), nlist]

    def codings(self, seed: int, sample: int) -> Iterator[IndexSettings]:
        """Yield the settings of each kind of codes, learned from ``sample`` vectors drawn with a seed."""
        for dims in self.dims:
            for codes, bits in self.codes:
                if CODES[codes].divides(bits, dims):
                    kind = IndexSettings(backend="composed", codes=codes, bits=bits, dims=dims)
                    yield replace(kind, seed=seed, sample=sample)

    def widths(self, settings: IndexSettings) -> Sequence[int]:
        """Return the rescoring widths of a kind of codes; whole vectors need none."""
        return (0,) if settings.codes == FULL and not settings.dims else self.rescore
