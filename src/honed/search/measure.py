"""What an index finds, and what a query takes, measured with a searcher."""

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Vectors
from honed.search.request import ALIAS_TO_LABEL
from honed.search.searcher import Searcher

_WARMING = 3  # queries that are searched before the clock starts


def index_recall(searcher: Searcher, vectors: Vectors, k: int) -> npt.NDArray[np.float64]:
    """Return for each query vector ``(n_queries,)`` the share of the exact ``k`` nearest that the index finds."""
    index, exact = searcher.catalogue.index(ALIAS_TO_LABEL), searcher.catalogue.exact_index()
    if index is None or exact is None:
        return np.ones(len(vectors))
    shares = []
    for nearest, reference in zip(index.search(vectors, k), exact.search(vectors, k), strict=True):
        wanted = reference.rows.tolist()
        shares.append(len(set(nearest.rows.tolist()) & set(wanted)) / len(wanted))
    return np.array(shares)


def query_times(searcher: Searcher, texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return the ms ``(n_texts,)`` that each text takes alone, from text to 10 hits."""
    searcher.search_many(texts[:_WARMING])
    times = []
    for text in texts:
        started = time.perf_counter()
        searcher.search(text)
        times.append(1000 * (time.perf_counter() - started))
    return np.array(times)
