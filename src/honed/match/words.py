"""How two names differ, word by word: the same, with slips, by initials, one within the other, or other words.

Rare words weigh more. A slip is one edit (two in long words), and only where one of the two words is rare: of two words
that the table holds often, such as "eastern" and "western", neither is a slip of the other.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np

from honed.core.text import fold, has_unspaced, words
from honed.index.analysis import initialisms, is_short_word, large_words, letters_of

# levels, from the same to others
(
    EXACT,  # the same words in their order
    SAME,  # the same words in another order, or written together
    SLIPS,  # all words meet, some with slips or abbreviated
    INITIALS,  # what is left of one name are the initials of what is left of the other
    EXTRA_LIGHT,  # one name has words besides: up to a quarter of its weight
    EXTRA_HALF,  # up to a half
    EXTRA_HEAVY,  # more
    OTHER_LIGHT,  # both have words of their own: up to a third of their weight
    OTHER_HALF,  # up to six tenths
    OTHER,  # more
) = range(10)
N_LEVELS = 10
_OFTEN = 3  # names that a word stands in which is no slip
_LONG, _LONGEST = 10, 40  # letters of a word that may have two slips, and of one that is looked at
_SHORT = 16  # words of a name that are looked through one by one
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_ROMAN = ("ii", "iii", "iv", "vi", "vii", "viii", "ix", "xi", "xii", "xiii", "xiv", "xv")
_NUMBER = {word: at for at, word in enumerate(_ORDINALS, 1)} | dict(
    zip(_ROMAN, (2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15), strict=True)
)
_DIGITS = re.compile(r"\d+")
Words: TypeAlias = Sequence[str]


def numbers_of(name: str) -> frozenset[int]:
    """Return the numbers that a name holds: digits, ordinals from first to tenth, Roman numerals of two letters on.

    >>> sorted(numbers_of("Lycée Louis XIV, 2nd campus of 1950"))
    [2, 14, 1950]
    """
    found = set()
    for word in words(name):
        if word in _NUMBER:
            found.add(_NUMBER[word])
        elif not word.isalpha():
            found |= {int(digits[:18]) for digits in _DIGITS.findall(word)}
    return frozenset(found)


def edits(left: str, right: str, most: int) -> int:
    """Return how many letters are put in, left out, replaced or swapped with the next; ``most + 1`` for more.

    Optimal string alignment (Damerau 1964); it stops where there must be more.
    """
    if abs(len(left) - len(right)) > most:
        return most + 1
    before: list[int] = []
    line = list(range(len(right) + 1))
    for i, one in enumerate(left, 1):
        before, last, line = line, before, [i]
        for j, other in enumerate(right, 1):
            best = min(before[j] + 1, line[j - 1] + 1, before[j - 1] + (one != other))
            if i > 1 and j > 1 and one == right[j - 2] and left[i - 2] == other:
                best = min(best, last[j - 2] + 1)
            line.append(best)
        if min(line) > most:
            return most + 1
    return line[-1]


def is_short_for(short: str, word: str) -> bool:
    """Tell whether one word abbreviates another: its beginning, or its first and last letter with some in between.

    The second kind is half as long at most, with one vowel at most: "intl", "dept", but not "Bern" for "Bergen".
    """
    if not 1 <= len(short) < len(word) or short[0] != word[0] or not short.isalpha():
        return False
    if word.startswith(short):
        return len(short) == 1 or len(word) - len(short) >= 2
    if len(short) < 3 or 2 * len(short) > len(word) or short[-1] != word[-1]:
        return False
    if sum(letter in "aeiou" for letter in short) > 1:
        return False
    letters = iter(word)
    return all(letter in letters for letter in short)


class NameWords:
    """The words of distinct names, weighed by how few of the names have them."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.words = [large_words(name) for name in names]
        self.counts = Counter(word for found in self.words for word in set(found))
        self._initials: dict[str, frozenset[str]] = {}
        self._alike: dict[tuple[str, str], bool] = {}
        self._rarest = float(np.log1p(len(names)))

    def weight(self, word: str) -> float:
        """Return what a word weighs: the logarithm of the number of names for each that has it."""
        count = self.counts.get(word, 0)
        return float(np.log1p(len(self.names) / count)) if count else self._rarest

    @cached_property
    def weights(self) -> dict[str, float]:
        """The weight of every word of the names."""
        return {word: self.weight(word) for word in self.counts}

    def level(self, left: int, right: int) -> int:
        """Return how two of the names differ; two without any word are the same only if they are written so."""
        return self.level_of_texts(self.names[left], self.words[left], self.names[right], self.words[right])

    def level_of_texts(self, one: str, its_words: Words, two: str, other_words: Words) -> int:
        """Return how two names differ, given with their words, which need not be those of the names."""
        if not its_words and not other_words:
            return EXACT if fold(one) == fold(two) else OTHER
        level = self.compare(its_words, other_words)
        if level > INITIALS and (self._are_initials(one, two) or self._are_initials(two, one)):
            return INITIALS
        return level

    def _are_initials(self, short: str, long: str) -> bool:
        if not is_short_word(short) or " " not in long:
            return False
        known = self._initials.get(long)
        if known is None:
            known = self._initials[long] = frozenset(initialisms(long))
        return letters_of(short) in known

    def compare(self, one: Words, two: Words) -> int:
        """Return how two names differ, given as words."""
        if one == two:
            return EXACT
        left, right = _without_common(one, two)
        if not left and not right:
            return SAME
        if "".join(one) == "".join(two):
            return SAME
        has_slips = bool(left and right) and self._align(left, right)
        has_initials = bool(left and right) and (_spell(left, right) or _spell(right, left))
        if not left and not right:
            return INITIALS if has_initials else SLIPS if has_slips else SAME
        return self._rest(self._share(left, one), self._share(right, two))

    def _rest(self, left: float, right: float) -> int:
        """Return the level of two names with words that did not meet, by their shares of the weight."""
        most = max(left, right)
        if not left or not right:
            return EXTRA_LIGHT if most <= 0.25 else EXTRA_HALF if most <= 0.5 else EXTRA_HEAVY
        return OTHER_LIGHT if most <= 1 / 3 else OTHER_HALF if most <= 0.6 else OTHER

    def _share(self, rest: Words, whole: Words) -> float:
        if not rest:
            return 0.0
        weights = self.weights
        total = sum(weights.get(word, self._rarest) for word in whole)
        return sum(weights.get(word, self._rarest) for word in rest) / max(total, 1e-9)

    def _align(self, left: list[str], right: list[str]) -> bool:
        """Take out words that are alike, one by one; tells whether there were any. Up to 12 words of each."""
        met = False
        for word in left[:12]:
            other = next((other for other in right[:12] if self.alike(word, other)), None)
            if other is not None:
                left.remove(word)
                right.remove(other)
                met = True
        return met

    def alike(self, left: str, right: str) -> bool:
        """Tell whether two words may be the same one, with slips or abbreviated."""
        key = (left, right) if left < right else (right, left)
        known = self._alike.get(key)
        if known is None:
            known = self._alike[key] = self._is_alike(*key)
        return known

    def _is_alike(self, left: str, right: str) -> bool:
        if not left.isalpha() or not right.isalpha() or left in _NUMBER or right in _NUMBER:
            return False
        if has_unspaced(left) or has_unspaced(right):
            return False  # a sign is a word there
        short, long = sorted((left, right), key=len)
        if len(long) > _LONGEST:
            return False
        if is_short_for(short, long):
            return True
        stem = len(short) - 1
        if min(self.counts.get(left, 0), self.counts.get(right, 0)) >= _OFTEN:  # endings, as of "sciences"
            return stem >= 4 and short[:stem] == long[:stem] and len(long) - len(short) <= 1
        if len(short) < 4:
            return False
        most = 2 if len(short) >= _LONG else 1
        return edits(left, right, most) <= most


def _without_common(one: Words, two: Words) -> tuple[list[str], list[str]]:
    """Return the words of each that the other lacks, in order."""
    return _beyond(one, two), _beyond(two, one)


def _beyond(one: Words, two: Words) -> list[str]:
    if len(two) <= _SHORT and len(set(one)) == len(one):
        return [word for word in one if word not in two]
    left, rest = Counter(two), []
    for word in one:
        left[word] -= 1
        if left[word] < 0:
            rest.append(word)
    return rest


def _spell(short: list[str], long: list[str]) -> bool:
    """Take out a word that is the initials of all that is left of the other name; tells whether there was one."""
    if len(long) < 2:
        return False
    for word in short:
        if len(word) == len(long) and all(letter == other[0] for letter, other in zip(word, long, strict=True)):
            short.remove(word)
            long.clear()
            return True
    return False
