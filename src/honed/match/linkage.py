"""The chance that two rows are one entity, learned without a label.

Fellegi and Sunter 1969, "A Theory for Record Linkage": a level of agreement says as much as it is likelier of pairs of
one entity (m) than of others (u). Both, and the share of such pairs, are estimated by expectation maximisation
(Dempster, Laird and Rubin 1977; Winkler 1988) over the candidate pairs, as their most probable values under priors.

Names first: their priors, what slips make of the table's own names against its far neighbours and a guess about what is
nearly called the same, weigh as much as the pairs do. With names alone nothing but the priors tells the kinds apart;
without them the kinds drift to "of one town" and "of others". Evidence then learns from what names say, and what it
says of others is learned apart for those that are nearly called the same: a university and its hospital share a town.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.json import Json
from honed.match.comparisons import MISSING, NAME, NUMBERS, Levels, shares
from honed.match.words import (
    EXACT,
    EXTRA_HALF,
    EXTRA_HEAVY,
    EXTRA_LIGHT,
    INITIALS,
    N_LEVELS,
    OTHER,
    OTHER_HALF,
    OTHER_LIGHT,
    SAME,
    SLIPS,
)

Floats: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.int64]
_SHARE = 0.05  # of the candidate pairs that are of one entity, before any is seen
_GUESS = (0.88, 0.06, 0.06)  # evidence of one entity: the same, in part, other
_PRIOR, _LEAST = 20.0, 0.5  # pairs that a prior counts for, and any level, of evidence
_ANCHOR = 0.5  # of what is said of names, that the priors count for
_FAR = 3  # neighbours further than so many are hardly of one entity
_ROUNDS, _STILL = 200, 1e-5
_NEARLY_SAME = (EXTRA_LIGHT, EXTRA_HALF, EXTRA_HEAVY, OTHER_LIGHT)
# of candidate pairs of others, those that are nearly called the same, and how: a guess, the same for every table
_NEAR = 0.1
_NEARLY = {
    EXACT: 0.002, SAME: 0.003, SLIPS: 0.015, INITIALS: 0.03, EXTRA_LIGHT: 0.25, EXTRA_HALF: 0.2, EXTRA_HEAVY: 0.1,
    OTHER_LIGHT: 0.15, OTHER_HALF: 0.15, OTHER: 0.1,
}  # fmt: skip
MOST_SURE = 12.0  # of log-odds


@dataclass(frozen=True, kw_only=True)
class Linkage:
    """How likely each level is, an array for each comparison: ``of_one`` ``(n_levels,)`` of pairs of one entity.

    ``of_others`` ``(2, n_levels)`` is of others, those with nearly the same name second; ``share`` is the share of
    candidate pairs that are of one entity.
    """

    of_one: Sequence[Floats]
    of_others: Sequence[Floats]
    share: float

    def log_odds(self, levels: Levels, rarity: Floats) -> Floats:
        """Return the log-odds of pairs ``(n_pairs,)`` to be of one entity, within `MOST_SURE` of even.

        ``rarity`` ``(n_pairs,)`` is what rare values say more; it counts nothing for nearly the same names.
        """
        near = self._near(levels)
        return np.clip(self.levels_log_odds(levels) + np.where(near == 1, 0.0, rarity), -MOST_SURE, MOST_SURE)

    def levels_log_odds(self, levels: Levels) -> Floats:
        """Return the log-odds of pairs by their levels alone ``(n_pairs,)``."""
        total = np.full(len(levels), np.log(self.share / (1 - self.share)))
        near = self._near(levels)
        for at, (one, others) in enumerate(zip(self.of_one, self.of_others, strict=True)):
            weights = np.hstack([np.log(one / others), np.zeros((2, 1))])  # the last for what is missing
            total += weights[near, levels[:, at]]
        return total

    def _near(self, levels: Levels) -> Numbers:
        return nearly_same(levels, len(self.of_one[NAME]))

    def as_dict(self) -> dict[str, Json]:
        """Return the estimates as plain data."""
        return {
            "share": self.share,
            "of_one": [one.tolist() for one in self.of_one],
            "of_others": [others.tolist() for others in self.of_others],
        }


def nearly_same(levels: Levels, size: int) -> Numbers:
    """Return 1 for pairs of names of which one has words besides, or both a few; ``size`` is the number of levels."""
    return np.isin(levels[:, NAME] // (size // N_LEVELS), _NEARLY_SAME).astype(np.int64)


def learn_linkage(levels: Levels, ranks: Numbers, slips: Levels, random: Levels, sizes: Sequence[int]) -> Linkage:
    """Learn from the levels of candidate pairs ``(n_pairs, n_comparisons)`` and as the how manieth neighbours they met.

    ``slips`` ``(n_slips,)`` are levels of names and what slips made of them, ``random`` those of random pairs, and
    ``sizes`` the numbers of levels. The time is that of sorting the pairs, then of the distinct rows of levels.
    """
    far = levels[ranks >= _FAR] if (ranks >= _FAR).any() else levels
    one, others = [], []
    for at, size in enumerate(sizes):
        of_far, of_random = shares(far[:, at], size), shares(random[:, at], size)
        if at == NAME:
            one.append(_even(0.98 * shares(slips, size) + 0.02 / size))
            others.append(_even((1 - _NEAR) * of_far + _NEAR * _nearly(levels[:, at], size) + 1e-6)[None].repeat(2, 0))
        else:
            one.append(_PRIOR * np.array(_GUESS))
            others.append((_PRIOR * (of_far + of_random) / 2 + _LEAST)[None].repeat(2, 0))
    rows, counts = np.unique(levels, axis=0, return_counts=True)
    names = [at for at in range(len(sizes)) if at <= NUMBERS]
    priors = (one, others)
    model = Linkage(of_one=[_even(part) for part in one], of_others=[_even(part) for part in others], share=_SHARE)
    without = rows.copy()
    without[:, len(names) :] = MISSING
    model = _maximised(model, without, counts.astype(np.float64), priors, names)
    return _maximised(model, rows, counts.astype(np.float64), priors, range(len(names), len(sizes)))


def _nearly(levels: Levels, size: int) -> Floats:
    """Return what is guessed of pairs that are nearly called the same: within a level of words as candidates are."""
    width = size // N_LEVELS
    seen = (np.bincount(levels, minlength=size) + 1.0 / width).reshape(N_LEVELS, width)
    guess = np.array([_NEARLY[level] for level in range(N_LEVELS)])
    result: Floats = (guess[:, None] * seen / seen.sum(axis=1, keepdims=True)).ravel()
    return result


def _even(counts: Floats) -> Floats:
    result: Floats = counts / counts.sum(axis=-1, keepdims=True)
    return result


def _maximised(
    model: Linkage,
    rows: Levels,
    counts: Floats,
    priors: tuple[Sequence[Floats], Sequence[Floats]],
    learned: Sequence[int],
) -> Linkage:
    """Return the most probable estimates of the ``learned`` comparisons, and of the share where names are among them.

    ``counts`` ``(n_rows,)`` tells how often each distinct row of levels stands.
    """
    total, near = counts.sum(), nearly_same(rows, len(model.of_one[NAME]))
    for _ in range(_ROUNDS if learned else 0):
        chances = 1 / (1 + np.exp(-np.clip(model.levels_log_odds(rows), -30, 30)))
        matched, others = counts * chances, counts * (1 - chances)
        of_one, of_others = list(model.of_one), list(model.of_others)
        for at in learned:
            seen = _sums(rows[:, at], matched, len(of_one[at]))
            apart = np.stack([_sums(rows[:, at], others * (near == kind), len(of_one[at])) for kind in (0, 1)])
            if at == NAME:
                of_one[at] = _ANCHOR * priors[0][at] + (1 - _ANCHOR) * _even(seen + 1e-9)
                of_others[at] = _ANCHOR * priors[1][at] + (1 - _ANCHOR) * _even(apart.sum(axis=0) + 1e-9)
            else:
                of_one[at] = _even(priors[0][at] + seen)
                of_others[at] = _even(priors[1][at] + apart)
        share = float((matched.sum() + _PRIOR * _SHARE) / (total + _PRIOR)) if NAME in learned else model.share
        following = Linkage(of_one=of_one, of_others=of_others, share=share)
        moved = max(abs(float(np.abs(a - b).max())) for a, b in zip(of_one, model.of_one, strict=True))
        model = following
        if moved < _STILL:
            break
    return model


def _sums(levels: Levels, weights: Floats, size: int) -> Floats:
    known = levels >= 0
    return np.bincount(levels[known], weights=weights[known], minlength=size).astype(np.float64)
