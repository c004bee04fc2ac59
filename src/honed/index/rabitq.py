"""RaBitQ (Gao & Long 2024, arXiv 2405.12497; several bits: arXiv 2409.09913): signs, with what corrects them.

A code of 1 bit has 8 more bytes: the distance to the cluster and a factor that makes the estimate unbiased.
"""

from honed.core.protocols import Vectors
from honed.index.lists import FaissLists, IndexCode


def rabitq_lists(centroids: Vectors, bits: int) -> FaissLists:
    """Return empty lists of RaBitQ codes of the difference of a vector to its centroid; they learn nothing.

    ``centroids`` are ``(nlist, dim)``; ``bits`` are those of each dimension.
    """
    import faiss

    dim = centroids.shape[1]
    return FaissLists(
        centroids,
        lambda quantizer: faiss.IndexIVFRaBitQ(quantizer, dim, len(centroids), faiss.METRIC_INNER_PRODUCT, True, bits),
    )


CODE = IndexCode(lists=rabitq_lists, bits=(1, 2, 3, 4, 5, 6, 7, 8))
