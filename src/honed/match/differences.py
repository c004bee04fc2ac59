"""Where two names differ, in words and letters: what a person who compares them should look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple, TypeAlias

from honed.core.text import fold_accents, word_spans

Span: TypeAlias = tuple[int, int]  # start and end in characters
_MOST_CHARS, _MOST_ODD = 400, 40  # of a text, and of its words without a partner, that are compared
_ALIKE = 0.6  # the share of letters in common from which two words are one word written in two ways


@dataclass(frozen=True, kw_only=True, slots=True)
class Differences:
    """The spans of either text that the other lacks, in their order; words count wherever they stand."""

    left: Sequence[Span]
    right: Sequence[Span]


class _Word(NamedTuple):
    start: int
    end: int
    text: str
    key: str


def differences(left: str, right: str) -> Differences:
    """Return where two texts differ, beyond case, accents and the order of words.

    Words that are nearly the same are compared letter by letter. Of longer texts the first 400 characters count.
    """
    lefts, rights = _words(left), _words(right)
    odd_left, odd_right = _without(lefts, rights)[:_MOST_ODD], _without(rights, lefts)[:_MOST_ODD]
    spans: tuple[list[Span], list[Span]] = ([], [])
    for one in odd_left:
        other = max(odd_right, key=lambda word: _likeness(one, word), default=None)
        if other is None or _likeness(one, other) < _ALIKE:
            spans[0].append((one.start, one.end))
            continue
        odd_right.remove(other)
        for place, found in enumerate(_letters(one, other)):
            spans[place].extend(found)
    spans[1].extend((word.start, word.end) for word in odd_right)
    return Differences(left=sorted(spans[0]), right=sorted(spans[1]))


def _words(text: str) -> list[_Word]:
    text = text[:_MOST_CHARS]
    return [_Word(start, end, text[start:end], fold_accents(text[start:end])) for start, end in word_spans(text)]


def _without(words: Sequence[_Word], others: Sequence[_Word]) -> list[_Word]:
    """Return the words that the others lack, each of the others counted once."""
    left = [word.key for word in others]
    odd = []
    for word in words:
        if word.key in left:
            left.remove(word.key)
        else:
            odd.append(word)
    return odd


def _likeness(one: _Word, other: _Word) -> float:
    """Return the share of letters that two words have in common, in their order."""
    return SequenceMatcher(None, one.key, other.key, autojunk=False).ratio()


def _letters(one: _Word, other: _Word) -> tuple[list[Span], list[Span]]:
    """Return the letters of either word that the other lacks."""
    left, right = ([fold_accents(letter) or letter for letter in word.text] for word in (one, other))
    spans: tuple[list[Span], list[Span]] = ([], [])
    for kind, a, b, c, d in SequenceMatcher(a=left, b=right, autojunk=False).get_opcodes():
        if kind != "equal":
            spans[0].extend([(one.start + a, one.start + b)] if b > a else [])
            spans[1].extend([(other.start + c, other.start + d)] if d > c else [])
    return spans
