"""Sign codes: one bit a dimension, cut at zero for queries and documents alike, compared by the bits that differ.

Needs numpy alone, so a bundle with such an index answers without FAISS.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from honed.core.protocols import Mask, Vectors
from honed.core.ranking import Rows
from honed.index.lists import Codes

_BLOCK = 262_144


class SignLists:
    """Sign codes in clusters; a score is the cosine of the angle that the share of differing bits stands for."""

    together = 1

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
        self._words = np.ascontiguousarray(codes).view(np.uint64)
        self._offsets, self._rows = offsets, rows

    def search(self, vectors: Vectors, k: int, nprobe: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """Return scores and rows, both ``(n_queries, k)``, by fewest differing bits, ties by row number."""
        scores = np.full((len(vectors), k), -2.0, dtype=np.float32)
        found = np.full((len(vectors), k), -1, dtype=np.int64)
        asked = self.encode(vectors).view(np.uint64)
        everything = nprobe >= len(self.centroids)
        for at, (vector, words) in enumerate(zip(vectors, asked, strict=True)):
            ranges = [(0, len(self._rows))] if everything else self._probed(vector, nprobe)
            distances = np.concatenate([self._distances(words, *each) for each in ranges])
            rows = np.concatenate([self._rows[start:end] for start, end in ranges])
            if allowed is not None:
                some = allowed[rows]
                distances, rows = distances[some], rows[some]
            best = _fewest(distances, rows, k)
            found[at, : len(best)] = rows[best]
            scores[at, : len(best)] = np.cos(np.pi * distances[best] / self.dim)
        return scores, found

    def _probed(self, vector: Any, nprobe: int) -> list[tuple[int, int]]:
        near = self.centroids @ vector
        best = np.argpartition(-near, nprobe - 1)[:nprobe]
        return [(int(self._offsets[each]), int(self._offsets[each + 1])) for each in best.tolist()]

    def _distances(self, words: Any, start: int, end: int) -> Any:
        """Return how many bits differ ``(end - start,)``."""
        counts = np.empty(end - start, dtype=np.uint16)
        for first in range(start, end, _BLOCK):
            block = self._words[first : min(first + _BLOCK, end)]
            np.bitwise_count(block ^ words).sum(axis=1, dtype=np.uint16, out=counts[first - start :][: len(block)])
        return counts

    def tensors(self) -> dict[str, Any]:
        """Return nothing: nothing is learned."""
        return {}

    def restore(self, tensors: Mapping[str, Any]) -> None:
        """Take nothing."""


def _fewest(distances: Any, rows: Rows, k: int) -> Rows:
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
