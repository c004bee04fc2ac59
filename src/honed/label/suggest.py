"""Terms that tell a class from the others, found in hand-labelled records and those near them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from honed.core.proportion import wilson
from honed.core.ranking import Rows
from honed.core.text import phrases
from honed.label.arrays import Classes, Probabilities
from honed.label.lists import nfc

_CONFIDENT, _MOST_CONFIDENT, _LOWEST_PRECISION = 0.9, 4000, 0.6
_FEWEST_RECORDS, _SIGNIFICANT = 3, 1.96


@dataclass(frozen=True, kw_only=True, slots=True)
class SuggestedTerm:
    """A term for the list of a class: how many records have it, and the share of those that are of the class.

    The share ``precision``, and the low bound of its 95 % interval, are of labels and of records that the labels so far
    are sure of; ``examples`` are the row numbers of some.
    """

    label: str
    term: str
    records: int
    precision: float
    low: float
    examples: tuple[int, ...]

    def as_dict(self) -> dict[str, str | int | float]:
        """Return the term as plain data for JSON, without the examples."""
        return {
            "label": self.label,
            "term": self.term,
            "records": self.records,
            "precision": round(self.precision, 4),
            "low": round(self.low, 4),
        }


class _ScoredTerm(NamedTuple):
    """A term of a class: its score, how many records of the class have it, and how many in all."""

    score: float
    term: str
    of_class: int
    total: int


def words_and_pairs(text: str) -> set[str]:
    """Return the words of a text in lower case, and the pairs of words with nothing but a space between them.

    What stands for a word in scripts that set no blanks are pairs of signs, see `honed.core.text.phrases`.
    """
    terms: set[str] = set()
    for phrase, words in phrases(nfc(text).lower()):
        terms |= {*words, *(f"{left} {right}" for left, right in pairwise(words) if f"{left} {right}" in phrase)}
    return terms


def suggest_terms(
    texts: Sequence[str],
    probabilities: Probabilities,
    hand: tuple[Rows, Classes],
    names: Sequence[str],
    taken: frozenset[str],
    *,
    n: int = 20,
) -> list[SuggestedTerm]:
    """Return up to ``n`` terms for each class, best first, without those of ``taken``.

    ``hand`` are (rows, classes) of hand-labelled records, ``names`` those of the classes. Scored by the log-odds of a
    class against the others with an informative prior (Monroe, Colaresi & Quinn 2008, "Fightin' words"), over
    hand labels and records that the labels so far are sure of.
    """
    rows, classes = _sure_records(probabilities, hand)
    counts: list[Counter[str]] = [Counter() for _ in names]
    rows_of_term: dict[str, list[int]] = {}
    for row, number in zip(rows.tolist(), classes.tolist(), strict=True):
        for term in words_and_pairs(texts[row]):
            counts[number][term] += 1
            rows_of_term.setdefault(term, []).append(row)
    totals: Counter[str] = sum(counts, Counter())
    sizes = np.bincount(classes, minlength=len(names)).astype(float).tolist()
    suggestions = []
    for number, label in enumerate(names):
        significant = _scored(counts[number], totals, sizes[number], sum(sizes))
        scored = [entry for entry in significant if not _is_taken(entry.term, taken)]
        scored.sort(key=lambda entry: (-entry.score, entry.term))
        suggestions += [
            SuggestedTerm(
                label=label,
                term=entry.term,
                records=entry.total,
                precision=entry.of_class / entry.total,
                low=wilson(entry.of_class, entry.total)[0],
                examples=tuple(rows_of_term[entry.term][:3]),
            )
            for entry in _without_repeats(scored)
            if wilson(entry.of_class, entry.total)[0] >= _LOWEST_PRECISION
        ][:n]
    return suggestions


def _sure_records(probabilities: Probabilities, hand: tuple[Rows, Classes]) -> tuple[Rows, Classes]:
    """Return rows and classes of the hand labels, then of the records with the most confident labels."""
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    confident = confidence >= _CONFIDENT
    confident[hand[0]] = False
    rows = np.flatnonzero(confident)
    rows = rows[np.argsort(-confidence[rows], kind="stable")][:_MOST_CONFIDENT]
    return np.concatenate([hand[0], rows]), np.concatenate([hand[1], top[rows]])


def _scored(counts: Counter[str], totals: Counter[str], size: float, n: float) -> Iterator[_ScoredTerm]:
    """Yield the terms that are significantly more frequent in a class than in the others.

    ``counts`` and ``totals`` are of records with a term, in the class and in all; the class has ``size`` of ``n``.
    """
    for term, count in counts.items():
        total = totals[term]
        if count < _FEWEST_RECORDS:
            continue
        score = _log_odds(count, size, total - count, n - size, total)
        if score > _SIGNIFICANT:
            yield _ScoredTerm(score, term, count, total)


def _log_odds(inside: float, n_inside: float, outside: float, n_outside: float, prior: float) -> float:
    """Return how many standard errors a term's log-odds inside a class are above those outside."""
    alpha = 0.5 + 0.01 * prior
    left = log((inside + alpha) / (n_inside - inside + alpha))
    right = log((outside + alpha) / (n_outside - outside + alpha))
    return (left - right) / sqrt(1 / (inside + alpha) + 1 / (outside + alpha))


def _is_taken(term: str, taken: frozenset[str]) -> bool:
    return term in taken or any(word in taken for word in term.split())


def _without_repeats(scored: Sequence[_ScoredTerm]) -> list[_ScoredTerm]:
    """Return terms, best first, without those that have a word of a better one."""
    kept: list[_ScoredTerm] = []
    seen: set[str] = set()
    for entry in scored:
        words = set(entry.term.split())
        if not words & seen:
            kept.append(entry)
            seen |= words
    return kept
