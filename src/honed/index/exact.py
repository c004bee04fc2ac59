"""Exact search over unit vectors by inner product: the reference for every other index."""

import numpy as np
import numpy.typing as npt

from honed.core.optional import require
from honed.core.protocols import Mask, Vectors, VectorSource
from honed.core.ranking import Rows, top_rows

NARROW = 4096  # so few allowed documents are compared one by one: that is fast, and nothing is missed
_QUERIES, _DOCUMENTS = 512, 65_536


class ExactIndex:
    """Plain numpy, every vector ``(n, dim)`` compared."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)

    def search(self, vectors: Vectors, k: int, *, allowed: Mask | None = None) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number."""
        passing = None if allowed is None else np.flatnonzero(allowed)
        documents = self.vectors if passing is None else self.vectors[passing]
        k = min(k, len(documents))
        scores = np.empty((len(vectors), k), dtype=np.float32)
        rows = np.empty((len(vectors), k), dtype=np.int64)
        for start in range(0, len(vectors), _QUERIES):
            block = np.asarray(vectors[start : start + _QUERIES], dtype=np.float32) @ documents.T
            for offset, line in enumerate(block):
                best = top_rows(line, k)
                rows[start + offset], scores[start + offset] = best, line[best]
        return scores, rows if passing is None else passing[rows]


class FlatIndex:
    """FAISS IndexFlatIP: the answers of `ExactIndex`, faster."""

    def __init__(self, vectors: Vectors) -> None:
        require("vector index")
        import faiss

        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def search(self, vectors: Vectors, k: int, *, allowed: Mask | None = None) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number."""
        import faiss

        k = min(k, self.index.ntotal if allowed is None else int(np.count_nonzero(allowed)))
        if k == 0 or not len(vectors):
            return np.empty((len(vectors), k), np.float32), np.empty((len(vectors), k), np.int64)
        settings, bits = None, np.empty(0, np.uint8)
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            settings = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
        scores, rows = self.index.search(np.ascontiguousarray(vectors, dtype=np.float32), k, params=settings)
        return best_first(scores, rows.astype(np.int64), k)


def exact_among(source: VectorSource, rows: Rows, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
    """Return scores and row numbers, both ``(n_queries, min(k, len(rows)))``, of the best among some rows."""
    k = min(k, len(rows))
    scores = np.full((len(vectors), k), -np.inf, dtype=np.float32)
    best = np.zeros((len(vectors), k), dtype=np.int64)
    for start in range(0, len(rows), _DOCUMENTS):
        block = rows[start : start + _DOCUMENTS]
        block_scores, places = ExactIndex(source.take(block)).search(vectors, k)
        scores, best = best_first(np.hstack([scores, block_scores]), np.hstack([best, block[places]]), k)
    return scores, best


def best_first(scores: npt.NDArray[np.floating], rows: Rows, k: int) -> tuple[Vectors, Rows]:
    """Return the best ``k`` of hits in any order, both ``(n_queries, k)``, ties by row number.

    Row -1, which stands for no hit, comes last, with a score of -2.
    """
    scores = np.where(rows < 0, -np.inf, scores)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    rows = np.take_along_axis(rows, order, axis=1)
    scores = np.take_along_axis(scores, order, axis=1)
    return np.where(rows < 0, -2.0, scores).astype(np.float32), rows
