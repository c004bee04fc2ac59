"""Product codes of 4 bits a group, compared 32 at a time in registers.

PQ Fast Scan; André, Kermarrec, Le Scouarnec 2015, "Cache locality is not enough".
Coarser than `honed.index.product` of the same size, and several times as fast: rescoring makes up for what is lost.
"""

from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.index.lists import Codes, FaissLists, IndexCode
from honed.index.product import learned_points, product_index

_GROUP_BITS = 4


class FastLists(FaissLists):
    """Lists of 4-bit product codes: learned and saved as plain ones, laid out in blocks to be compared."""

    block_size = 32

    def fill(self, codes: Codes, offsets: Rows, rows: Rows) -> None:
        """Take codes that are sorted by cluster, and lay them out in blocks; the plain ones are let go."""
        import faiss

        super().fill(codes, offsets, rows)
        plain = self.index
        self.index = faiss.IndexIVFPQFastScan(plain, self.block_size)
        plain.replace_invlists(faiss.ArrayInvertedLists(plain.nlist, plain.code_size))


def fast_lists(centroids: Vectors, bits: int) -> FastLists:
    """Return empty lists of 4-bit product codes of the difference of a vector to its centroid.

    ``centroids`` are ``(nlist, dim)``; with ``bits`` for each dimension one code stands for ``4 / bits`` dimensions.
    """
    return FastLists(centroids, lambda quantizer: product_index(quantizer, bits, _GROUP_BITS), learned_points)


CODE = IndexCode(lists=fast_lists, bits=(2, 1, 4), group_bits=_GROUP_BITS)
