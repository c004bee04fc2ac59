"""The score of a hit: the one number by which hits are ranked, whatever ranks them.

- A known name has `KNOWN_NAME`, 1: it was looked up, not estimated.
- What meaning alone ranks has the cosine by which it is ranked, in [-1, 1].
- What the hybrid or a cross-encoder ranks has its share of the softmax over all candidates of the query, between 0 and
  1. Their scores are log-odds among the candidates of one query, learned to make the share of the right one large; the
  log-odds themselves have no zero, and mean nothing beside those of another query.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.ranking import Rows
from honed.core.records import Hit

Odds: TypeAlias = npt.NDArray[np.floating]
KNOWN_NAME = 1.0
_MOST_ESTIMATED = 0.999999  # what is estimated never stands level with a known name
_DIGITS = 6


class RankedLabels(NamedTuple):
    """Labels by their numbers ``(n,)``, best first, with the log-odds by which they are ranked ``(n,)``."""

    numbers: Rows
    odds: Odds

    def first(self, n: int) -> "RankedLabels":
        """Return the first ``n`` of them."""
        return RankedLabels(self.numbers[:n], self.odds[:n])

    def followed_by(self, deeper: "RankedLabels") -> "RankedLabels":
        """Return the ranking with those of another behind it that are not in it, none with higher log-odds."""
        new = ~np.isin(deeper.numbers, self.numbers)
        odds = np.minimum(deeper.odds[new], self.odds.min(initial=np.inf))
        return RankedLabels(np.concatenate([self.numbers, deeper.numbers[new]]), np.concatenate([self.odds, odds]))


def log_total(odds: Odds) -> float:
    """Return the logarithm of the sum of the odds of all candidates, what each share is of; 0 without a candidate."""
    return float(np.logaddexp.reduce(odds)) if len(odds) else 0.0


def shares(odds: Odds, total: float) -> Odds:
    """Return the share ``(n,)`` of each candidate, by its log-odds, of all of them; ``total`` is their `log_total`."""
    part: Odds = np.minimum(np.exp(np.minimum(odds - total, 0.0)), _MOST_ESTIMATED)
    return part


def rounded(score: float) -> float:
    """Return a score with 6 digits, however small it is: order is kept."""
    return float(f"{score:.{_DIGITS}g}")


def known_chances(hits: Sequence[Hit], n_known: int) -> list[Hit]:
    """Return hits with the chance of each to be right where the query is a known name of ``n_known`` entities."""
    share = round(1 / n_known, 4)
    return [replace(hit, chance=share if hit.score == KNOWN_NAME else 0.0) for hit in hits]


def estimated_chances(hits: Sequence[Hit], chance: float) -> list[Hit]:
    """Return hits with the chance of each to be right, where ``chance`` is that of the first.

    The others have it in the proportion of their shares, so far as what the first leaves over reaches. Entities of one
    label cannot be told apart and have the chance of the label.
    """
    if not hits:
        return []
    first = hits[0]
    rate = min(chance / first.score, (1 - chance) / (1 - first.score))
    return [replace(hit, chance=round(chance if hit.text == first.text else rate * hit.score, 4)) for hit in hits]
