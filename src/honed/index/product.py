"""Product quantisation (Jégou et al. 2011): groups of dimensions, each coded by the nearest of 256 learned points."""

from typing import Any

from honed.core.protocols import Vectors
from honed.index.lists import FaissLists

_MOST_POINTS = 48  # of a sample, for each of the 256: more costs minutes and gains nothing that was seen


def product_lists(centroids: Vectors, bits: int) -> FaissLists:
    """Return lists of product codes of what a vector differs from its cluster by; ``bits`` for each dimension.

    One byte codes ``8 / bits`` dimensions.
    """
    import faiss

    dim = centroids.shape[1]

    def make(quantizer: Any) -> Any:
        index = faiss.IndexIVFPQ(quantizer, dim, len(centroids), dim * bits // 8, 8, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.max_points_per_centroid = _MOST_POINTS
        index.pq.cp.min_points_per_centroid = 1
        index.pq.cp.niter = 10
        return index

    return FaissLists(centroids, make, lambda index: index.pq.centroids)
