"""Sign codes: one bit a dimension, cut at zero for queries and documents alike, compared by the bits that differ.

Needs numpy alone, so a bundle with such an index answers without FAISS. The share of differing bits estimates the angle
(Charikar 2002, "Similarity estimation techniques from rounding algorithms", section 3, for random axes).
"""

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Mask, Vectors
from honed.core.ranking import Rows
from honed.core.tensors import Array, Tensors
from honed.index.lists import Codes, IndexCode

_BLOCK = 262_144
_Words = npt.NDArray[np.uint64]  # 64 bits of a code in one number
_Counts = npt.NDArray[np.uint16]


class SignLists:
    """Sign codes in clusters; a score is the cosine of the angle that the share of differing bits stands for."""

    block_size = 1

    def __init__(self, centroids: Vectors, bits: int = 1) -> None:
        self.centroids = centroids
        self.dim = centroids.shape[1]
        self.code_size = 8 * -(-self.dim // 64)

    def train(self, sample: Vectors) -> None:
        """Learn nothing: zero is the cut."""

    def encode(self, vectors: Vectors, clusters: Rows | None = None) -> Codes:
        """Return the codes ``(n, code_size)``: bits of the dimensions above zero, filled up to 64."""
        codes = np.zeros((len(vectors), self.code_size), dtype=np.uint8)
        bits = np.packbits(np.asarray(vectors) > 0, axis=1)
        codes[:, : bits.shape[1]] = bits
        return codes

    def fill(self, codes: Codes, offsets: Rows, rows: Rows) -> None:
        """Take codes that are sorted by cluster."""
        self._words: _Words = np.ascontiguousarray(codes).view(np.uint64)
        self._offsets, self._rows = offsets, rows

    def search(self, vectors: Vectors, k: int, nprobe: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """Return scores and rows, both ``(n_queries, k)``, by fewest differing bits, ties by row number."""
        scores = np.full((len(vectors), k), -2.0, dtype=np.float32)
        rows = np.full((len(vectors), k), -1, dtype=np.int64)
        codes = self.encode(vectors).view(np.uint64)
        in_all = nprobe >= len(self.centroids)
        for at, (vector, words) in enumerate(zip(vectors, codes, strict=True)):
            ranges = [(0, len(self._rows))] if in_all else self._near_ranges(vector, nprobe)
            distances = np.concatenate([self._distances(words, start, end) for start, end in ranges])
            candidates = np.concatenate([self._rows[start:end] for start, end in ranges])
            if allowed is not None:
                passing = allowed[candidates]
                distances, candidates = distances[passing], candidates[passing]
            best = _fewest(distances, candidates, k)
            rows[at, : len(best)] = candidates[best]
            scores[at, : len(best)] = np.cos(np.pi * distances[best] / self.dim)
        return scores, rows

    def _near_ranges(self, vector: Vectors, nprobe: int) -> list[tuple[int, int]]:
        """Return (start, end) of the codes in each of the nearest clusters."""
        near = np.argpartition(-(self.centroids @ vector), nprobe - 1)[:nprobe]
        return [(int(self._offsets[cluster]), int(self._offsets[cluster + 1])) for cluster in near.tolist()]

    def _distances(self, words: _Words, start: int, end: int) -> _Counts:
        """Return how many bits differ from those of a query ``(end - start,)``."""
        counts = np.empty(end - start, dtype=np.uint16)
        for first in range(start, end, _BLOCK):
            block = self._words[first : min(first + _BLOCK, end)]
            np.bitwise_count(block ^ words).sum(axis=1, dtype=np.uint16, out=counts[first - start :][: len(block)])
        return counts

    def tensors(self) -> dict[str, Array]:
        """Return nothing: nothing is learned."""
        return {}

    def restore(self, tensors: Tensors) -> None:
        """Do nothing: nothing is learned."""


def _fewest(distances: _Counts, rows: Rows, k: int) -> Rows:
    """Return the places of the ``k`` fewest, fewest first, ties by row number, also where the cut is."""
    if k < len(distances):
        edge = np.partition(distances, k - 1)[k - 1]
        below, level = np.flatnonzero(distances < edge), np.flatnonzero(distances == edge)
        level = level[np.argsort(rows[level], kind="stable")][: k - len(below)]
        places = np.concatenate([below, level])
    else:
        places = np.arange(len(distances))
    order: Rows = places[np.lexsort((rows[places], distances[places]))].astype(np.int64)
    return order


CODE = IndexCode(lists=SignLists, bits=(1,), part="")
