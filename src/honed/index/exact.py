"""Exact search over unit vectors by inner product: the reference for every other index."""

import numpy as np
import numpy.typing as npt

from honed.core.optional import require
from honed.core.protocols import Mask, Vectors, VectorSource
from honed.core.ranking import Rows, top_rows

NARROW = 4096  # so few allowed documents are compared one by one: that is fast, and nothing is missed
_QUERIES, _DOCUMENTS = 512, 65_536
_CELLS = 1 << 24  # scores that are held at a time
_FEW, _MANY = 400, 8192  # queries, documents: FAISS compares so few with so many more slowly than one matrix product


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
        step = max(1, min(_QUERIES, _CELLS // max(1, len(documents))))
        for start in range(0, len(vectors), step):
            block = np.asarray(vectors[start : start + step], dtype=np.float32) @ documents.T
            for offset, line in enumerate(block):
                best = top_rows(line, k)
                rows[start + offset], scores[start + offset] = best, line[best]
        return scores, rows if passing is None else passing[rows]


class FlatIndex:
    """FAISS IndexFlatIP: the answers of `ExactIndex`, faster for many queries at once; for few it is numpy's too."""

    def __init__(self, vectors: Vectors) -> None:
        require("vector index")
        import faiss

        n, dim = vectors.shape
        self.index = faiss.IndexFlatIP(dim)
        self.index.add(np.ascontiguousarray(vectors, dtype=np.float32))
        self._exact = (
            ExactIndex(faiss.rev_swig_ptr(self.index.get_xb(), n * dim).reshape(n, dim)) if n >= _MANY else None
        )

    def search(self, vectors: Vectors, k: int, *, allowed: Mask | None = None) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number."""
        if self._exact is not None and allowed is None and len(vectors) < _FEW:
            return self._exact.search(vectors, k)
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
