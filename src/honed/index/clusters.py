"""Clusters of vectors: the coarse quantizer of an index, learned by spherical k-means on a bounded sample."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.ranking import Rows

if TYPE_CHECKING:
    import faiss

_BLOCK = 16_384
_STEPS = 10
_MOST_A_CLUSTER = 128


class Clusters(NamedTuple):
    """Centroids ``(nlist, dim)``, and the number of the cluster of each vector ``(n,)``."""

    centroids: Vectors
    numbers: npt.NDArray[np.int32]


def train_clusters(sample: Vectors, nlist: int, seed: int) -> Vectors:
    """Return unit centroids ``(min(nlist, n), dim)`` of unit vectors ``(n, dim)``; one cluster has their mean.

    Learned by k-means on inner products (spherical), 10 rounds, from at most 128 vectors for each cluster.
    """
    nlist = max(1, min(nlist, len(sample)))
    if nlist == 1:
        mean = sample.mean(axis=0, keepdims=True, dtype=np.float64) if len(sample) else np.zeros((1, sample.shape[1]))
        return np.ascontiguousarray(mean, dtype=np.float32)
    require("vector index")
    import faiss

    learner = faiss.Kmeans(
        sample.shape[1],
        nlist,
        niter=_STEPS,
        seed=seed + 1,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=_MOST_A_CLUSTER,
    )
    learner.train(np.ascontiguousarray(sample, dtype=np.float32))
    return np.ascontiguousarray(learner.centroids, dtype=np.float32)


def nearest_clusters(vectors: Vectors, centroids: Vectors, k: int = 1) -> Rows:
    """Return the numbers of the ``k`` nearest centroids ``(n, k)`` by inner product, nearest first."""
    if len(centroids) == 1:
        return np.zeros((len(vectors), 1), dtype=np.int64)
    quantizer = flat_quantizer(centroids)
    k = min(k, len(centroids))
    numbers = np.empty((len(vectors), k), dtype=np.int64)
    for start in range(0, len(vectors), _BLOCK):
        block = np.ascontiguousarray(vectors[start : start + _BLOCK], dtype=np.float32)
        numbers[start : start + len(block)] = quantizer.search(block, k)[1]
    return numbers


def flat_quantizer(centroids: Vectors) -> "faiss.Index":
    """Return FAISS's exact index of the centroids ``(nlist, dim)``."""
    require("vector index")
    import faiss

    quantizer = faiss.IndexFlatIP(centroids.shape[1])
    quantizer.add(np.ascontiguousarray(centroids, dtype=np.float32))
    return quantizer
