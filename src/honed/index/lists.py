"""Lists of codes, one a cluster: what every kind of code offers, and the part that FAISS does for most of them.

FAISS compares the codes; what is saved are plain arrays, since its own files can name other files and load damaged.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import Mask, Vectors
from honed.core.ranking import Rows
from honed.core.tensors import Array, Tensors
from honed.index.clusters import flat_quantizer

if TYPE_CHECKING:
    import faiss

_FEWEST = 256  # vectors that a product code learns its points from
Codes: TypeAlias = npt.NDArray[np.uint8]


class CodedLists(Protocol):
    """Codes of vectors in clusters, filled once.

    ``block_size`` tells how many codes of a cluster are laid out together; the last block of a cluster is filled up.
    """

    block_size: int

    @property
    def code_size(self) -> int:
        """Bytes of one vector."""
        ...

    def train(self, sample: Vectors) -> None:
        """Learn the codes from some vectors ``(n, dim)``."""
        ...

    def encode(self, vectors: Vectors, clusters: Rows) -> Codes:
        """Return the codes ``(n, code_size)`` of vectors whose clusters ``(n,)`` are known."""
        ...

    def fill(self, codes: Codes, offsets: Rows, rows: Rows) -> None:
        """Take codes that are sorted by cluster: those of cluster ``c`` are ``offsets[c] : offsets[c + 1]``.

        ``rows`` ``(n,)`` are the row numbers of the vectors in that order.
        """
        ...

    def search(self, vectors: Vectors, k: int, nprobe: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """Return scores and rows, both ``(n_queries, k)``, in any order; rows are -1 where there are fewer than k.

        The codes in the ``nprobe`` nearest clusters are compared, of the rows that ``allowed`` ``(n,)`` lets pass.
        """
        ...

    def tensors(self) -> dict[str, Array]:
        """Return the learned parameters, as named arrays."""
        ...

    def restore(self, tensors: Tensors) -> None:
        """Take what `tensors` returned; `ArtifactError` for arrays of another shape."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexCode:
    """A kind of codes: ``lists`` makes empty lists of it from centroids ``(nlist, dim)`` and bits for each dimension.

    ``bits`` are those that it can have, its own choice first. With ``group_bits`` one code of so many bits stands for
    ``group_bits / bits`` dimensions, which must divide the vectors; 0: each dimension has its own. ``part`` is the
    optional part of honed that it needs (`honed.core.optional.PARTS`), empty for none.
    """

    lists: Callable[[Vectors, int], CodedLists]
    bits: tuple[int, ...]
    group_bits: int = 0
    part: str = "vector index"

    def group(self, bits: int) -> int:
        """Return the number of dimensions that one code covers."""
        return self.group_bits // bits if self.group_bits else 1

    def divides(self, bits: int, dims: int) -> bool:
        """Tell whether so many dimensions are a whole number of groups."""
        return dims % self.group(bits) == 0


class FaissLists:
    """An inverted file of FAISS.

    ``new_index`` returns it for a quantizer; ``learned`` returns the vector of FAISS that holds what it learned, None
    for codes that learn nothing.
    """

    block_size = 1

    def __init__(
        self,
        centroids: Vectors,
        new_index: "Callable[[faiss.Index], faiss.Index]",
        learned: "Callable[[faiss.Index], faiss.Float32Vector] | None" = None,
    ) -> None:
        self._quantizer = flat_quantizer(centroids)
        self.index = new_index(self._quantizer)
        self._learned = learned

    @property
    def code_size(self) -> int:
        """Bytes of one vector."""
        return int(self.index.code_size)

    def train(self, sample: Vectors) -> None:
        """Learn the codes from some vectors ``(n, dim)``; fewer than a product code has points are repeated."""
        if len(sample) < _FEWEST:
            sample = np.resize(sample, (_FEWEST, sample.shape[1]))
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
                block = np.ascontiguousarray(codes[start:end])
                ids = np.ascontiguousarray(rows[start:end], dtype=np.int64)
                self.index.invlists.add_entries(cluster, end - start, faiss.swig_ptr(ids), faiss.swig_ptr(block))
        self.index.ntotal = len(rows)

    def search(self, vectors: Vectors, k: int, nprobe: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """Return scores and rows, both ``(n_queries, k)``; rows are -1 where there are fewer than k."""
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

    def tensors(self) -> dict[str, Array]:
        """Return the learned parameters, as named arrays."""
        import faiss

        if self._learned is None:
            return {}
        return {"learned": np.array(faiss.vector_to_array(self._learned(self.index)), dtype=np.float32)}

    def restore(self, tensors: Tensors) -> None:
        """Take what `tensors` returned; `ArtifactError` for an array that is not finite or of another length."""
        import faiss

        if self._learned is not None:
            learned = np.ascontiguousarray(tensors["learned"], dtype=np.float32)
            if learned.ndim != 1 or len(learned) != self._learned_size() or not np.isfinite(learned).all():
                raise ArtifactError("E_INDEX", "what the codes learned does not fit the index")
            faiss.copy_array_to_vector(learned, self._learned(self.index))
        self.index.is_trained = True

    def _learned_size(self) -> int:
        """Return how many numbers are learned."""
        index = self.index
        if hasattr(index, "pq"):
            return int(index.pq.M * index.pq.ksub * index.pq.dsub)
        return 2 * int(index.d) if not index.is_trained else 0
