"""What an index finds, and what it costs: index recall, task recall, time of one query, memory."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from honed.core.optional import is_installed
from honed.core.protocols import Vectors, VectorSource
from honed.core.ranking import Rows
from honed.index.exact import exact_among
from honed.index.settings import IndexSettings

_WARM_UP = 3
_TIE = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One configuration and what was found of it.

    ``index_recall`` is the share of the exact nearest that it finds, ``task_recall`` that of the relevant documents
    (None without judgements), ``ms`` the median and ``ms_high`` the 95th percentile of a query alone on one thread,
    ``mb`` what a search holds in memory (1 MB is a million bytes), ``scanned`` the vectors and codes that a query is
    compared with. ``measured`` is False for what was computed from parts.
    """

    settings: IndexSettings
    index_recall: float
    task_recall: float | None
    ms: float
    ms_high: float
    mb: float
    scanned: float
    build_s: float = 0.0
    measured: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return the point as plain data."""
        shown = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "settings"}
        rounded = {name: round(value, 5) if isinstance(value, float) else value for name, value in shown.items()}
        return {"settings": self.settings.as_dict(), **rounded}


class Results(NamedTuple):
    """Rows found for each query ``(n_queries, width)``, and the ms of each ``(n_queries,)``."""

    rows: Rows
    ms: Any


class Yardstick:
    """Queries with their exact neighbours, and with relevant documents where there are judgements.

    ``k`` neighbours make the index recall; the first ``depth`` hits make the task recall. ``relevant`` holds rows of
    documents for each query; ``width`` rows are asked for at least, as many as a search takes that has hits to choose
    from.
    """

    def __init__(
        self,
        source: VectorSource,
        queries: Vectors,
        relevant: Sequence[Rows] = (),
        *,
        k: int = 10,
        depth: int = 1,
        width: int = 0,
    ) -> None:
        self.source, self.queries = source, np.ascontiguousarray(queries, dtype=np.float32)
        self.k, self.depth = min(k, source.shape[0]), depth
        self.relevant = [np.asarray(each, dtype=np.int64) for each in relevant]
        self.width = min(max(self.k, depth, width), source.shape[0])
        scores, self.exact = exact_among(source, np.arange(source.shape[0]), self.queries, self.width)
        self._edges = scores[:, self.k - 1] if self.k else np.zeros(len(self.queries))

    def index_recall(self, rows: Rows) -> float:
        """Return the share of the first ``k`` rows of each query that are as near as the exact ``k``-th nearest.

        Documents with one vector are as good as each other: which of them are found does not count.
        """
        shares = []
        for query, found, edge in zip(self.queries, rows[:, : self.k], self._edges, strict=True):
            some = found[found >= 0]
            near = self.source.take(some) @ query >= edge - _TIE if len(some) else np.zeros(0)
            shares.append(float(np.sum(near)) / self.k)
        return float(np.mean(shares)) if shares else 1.0

    def task_recall(self, rows: Rows) -> float | None:
        """Return the mean share of the relevant documents among the first ``depth`` rows; None without judgements."""
        if not self.relevant:
            return None
        pairs = zip(self.relevant, rows, strict=True)
        return float(np.mean([np.isin(own, found[: self.depth]).mean() for own, found in pairs if len(own)]))

    def ask(self, search: Callable[[Vectors, int], tuple[Vectors, Rows]], most: int | None = None) -> Results:
        """Ask every query, or the first so many, alone, on one thread, and take the time of each."""
        queries = self.queries[:most]
        found = np.full((len(queries), self.width), -1, dtype=np.int64)
        took = np.empty(len(queries))
        with one_thread():
            for query in queries[:_WARM_UP]:
                search(query[None], self.width)
            for at, query in enumerate(queries):
                started = time.perf_counter()
                rows = search(query[None], self.width)[1][0]
                took[at] = 1000 * (time.perf_counter() - started)
                found[at, : len(rows)] = rows
        return Results(found, took)

    def point(self, settings: IndexSettings, results: Results, **known: float) -> Point:
        """Return what was found of a configuration; ``known`` are mb, scanned and build_s."""
        facts: Mapping[str, Any] = known
        return Point(
            settings=settings,
            index_recall=self.index_recall(results.rows),
            task_recall=self.task_recall(results.rows),
            ms=float(np.median(results.ms)),
            ms_high=float(np.percentile(results.ms, 95)),
            **facts,
        )


@contextmanager
def one_thread() -> Iterator[None]:
    """Let FAISS use one thread, as it does in a server that is busy; numpy's products of one query use one anyway."""
    if not is_installed("vector index"):
        yield
        return
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
