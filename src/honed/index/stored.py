"""Document vectors as they are stored: fp32, or int8 with a scale for each row (a quarter of the memory traffic)."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import VectorIndex, Vectors
from honed.core.ranking import Rows, top_rows
from honed.index.flat import VECTOR_INDEXES

_DOCUMENTS, _QUERIES = 2048, 64


class StoredVectors:
    """Vectors ``(n, dim)`` that may lie in a memory map; ``scales`` ``(n,)`` belong to int8 codes."""

    def __init__(self, values: Any, scales: Any | None = None) -> None:
        self.values, self.scales = values, scales
        self.shape: tuple[int, int] = values.shape

    @classmethod
    def quantised(cls, vectors: Vectors) -> Self:
        """Return vectors as int8 codes; a score is off by about 0.0005 for unit vectors of 384 dimensions."""
        scales = np.maximum(np.abs(vectors).max(axis=1) / 127, 1e-12).astype(np.float32)
        return cls(np.round(vectors / scales[:, None]).astype(np.int8), scales)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any]) -> Self:
        """Read what `tensors` returned; `ArtifactError` for arrays of another kind."""
        values, scales = tensors["vectors"], tensors.get("scales")
        if scales is None:
            fits = values.dtype == np.float32
        else:
            fits = values.dtype == np.int8 and scales.dtype == np.float32 and scales.shape == values.shape[:1]
        if values.ndim != 2 or not fits:
            raise ArtifactError("E_BUNDLE_FORMAT", "the vectors are neither fp32 nor int8 with a scale for each row")
        return cls(values, scales)

    def tensors(self) -> dict[str, Any]:
        """Return named arrays for a safetensors file."""
        return {"vectors": self.values} | ({"scales": self.scales} if self.scales is not None else {})

    def take(self, rows: Any) -> Vectors:
        """Return vectors of some rows in fp32, ``(len(rows), dim)``; a slice is not copied where it need not be."""
        values: Vectors = self.values[rows].astype(np.float32, copy=False)
        return values if self.scales is None else values * self.scales[rows][:, None]

    def index(self, rows: Any, backend: str) -> VectorIndex:
        """Return an index over some rows; the backends "flat" and "exact" search int8 codes as they are."""
        if self.scales is not None and backend in ("flat", "exact"):
            return QuantisedIndex(self.values[rows], self.scales[rows])
        return VECTOR_INDEXES[backend](self.take(rows))


class QuantisedIndex:
    """Exact search over int8 codes: every document compared, widened a few thousand rows at a time."""

    def __init__(self, codes: npt.NDArray[np.int8], scales: Vectors) -> None:
        self.codes, self.scales = codes, scales

    def search(self, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number."""
        n = len(self.codes)
        k = min(k, n)
        scores = np.empty((len(vectors), k), dtype=np.float32)
        rows = np.empty((len(vectors), k), dtype=np.int64)
        for start in range(0, len(vectors), _QUERIES):
            queries = np.asarray(vectors[start : start + _QUERIES], dtype=np.float32)
            block = np.empty((len(queries), n), dtype=np.float32)
            for first in range(0, n, _DOCUMENTS):
                some = slice(first, first + _DOCUMENTS)
                block[:, some] = (queries @ self.codes[some].astype(np.float32).T) * self.scales[some]
            for offset, line in enumerate(block):
                best = top_rows(line, k)
                rows[start + offset], scores[start + offset] = best, line[best]
        return scores, rows
