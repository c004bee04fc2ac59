"""Product quantisation (Jégou et al. 2011): groups of dimensions, each coded by the nearest of 256 learned points."""

from typing import TYPE_CHECKING

from honed.core.protocols import Vectors
from honed.index.lists import FaissLists, IndexCode

if TYPE_CHECKING:
    import faiss

_GROUP_BITS = 8
_MOST_POINTS = 48  # of a sample, for each of the 256: more costs minutes and gains nothing that was seen


def product_lists(centroids: Vectors, bits: int) -> FaissLists:
    """Return empty lists of product codes of the difference of a vector to its centroid.

    ``centroids`` are ``(nlist, dim)``; with ``bits`` for each dimension one byte codes ``8 / bits`` dimensions.
    """
    return FaissLists(centroids, lambda quantizer: product_index(quantizer, bits, _GROUP_BITS), learned_points)


def product_index(quantizer: "faiss.Index", bits: int, group_bits: int) -> "faiss.Index":
    """Return FAISS's inverted file of product codes over a quantizer: ``2 ** group_bits`` points for each group."""
    import faiss

    dim = quantizer.d
    index = faiss.IndexIVFPQ(
        quantizer, dim, quantizer.ntotal, dim * bits // group_bits, group_bits, faiss.METRIC_INNER_PRODUCT
    )
    index.pq.cp.max_points_per_centroid = _MOST_POINTS
    index.pq.cp.min_points_per_centroid = 1
    index.pq.cp.niter = 10
    return index


def learned_points(index: "faiss.Index") -> "faiss.Float32Vector":
    """Return the vector of FAISS that holds the points of all groups."""
    return index.pq.centroids


CODE = IndexCode(lists=product_lists, bits=(1, 2, 4), group_bits=_GROUP_BITS)
