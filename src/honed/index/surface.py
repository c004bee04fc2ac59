"""Recall and cost of every combination of clusters, probes, codes and rescoring, from parts that are measured alone.

A neighbour is found when its cluster is searched and its code is among the best there that are compared again. The rank
of its cluster depends on the clusters alone, and the codes ahead of its own on the codes, but for what codes of
residuals owe to their centroids: they are made over the middle clustering, and are finer over more clusters. So as many
parts as there are clusterings *and* kinds of codes tell the recall of every combination, and a few times its cost.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from honed.core.protocols import VectorSource
from honed.core.ranking import Rows
from honed.index.benchmark import IndexBenchmark, OperatingPoint
from honed.index.clusters import Clusters, nearest_clusters, train_clusters
from honed.index.codes import FULL
from honed.index.composed import ComposedIndex
from honed.index.settings import IndexSettings

DEEPEST = 1000
_NEVER = 1 << 30  # the rank of what is not found at all
_TIMED = 40  # queries
_BLOCK = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedRows:
    """Documents that a query wants ``(n_queries, width)``, -1 where there are fewer: neighbours, then relevant ones."""

    rows: Rows
    n_neighbours: int

    @classmethod
    def of(cls, benchmark: IndexBenchmark) -> Self:
        """Return the exact neighbours and the relevant documents of all queries."""
        most = max((len(rows) for rows in benchmark.relevant), default=0)
        wanted = np.full((len(benchmark.queries), benchmark.k + most), -1, dtype=np.int64)
        wanted[:, : benchmark.k] = benchmark.exact[:, : benchmark.k]
        for at, rows in enumerate(benchmark.relevant):
            wanted[at, benchmark.k : benchmark.k + len(rows)] = rows
        return cls(rows=wanted, n_neighbours=benchmark.k)


class ClusterProfile:
    """One clustering of the vectors: the rank of the wanted documents' clusters, and what it costs to search them.

    ``ranks`` ``(n_queries, width)`` is 0 for a document in the nearest cluster of its query; ``sizes`` ``(nlist,)`` are
    the vectors in each cluster; ``seconds`` is what learning took.
    """

    def __init__(
        self, source: VectorSource, benchmark: IndexBenchmark, wanted: WantedRows, settings: IndexSettings
    ) -> None:
        settings = settings.resolved(*source.shape)
        started = time.perf_counter()
        self.clusters = _learn_clusters(source, settings)
        self.seconds = time.perf_counter() - started
        self.nlist = len(self.clusters.centroids)
        near = np.argsort(-(benchmark.queries @ self.clusters.centroids.T), axis=1, kind="stable")
        self._rank = np.empty_like(near)  # of each cluster, for each query
        np.put_along_axis(self._rank, near, np.arange(self.nlist)[None].repeat(len(near), axis=0), axis=1)
        self.ranks = np.where(wanted.rows < 0, _NEVER, self.ranks_of(np.maximum(wanted.rows, 0)))
        self.sizes = np.bincount(self.clusters.numbers, minlength=self.nlist)
        self._scanned = np.cumsum(self.sizes[near], axis=1).mean(axis=0)

    def ranks_of(self, rows: Rows) -> Rows:
        """Return the rank of the clusters of some documents for their query ``(n_queries, width)``, nearest 0."""
        ranks: Rows = np.take_along_axis(self._rank, self.clusters.numbers[rows].astype(np.int64), axis=1)
        return ranks

    def scanned(self, nprobe: int) -> float:
        """Return with how many vectors a query is compared: the centroids, and those in its near clusters."""
        return float(self._scanned[min(nprobe, self.nlist) - 1]) + self.nlist * (self.nlist > 1)

    def probes_for(self, n: float) -> int:
        """Return how many clusters to search so that about ``n`` vectors are compared, centroids counted."""
        return int(np.clip(np.searchsorted(self._scanned, n - self.nlist * (self.nlist > 1)) + 1, 1, self.nlist))


class CodeProfile:
    """One kind of codes over a clustering: the rank of the wanted documents among all codes, and the cost of comparing.

    ``ranks`` ``(n_queries, width)`` is 0 for a document whose code is the nearest of all; ``seconds`` is what building
    took.
    """

    def __init__(
        self,
        source: VectorSource,
        benchmark: IndexBenchmark,
        wanted: WantedRows,
        settings: IndexSettings,
        clustering: ClusterProfile,
    ) -> None:
        started = time.perf_counter()
        nlist = clustering.nlist
        self.settings = replace(settings, nlist=nlist, nprobe=nlist)
        self.index = ComposedIndex.build(source, self.settings, clusters=clustering.clusters)
        self.seconds = time.perf_counter() - started
        self.ranked = self.index.search(benchmark.queries, min(DEEPEST, source.shape[0]), nprobe=nlist, rescore=0)[1]
        self.ranks = np.full(wanted.rows.shape, _NEVER, dtype=np.int64)
        for at, (line, rows) in enumerate(zip(self.ranked, wanted.rows, strict=True)):
            order = np.argsort(line, kind="stable")
            places = order[np.minimum(np.searchsorted(line, rows, sorter=order), len(order) - 1)]
            here = line[places] == rows
            self.ranks[at, here] = places[here]
        self._times: dict[tuple[float, int], float] = {}
        self.time(benchmark, clustering)

    def ranks_within(self, clustering: ClusterProfile, nprobe: int) -> Rows:
        """Return the rank of the wanted documents among the codes of the near clusters alone ``(n_queries, width)``."""
        searched = clustering.ranks_of(self.ranked) < nprobe
        ahead: Rows = np.cumsum(searched, axis=1) - searched
        within: Rows = np.take_along_axis(ahead, np.minimum(self.ranks, self.ranked.shape[1] - 1), axis=1)
        return np.where(self.ranks == _NEVER, _NEVER, within)

    def time(self, benchmark: IndexBenchmark, clustering: ClusterProfile) -> None:
        """Time some widths; of several rounds the best of each counts, as what else a machine does only slows."""
        nlist = clustering.nlist
        widths = (0,) if self.settings.codes == FULL else (20, 400)
        for nprobe in sorted({max(1, nlist // 32), max(1, nlist // 8), max(1, nlist // 2)}):
            for rescore in widths:
                search = partial(self.index.search, nprobe=nprobe, rescore=rescore)
                ms = float(np.median(benchmark.run(search, _TIMED).ms))
                key = (clustering.scanned(nprobe), rescore)
                self._times[key] = min(ms, self._times.get(key, ms))

    @property
    def costs(self) -> npt.NDArray[np.float64]:
        """The ms of a query itself, of each vector that it is compared with, and of each that is rescored ``(3,)``.

        Fitted to the times by least squares of their relative error; no cost is below 0.
        """
        table = np.array([[1.0, *key] for key in self._times])
        weights = 1 / np.array(list(self._times.values()))  # a share of the time counts: small ones decide
        costs, *_ = np.linalg.lstsq(table * weights[:, None], np.ones(len(weights)), rcond=None)
        bounded: npt.NDArray[np.float64] = np.maximum(costs, 0.0)
        return bounded


class _LastRanks(NamedTuple):
    """The ranks within some clusters that were computed last; other rescoring widths are likely to be wanted next."""

    clustering: ClusterProfile
    coding: CodeProfile
    nprobe: int
    ranks: Rows


class Surface:
    """All combinations of some clusterings and kinds of codes."""

    def __init__(
        self, benchmark: IndexBenchmark, clusterings: Sequence[ClusterProfile], codings: Sequence[CodeProfile]
    ) -> None:
        self.benchmark, self.clusterings, self.codings = benchmark, clusterings, codings
        wanted = WantedRows.of(benchmark)
        self._n_neighbours = wanted.n_neighbours
        self._is_relevant = wanted.rows[:, wanted.n_neighbours :] >= 0
        self._last: _LastRanks | None = None
        lines = zip(wanted.rows, benchmark.exact, strict=True)
        exact = [np.isin(rows, nearest[: benchmark.depth]) for rows, nearest in lines]
        self._is_first = np.array(exact)[:, wanted.n_neighbours :]  # relevant documents that exact search puts first

    def point(self, clustering: ClusterProfile, coding: CodeProfile, nprobe: int, rescore: int) -> OperatingPoint:
        """Return the operating point of a combination, as computed; see the module."""
        width = max(rescore, self.benchmark.width) if rescore else 0  # as many as are returned, at least
        ranks = self._ranks(clustering, coding, nprobe)
        is_found = (clustering.ranks < nprobe) & (ranks < (width or self.benchmark.k))
        scanned = clustering.scanned(nprobe)
        ms = float(coding.costs @ np.array([1.0, scanned, width]))
        return OperatingPoint(
            settings=replace(coding.settings, nlist=clustering.nlist, nprobe=nprobe, rescore=rescore),
            index_recall=float(is_found[:, : self._n_neighbours].mean()),
            task_recall=self._task_recall(is_found, ranks, is_rescored=bool(width)),
            ms=ms,
            ms_high=ms,
            mb=coding.index.memory_with(clustering.sizes) / 1e6,
            scanned=scanned,
            measured=False,
        )

    def _ranks(self, clustering: ClusterProfile, coding: CodeProfile, nprobe: int) -> Rows:
        last = self._last
        if last is None or (last.clustering, last.coding, last.nprobe) != (clustering, coding, nprobe):
            last = _LastRanks(clustering, coding, nprobe, coding.ranks_within(clustering, nprobe))
            self._last = last
        return last.ranks

    def _task_recall(self, is_found: npt.NDArray[np.bool_], ranks: Rows, *, is_rescored: bool) -> float | None:
        """Return the mean share of relevant documents among the first ``depth`` hits; None without judgements."""
        if not self.benchmark.relevant:
            return None
        hits = is_found[:, self._n_neighbours :] & self._is_relevant
        hits &= self._is_first if is_rescored else ranks[:, self._n_neighbours :] < self.benchmark.depth
        counts = self._is_relevant.sum(axis=1)
        return float(np.mean(hits.sum(axis=1)[counts > 0] / counts[counts > 0]))


def _learn_clusters(source: VectorSource, settings: IndexSettings) -> Clusters:
    """Return the clusters of vectors, learned from a sample, and the cluster of each of them."""
    n = source.shape[0]
    rows = np.arange(n)
    if settings.sample < n:
        rows = np.sort(np.random.default_rng(settings.seed).choice(n, settings.sample, replace=False))
    centroids = train_clusters(source.take(rows), settings.nlist, settings.seed)
    blocks = (slice(start, min(start + _BLOCK, n)) for start in range(0, n, _BLOCK))
    numbers = [nearest_clusters(source.take(block), centroids)[:, 0] for block in blocks]
    return Clusters(centroids, np.concatenate(numbers).astype(np.int32))
