"""Approximate search in random-projection trees (Annoy), to be compared with other indexes.

``trees`` and ``search_k`` are numbers of their own: how many trees are built, and how many nodes a search looks at,
whatever number of hits is wanted. The trees are never saved, since a damaged file of them can end the process: they
are grown again from the vectors, the same ones for the same seed.
"""

from typing import TYPE_CHECKING

import numpy as np

from honed.core.optional import require
from honed.core.protocols import Mask, Vectors
from honed.core.ranking import Rows
from honed.index.exact import ExactIndex, best_first

if TYPE_CHECKING:
    import annoy


class AnnoyIndex:
    """Annoy over unit vectors by angle, built in memory; read-only."""

    def __init__(self, vectors: Vectors, *, trees: int, search_k: int = 0, seed: int = 0) -> None:
        require("Annoy")
        from annoy import AnnoyIndex as Trees

        self.search_k = search_k
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.index: annoy.AnnoyIndex = Trees(vectors.shape[1], "angular")
        self.index.set_seed(seed + 1)  # 0 is no seed to it
        for row, vector in enumerate(self.vectors):
            self.index.add_item(row, vector)
        self.index.build(trees, n_jobs=1)  # with several jobs the seed does not hold

    def search(
        self, vectors: Vectors, k: int, *, allowed: Mask | None = None, search_k: int = 0
    ) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first; -2 and -1 where there are fewer.

        ``search_k`` 0 is that of the index, 0 there Annoy's own choice, trees times k. Annoy knows no filter: with
        ``allowed`` every allowed vector is compared.
        """
        if allowed is not None:
            return ExactIndex(self.vectors).search(vectors, k, allowed=allowed)
        k = min(k, len(self.vectors))
        scores = np.full((len(vectors), k), -2.0, dtype=np.float32)
        rows = np.full((len(vectors), k), -1, dtype=np.int64)
        nodes = search_k or self.search_k or -1
        for at, vector in enumerate(np.asarray(vectors, dtype=np.float32)):
            near = self.index.get_nns_by_vector(vector, k, nodes)
            rows[at, : len(near)] = near
            scores[at, : len(near)] = self.vectors[near] @ vector
        return best_first(scores, rows, k)
