"""Pairs of rows that are worth comparing: near n log n in the rows, never all pairs.

Each form (rows that are equal in all that is compared) asks for its nearest by letters, for names of which it may be
the initials, for its neighbours among names of the same words, and by vectors where there are any. What a form may scan
is bounded, rarest n-grams first, and so is what it gets: see `most_pairs`.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.text import bare, words
from honed.index.analysis import initialisms, is_short_word, letter_grams, letters_of
from honed.index.backends import build_index
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Numbers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
NEAREST, INITIALS, SAME_WORDS = 10, 5, 3  # pairs that a form asks for, by each way
_SCANNED = 3000  # postings that a form may scan
_BLOCK = 2048
_EXACT_ROWS = 20_000  # vectors that are all compared; more are searched by a graph
_EVIDENCE = 0.1  # of a cosine, that evidence which agrees counts for when the nearest are chosen


def most_pairs(n: int, *, vectors: bool) -> int:
    """Return how many pairs of ``n`` forms are compared at most."""
    return n * (NEAREST + INITIALS + SAME_WORDS + NEAREST * vectors)


@dataclass(kw_only=True)
class NameTable:
    """Names as weights of their letter n-grams, rows of length 1 ``(n, n_grams)``, and with pairs of words beside."""

    grams: "csr_matrix"
    keys: "csr_matrix"
    names: Sequence[str]

    @classmethod
    def of(cls, names: Sequence[str]) -> "NameTable":
        """Weigh the n-grams of names (2 to 4 letters within words) by how few names have them."""
        require("TF-IDF")
        from scipy.sparse import hstack

        grams = _weighed([letter_grams(name) for name in names])
        pairs = _weighed([[f"{one} {two}" for one, two in pairwise(words(name))] for name in names])
        return cls(grams=grams, keys=hstack([grams, pairs * 0.5]).tocsr(), names=names)

    def cosines(self, left: Numbers, right: Numbers) -> Floats:
        """Return the cosine of the n-grams of pairs of names ``(n_pairs,)``."""
        return _in_blocks(left, right, lambda a, b: np.asarray(self.grams[a].multiply(self.grams[b]).sum(axis=1)))


def _in_blocks(left: Numbers, right: Numbers, of: Callable[[Numbers, Numbers], npt.NDArray[np.floating]]) -> Floats:
    parts = [of(left[at : at + 50_000], right[at : at + 50_000]).ravel() for at in range(0, len(left), 50_000)]
    return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)


def _weighed(terms_of: Sequence[Sequence[str]]) -> "csr_matrix":
    """Return the weights of the terms of each text as sparse rows of length 1."""
    from scipy.sparse import csr_matrix, diags

    number: dict[str, int] = {}
    columns, ends = array("i"), array("q", [0])
    for terms in terms_of:
        columns.extend([number.setdefault(term, len(number)) for term in dict.fromkeys(terms)])
        ends.append(len(columns))
    at = np.frombuffer(columns, dtype=np.int32) if len(columns) else np.zeros(0, np.int32)
    n_terms = max(1, len(number))
    worth = np.log1p(len(terms_of) / np.maximum(np.bincount(at, minlength=n_terms), 1)).astype(np.float32)
    table = csr_matrix((worth[at], at, np.array(ends)), shape=(len(terms_of), n_terms))
    table.sort_indices()
    lengths = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
    return (diags(1 / np.maximum(lengths, 1e-9)).astype(np.float32) @ table).tocsr()


def vector_cosines(vectors: Vectors, left: Numbers, right: Numbers) -> Floats:
    """Return the cosine of pairs of unit vectors ``(n_pairs,)``."""
    return _in_blocks(left, right, lambda a, b: (vectors[a] * vectors[b]).sum(axis=1))


@dataclass(frozen=True, kw_only=True)
class Seekers:
    """Forms that ``ask`` for neighbours among those that ``hold`` names: all of one table, or those of two."""

    ask: Numbers
    hold: Numbers


def candidate_pairs(
    table: NameTable, values: npt.NDArray[np.int32], seekers: Sequence[Seekers], vectors: Vectors | None
) -> tuple[Numbers, Numbers]:
    """Return pairs of forms that are worth comparing, each once, the smaller number first; and their nearness.

    ``values`` ``(n_forms, n_columns)`` are codes of the evidence, -1 for none: of equally near names, those come first
    whose evidence agrees. The second array ``(n_pairs,)`` tells as the how manieth neighbour, from 0, one of the two
    found the other.
    """
    found: list[tuple[Numbers, Numbers, Numbers]] = []
    for side in seekers:
        found.append(_by_letters(table, values, side))
        found.append(_by_initials(table.names, side))
        if vectors is not None:
            found.append(_by_vectors(vectors, side))
    found.append(_by_words(table.names, values))
    one, two, rank = (np.concatenate(parts) for parts in zip(*found, strict=True))
    one, two = np.minimum(one, two), np.maximum(one, two)
    order = np.lexsort((rank, two, one))
    one, two, rank = one[order], two[order], rank[order]
    is_first = np.ones(len(one), dtype=bool)
    is_first[1:] = (one[1:] != one[:-1]) | (two[1:] != two[:-1])
    kept = is_first & (one != two)
    return np.stack([one[kept], two[kept]], axis=1), rank[kept]


def _rarest(asked: "csr_matrix", counts: Numbers) -> "csr_matrix":
    """Return rows with their rarest keys alone: as many as together stand in `_SCANNED` names at most."""
    from scipy.sparse import csr_matrix

    rows = np.repeat(np.arange(asked.shape[0]), np.diff(asked.indptr))
    cost = counts[asked.indices]
    order = np.lexsort((asked.indices, cost, rows))
    running = np.cumsum(cost[order])
    before = np.concatenate([[0], running])[asked.indptr[:-1]]
    kept = order[running - before[rows[order]] <= _SCANNED]
    return csr_matrix((asked.data[kept], (rows[kept], asked.indices[kept])), shape=asked.shape)


def _by_letters(table: NameTable, values: npt.NDArray[np.int32], side: Seekers) -> tuple[Numbers, Numbers, Numbers]:
    """Return the nearest by cosine of n-grams: who asks, who is found, and as the how manieth."""
    held = table.keys[side.hold]
    counts = np.bincount(held.indices, minlength=held.shape[1])
    columns = held.T.tocsr()
    asks, finds, partial = [], [], []
    for start in range(0, len(side.ask), _BLOCK):
        block = side.ask[start : start + _BLOCK]
        scores = (_rarest(table.keys[block], counts) @ columns).tocsr()
        for at, form in enumerate(block.tolist()):
            span = slice(scores.indptr[at], scores.indptr[at + 1])
            best = _best(scores.data[span], 2 * NEAREST)
            finds.append(side.hold[scores.indices[span][best]])
            partial.append(scores.data[span][best])
            asks.append(np.full(len(best), form, dtype=np.int64))
    one, two = _joined(asks), _joined(finds)
    kept = one != two
    one, two = one[kept], two[kept]
    near = table.cosines(one, two)
    if values.shape[1]:
        agree = ((values[one] == values[two]) & (values[one] >= 0)).mean(axis=1)
        near = near + _EVIDENCE * agree
    return _ranked(one, two, near, NEAREST)


def _best(scores: npt.NDArray[np.float32], k: int) -> Numbers:
    if len(scores) <= k:
        return np.arange(len(scores))
    return np.sort(np.argpartition(-scores, k)[:k])


def _joined(parts: Sequence[Numbers]) -> Numbers:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _ranked(one: Numbers, two: Numbers, near: Floats, most: int) -> tuple[Numbers, Numbers, Numbers]:
    """Return the nearest of each that asks, at most so many, with their ranks from 0."""
    order = np.lexsort((two, -near, one))
    one, two = one[order], two[order]
    starts = np.concatenate([[0], np.flatnonzero(one[1:] != one[:-1]) + 1]) if len(one) else np.zeros(0, np.int64)
    sizes = np.diff(np.append(starts, len(one)))
    rank = np.arange(len(one)) - np.repeat(starts, sizes)
    kept = rank < most
    return one[kept], two[kept], rank[kept]


def _by_initials(names: Sequence[str], side: Seekers) -> tuple[Numbers, Numbers, Numbers]:
    """Return names of which a short name of three letters or more may be the initials, few alike first."""
    wanted = {form: letters_of(names[form]) for form in side.ask.tolist() if is_short_word(names[form])}
    known = {letters for letters in wanted.values() if len(letters) >= 3}
    bearers: dict[str, list[int]] = {}
    for form in side.hold.tolist() if known else ():
        for initials in initialisms(names[form]) & known:
            bearers.setdefault(initials, []).append(form)
    pairs = [
        (form, bearer, rank)
        for form, letters in wanted.items()
        for rank, bearer in enumerate(bearers.get(letters, [])[:INITIALS])
    ]
    one, two, rank = np.array(pairs, dtype=np.int64).reshape(-1, 3).T
    return one, two, rank


def _by_words(names: Sequence[str], values: npt.NDArray[np.int32]) -> tuple[Numbers, Numbers, Numbers]:
    """Return the next few of each form among those of the same words, in the order of their evidence."""
    codes: dict[str, int] = {}
    same = np.array([codes.setdefault(bare(name) or name, len(codes)) for name in names], dtype=np.int64)
    order = np.lexsort((np.arange(len(names)), *values.T[::-1], same))
    found = list(_next_few(order, same))
    one, two, rank = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return one, two, rank


def _next_few(order: Numbers, same: Numbers) -> Iterator[tuple[Numbers, Numbers, Numbers]]:
    for step in range(1, SAME_WORDS + 1):
        left, right = order[:-step], order[step:]
        kept = same[left] == same[right]
        yield left[kept], right[kept], np.full(int(kept.sum()), step - 1)


def _by_vectors(vectors: Vectors, side: Seekers) -> tuple[Numbers, Numbers, Numbers]:
    """Return the nearest by the encoder's vectors; beyond `_EXACT_ROWS` by a graph (HNSW), which may miss some."""
    require("vector index")
    backend = "flat" if len(side.hold) <= _EXACT_ROWS else "hnsw"
    index = build_index(StoredVectors(vectors[side.hold]), IndexSettings(backend=backend))
    scores, rows = index.search(vectors[side.ask], NEAREST + 1)
    one = np.repeat(side.ask, rows.shape[1])
    flat = rows.ravel()
    kept = flat >= 0
    two = side.hold[np.maximum(flat, 0)]
    kept &= one != two
    return _ranked(one[kept], two[kept], scores.ravel()[kept].astype(np.float64), NEAREST)
