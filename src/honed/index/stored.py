"""Document vectors as they are stored: fp32, or int8 with a scale for each row (a quarter of the memory traffic)."""

from typing import Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import Mask, VectorIndex, Vectors, VectorSource
from honed.core.ranking import Rows, RowSelection, top_rows
from honed.core.tensors import Array, Tensors
from honed.index.exact import ExactIndex

_DOCUMENTS, _QUERIES = 2048, 64


class StoredVectors:
    """Vectors ``(n, dim)`` in fp32, or int8 codes with ``scales`` ``(n,)``; both may lie in a memory map."""

    def __init__(self, values: Array, scales: Vectors | None = None) -> None:
        self.values, self.scales = values, scales
        self.shape: tuple[int, int] = (values.shape[0], values.shape[1])

    @classmethod
    def quantised(cls, vectors: Vectors) -> Self:
        """Return vectors as int8 codes; a score is off by about 0.0005 for unit vectors of 384 dimensions."""
        scales = np.maximum(np.abs(vectors).max(axis=1) / 127, 1e-12).astype(np.float32)
        return cls(np.round(vectors / scales[:, None]).astype(np.int8), scales)

    @classmethod
    def from_tensors(cls, tensors: Tensors) -> Self:
        """Read what `tensors` returned; `ArtifactError` for arrays of another kind."""
        values, scales = tensors["vectors"], tensors.get("scales")
        if scales is None:
            fits = values.dtype == np.float32
        else:
            fits = values.dtype == np.int8 and scales.dtype == np.float32 and scales.shape == values.shape[:1]
        if values.ndim != 2 or not fits:
            raise ArtifactError("E_BUNDLE_FORMAT", "the vectors are neither fp32 nor int8 with a scale for each row")
        return cls(values, scales)

    def tensors(self) -> dict[str, Array]:
        """Return named arrays for a safetensors file."""
        return {"vectors": self.values} | ({"scales": self.scales} if self.scales is not None else {})

    def take(self, rows: RowSelection) -> Vectors:
        """Return vectors of some rows in fp32, ``(len(rows), dim)``; a slice is not copied where it need not be."""
        values: Vectors = self.values[rows].astype(np.float32, copy=False)
        return values if self.scales is None else values * self.scales[rows][:, None]

    def subset(self, rows: RowSelection) -> VectorSource:
        """Return some rows as vectors that are numbered from 0, without a copy; a slice must begin at the first row."""
        if isinstance(rows, slice):
            return type(self)(self.values[rows], None if self.scales is None else self.scales[rows])
        return _Subset(self, rows)

    def exact(self, rows: RowSelection) -> VectorIndex:
        """Return exact search over some rows that needs numpy alone; int8 codes are searched without a wide copy."""
        if self.scales is None:
            return ExactIndex(self.take(rows))
        return QuantisedIndex(self.values[rows], self.scales[rows])


class _Subset:
    """Some of the vectors of a source, numbered from 0."""

    def __init__(self, source: VectorSource, rows: npt.NDArray[np.integer]) -> None:
        self._source, self._rows = source, rows
        self.shape: tuple[int, int] = (len(rows), source.shape[1])

    def take(self, rows: RowSelection) -> Vectors:
        """Return some rows in fp32."""
        return self._source.take(self._rows[rows])


class QuantisedIndex:
    """Exact search over int8 codes: every document compared, widened a few thousand rows at a time."""

    def __init__(self, codes: npt.NDArray[np.int8], scales: Vectors) -> None:
        self.codes, self.scales = codes, scales

    def search(self, vectors: Vectors, k: int, *, allowed: Mask | None = None) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number."""
        if allowed is not None:
            passing = np.flatnonzero(allowed)
            scores, rows = QuantisedIndex(self.codes[passing], self.scales[passing]).search(vectors, k)
            return scores, passing[rows]
        n = len(self.codes)
        k = min(k, n)
        scores = np.empty((len(vectors), k), dtype=np.float32)
        rows = np.empty((len(vectors), k), dtype=np.int64)
        for start in range(0, len(vectors), _QUERIES):
            queries = np.asarray(vectors[start : start + _QUERIES], dtype=np.float32)
            block = np.empty((len(queries), n), dtype=np.float32)
            for first in range(0, n, _DOCUMENTS):
                part = slice(first, first + _DOCUMENTS)
                block[:, part] = (queries @ self.codes[part].astype(np.float32).T) * self.scales[part]
            for offset, line in enumerate(block):
                best = top_rows(line, k)
                rows[start + offset], scores[start + offset] = best, line[best]
        return scores, rows
