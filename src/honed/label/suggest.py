"""Terms that tell a class from the others, found in hand-labelled records and those near them."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log, sqrt
from typing import Any

import numpy as np

from honed.core.proportion import wilson
from honed.label.learner import Classes, Rows, Shares
from honed.label.lists import nfc

_WORD = re.compile(r"[^\W\d_][\w'-]*[\w]")
_PHRASE = re.compile(r"[^\w\s'-]+")
_SURE, _MOST, _LEAST = 0.9, 4000, 0.6


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """A term for the list of a class: how many records have it, and the share of those that are of the class.

    The share is estimated from labels and neighbours that the learner is sure of; ``examples`` are row numbers.
    """

    label: str
    term: str
    records: int
    precision: float
    low: float
    examples: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the term as plain data for JSON."""
        return {
            "label": self.label,
            "term": self.term,
            "records": self.records,
            "precision": round(self.precision, 4),
            "low": round(self.low, 4),
        }


def terms_of(text: str) -> set[str]:
    """Return the words of a text in lower case, and the pairs of words with nothing but a space between them."""
    found: set[str] = set()
    for phrase in _PHRASE.split(nfc(text).lower()):
        words = _WORD.findall(phrase)
        found |= {*words, *(f"{left} {right}" for left, right in pairwise(words) if f"{left} {right}" in phrase)}
    return found


def suggest_terms(
    texts: Sequence[str],
    shares: Shares,
    hand: tuple[Rows, Classes],
    names: Sequence[str],
    taken: frozenset[str],
    *,
    n: int = 20,
) -> list[Term]:
    """Return up to ``n`` terms for each class, best first, without those of ``taken``.

    Scored by the log-odds of a class against the others with an informative prior (Monroe, Colaresi & Quinn 2008, the
    "fighting words"), over hand labels and records that the labels so far are sure of.
    """
    rows, classes = _evidence(shares, hand)
    inside: list[Counter[str]] = [Counter() for _ in names]
    where: dict[str, list[int]] = {}
    for row, each in zip(rows.tolist(), classes.tolist(), strict=True):
        for term in terms_of(texts[row]):
            inside[each][term] += 1
            where.setdefault(term, []).append(row)
    every: Counter[str] = Counter()
    for counts in inside:
        every.update(counts)
    sizes = np.bincount(classes, minlength=len(names)).astype(float)
    found = []
    for each, label in enumerate(names):
        scored = []
        for term, count in inside[each].items():
            total = every[term]
            if count < 3 or term in taken or _inside_taken(term, taken):
                continue
            score = _log_odds(count, sizes[each], total - count, sizes.sum() - sizes[each], total)
            if score > 1.96:
                scored.append((score, term, count, total))
        scored.sort(key=lambda entry: (-entry[0], entry[1]))
        found += [
            Term(
                label=label,
                term=term,
                records=total,
                precision=count / total,
                low=wilson(count, total)[0],
                examples=tuple(where[term][:3]),
            )
            for _, term, count, total in _without_parts(scored)
            if wilson(count, total)[0] >= _LEAST
        ][:n]
    return found


def _evidence(shares: Shares, hand: tuple[Rows, Classes]) -> tuple[Rows, Classes]:
    top, confidence = shares.argmax(axis=1), shares.max(axis=1)
    sure = confidence >= _SURE
    sure[hand[0]] = False
    near = np.flatnonzero(sure)
    near = near[np.argsort(-confidence[near], kind="stable")][:_MOST]
    return np.concatenate([hand[0], near]), np.concatenate([hand[1], top[near]])


def _log_odds(inside: float, n_inside: float, outside: float, n_outside: float, prior: float) -> float:
    """Return how many standard errors a term's log-odds inside a class are above those outside."""
    alpha = 0.5 + 0.01 * prior
    left = log((inside + alpha) / (n_inside - inside + alpha))
    right = log((outside + alpha) / (n_outside - outside + alpha))
    return (left - right) / sqrt(1 / (inside + alpha) + 1 / (outside + alpha))


def _inside_taken(term: str, taken: frozenset[str]) -> bool:
    return any(word in taken for word in term.split())


def _without_parts(scored: list[tuple[float, str, int, int]]) -> list[tuple[float, str, int, int]]:
    """Leave out pairs of words that say no more than one of their words, and words of a better pair."""
    kept: list[tuple[float, str, int, int]] = []
    words: set[str] = set()
    for entry in scored:
        parts = set(entry[1].split())
        if not parts & words:
            kept.append(entry)
            words |= parts
    return kept
