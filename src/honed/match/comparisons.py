"""What is compared of two rows, as levels: the name, its numbers, and each column of evidence.

The name is one comparison of several measures: how its words meet (`honed.match.words`), the cosine of its letter
n-grams and, with an encoder, that of its vectors. They say much the same, so that each combination of their levels is a
level of its own: nothing counts twice.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.core.text import fold_accents
from honed.index.analysis import large_words
from honed.match.evidence import agreement
from honed.match.neighbours import NameTable, vector_cosines
from honed.match.words import N_LEVELS, NameWords, numbers_of

Numbers: TypeAlias = npt.NDArray[np.int64]
Levels: TypeAlias = npt.NDArray[np.int16]
Floats: TypeAlias = npt.NDArray[np.float64]
Encode: TypeAlias = Callable[[Sequence[str]], Vectors | None]
NAME, NUMBERS = 0, 1  # columns of levels; those of evidence follow
SAME, PART, OTHER = 0, 1, 2  # levels of evidence, and of numbers: the same, some on one side alone, in conflict
MISSING = -1
_AGREEMENTS = {"same": SAME, "part": PART, "other": OTHER, "": MISSING}
LETTERS = (0.45, 0.6, 0.75, 0.9)  # cosines of n-grams between which levels lie
VECTORS = (0.5, 0.65, 0.8, 0.9)  # and of vectors
_MOST_RARE = 3.0  # of log-odds, that a value says more or less for being rare or common


class Evidence:
    """A column of evidence: the values of forms, folded and numbered, -1 for none."""

    def __init__(self, values: Sequence[str]) -> None:
        numbers: dict[str, int] = {}
        folded = [fold_accents(value) for value in values]
        self.codes = np.array([numbers.setdefault(text, len(numbers)) if text else -1 for text in folded], np.int32)
        self.values = list(numbers)
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(numbers)) if numbers else np.zeros(0)
        shares = counts / max(1, counts.sum())
        with np.errstate(divide="ignore"):
            rarity = np.log((shares**2).sum() / shares) if numbers else np.zeros(0)
        self._rarity = np.clip(rarity, -_MOST_RARE, _MOST_RARE)

    def levels(self, left: Numbers, right: Numbers) -> Levels:
        """Return how the values of pairs of forms agree ``(n_pairs,)``; each pair of values is looked at once."""
        one, two = self.codes[left].astype(np.int64), self.codes[right].astype(np.int64)
        result = np.full(len(left), MISSING, dtype=np.int16)
        known = (one >= 0) & (two >= 0)
        keys, at = np.unique(one[known] * len(self.values) + two[known], return_inverse=True)
        pairs = (divmod(int(key), len(self.values)) for key in keys)
        agreed = [_AGREEMENTS[agreement(self.values[a], self.values[b])] for a, b in pairs]
        result[known] = np.array(agreed, dtype=np.int16)[at]
        return result

    def rarity(self, left: Numbers, levels: Levels) -> Floats:
        """Return what agreement on a rare value says more ``(n_pairs,)``, in log-odds; 0 where values differ.

        Winkler's adjustment: the mean chance to agree on any value, by the share of this one.
        """
        same = levels == SAME
        result = np.zeros(len(left))
        result[same] = self._rarity[self.codes[left[same]]]
        return result


class Comparer:
    """Compares forms, by their names, the vectors of these ``(n_forms, dim)`` where there are any, and evidence."""

    def __init__(self, table: NameTable, evidence: Sequence[Evidence], vectors: Vectors | None) -> None:
        self.table, self.evidence, self.vectors = table, evidence, vectors
        self.numbers = [numbers_of(name) for name in table.names]

    @cached_property
    def words(self) -> NameWords:
        """The words of the names."""
        return NameWords(self.table.names)

    @property
    def sizes(self) -> list[int]:
        """The number of levels of each comparison."""
        cells = N_LEVELS * (len(LETTERS) + 1) * (1 if self.vectors is None else len(VECTORS) + 1)
        return [cells, 3, *(3 for _ in self.evidence)]

    def levels(self, left: Numbers, right: Numbers) -> Levels:
        """Return the levels of pairs of forms ``(n_pairs, n_comparisons)``, -1 where there is nothing to compare."""
        columns = [self._names(left, right), self._number_levels(left, right)]
        columns += [evidence.levels(left, right) for evidence in self.evidence]
        return np.stack(columns, axis=1)

    def rarity(self, left: Numbers, levels: Levels) -> Floats:
        """Return what rare values of evidence say more ``(n_pairs,)``, in log-odds."""
        parts = [one.rarity(left, levels[:, 2 + at]) for at, one in enumerate(self.evidence)]
        return np.sum(parts, axis=0) if parts else np.zeros(len(left))

    def _names(self, left: Numbers, right: Numbers) -> Levels:
        words = np.empty(len(left), dtype=np.int16)
        with progress("compare pairs", len(left)) as bar:
            for at, (one, two) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
                words[at] = self.words.level(one, two)
                if at % 1000 == 999:
                    bar.advance(1000)
        letters = np.searchsorted(LETTERS, self.table.cosines(left, right))
        if self.vectors is None:
            return name_cells(words, letters)
        return name_cells(words, letters, np.searchsorted(VECTORS, vector_cosines(self.vectors, left, right)))

    def slip_levels(self, forms: Numbers, written: Sequence[str], encode: Encode) -> Levels:
        """Return the levels of the names of some forms, each with another way to write it ``(n_forms,)``.

        ``encode`` returns the vectors of names, None where they have none.
        """
        names = self.table.names
        known = self.words
        words = np.array(
            [
                known.level_of_texts(names[at], known.words[at], text, large_words(text))
                for at, text in zip(forms.tolist(), written, strict=True)
            ]
        )
        both = NameTable.of([*(names[at] for at in forms.tolist()), *written])
        here = np.arange(len(forms))
        letters = np.searchsorted(LETTERS, both.cosines(here, here + len(forms)))
        vectors = encode(written)
        if vectors is None or self.vectors is None:
            return name_cells(words, letters)
        cosines = (self.vectors[forms] * vectors).sum(axis=1)
        return name_cells(words, letters, np.searchsorted(VECTORS, cosines))

    def _number_levels(self, left: Numbers, right: Numbers) -> Levels:
        numbers = self.numbers
        found = [_agree(numbers[a], numbers[b]) for a, b in zip(left.tolist(), right.tolist(), strict=True)]
        return np.array(found, dtype=np.int16)


def name_cells(
    words: npt.NDArray[np.integer], letters: npt.NDArray[np.integer], vectors: npt.NDArray[np.integer] | None = None
) -> Levels:
    """Return the level of each combination of words, letters and vectors ``(n_pairs,)``."""
    cells = words * (len(LETTERS) + 1) + letters
    if vectors is not None:
        cells = cells * (len(VECTORS) + 1) + vectors
    return cells.astype(np.int16)


def _agree(left: frozenset[int], right: frozenset[int]) -> int:
    """Return how the numbers of two names agree; -1 where neither has any."""
    if not left and not right:
        return MISSING
    if left == right:
        return SAME
    return PART if left <= right or right <= left else OTHER


def shares(levels: Levels, size: int) -> Floats:
    """Return the share of each level of one comparison ``(size,)`` among pairs that have one; zeros without any."""
    known = Counter(levels[levels >= 0].tolist())
    total = sum(known.values())
    return np.array([known[level] / total if total else 0.0 for level in range(size)])
