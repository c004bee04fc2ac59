"""Names laid over the words of a query: the window that holds most of each."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Vectors
from honed.core.ranking import Rows, distinct
from honed.index import kernel

Flags: TypeAlias = npt.NDArray[np.bool_]
Values: TypeAlias = npt.NDArray[np.floating[Any]] | Flags
_LONG_NAME = 4  # words; a longer name may have one more word of the query between its own


class QueryWords(NamedTuple):
    """The words of a query, "" where a sign parts them.

    ``starts`` and ``stops`` are the places where a part begins and ends; ``ranges`` are (place, from, to, share): the
    numbers of the words of names that the word at a place matches, and how much a match counts; ``worth`` is that of
    all words.
    """

    words: Sequence[str]
    starts: set[int]
    stops: set[int]
    ranges: Sequence[tuple[int, int, int, float]]
    worth: float


class NameWindows(NamedTuple):
    """The best window of a query for each of some names, all ``(n_names,)``.

    ``place`` numbers the labels that bear the names, ascending; ``first`` are the first names of each label that has
    any. ``lengths`` are the numbers of words. Of the worth of a
    name (``mass``) the window holds ``held``, a ``share``, the whole query ``anywhere``. The window begins at
    ``starts`` and is ``sizes`` long. ``whole`` says that the name stands there word for word, ``part`` that nothing
    else stands between the signs around it; ``unusual`` is its worth with words that many queries hold counted less.
    """

    place: Rows
    first: Rows
    lengths: Vectors
    mass: Vectors
    held: Vectors
    share: Vectors
    anywhere: Vectors
    starts: Vectors
    sizes: Rows
    whole: Flags
    part: Flags
    unusual: Vectors
    is_label: Flags

    def best_of(self, n: int) -> Rows:
        """Return for each of ``n`` labels the name that the query holds best ``(n,)``, -1 where it has none."""
        best = np.full(n, -1, dtype=np.int64)
        value = self.held * self.share
        of_label = np.repeat(self._highest(value), np.diff(self.first, append=len(self.place)))
        at = np.flatnonzero(value == of_label)
        best[self.place[at]] = at  # of equal ones the last
        return best

    def places_of(self, best: Rows) -> tuple[Vectors, Rows]:
        """Return where the windows of some names begin, and their lengths, both as long as ``best``; 0 for -1."""
        shown, at = best >= 0, np.maximum(best, 0)
        if not len(self.starts):
            return np.zeros(len(best), np.float32), np.zeros(len(best), np.int64)
        return np.where(shown, self.starts[at], 0), np.where(shown, self.sizes[at], 0)

    def most_of(self, values: Values, n: int) -> Vectors:
        """Return the highest value of the names of each of ``n`` labels ``(n,)``, 0 where it has none."""
        highest = np.zeros(n, dtype=np.float32)
        highest[self.place[self.first]] = np.maximum(self._highest(values), 0)
        return highest

    def _highest(self, values: Values) -> Values:
        """Return the highest value of each run of names of one label."""
        return np.maximum.reduceat(values, self.first) if len(self.first) else values[:0]


class NameWords(NamedTuple):
    """The words of all names: ``tokens`` are their numbers, ``ends`` ``(n_names + 1,)`` tell where each name ends.

    ``worth`` ``(n_words,)`` is that of each word, ``usual`` ``(n_words,)`` less for a word that many queries hold.
    """

    tokens: Rows
    ends: Rows
    worth: Vectors
    usual: Vectors


class _Laid(NamedTuple):
    """Names laid over a query, all ``(n_names,)``; see `NameWindows`."""

    mass: Vectors
    unusual: Vectors
    anywhere: Vectors
    held: Vectors
    starts: Rows
    sizes: Rows
    whole: Flags
    part: Flags


def best_windows(query: QueryWords, words: NameWords, names: Rows, *, place: Rows, is_label: Flags) -> NameWindows:
    """Lay the names of some numbers ``(n_names,)`` over a query; for ``place`` and ``is_label`` see `NameWindows`."""
    laid = (_laid_by_numpy if kernel.compiled is None else _laid_compiled)(query, words, names)
    return NameWindows(
        place=place,
        first=np.flatnonzero(np.diff(place, prepend=-1)),
        lengths=(words.ends[names + 1] - words.ends[names]).astype(np.float32),
        mass=laid.mass,
        held=laid.held,
        share=laid.held / laid.mass,
        anywhere=laid.anywhere,
        starts=laid.starts.astype(np.float32),
        sizes=laid.sizes,
        whole=laid.whole,
        part=laid.part,
        unusual=laid.unusual,
        is_label=is_label,
    )


def _laid_compiled(query: QueryWords, words: NameWords, names: Rows) -> _Laid:
    assert kernel.compiled is not None  # the caller has looked
    n, width = len(names), max(len(query.words), 1)
    at, low, high, share = zip(*query.ranges, strict=True) if query.ranges else ((), (), (), ())
    begins, stops = (
        bytes(place in places for place in range(width + 1)) for places in (query.starts, query.stops)
    )  # places of signs
    mass, unusual, anywhere, held = np.empty((4, n), np.float32)
    starts, sizes = np.empty((2, n), np.int64)
    found = np.empty(n, np.uint8)
    places = (np.array(column, np.int64) for column in (at, low, high))
    kernel.compiled.lay_names(
        *(words.tokens, words.ends, names, words.worth, words.usual),
        *(*places, np.array(share, np.float32), begins, stops),
        *(mass, unusual, anywhere, held, starts, sizes, found),
    )
    return _Laid(mass, unusual, anywhere, held, starts, sizes, whole=found > 0, part=found > 1)


def _laid_by_numpy(query: QueryWords, words: NameWords, names: Rows) -> _Laid:
    lengths = words.ends[names + 1] - words.ends[names]
    tokens = words.tokens[run_rows(words.ends[names], lengths)]
    n, width = len(lengths), max(len(query.words), 1)
    match = _matches(query, tokens, width)
    token_worth = words.worth[tokens].astype(np.float32)
    held, starts, sizes = np.zeros(n, np.float32), np.zeros(n, np.int64), np.zeros(n, np.int64)
    whole, part = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    anywhere = summed(match.max(axis=1, initial=0) * token_worth, lengths).astype(np.float32)
    laid = np.where(anywhere > 0, lengths, 0)  # of the others the query holds no word
    of_token = np.repeat(laid, lengths)
    for length in distinct(laid[laid > 0]).tolist():
        chosen, rows = laid == length, of_token == length
        size = min(width, length + (length > 1) + (length > _LONG_NAME))
        block = match[rows]
        windows = np.lib.stride_tricks.sliding_window_view(block, size, axis=1).max(axis=-1)
        sums = (windows * token_worth[rows][:, None]).reshape(-1, length, windows.shape[1]).sum(axis=1)
        held[chosen], starts[chosen], sizes[chosen] = sums.max(axis=1), sums.argmax(axis=1), size
        if length <= width:
            whole[chosen], part[chosen] = _word_for_word(query, block.reshape(-1, length, width))
    sizes[held == 0] = 0  # nothing of the name is there
    mass = np.maximum(summed(token_worth, lengths), 1e-9).astype(np.float32)
    unusual = summed(words.usual[tokens], lengths).astype(np.float32)
    return _Laid(mass, unusual, anywhere, held, starts, sizes, whole, part)


def _matches(query: QueryWords, tokens: Rows, width: int) -> Vectors:
    """Return how well every word of names matches every word of a query ``(n_tokens, n_words)``, in [0, 1]."""
    distinct, inverse = np.unique(tokens, return_inverse=True)
    match = np.zeros((len(distinct), width), dtype=np.float32)
    for at, low, high, share in query.ranges:
        span = slice(*np.searchsorted(distinct, (low, high)))
        match[span, at] = np.maximum(match[span, at], share)
    spread: Vectors = match[inverse]
    return spread


def _word_for_word(query: QueryWords, match: Vectors) -> tuple[Flags, Flags]:
    """Return which names stand in a query word for word, and between signs: both ``(n,)`` from ``(n, length, width)``.

    ``match`` is that of the words of names of one length.
    """
    length, width = match.shape[1:]
    n_starts = width - length + 1
    here = np.ones((len(match), n_starts), dtype=np.bool_)
    for word in range(length):
        here &= match[:, word, word : word + n_starts] >= 1
    alone = np.array([start in query.starts and start + length in query.stops for start in range(n_starts)])
    whole: Flags = np.asarray(here.any(axis=1))
    part: Flags = np.asarray((here & alone).any(axis=1))
    return whole, part


def summed(values: Values, lengths: Rows) -> Vectors:
    """Return the sums of consecutive runs of values ``(n,)``, as long as ``lengths`` ``(n,)`` say."""
    totals = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    sums: Vectors = totals[ends[1:]] - totals[ends[:-1]]
    return sums


def run_rows(starts: Rows, lengths: Rows) -> Rows:
    """Return the rows of consecutive runs, one after the other: each from its start, as long as ``lengths`` say."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    rows: Rows = np.arange(total) + np.repeat(np.asarray(starts) - ends + lengths, lengths)
    return rows
