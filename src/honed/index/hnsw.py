"""Approximate search in a graph of neighbours (HNSW, Malkov & Yashunin 2016, arXiv 1603.09320), by FAISS.

The graph is saved as plain arrays, not in FAISS's own format, whose files can name other files and load damaged.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.ranking import Rows

_ARRAYS = {"levels": np.int32, "offsets": np.uint64, "neighbors": np.int32}
LINKS, BUILD_WIDTH, SEARCH_WIDTH = 32, 80, 128


class HnswIndex:
    """An HNSW graph over unit vectors by inner product; ``SEARCH_WIDTH`` candidates are kept in a search."""

    def __init__(self, vectors: Vectors) -> None:
        self.index = _empty(vectors.shape[1])
        self.index.add(np.ascontiguousarray(vectors, dtype=np.float32))

    def search(self, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first; some neighbours may be missed."""
        k = min(k, self.index.ntotal)
        if k == 0 or not len(vectors):
            return np.empty((len(vectors), k), np.float32), np.empty((len(vectors), k), np.int64)
        self.index.hnsw.efSearch = max(SEARCH_WIDTH, 2 * k)
        scores, rows = self.index.search(np.ascontiguousarray(vectors, dtype=np.float32), k)
        scores = np.where(rows < 0, -2.0, scores).astype(np.float32)
        order = np.lexsort((rows, -scores), axis=1)
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1).astype(np.int64)

    def tensors(self) -> dict[str, Any]:
        """Return the graph as named arrays."""
        import faiss

        graph = self.index.hnsw
        arrays = {
            name: np.asarray(faiss.vector_to_array(getattr(graph, name))).astype(dtype)
            for name, dtype in _ARRAYS.items()
        }
        return arrays | {"entry": np.array([graph.entry_point, graph.max_level], dtype=np.int64)}

    @classmethod
    def from_tensors(cls, vectors: Vectors, tensors: Mapping[str, Any]) -> Self:
        """Put a saved graph over its vectors; `ArtifactError` when a link leads out of the graph."""
        import faiss

        n = len(vectors)
        entry, top = (int(each) for each in tensors["entry"])
        levels, offsets, neighbors = (tensors[name] for name in _ARRAYS)
        found = cls.__new__(cls)
        found.index = index = _empty(vectors.shape[1])
        most = len(faiss.vector_to_array(index.hnsw.cum_nneighbor_per_level)) - 1
        sound = (
            len(levels) == n
            and len(offsets) == n + 1
            and 0 <= entry < n
            and int(levels.min()) >= 1
            and int(levels.max()) <= most
            and top == int(levels.max()) - 1 == int(levels[entry]) - 1
            and _lengths_fit(index, levels, offsets, len(neighbors))
            and int(neighbors.min(initial=-1)) >= -1
            and int(neighbors.max(initial=-1)) < n
            and _levels_fit(index, levels, offsets, neighbors)
        )
        if not sound:
            raise ArtifactError("E_BUNDLE_INDEX_TYPE", "the index is no graph over these vectors")
        index.storage.add(np.ascontiguousarray(vectors, dtype=np.float32))
        index.ntotal = n
        for name, dtype in _ARRAYS.items():
            faiss.copy_array_to_vector(np.ascontiguousarray(tensors[name], dtype=dtype), getattr(index.hnsw, name))
        index.hnsw.entry_point, index.hnsw.max_level = entry, top
        return found


def _empty(dim: int) -> Any:
    require("vector index")
    import faiss

    index = faiss.IndexHNSWFlat(dim, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_WIDTH
    return index


def _ends(index: Any) -> Any:
    """Return where the links of each level end within the links of one vector."""
    import faiss

    return np.asarray(faiss.vector_to_array(index.hnsw.cum_nneighbor_per_level)).astype(np.int64)


def _lengths_fit(index: Any, levels: Any, offsets: Any, n_links: int) -> bool:
    steps = np.diff(offsets.astype(np.int64))
    return int(offsets[0]) == 0 and int(offsets[-1]) == n_links and bool((steps == _ends(index)[levels]).all())


def _levels_fit(index: Any, levels: Any, offsets: Any, neighbors: Any) -> bool:
    """Tell whether every link of an upper level leads to a vector that is there on that level."""
    ends = _ends(index)
    for level in range(1, int(levels.max())):
        for row in np.flatnonzero(levels > level):
            start = int(offsets[row])
            links = neighbors[start + ends[level] : start + ends[level + 1]]
            if (levels[links[links >= 0]] <= level).any():
                return False
    return True
