"""Product quantisation (Jégou et al. 2011): groups of dimensions, each coded by the nearest of 256 learned points."""

from typing import Any

from honed.core.protocols import Vectors
from honed.index.lists import FaissLists
from honed.index.settings import GROUPED

_MOST_POINTS = 48  # of a sample, for each of the 256: more costs minutes and gains nothing that was seen


def product_lists(centroids: Vectors, bits: int) -> FaissLists:
    """Return lists of product codes of what a vector differs from its cluster by; ``bits`` for each dimension.

    One byte codes ``8 / bits`` dimensions.
    """
    return FaissLists(centroids, lambda quantizer: product_index(quantizer, bits, GROUPED["product"]), learned_points)


def product_index(quantizer: Any, bits: int, points: int) -> Any:
    """Return FAISS's inverted file of product codes over a quantizer: ``2 ** points`` points a group of dimensions."""
    import faiss

    dim = quantizer.d
    index = faiss.IndexIVFPQ(quantizer, dim, quantizer.ntotal, dim * bits // points, points, faiss.METRIC_INNER_PRODUCT)
    index.pq.cp.max_points_per_centroid = _MOST_POINTS
    index.pq.cp.min_points_per_centroid = 1
    index.pq.cp.niter = 10
    return index


def learned_points(index: Any) -> Any:
    """Return the vector of FAISS that holds the points of all groups."""
    return index.pq.centroids
