"""Terms and the documents that hold them, as flat arrays: word and letter search with numpy alone.

Built from what the libraries of `honed.index.lexical` compute, which stay the reference; mapped from a file, searched
without them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import Mask, Vectors
from honed.core.ranking import Rows, distinct
from honed.core.tensors import Tensors, check_arrays, divides
from honed.index import kernel

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Keys: TypeAlias = npt.NDArray[np.uint64]  # of terms, see `term_key`
_DTYPES = {"keys": np.uint64, "ends": np.int64, "rows": np.int32, "weights": np.float32, "worth": np.float32}


def term_key(term: str) -> int:
    """Return the 64 bits under which a term is looked up (BLAKE2b)."""
    return int.from_bytes(blake2b(term.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


_query_key = lru_cache(maxsize=1 << 15)(term_key)  # the same few letters and words come in query after query


class QueryTerms:
    """The terms of one query, made once for all that reads it in the same way."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._made: dict[Callable[[str], Sequence[str]], tuple[Keys, Vectors]] = {}

    def of(self, terms_of: Callable[[str], Sequence[str]]) -> tuple[Keys, Vectors]:
        """Return the keys of the distinct terms that a function makes of the query, and how often each is in it."""
        if terms_of not in self._made:
            counts = Counter(terms_of(self.text))
            keys = np.array([_query_key(term) for term in counts], dtype=np.uint64)
            self._made[terms_of] = keys, np.array(list(counts.values()), dtype=np.float32)
        return self._made[terms_of]


class Postings:
    """Which of ``n`` documents hold a term, and with which weight.

    ``tensors``: sorted ``keys`` ``(n_terms,)``, their ``ends`` ``(n_terms + 1,)`` into ``rows`` and ``weights``
    ``(n_postings,)``, and what a term is ``worth`` in a query ``(n_terms,)``.
    """

    def __init__(self, tensors: Tensors, n: int) -> None:
        """Take the arrays; `ArtifactError` when they do not fit together."""
        self.tensors, self.n = tensors, n
        check_arrays(tensors, _DTYPES, what="postings", code="E_POSTINGS")
        self._keys, self._ends, self._rows = (tensors[name] for name in ("keys", "ends", "rows"))
        self._weights, self._worth = tensors["weights"], tensors["worth"]
        n_terms, size = len(self._keys), len(self._rows)
        fits = len(self._worth) == n_terms and len(self._weights) == size
        if not fits or not divides(self._ends, n_terms, size):
            raise ArtifactError("E_POSTINGS", "postings: the arrays do not fit together")
        if size and not 0 <= int(self._rows.min()) <= int(self._rows.max()) < n:
            raise ArtifactError("E_POSTINGS", "postings: a row is outside the documents")

    @classmethod
    def build(cls, terms: Sequence[str], matrix: "csr_matrix", worth: npt.NDArray[np.floating]) -> Self:
        """Build from weights ``(n_terms, n_documents)`` and the worth of each term ``(n_terms,)``."""
        keys = np.array([term_key(term) for term in terms], dtype=np.uint64)
        order = np.argsort(keys, kind="stable")
        csr = matrix.tocsr()[order]
        csr.sort_indices()
        return cls(
            {
                "keys": keys[order],
                "ends": csr.indptr.astype(np.int64),
                "rows": csr.indices.astype(np.int32),
                "weights": csr.data.astype(np.float32),
                "worth": np.asarray(worth, dtype=np.float32)[order],
            },
            int(matrix.shape[1]),
        )

    @classmethod
    def of_keys(cls, keys_of: Sequence[Sequence[str]]) -> Self:
        """Build from the keys of each document; a key is worth the more the fewer documents have it."""
        from scipy.sparse import csr_matrix

        numbers: dict[str, int] = {}
        pairs = [(numbers.setdefault(key, len(numbers)), row) for row, keys in enumerate(keys_of) for key in keys]
        rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        n = len(keys_of)
        matrix = csr_matrix((np.ones(len(pairs), np.float32), (rows, columns)), shape=(len(numbers), n))
        return cls.build(list(numbers), matrix, np.log1p(n / np.bincount(rows, minlength=len(numbers))))

    def find_keys(self, wanted: Keys) -> tuple[Rows, Mask]:
        """Return the numbers of the terms of some keys ``(n_known,)``, and which keys are known ``(n_keys,)``."""
        at = np.minimum(np.searchsorted(self._keys, wanted), max(0, len(self._keys) - 1))
        known = self._keys[at] == wanted if len(self._keys) else np.zeros(len(wanted), bool)
        return at[known], known

    def worth_of(self, numbers: Rows) -> Vectors:
        """Return what some terms are worth in a query ``(n_terms,)``, by their numbers."""
        worth: Vectors = self._worth[numbers]
        return worth

    def sum(self, numbers: Rows, counts: Vectors) -> Vectors:
        """Return for each document ``(n,)`` the sum of its weights of some terms, each times its count in the query."""
        return kernel.sum_weights(self._ends, self._rows, self._weights, numbers, counts, self.n)

    def masses(self) -> Vectors:
        """Return for each document ``(n,)`` the summed worth of its terms."""
        worth = np.repeat(self._worth, np.diff(self._ends))
        return np.bincount(self._rows, weights=worth, minlength=self.n).astype(np.float32)

    def documents(self) -> Rows:
        """Return the rows of the documents that have a term, in ascending order."""
        return distinct(self._rows).astype(np.int64)

    @cached_property
    def unknown_worth(self) -> float:
        """The worth of a term that no document has: as much as the rarest."""
        return float(self._worth.max(initial=1.0))


class TermScorer:
    """Scores of all documents for a query: ``terms_of`` makes its terms, ``kind`` says how they count.

    "bm25" adds up the weights; "cosine" weighs the query's terms as TF-IDF does (sublinear); "keys" adds up the worth
    of the keys that query and document share.
    """

    KINDS = ("bm25", "cosine", "keys")

    def __init__(self, kind: str, postings: Postings, terms_of: Callable[[str], Sequence[str]]) -> None:
        if kind not in self.KINDS:
            raise ArtifactError("E_POSTINGS", f"postings of an unknown kind {kind!r}")
        self.kind, self.postings, self.terms_of = kind, postings, terms_of

    @property
    def tensors(self) -> Tensors:
        """The arrays that are kept of it."""
        return self.postings.tensors

    def query_worth(self, query: QueryTerms) -> float:
        """Return the summed worth of the distinct terms of a query, those that no document has among them."""
        keys, _ = query.of(self.terms_of)
        numbers, _ = self.postings.find_keys(keys)
        worth = self.postings.worth_of(numbers)
        return float(worth.sum()) + (len(keys) - len(worth)) * self.postings.unknown_worth

    def scores(self, query: QueryTerms) -> Vectors:
        """Return the scores of all documents ``(n,)``, 0 for one that shares no term with the query."""
        keys, counts = query.of(self.terms_of)
        numbers, known = self.postings.find_keys(keys)
        counts = counts[known]
        if self.kind != "bm25":
            worth = self.postings.worth_of(numbers)
            counts = worth if self.kind == "keys" else (1 + np.log(counts)) * worth
        if self.kind == "cosine":
            counts = counts / max(float(np.sqrt((counts**2).sum())), 1e-12)
        return self.postings.sum(numbers, counts)
