"""The form of names: how many words, how they begin, and whether a short query spells them."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.index import analysis
from honed.index.postings import term_key

FEATURES = (
    "words",
    "first word",
    "letters in order",
    "words in order",
    "all in order",
    "letters a word",
    "any order",
)


class NameForms(NamedTuple):
    """The form of each name: its number of ``words`` ``(n,)``, and the `term_key` of its ``first`` word ``(n,)``."""

    words: npt.NDArray[np.int32]
    first: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Return the forms of names; one without a word has the key 1."""
        words_of = [analysis.words_of(text) for text in texts]
        return cls(
            words=np.array([len(words) for words in words_of], dtype=np.int32),
            first=np.array([term_key(words[0]) if words else 1 for words in words_of], dtype=np.uint64),
        )

    def lengths(self, rows: Rows) -> Vectors:
        """Return the number of words of names, in tens ``(n_rows,)``."""
        return (self.words[rows] / 10).astype(np.float32)

    def columns(self, text: str, rows: Rows, likely: Rows, text_of: Callable[[int], str]) -> list[Vectors]:
        """Return the features of names for a query, each ``(n_rows,)``, in the order of `FEATURES`.

        A short query may spell those names that are ``likely``; ``text_of`` returns the text of a row.
        """
        words = analysis.words_of(text)
        first = np.uint64(term_key(words[0])) if words else np.uint64(0)
        same_first = (self.first[rows] == first).astype(np.float32)
        spelled = np.zeros((len(rows), len(FEATURES) - 2), dtype=np.float32)
        if analysis.is_short_word(text):
            letters = analysis.letters_of(text)
            for place in np.flatnonzero(np.isin(rows, likely)).tolist():
                spelled[place] = _spelling(letters, _large_words(text_of(int(rows[place]))))
        return [self.lengths(rows), same_first, *spelled.T]


@lru_cache(maxsize=1 << 14)
def _large_words(name: str) -> tuple[str, ...]:
    return tuple(analysis.large_words(name))


def _spelling(letters: str, words: Sequence[str]) -> tuple[float, ...]:
    """Return how well a short query is made of the beginnings of a name's words: the last five `FEATURES`."""
    reached, used = analysis.spelled_in_order(letters, words)
    n = max(1, len(words))
    in_any_order = analysis.spelled_in_any_order(letters, words)
    letters_a_word = len(letters) / used / 4 if used else 0.0
    return reached / len(letters), used / n, float(used > 0), letters_a_word, in_any_order / n
