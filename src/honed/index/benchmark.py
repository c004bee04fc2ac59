"""What an index finds, and what it costs: index recall, task recall, time of one query, memory."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.json import Json
from honed.core.optional import is_installed
from honed.core.protocols import Vectors, VectorSource
from honed.core.ranking import Rows
from honed.index.exact import exact_among
from honed.index.settings import IndexSettings

_WARM_UP = 3
_TIE = 1e-6
Search: TypeAlias = Callable[[Vectors, int], tuple[Vectors, Rows]]  # queries, k -> scores, rows


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """One configuration of an index with what it finds and costs.

    ``index_recall`` is the share of the exact nearest that it finds, ``task_recall`` that of the relevant documents
    (None without judgements), ``ms`` the median and ``ms_high`` the 95th percentile of a query alone on one thread,
    ``mb`` what a search holds in memory (1 MB is a million bytes), ``scanned`` the vectors and codes that a query is
    compared with, ``build_s`` the seconds of its build. ``measured`` is False for what was computed from parts.
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

    def as_dict(self) -> dict[str, Json]:
        """Return the point as plain data, numbers rounded to five places."""
        values = {known.name: getattr(self, known.name) for known in fields(self) if known.name != "settings"}
        rounded = {name: round(value, 5) if isinstance(value, float) else value for name, value in values.items()}
        return {"settings": self.settings.as_dict(), **rounded}


class TimedResults(NamedTuple):
    """Hits of every query as rows ``(n_queries, width)``, and the ms that the search took ``(n_queries,)``."""

    rows: Rows
    ms: npt.NDArray[np.float64]


class IndexBenchmark:
    """Queries with their exact neighbours, and with relevant documents where there are judgements.

    ``k`` neighbours make the index recall; the first ``depth`` hits make the task recall. ``relevant`` holds rows of
    documents for each query. Every search returns at least ``width`` rows, as many as one takes that has hits to choose
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
        self.relevant = [np.asarray(rows, dtype=np.int64) for rows in relevant]
        self.width = min(max(self.k, depth, width), source.shape[0])
        scores, self.exact = exact_among(source, np.arange(source.shape[0]), self.queries, self.width)
        self._edges = scores[:, self.k - 1] if self.k else np.zeros(len(self.queries))  # cosines of the k-th nearest

    def index_recall(self, rows: Rows) -> float:
        """Return the share of the first ``k`` rows of each query that are as near as the exact ``k``-th nearest.

        Documents with one vector are as good as each other: which of them are found does not count.
        """
        shares = []
        for query, line, edge in zip(self.queries, rows[:, : self.k], self._edges, strict=True):
            hits = line[line >= 0]
            near = self.source.take(hits) @ query >= edge - _TIE if len(hits) else np.zeros(0)
            shares.append(float(np.sum(near)) / self.k)
        return float(np.mean(shares)) if shares else 1.0

    def task_recall(self, rows: Rows) -> float | None:
        """Return the mean share of the relevant documents among the first ``depth`` rows; None without judgements."""
        if not self.relevant:
            return None
        pairs = zip(self.relevant, rows, strict=True)
        return float(np.mean([np.isin(wanted, line[: self.depth]).mean() for wanted, line in pairs if len(wanted)]))

    def run(self, search: Search, most: int | None = None) -> TimedResults:
        """Search with every query, or the first ``most``, alone, on one thread, and take the time of each."""
        queries = self.queries[:most]
        rows = np.full((len(queries), self.width), -1, dtype=np.int64)
        ms = np.empty(len(queries))
        with one_thread():
            for query in queries[:_WARM_UP]:
                search(query[None], self.width)
            for at, query in enumerate(queries):
                started = time.perf_counter()
                hits = search(query[None], self.width)[1][0]
                ms[at] = 1000 * (time.perf_counter() - started)
                rows[at, : len(hits)] = hits
        return TimedResults(rows, ms)

    def point(
        self, settings: IndexSettings, results: TimedResults, *, mb: float, scanned: float, build_s: float
    ) -> OperatingPoint:
        """Return the operating point of a configuration from its results, its memory and its scan cost."""
        return OperatingPoint(
            settings=settings,
            index_recall=self.index_recall(results.rows),
            task_recall=self.task_recall(results.rows),
            ms=float(np.median(results.ms)),
            ms_high=float(np.percentile(results.ms, 95)),
            mb=mb,
            scanned=scanned,
            build_s=build_s,
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
