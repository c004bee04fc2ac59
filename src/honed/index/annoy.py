"""Approximate search in random-projection trees (Annoy), to stand beside exact search in a measurement.

``trees`` and ``search_k`` are settings of their own: how many trees are built, and how many nodes a search looks at,
whatever number of hits is wanted.
"""

from typing import Any

import numpy as np

from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.ranking import Rows


class AnnoyIndex:
    """Annoy over unit vectors by angle, built in memory."""

    def __init__(self, vectors: Vectors, *, trees: int, seed: int = 0) -> None:
        require("Annoy")
        from annoy import AnnoyIndex as Trees

        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self.index: Any = Trees(vectors.shape[1], "angular")
        self.index.set_seed(seed + 1)  # 0 is no seed to it
        for row, vector in enumerate(self.vectors):
            self.index.add_item(row, vector)
        self.index.build(trees, n_jobs=1)  # with several jobs the seed does not hold

    def search(self, vectors: Vectors, k: int, *, search_k: int = 0) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first; -2 and -1 where none was found.

        ``search_k`` 0 is Annoy's own choice, trees times k.
        """
        k = min(k, len(self.vectors))
        scores = np.full((len(vectors), k), -2.0, dtype=np.float32)
        rows = np.full((len(vectors), k), -1, dtype=np.int64)
        for at, vector in enumerate(np.asarray(vectors, dtype=np.float32)):
            found = np.array(self.index.get_nns_by_vector(vector, k, search_k or -1), dtype=np.int64)
            likeness = self.vectors[found] @ vector
            order = np.lexsort((found, -likeness))
            rows[at, : len(found)], scores[at, : len(found)] = found[order], likeness[order]
        return scores, rows
