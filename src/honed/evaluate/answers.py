"""Calibration of the answers: estimated chances and candidate sets against queries that they were not learned from."""

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Estimates for n queries, and the truth about them; every array is ``(n,)``.

    ``chances`` where the answer is in the catalogue, ``without`` where it was hidden; ``right`` tells whether the first
    hit is right, ``sizes`` how large the candidate sets are, ``held`` whether they hold a right document.
    """

    chances: Floats
    without: Floats
    right: Floats
    sizes: Floats
    held: Floats


class ChanceBin(msgspec.Struct, frozen=True, kw_only=True):
    """Queries with an estimated chance in one tenth: its mean, the share of them that is right, their share of all."""

    chance: float
    right: float
    share: float


class AnsweredQueries(msgspec.Struct, frozen=True, kw_only=True):
    """The share of queries that is answered at a risk, and how many of those wrongly (None where none is answered).

    ``absent_answered`` is the share that is answered of queries whose answer is not in the catalogue.
    """

    risk: float
    share: float
    wrong: float | None
    absent_answered: float


class CandidateSets(msgspec.Struct, frozen=True, kw_only=True):
    """Coverage and size of the candidate sets of queries that have an answer.

    ``reached`` tells whether sets that hold the right answer as often as was wanted could be made.
    """

    reached: bool
    coverage: float
    mean_size: float
    median_size: float


class AnswerQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How estimated chances and candidate sets hold on ``n`` queries that nothing was learned from.

    ``auroc`` tells queries with their answer in the catalogue from the same ones without, ``auroc_right`` first hits
    that are right from those of queries without an answer, ``auroc_mixed`` right first hits from all others. ``absent``
    is the share of queries that is taken to have no answer, ``wanted`` the coverage that sets should have,
    ``known_names`` the number of queries left out because they are known names.
    """

    absent: float
    wanted: float
    known_names: int
    n: int
    auroc: float
    auroc_right: float | None
    auroc_mixed: float | None
    bins: list[ChanceBin]
    answered: AnsweredQueries
    sets: CandidateSets

    def line(self) -> str:
        """Return the figures as one sentence."""
        answered, sets = self.answered, self.sets
        wrong = "" if answered.wrong is None else f", {100 * answered.wrong:.1f} % of them wrong"
        return (
            f"is there an answer: AUROC {self.auroc_right or 0.0:.3f} (right against none); {100 * answered.share:.1f} "
            f"% answered at a risk of {100 * answered.risk:g} %{wrong}; candidate sets hold the right one for "
            f"{100 * sets.coverage:.1f} % (wanted {100 * self.wanted:g}), {sets.mean_size} on average"
        )


def judge_answers(
    estimates: Estimates, *, absent: float, risk: float, reached: bool, wanted: float = 0.0, known_names: int = 0
) -> AnswerQuality:
    """Return calibration, coverage and AUROC of the estimates.

    Calibration and what is answered, where the estimated chance is at least 1 - ``risk``, are those of queries of which
    the share ``absent`` has no answer.
    """
    n = len(estimates.chances)
    both, truth = np.concatenate([estimates.chances, estimates.without]), np.concatenate([estimates.right, np.zeros(n)])
    weights = np.repeat([1 - absent, absent], n)
    taken = both >= 1 - risk
    right = estimates.right > 0
    return AnswerQuality(
        absent=absent,
        wanted=wanted,
        known_names=known_names,
        n=n,
        auroc=round(auroc(estimates.chances, estimates.without), 5),
        auroc_right=round(auroc(estimates.chances[right], estimates.without), 5) if right.any() else None,
        auroc_mixed=round(auroc(both[truth > 0], both[truth == 0], weights[truth == 0]), 5) if right.any() else None,
        bins=_chance_bins(both, truth, weights),
        answered=AnsweredQueries(
            risk=risk,
            share=round(float(weights[taken].sum() / weights.sum()), 5),
            wrong=round(float(1 - np.average(truth[taken], weights=weights[taken])), 5) if taken.any() else None,
            absent_answered=round(float((estimates.without >= 1 - risk).mean()), 5),
        ),
        sets=CandidateSets(
            reached=reached,
            coverage=round(float(estimates.held.mean()), 5),
            mean_size=round(float(estimates.sizes.mean()), 2),
            median_size=round(float(np.median(estimates.sizes)), 1),
        ),
    )


def _chance_bins(chances: Floats, truth: Floats, weights: Floats) -> list[ChanceBin]:
    """Return chance and truth side by side, by tenths of the chance that are not empty; every array is ``(n,)``."""
    places = np.clip(np.digitize(chances, np.linspace(0, 1, _BINS + 1)) - 1, 0, _BINS - 1)
    return [
        ChanceBin(
            chance=round(float(np.average(chances[rows], weights=weights[rows])), 4),
            right=round(float(np.average(truth[rows], weights=weights[rows])), 4),
            share=round(float(weights[rows].sum() / weights.sum()), 5),
        )
        for rows in (np.flatnonzero(places == place) for place in range(_BINS))
        if len(rows)
    ]


def auroc(above: Floats, below: Floats, weights: Floats | None = None) -> float:
    """Return the chance that a value of the first kind is higher than one of the second; ties count half.

    ``weights`` ``(len(below),)`` say how much each of the second kind counts.
    """
    order = np.argsort(below, kind="stable")
    counts = np.ones(len(below)) if weights is None else weights[order]
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    lower, upper = np.searchsorted(below[order], above, "left"), np.searchsorted(below[order], above, "right")
    return float(((sums[lower] + sums[upper]) / 2).mean() / max(1e-12, sums[-1]))
