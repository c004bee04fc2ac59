"""What a corpus of another size would need of an index: memory by its size, time by slopes measured on parts.

On parts of the vectors the clusters grow as sqrt(n); how many vectors have to be compared for the same index recall,
and how wide rescoring must be, are measured there and continued as powers of n. Beyond what was measured that is a
guess, which the interval shows: 95 % for a new size, from the scatter of the parts about the line.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt

from honed.core.json import Json
from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.index.benchmark import IndexBenchmark
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors
from honed.index.surface import DEEPEST, ClusterProfile, CodeProfile, WantedRows

SHARES = (0.08, 0.16, 0.32, 0.64, 1.0)
_T_95: Mapping[int, float] = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78}  # Student's t, two-sided, by degrees of freedom
_LEAST = 2000  # vectors of a part
_FEWEST_PARTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class SizeEstimate:
    """What ``n`` documents would need: MB in memory and on disk, ms of a query with its 95 % interval.

    ``scanned`` are the vectors that a query is compared with, ``rescore`` how many of them are compared again;
    ``times_measured`` tells how many times larger ``n`` is than what was measured.
    """

    n: int
    mb: float
    disk_mb: float
    ms: float
    ms_low: float
    ms_high: float
    scanned: float
    rescore: float
    times_measured: float

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class PartMeasurement:
    """What a part of ``n`` vectors needs for a recall: vectors to compare, and to rescore, with ``nlist`` clusters."""

    n: int
    scanned: float
    rescore: float
    nlist: int

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data, every number a float."""
        return {name: float(value) for name, value in asdict(self).items()}


def estimate_sizes(
    source: StoredVectors, queries: Vectors, settings: IndexSettings, recall: float, sizes: Sequence[int]
) -> tuple[list[SizeEstimate], list[PartMeasurement]]:
    """Return what corpora of some sizes would need for an index recall, and what was measured on the parts.

    ``settings`` are of a composed index; its codes are kept, its clusters and widths follow the size. Nothing is
    returned where fewer than three parts have 2,000 vectors, or where the codes do not reach the recall with 1,000
    compared again.
    """
    parts, coding = _measure_parts(source, queries, settings, recall)
    if coding is None:
        return [], []
    n, dim = source.shape
    log_sizes = np.log([part.n for part in parts])
    scanned_line = _Line(log_sizes, np.log([part.scanned for part in parts]))
    rescore_line = _Line(log_sizes, np.log([part.rescore for part in parts]))
    estimates = []
    for size in sizes:
        nlist = 2 * math.sqrt(size)
        scanned, rescore = _at_most(scanned_line, size), _at_most(rescore_line, size)
        low, middle, high = (
            float(coding.costs @ np.array([1.0, compared + nlist, again]))
            for compared, again in zip(scanned, rescore, strict=True)
        )
        estimates.append(
            SizeEstimate(
                n=size,
                mb=coding.index.memory_with(np.full(round(nlist), size // round(nlist))) / 1e6,
                disk_mb=4 * dim * size / 1e6,
                ms=middle,
                ms_low=low,
                ms_high=high,
                scanned=scanned[1],
                rescore=rescore[1],
                times_measured=size / n,
            )
        )
    return estimates, parts


def _measure_parts(
    source: StoredVectors, queries: Vectors, settings: IndexSettings, recall: float
) -> tuple[list[PartMeasurement], CodeProfile | None]:
    """Return measurements on parts of the vectors and the codes of the largest; None where no estimate is possible."""
    n = source.shape[0]
    order = np.random.default_rng(settings.seed).permutation(n)
    sizes = [round(share * n) for share in SHARES if share * n >= _LEAST]
    if len(sizes) < _FEWEST_PARTS:
        return [], None
    parts, coding = [], None
    half = recall + (1 - recall) / 2  # clusters and codes may lose as much each
    with progress("measure parts of the corpus", len(sizes)) as bar:
        for size in sizes:
            part = StoredVectors(source.take(np.sort(order[:size])))
            benchmark = IndexBenchmark(part, queries)
            wanted = WantedRows.of(benchmark)
            clustering = ClusterProfile(part, benchmark, wanted, replace(settings, nlist=0, nprobe=0))
            coding = CodeProfile(part, benchmark, wanted, replace(settings, nlist=1, nprobe=1), clustering)
            rescore = float(np.quantile(coding.ranks, half, method="higher")) + 1
            if rescore > DEEPEST:
                return [], None  # no rescoring that is affordable makes these codes find so much
            scanned = _least_scanned(clustering, half)
            parts.append(PartMeasurement(n=size, scanned=scanned, rescore=rescore, nlist=clustering.nlist))
            bar.advance()
    return parts, coding


def _least_scanned(clustering: ClusterProfile, recall: float) -> float:
    """Return how many vectors are compared where the near clusters hold the wanted share of the neighbours."""
    probes = int(np.quantile(clustering.ranks, recall, method="higher")) + 1
    return max(1.0, clustering.scanned(probes) - clustering.nlist)


def _at_most(line: "_Line", size: int) -> tuple[float, float, float]:
    """Return low bound, value and high bound of a count for a corpus of some size, none above that size."""
    log_size = math.log(size)
    low, value, high = (math.exp(min(log_count, log_size)) for log_count in line.at(log_size))
    return low, value, high


class _Line:
    """Least squares through points ``(n,)``, with the interval of a new one."""

    def __init__(self, x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> None:
        self._x, self._mean = x, float(x.mean())
        self.slope, self.start = np.polyfit(x, y, 1)
        free = len(x) - 2
        self._t = _T_95.get(free, 2.78)
        self._error = math.sqrt(float(((y - self.slope * x - self.start) ** 2).sum()) / free)
        self._spread = float(((x - self._mean) ** 2).sum())

    def at(self, x: float) -> tuple[float, float, float]:
        """Return the low bound, the value and the high bound at a place."""
        value = float(self.slope * x + self.start)
        width = self._t * self._error * math.sqrt(1 + 1 / len(self._x) + (x - self._mean) ** 2 / self._spread)
        return value - width, value, value + width
