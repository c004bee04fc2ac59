"""Approximate search in a graph of neighbours (HNSW, Malkov & Yashunin 2016, arXiv 1603.09320), by FAISS.

The graph is saved as plain arrays, not in FAISS's own format, whose files can name other files and load damaged.
"""

from typing import TYPE_CHECKING, Self

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.optional import require
from honed.core.protocols import Mask, Vectors, VectorSource
from honed.core.ranking import Rows
from honed.core.tensors import Array, Tensors
from honed.index.exact import NARROW, best_first, exact_among
from honed.index.settings import IndexSettings

if TYPE_CHECKING:
    import faiss

_BLOCK = 65_536
_ARRAYS = {"levels": np.int32, "offsets": np.uint64, "neighbors": np.int32}


class HnswIndex:
    """An HNSW graph over unit vectors by inner product; ``search_width`` candidates are kept in a search."""

    def __init__(self, source: VectorSource, settings: IndexSettings) -> None:
        self.settings, self._source = settings, source
        self.index = _empty(source.shape[1], settings)
        for start in range(0, source.shape[0], _BLOCK):
            self.index.add(np.ascontiguousarray(source.take(slice(start, start + _BLOCK)), dtype=np.float32))

    def search(
        self, vectors: Vectors, k: int, *, allowed: Mask | None = None, search_width: int = 0
    ) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first; some neighbours may be missed.

        ``allowed`` ``(n,)`` leaves out the rows where it is False: few allowed rows are all compared, for many the
        graph is followed with so many more candidates that as many allowed ones are kept.
        """
        n = self.index.ntotal if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, n)
        if allowed is not None and n <= max(NARROW, k):
            return exact_among(self._source, np.flatnonzero(allowed), vectors, k)
        if k == 0 or not len(vectors):
            return np.empty((len(vectors), k), np.float32), np.empty((len(vectors), k), np.int64)
        import faiss

        width = max(search_width or self.settings.search_width, 2 * k)
        settings, bits = faiss.SearchParametersHNSW(), np.empty(0, np.uint8)
        if allowed is not None:
            width = min(-(-width * self.index.ntotal // n), self.index.ntotal)
            bits = np.packbits(allowed, bitorder="little")
            settings.sel = faiss.IDSelectorBitmap(bits)
        settings.efSearch = width
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        scores, rows = self.index.search(vectors, k, params=settings)
        scores, rows = best_first(scores, rows.astype(np.int64), k)
        if allowed is not None and (short := np.flatnonzero(rows[:, -1] < 0)).size:
            # what is allowed lies elsewhere, where the search did not come
            scores[short], rows[short] = exact_among(self._source, np.flatnonzero(allowed), vectors[short], k)
        return scores, rows

    @property
    def memory_bytes(self) -> int:
        """Memory of a search in bytes: vectors and links."""
        return int(4 * self.index.ntotal * self.index.d + sum(array.nbytes for array in self.tensors().values()))

    def tensors(self) -> dict[str, Array]:
        """Return the graph as named arrays."""
        import faiss

        graph = self.index.hnsw
        arrays = {
            name: np.asarray(faiss.vector_to_array(getattr(graph, name))).astype(dtype)
            for name, dtype in _ARRAYS.items()
        }
        return arrays | {"entry": np.array([graph.entry_point, graph.max_level], dtype=np.int64)}

    @classmethod
    def from_tensors(cls, source: VectorSource, settings: IndexSettings, tensors: Tensors) -> Self:
        """Put a saved graph over its vectors; `ArtifactError` when a link leads out of the graph."""
        import faiss

        n = source.shape[0]
        entry, top = (int(number) for number in tensors["entry"])
        restored = cls.__new__(cls)
        restored.settings, restored._source = settings, source
        restored.index = index = _empty(source.shape[1], settings)
        if not _is_graph(index, tensors, n, entry, top):
            raise ArtifactError("E_BUNDLE_INDEX_TYPE", "the index is no graph over these vectors")
        for start in range(0, n, _BLOCK):
            index.storage.add(np.ascontiguousarray(source.take(slice(start, start + _BLOCK)), dtype=np.float32))
        index.ntotal = n
        for name, dtype in _ARRAYS.items():
            faiss.copy_array_to_vector(np.ascontiguousarray(tensors[name], dtype=dtype), getattr(index.hnsw, name))
        index.hnsw.entry_point, index.hnsw.max_level = entry, top
        return restored


def _empty(dim: int, settings: IndexSettings) -> "faiss.IndexHNSWFlat":
    require("vector index")
    import faiss

    index = faiss.IndexHNSWFlat(dim, settings.links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = settings.build_width
    return index


def _is_graph(index: "faiss.IndexHNSWFlat", tensors: Tensors, n: int, entry: int, top: int) -> bool:
    """Tell whether arrays are a graph over ``n`` vectors that a search can enter, and whose links stay inside it."""
    levels, offsets, neighbors = (tensors[name] for name in _ARRAYS)
    ends = _level_ends(index)
    return (
        len(levels) == n
        and len(offsets) == n + 1
        and 0 <= entry < n
        and int(levels.min()) >= 1
        and int(levels.max()) <= len(ends) - 1
        and top == int(levels.max()) - 1 == int(levels[entry]) - 1
        and _lengths_fit(ends, levels, offsets, len(neighbors))
        and int(neighbors.min(initial=-1)) >= -1
        and int(neighbors.max(initial=-1)) < n
        and _levels_fit(ends, levels, offsets, neighbors)
    )


def _level_ends(index: "faiss.IndexHNSWFlat") -> Rows:
    """Return where the links of each level end within the links of one vector."""
    import faiss

    return np.asarray(faiss.vector_to_array(index.hnsw.cum_nneighbor_per_level)).astype(np.int64)


def _lengths_fit(ends: Rows, levels: Array, offsets: Array, n_links: int) -> bool:
    """Tell whether every vector has as many links as its levels need."""
    steps = np.diff(offsets.astype(np.int64))
    return int(offsets[0]) == 0 and int(offsets[-1]) == n_links and bool((steps == ends[levels]).all())


def _levels_fit(ends: Rows, levels: Array, offsets: Array, neighbors: Array) -> bool:
    """Tell whether every link of an upper level leads to a vector that is there on that level."""
    for level in range(1, int(levels.max())):
        for row in np.flatnonzero(levels > level):
            start = int(offsets[row])
            links = neighbors[start + ends[level] : start + ends[level + 1]]
            if (levels[links[links >= 0]] <= level).any():
                return False
    return True
