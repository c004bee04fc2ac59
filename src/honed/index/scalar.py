"""Scalar quantisation: each dimension for itself, in 4, 6, 8 or 16 bits between the bounds of a sample."""

from honed.core.protocols import Vectors
from honed.index.lists import FaissLists, IndexCode


def scalar_lists(centroids: Vectors, bits: int) -> FaissLists:
    """Return empty lists of scalar codes for centroids ``(nlist, dim)``, with ``bits`` for each dimension.

    16 bits are half-precision floats and learn nothing.
    """
    import faiss

    dim = centroids.shape[1]
    kinds = faiss.ScalarQuantizer
    kind = {4: kinds.QT_4bit, 6: kinds.QT_6bit, 8: kinds.QT_8bit, 16: kinds.QT_fp16}[bits]
    return FaissLists(
        centroids,
        lambda quantizer: faiss.IndexIVFScalarQuantizer(
            quantizer, dim, len(centroids), kind, faiss.METRIC_INNER_PRODUCT, False
        ),
        None if bits == 16 else lambda index: index.sq.trained,
    )


CODE = IndexCode(lists=scalar_lists, bits=(8, 4, 6, 16))
