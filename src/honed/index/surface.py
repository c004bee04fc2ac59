"""The whole surface of clusters x probes x codes x rescoring, computed from parts that are measured one by one.

A neighbour is found when its cluster is searched and its code is among the best there that are compared again. Where
its cluster stands depends on the clusters alone, and what is ahead of its code on the codes, but for what codes of
residuals owe to their centroids: they are made over the middle clustering, and are finer over more clusters. So as many
parts as there are clusterings *and* kinds of codes tell the recall of every combination, and a few times its cost.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from honed.core.protocols import VectorSource
from honed.core.ranking import Rows
from honed.index.clusters import Clusters, nearest_clusters, train_clusters
from honed.index.composed import ComposedIndex
from honed.index.measured import Point, Yardstick
from honed.index.settings import FULL, IndexSettings

DEEPEST = 1000
_NEVER = 1 << 30
_TIMED = 40  # queries
_BLOCK = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """Documents that a query wants ``(n_queries, width)``, -1 where there are fewer: neighbours, then relevant ones."""

    rows: Rows
    n_neighbours: int

    @classmethod
    def of(cls, yard: Yardstick) -> "Targets":
        """Return the exact neighbours and the relevant documents of all queries."""
        most = max((len(each) for each in yard.relevant), default=0)
        rows = np.full((len(yard.queries), yard.k + most), -1, dtype=np.int64)
        rows[:, : yard.k] = yard.exact[:, : yard.k]
        for at, each in enumerate(yard.relevant):
            rows[at, yard.k : yard.k + len(each)] = each
        return cls(rows=rows, n_neighbours=yard.k)


class Clustering:
    """One coarse quantizer: where the wanted documents stand among the clusters, and what searching them costs."""

    def __init__(self, source: VectorSource, yard: Yardstick, targets: Targets, settings: IndexSettings) -> None:
        n, dim = source.shape
        settings = settings.resolved(n, dim)
        started = time.perf_counter()
        rows = np.arange(n)
        if settings.sample < n:
            rows = np.sort(np.random.default_rng(settings.seed).choice(n, settings.sample, replace=False))
        centroids = train_clusters(source.take(rows), settings.nlist, settings.seed)
        numbers = np.concatenate(
            [
                nearest_clusters(source.take(slice(start, min(start + _BLOCK, n))), centroids)[:, 0]
                for start in range(0, n, _BLOCK)
            ]
        ).astype(np.int32)
        self.clusters = Clusters(centroids, numbers)
        self.nlist = len(centroids)
        self.took = time.perf_counter() - started
        near = np.argsort(-(yard.queries @ centroids.T), axis=1, kind="stable")
        self._place = np.empty_like(near)
        np.put_along_axis(self._place, near, np.arange(self.nlist)[None].repeat(len(near), axis=0), axis=1)
        self.places = np.where(targets.rows < 0, _NEVER, self.places_of(np.maximum(targets.rows, 0)))
        self.sizes = np.bincount(numbers, minlength=self.nlist)
        self._scanned = np.cumsum(self.sizes[near], axis=1).mean(axis=0)

    def places_of(self, rows: Rows) -> Rows:
        """Return for each query where the clusters of its documents ``(n_queries, width)`` stand, nearest 0."""
        found: Rows = np.take_along_axis(self._place, self.clusters.numbers[rows].astype(np.int64), axis=1)
        return found

    def scanned(self, nprobe: int) -> float:
        """Return how many vectors a query is compared with: centroids, and what is in the near clusters."""
        return float(self._scanned[min(nprobe, self.nlist) - 1]) + self.nlist * (self.nlist > 1)

    def probes_for(self, n: float) -> int:
        """Return how many clusters to search so that about ``n`` vectors are compared, centroids counted."""
        return int(np.clip(np.searchsorted(self._scanned, n - self.nlist * (self.nlist > 1)) + 1, 1, self.nlist))


class Coding:
    """One kind of codes: where the wanted documents stand among them, and what a comparison costs."""

    def __init__(
        self, source: VectorSource, yard: Yardstick, targets: Targets, settings: IndexSettings, clustering: Clustering
    ) -> None:
        started = time.perf_counter()
        nlist = clustering.nlist
        self.settings = replace(settings, nlist=nlist, nprobe=nlist)
        self.index = ComposedIndex.build(source, self.settings, clusters=clustering.clusters)
        self.took = time.perf_counter() - started
        self.ranked = self.index.search(yard.queries, min(DEEPEST, source.shape[0]), nprobe=nlist, rescore=0)[1]
        self.places = np.full(targets.rows.shape, _NEVER, dtype=np.int64)
        for at, (line, wanted) in enumerate(zip(self.ranked, targets.rows, strict=True)):
            order = np.argsort(line, kind="stable")
            spots = order[np.minimum(np.searchsorted(line, wanted, sorter=order), len(order) - 1)]
            here = line[spots] == wanted
            self.places[at, here] = spots[here]
        self._times: dict[tuple[float, int], float] = {}
        self.time(yard, clustering)

    def places_within(self, clustering: Clustering, nprobe: int) -> Rows:
        """Return where the wanted documents stand among the codes of the near clusters alone ``(n_queries, width)``."""
        there = clustering.places_of(self.ranked) < nprobe
        ahead: Any = np.cumsum(there, axis=1) - there
        within: Any = np.take_along_axis(ahead, np.minimum(self.places, self.ranked.shape[1] - 1), axis=1)
        return np.where(self.places == _NEVER, _NEVER, within)

    def time(self, yard: Yardstick, clustering: Clustering) -> None:
        """Time some widths; of several rounds the best of each counts, as what else a machine does only slows."""
        nlist = clustering.nlist
        wide = (0,) if self.settings.codes == FULL else (20, 400)
        for nprobe in sorted({max(1, nlist // 32), max(1, nlist // 8), max(1, nlist // 2)}):
            for rescore in wide:
                search = partial(self.index.search, nprobe=nprobe, rescore=rescore)
                took = float(np.median(yard.ask(search, _TIMED).ms))
                key = (clustering.scanned(nprobe), rescore)
                self._times[key] = min(took, self._times.get(key, took))

    @property
    def costs(self) -> Any:
        """The ms of a query, of a vector that is compared and of one that is compared again, by least squares."""
        table = np.array([[1.0, *key] for key in self._times])
        weights = 1 / np.array(list(self._times.values()))  # a share of the time counts: small ones decide
        found, *_ = np.linalg.lstsq(table * weights[:, None], np.ones(len(weights)), rcond=None)
        return np.maximum(found, 0.0)


class Surface:
    """All combinations of some clusterings and codings."""

    def __init__(
        self, source: VectorSource, yard: Yardstick, clusterings: Sequence[Clustering], codings: Sequence[Coding]
    ) -> None:
        self.yard, self.clusterings, self.codings = yard, clusterings, codings
        targets = Targets.of(yard)
        self._n_neighbours = targets.n_neighbours
        self._held = [targets.rows[:, targets.n_neighbours :] >= 0][0]
        self._last: tuple[Any, ...] = ()  # what was asked last, of which other widths are likely to be asked next
        exact = [np.isin(line, first[: yard.depth]) for line, first in zip(targets.rows, yard.exact, strict=True)]
        self._first = np.array(exact)[:, targets.n_neighbours :]

    def point(self, clustering: Clustering, coding: Coding, nprobe: int, rescore: int) -> Point:
        """Return what a combination would find and cost, as computed; see the module."""
        width = rescore
        if self._last[:1] != ((clustering, coding, nprobe),):
            self._last = ((clustering, coding, nprobe), coding.places_within(clustering, nprobe))
        places = self._last[1]
        rescore = max(rescore, self.yard.width) if rescore else 0  # as many as are asked for, at least
        found = (clustering.places < nprobe) & (places < (rescore or self.yard.k))
        task = None
        if self.yard.relevant:
            own = found[:, self._n_neighbours :]
            own &= self._first if rescore else (places[:, self._n_neighbours :] < self.yard.depth)
            counts = self._held.sum(axis=1)
            task = float(np.mean((own & self._held).sum(axis=1)[counts > 0] / counts[counts > 0]))
        scanned = clustering.scanned(nprobe)
        ms = float(coding.costs @ np.array([1.0, scanned, rescore]))
        settings = replace(coding.settings, nlist=clustering.nlist, nprobe=nprobe, rescore=width)
        return Point(
            settings=settings,
            index_recall=float(found[:, : self._n_neighbours].mean()),
            task_recall=task,
            ms=ms,
            ms_high=ms,
            mb=coding.index.held_bytes(clustering.sizes) / 1e6,
            scanned=scanned,
            measured=False,
        )
