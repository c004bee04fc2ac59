"""Names inside longer texts: which name of an entity a query holds best, where, and what the rest of the query says.

A query such as a line of an address names an entity among other words. Every name of an entity is laid over the query:
the window of the query that holds most of it tells how much of the name is there, and what is left over is compared
with the entity's fields.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.tensors import Array, Tensors, check_arrays, divides
from honed.core.text import terms
from honed.index import kernel
from honed.index.windows import NameWindows, NameWords, QueryWords, Values, best_windows, run_rows, summed

LABELS, KNOWN, ALL = 0, 1, 2  # names that may be used: labels, known aliases too, aliases of dev and test too
PREFIX = "mentions."
_DTYPES = {
    "words": np.uint8,
    "worth": np.float32,
    "usual": np.float32,
    "tokens": np.int32,
    "ends": np.int64,
    "owners": np.int32,
    "levels": np.uint8,
    "posting_ends": np.int64,
    "posting_names": np.int32,
}
_BREAK = re.compile(r"[,;:()\[\]{}|/#\n\t]+|\s[-–—]+\s|\.\s+(?=[^\W\d_])")
_SHORTEST_PREFIX, _PREFIX_WORTH, _MOST_WORDS = 3, 0.75, 60  # of abbreviations, and of words of a query that count
_STEM_WORTH, _SHORTEST_STEM = 0.6, 4  # of a name's word that a word of the query begins with
_UNKNOWN = 0.5  # what a word that no name has is worth, beside the rarest
FEATURES = (
    "share of the name",
    "share of the query",
    "length of the name",
    "place",
    "name is whole",
    "best share of a name",
    "beside the best",
    "weight",
    "is the label",
    "some name is whole",
    "whole, share of the query",
    "whole, beside the best",
    "whole, weight",
    "name is a part",
    "part, beside the best",
    "unusual, whole",
    "unusual, whole, beside the best",
    "unusual",
    "unusual, beside the best",
    "anywhere",
    "label is whole",
    "share of the label",
    "number of names",
)


class Names(NamedTuple):
    """All names of the labels of an index.

    ``texts`` holds the names of each label, itself first; ``levels`` says of each who may use it (`LABELS`, `KNOWN`,
    `ALL`).
    """

    texts: Sequence[Sequence[str]]
    levels: Sequence[Sequence[int]]


class Mentions:
    """The words of all names as flat arrays, see the module.

    ``tensors``: sorted ``words`` (UTF-8, one a line), what each is ``worth`` (n_words,), and ``usual`` (n_words,), the
    worth of a word that many queries hold; the ``tokens`` of all names, their ``ends`` (n_names + 1,), ``owners``
    (n_names,), the label of each in ascending order, and ``levels`` (n_names,); which names hold a word
    (``posting_ends``, ``posting_names``).
    """

    def __init__(self, tensors: Tensors, n_labels: int) -> None:
        """Take the arrays; `ArtifactError` when they do not fit together."""
        self.tensors, self.n_labels = tensors, n_labels
        check_arrays(tensors, _DTYPES, what="names", code="E_MENTIONS")
        self.worth, self.usual = tensors["worth"], tensors["usual"]
        self._tokens, self._ends, self._owners = tensors["tokens"], tensors["ends"], tensors["owners"]
        self._levels = tensors["levels"]
        self._posting_ends, self._posting_names = tensors["posting_ends"], tensors["posting_names"]
        n_names, n_words = len(self._owners), len(self.worth)
        fits = len(self._levels) == n_names and len(self.usual) == n_words == len(self._vocabulary)
        fits = fits and divides(self._ends, n_names, len(self._tokens))
        fits = fits and divides(self._posting_ends, n_words, len(self._posting_names))
        if not fits or (np.diff(self._owners) < 0).any():
            raise ArtifactError("E_MENTIONS", "names: the arrays do not fit together")
        limits = ((self._tokens, n_words), (self._posting_names, n_names), (self._owners, n_labels))
        if any(len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < most for rows, most in limits):
            raise ArtifactError("E_MENTIONS", "names: a row is outside the names")

    @classmethod
    def build(cls, names: Names) -> Self:
        """Build from all names; n log n in their words."""
        owners = np.repeat(np.arange(len(names.texts)), [len(texts) for texts in names.texts]).astype(np.int32)
        words_of = [terms(text)[:_MOST_WORDS] for texts in names.texts for text in texts]
        vocabulary = sorted({word for words in words_of for word in words})
        number = {word: at for at, word in enumerate(vocabulary)}
        lengths = np.array([len(words) for words in words_of], dtype=np.int64)
        tokens = np.array([number[word] for words in words_of for word in words], dtype=np.int32)
        name_of = np.repeat(np.arange(len(words_of), dtype=np.int32), lengths)
        pairs = np.unique(np.stack([tokens, owners[name_of]], axis=1), axis=0) if len(tokens) else np.empty((0, 2))
        counts = np.bincount(pairs[:, 0].astype(np.int64), minlength=len(vocabulary))
        worth = np.log1p(len(names.texts) / np.maximum(counts, 1)).astype(np.float32)
        holds = np.unique(np.stack([tokens, name_of], axis=1), axis=0) if len(tokens) else np.empty((0, 2), np.int32)
        arrays: dict[str, Array] = {
            "words": np.frombuffer("\n".join(vocabulary).encode(), dtype=np.uint8),
            "worth": worth,
            "usual": worth,
            "tokens": tokens,
            "ends": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            "owners": owners,
            "levels": np.array([level for levels in names.levels for level in levels], dtype=np.uint8),
            "posting_ends": np.searchsorted(holds[:, 0], np.arange(len(vocabulary) + 1)).astype(np.int64),
            "posting_names": holds[:, 1].astype(np.int32),
        }
        return cls(arrays, len(names.texts))

    def learn_usual(self, queries: Sequence[str]) -> None:
        """Note how usual words are in queries: what many of them hold tells little, however rare it is in names."""
        number = {word: at for at, word in enumerate(self._vocabulary)}
        counts = np.zeros(len(number))
        for query in queries:
            for word in set(terms(query)):
                if (at := number.get(word)) is not None:
                    counts[at] += 1
        usual = np.minimum(self.worth, np.log1p(len(queries) / (1 + counts))).astype(np.float32)
        self.usual = usual
        self.tensors = {**self.tensors, "usual": usual}

    # -- asking ----------------------------------------------------------------------------------

    def read(self, text: str) -> QueryWords:
        """Return the words of a query, with a gap wherever a sign parts them, and the words of names that they match.

        A word matches itself, longer words that it abbreviates, and words that it begins with.
        """
        words: list[str] = []
        starts, stops = set(), set()
        for part in _BREAK.split(text):
            found = terms(part)[: _MOST_WORDS - len(words)]
            if not found:
                continue
            if words:
                words.append("")
            starts.add(len(words))
            words += found
            stops.add(len(words))
        ranges = [span for at, word in enumerate(words) if word for span in self._ranges(at, word)]
        worth = [self._worth_of(word) for word in words if word]
        return QueryWords(words=words, starts=starts, stops=stops, ranges=ranges, worth=float(sum(worth)) or 1.0)

    def likely(self, query: QueryWords, n: int, *, level: int = ALL, hidden: Rows | None = None) -> Rows:
        """Return the labels with the names that the words of a query hold the most of, best first, up to ``n``."""
        held: dict[int, float] = {}
        for _, low, high, share in query.ranges:
            if high - low <= _MOST_WORDS:  # a prefix of many words tells nothing
                for word in range(low, high):
                    held[word] = max(share, held.get(word, 0.0))
        if not held:
            return np.empty(0, np.int64)
        numbers = np.fromiter(held, dtype=np.int64)
        counts = self.worth[numbers] * np.array(list(held.values()), dtype=np.float32)
        n_names = len(self._owners)
        totals = kernel.sum_weights(self._posting_ends, self._posting_names, None, numbers, counts, n_names)
        totals *= totals / self._masses
        totals[self._levels > level] = 0
        if hidden is not None and len(hidden):
            gone = np.zeros(self.n_labels, dtype=np.bool_)
            gone[hidden] = True
            totals[gone[self._owners]] = 0
        best = kernel.best_rows(totals, 4 * n)
        return np.fromiter(dict.fromkeys(self._owners[best].tolist()), dtype=np.int64)[:n]

    def windows(self, query: QueryWords, rows: Rows, *, level: int = ALL) -> NameWindows:
        """Return the best window of a query for each name of some labels, in ascending order."""
        first, last = np.searchsorted(self._owners, rows), np.searchsorted(self._owners, rows, side="right")
        names = run_rows(first, last - first)
        place = np.repeat(np.arange(len(rows)), last - first)
        kept = (self._levels[names] <= level) & (self._ends[names + 1] > self._ends[names])
        names, place = names[kept], place[kept]
        words = NameWords(self._tokens, self._ends, self.worth, self.usual)
        return best_windows(query, words, names, place=place, is_label=self._levels[names] == 0)

    def features(self, query: QueryWords, windows: NameWindows, best: Rows) -> list[Vectors]:
        """Return the features of labels by their names, each ``(n_labels,)``, in the order of `FEATURES`.

        ``best`` are the names that the query holds best, see `NameWindows.best_of`.
        """
        n = len(best)
        shown = best >= 0
        at = np.where(shown, best, 0)
        share, weight, value = windows.share, windows.held, windows.held * windows.share
        whole, part = windows.whole, windows.part
        masses, unusual = windows.mass, windows.unusual

        def of_best(values: Values) -> Vectors:
            return np.where(shown, values[at], 0).astype(np.float32) if len(values) else np.zeros(n, np.float32)

        def most(values: Values) -> Vectors:
            return windows.most_of(values, n)

        top = max(float(value.max(initial=0)), 1e-9)
        wholes, unusual_wholes = most(np.where(whole, masses, 0)), most(np.where(whole, unusual, 0))
        parts, unusuals = most(np.where(part, unusual, 0)), most(share * share * unusual)
        labels = windows.is_label
        columns = [
            of_best(share),
            of_best(weight) / query.worth,
            np.log1p(of_best(windows.lengths)),
            of_best(windows.starts) / max(len(query.words), 1),
            of_best(whole),
            most(share),
            of_best(value) / top,
            np.log1p(of_best(value)),
            of_best(labels),
            wholes > 0,
            wholes / query.worth,
            _beside_best(wholes),
            np.log1p(wholes),
            most(part),
            _beside_best(parts),
            unusual_wholes,
            _beside_best(unusual_wholes),
            unusuals,
            _beside_best(unusuals),
            most(windows.anywhere / np.maximum(masses, 1e-9)),
            most(whole & labels),
            most(np.where(labels, share, 0)),
            np.log1p(np.bincount(windows.place, minlength=n)),
        ]
        return [np.asarray(column, dtype=np.float32) for column in columns]

    # -- words -----------------------------------------------------------------------------------

    @cached_property
    def _vocabulary(self) -> list[str]:
        return bytes(self.tensors["words"]).decode().split("\n") if len(self.tensors["words"]) else []

    @cached_property
    def _masses(self) -> Vectors:
        """The summed worth of the words of each name ``(n_names,)``."""
        return np.maximum(summed(self.worth[self._tokens], np.diff(self._ends)), 1e-9).astype(np.float32)

    @cached_property
    def _rarest(self) -> float:
        return float(self.worth.max(initial=1.0))

    def _find(self, word: str) -> int | None:
        at = bisect_left(self._vocabulary, word)
        return at if at < len(self._vocabulary) and self._vocabulary[at] == word else None

    def _worth_of(self, word: str) -> float:
        at = self._find(word)
        return _UNKNOWN * self._rarest if at is None else float(self.worth[at])

    def _ranges(self, at: int, word: str) -> list[tuple[int, int, int, float]]:
        """Return the words of names that a word of a query matches: its place, from, to, and what a match counts."""
        spans = []
        exact = self._find(word)
        if exact is not None:
            spans.append((at, exact, exact + 1, 1.0))
        if len(word) >= _SHORTEST_PREFIX:
            low, high = bisect_left(self._vocabulary, word), bisect_left(self._vocabulary, word + chr(0x10FFFF))
            if high > low:
                spans.append((at, low, high, _PREFIX_WORTH))
        for size in range(max(_SHORTEST_STEM, 2 * len(word) // 3), len(word)):
            stem = self._find(word[:size])
            if stem is not None:
                spans.append((at, stem, stem + 1, _STEM_WORTH))
        return spans


def _beside_best(values: Vectors) -> Vectors:
    """Return values as shares of the highest."""
    shares: Vectors = values / max(float(values.max(initial=0)), 1e-9)
    return shares
