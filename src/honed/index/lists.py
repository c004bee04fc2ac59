"""Lists of codes, one a cluster: what every kind of code offers, and the part that FAISS does for most of them.

FAISS compares the codes; what is saved are plain arrays, since its own files can name other files and load damaged.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import Mask, Vectors
from honed.core.ranking import Rows
from honed.index.clusters import flat_quantizer

_LEAST = 256
Codes = npt.NDArray[np.uint8]


class CodedLists(Protocol):
    """Codes of vectors in clusters; filled once, ``together`` so many of a cluster in a block."""

    together: int

    @property
    def code_size(self) -> int:
        """Bytes of one vector."""
        ...

    def train(self, sample: Vectors) -> None:
        """Learn the codes from some vectors."""
        ...

    def encode(self, vectors: Vectors, clusters: Rows) -> Codes:
        """Return the codes ``(n, code_size)`` of vectors whose clusters ``(n,)`` are known."""
        ...

    def fill(self, codes: Codes, offsets: Rows, rows: Rows) -> None:
        """Take codes that are sorted by cluster: those of cluster ``c`` are ``offsets[c] : offsets[c + 1]``."""
        ...

    def search(self, vectors: Vectors, k: int, nprobe: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """Return scores and rows, both ``(n_queries, k)``, in any order; rows are -1 where none was found."""
        ...

    def tensors(self) -> dict[str, Any]:
        """Return what was learned, as named arrays."""
        ...

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take what `tensors` returned; `ArtifactError` for arrays of another shape."""
        ...


class FaissLists:
    """An inverted file of FAISS; ``make`` returns it for a quantizer, ``state`` names the vector that it learned."""

    together = 1

    def __init__(self, centroids: Vectors, make: Callable[[Any], Any], state: Callable[[Any], Any] | None) -> None:
        self._quantizer = flat_quantizer(centroids)
        self.index = make(self._quantizer)
        self._state = state

    @property
    def code_size(self) -> int:
        """Bytes of one vector."""
        return int(self.index.code_size)

    def train(self, sample: Vectors) -> None:
        """Learn the codes from some vectors; fewer than a product code has points are repeated."""
        if len(sample) < _LEAST:
            sample = np.resize(sample, (_LEAST, sample.shape[1]))
        self.index.train(np.ascontiguousarray(sample, dtype=np.float32))

    def encode(self, vectors: Vectors, clusters: Rows) -> Codes:
        """Return the codes ``(n, code_size)`` of vectors whose clusters ``(n,)`` are known."""
        import faiss

        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        clusters = np.ascontiguousarray(clusters, dtype=np.int64)
        codes = np.zeros((len(vectors), self.code_size), dtype=np.uint8)
        self.index.encode_vectors(len(vectors), *map(faiss.swig_ptr, (vectors, clusters, codes)))
        return codes

    def fill(self, codes: Codes, offsets: Rows, rows: Rows) -> None:
        """Take codes that are sorted by cluster."""
        import faiss

        for cluster, (start, end) in enumerate(zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)):
            if end > start:
                own = np.ascontiguousarray(codes[start:end])
                ids = np.ascontiguousarray(rows[start:end], dtype=np.int64)
                self.index.invlists.add_entries(cluster, end - start, faiss.swig_ptr(ids), faiss.swig_ptr(own))
        self.index.ntotal = len(rows)

    def search(self, vectors: Vectors, k: int, nprobe: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """Return scores and rows, both ``(n_queries, k)``; rows are -1 where none was found."""
        import faiss

        kind = faiss.IVFRaBitQSearchParameters if hasattr(self.index, "rabitq") else faiss.SearchParametersIVF
        settings = kind()
        settings.nprobe = nprobe
        if kind is faiss.IVFRaBitQSearchParameters:
            settings.qb = 8  # the query in 8 bits: what is lost is below what the codes lose
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)
            settings.sel = selector
        scores, rows = self.index.search(np.ascontiguousarray(vectors, dtype=np.float32), k, params=settings)
        return scores, rows.astype(np.int64)

    def tensors(self) -> dict[str, Any]:
        """Return what was learned, as named arrays."""
        import faiss

        if self._state is None:
            return {}
        return {"learned": np.array(faiss.vector_to_array(self._state(self.index)), dtype=np.float32)}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take what `tensors` returned; `ArtifactError` for an array that is not finite or of another length."""
        import faiss

        if self._state is not None:
            learned = np.ascontiguousarray(tensors["learned"], dtype=np.float32)
            vector = self._state(self.index)
            blank = self._length()
            if learned.ndim != 1 or len(learned) != blank or not np.isfinite(learned).all():
                raise ArtifactError("E_INDEX", "what the codes learned does not fit the index")
            faiss.copy_array_to_vector(learned, vector)
        self.index.is_trained = True

    def _length(self) -> int:
        """Return how many numbers are learned."""
        index = self.index
        if hasattr(index, "pq"):
            return int(index.pq.M * index.pq.ksub * index.pq.dsub)
        return 2 * int(index.d) if not index.is_trained else 0
