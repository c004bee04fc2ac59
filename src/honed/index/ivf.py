"""Clusters of full vectors (the inverted file of Jégou et al. 2011, "Product quantization for nearest neighbor search",
section IV): exact within the clusters that are searched."""

from honed.core.protocols import Vectors
from honed.index.lists import FaissLists, IndexCode


def full_lists(centroids: Vectors, bits: int) -> FaissLists:
    """Return empty lists of vectors as they are, in fp32, for centroids ``(nlist, dim)``; ``bits`` is 32."""
    import faiss

    dim = centroids.shape[1]
    return FaissLists(
        centroids, lambda quantizer: faiss.IndexIVFFlat(quantizer, dim, len(centroids), faiss.METRIC_INNER_PRODUCT)
    )


CODE = IndexCode(lists=full_lists, bits=(32,))
