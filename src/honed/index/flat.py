"""Exact search over unit vectors by inner product."""

from collections.abc import Callable

import numpy as np

from honed.core.protocols import VectorIndex, Vectors
from honed.core.ranking import Rows, top_rows


class ExactIndex:
    """The reference: plain numpy, every vector compared."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)

    def search(self, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number."""
        k = min(k, len(self.vectors))
        scores = np.empty((len(vectors), k), dtype=np.float32)
        rows = np.empty((len(vectors), k), dtype=np.int64)
        for start in range(0, len(vectors), 512):
            block = np.asarray(vectors[start : start + 512], dtype=np.float32) @ self.vectors.T
            for offset, line in enumerate(block):
                best = top_rows(line, k)
                rows[start + offset], scores[start + offset] = best, line[best]
        return scores, rows


class FlatIndex:
    """FAISS IndexFlatIP: the same answers, faster."""

    def __init__(self, vectors: Vectors) -> None:
        import faiss

        self.index = faiss.IndexFlatIP(vectors.shape[1])
        self.index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def search(self, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number."""
        k = min(k, self.index.ntotal)
        if k == 0 or not len(vectors):
            return np.empty((len(vectors), k), np.float32), np.empty((len(vectors), k), np.int64)
        scores, rows = self.index.search(np.ascontiguousarray(vectors, dtype=np.float32), k)
        order = np.lexsort((rows, -scores), axis=1)
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1).astype(np.int64)


def _hnsw(vectors: Vectors) -> VectorIndex:
    from honed.index.hnsw import HnswIndex

    return HnswIndex(vectors)


# name -> how to build it from vectors
VECTOR_INDEXES: dict[str, Callable[[Vectors], VectorIndex]] = {"exact": ExactIndex, "flat": FlatIndex, "hnsw": _hnsw}
