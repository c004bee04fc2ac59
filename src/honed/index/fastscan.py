"""Product codes of 4 bits a group, compared 32 at a time in registers.

PQ Fast Scan; André, Kermarrec, Le Scouarnec 2015, "Cache locality is not enough".
Coarser than `honed.index.product` of the same size, and several times as fast: what is lost, rescoring brings back.
"""

from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.index.lists import Codes, FaissLists
from honed.index.product import learned_points, product_index
from honed.index.settings import GROUPED


class FastLists(FaissLists):
    """Lists of 4-bit product codes: learned and saved as plain ones, laid out in blocks to be compared."""

    together = 32

    def fill(self, codes: Codes, offsets: Rows, rows: Rows) -> None:
        """Take codes that are sorted by cluster, and lay them out in blocks; the plain ones are let go."""
        import faiss

        super().fill(codes, offsets, rows)
        plain = self.index
        self.index = faiss.IndexIVFPQFastScan(plain, self.together)
        plain.replace_invlists(faiss.ArrayInvertedLists(plain.nlist, plain.code_size))


def fast_lists(centroids: Vectors, bits: int) -> FastLists:
    """Return lists of 4-bit product codes of what a vector differs from its cluster by; ``bits`` for each dimension."""
    return FastLists(centroids, lambda quantizer: product_index(quantizer, bits, GROUPED["fastscan"]), learned_points)
