"""What a corpus of another size would need of an index: memory by its size, time by slopes measured on parts.

On parts of the vectors the clusters grow as sqrt(n); how many vectors have to be compared for the same index recall,
and how wide rescoring must be, are measured there and continued as powers of n. Beyond what was measured that is a
guess, which the interval shows: 95 % for a new size, from the scatter of the parts about the line.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.index.measured import Yardstick
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors
from honed.index.surface import DEEPEST, Clustering, Coding, Targets

SHARES = (0.08, 0.16, 0.32, 0.64, 1.0)
_T_95: Mapping[int, float] = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78}  # Student's t, two-sided, by degrees of freedom
_LEAST = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """What so many documents would need: MB in memory and on disk, ms of a query with its interval."""

    n: int
    mb: float
    disk_mb: float
    ms: float
    ms_low: float
    ms_high: float
    scanned: float
    rescore: float
    times_measured: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def needs_of(
    source: StoredVectors, queries: Vectors, settings: IndexSettings, recall: float, sizes: Sequence[int]
) -> tuple[list[Needs], list[dict[str, float]]]:
    """Return what corpora of some sizes would need for an index recall, and what was measured on the parts.

    ``settings`` are of a composed index; its codes are kept, its clusters and widths follow the size. Nothing is
    returned where fewer than three parts have 2,000 vectors, or where the codes do not reach the recall with 1,000
    compared again.
    """
    n, dim = source.shape
    order = np.random.default_rng(settings.seed).permutation(n)
    wanted = [round(share * n) for share in SHARES if share * n >= _LEAST]
    if len(wanted) < 3:
        return [], []
    measured, coding = [], None
    half = recall + (1 - recall) / 2  # clusters and codes may lose as much each
    with progress("measure parts of the corpus", len(wanted)) as bar:
        for size in wanted:
            part = StoredVectors(source.take(np.sort(order[:size])))
            yard = Yardstick(part, queries)
            targets = Targets.of(yard)
            clustering = Clustering(part, yard, targets, replace(settings, nlist=0, nprobe=0))
            coding = Coding(part, yard, targets, replace(settings, nlist=1, nprobe=1), clustering)
            scanned = _least_scanned(clustering, half)
            depth = float(np.quantile(coding.places, half, method="higher")) + 1
            if depth > DEEPEST:
                return [], []  # no rescoring that is affordable makes these codes find so much
            measured.append({"n": float(size), "scanned": scanned, "rescore": depth, "nlist": float(clustering.nlist)})
            bar.advance()
    assert coding is not None
    sizes_log = np.log([each["n"] for each in measured])
    scanned_line = _Line(sizes_log, np.log([each["scanned"] for each in measured]))
    depth_line = _Line(sizes_log, np.log([each["rescore"] for each in measured]))
    found = []
    for size in sizes:
        at = math.log(size)
        low, middle, high = (math.exp(min(each, at)) for each in scanned_line.at(at))
        depths = [math.exp(min(each, at)) for each in depth_line.at(at)]
        nlist = 2 * math.sqrt(size)
        times = [
            float(coding.costs @ np.array([1.0, scanned + nlist, depth]))
            for scanned, depth in zip((low, middle, high), depths, strict=True)
        ]
        found.append(
            Needs(
                n=size,
                mb=coding.index.held_bytes(np.full(round(nlist), size // round(nlist))) / 1e6,
                disk_mb=4 * dim * size / 1e6,
                ms=times[1],
                ms_low=times[0],
                ms_high=times[2],
                scanned=middle,
                rescore=depths[1],
                times_measured=size / n,
            )
        )
    return found, measured


def _least_scanned(clustering: Clustering, recall: float) -> float:
    """Return how many vectors are compared where the near clusters hold the wanted share of the neighbours."""
    probes = int(np.quantile(clustering.places, recall, method="higher")) + 1
    return max(1.0, clustering.scanned(probes) - clustering.nlist)


class _Line:
    """Least squares through points ``(n,)``, with the interval of a new one."""

    def __init__(self, x: Any, y: Any) -> None:
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
