"""Calibration of the answers: estimated chances and candidate sets against queries that they were not learned from."""

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from honed.core.absence import AbsentShare

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Estimates for n queries, and the truth about them; every array is ``(n,)``.

    ``chances`` as the queries are, ``without`` where the answer was hidden; ``answerable`` tells which have an answer,
    ``right`` whether the first hit is right, ``sizes`` how large the candidate sets are, ``held`` whether they hold a
    right document.
    """

    answerable: Flags
    chances: Floats
    without: Floats
    right: Floats
    sizes: Floats
    held: Floats

    def of_none(self) -> Floats:
        """Return the chances of queries without an answer: those that have none, or else all with theirs hidden."""
        return self.without if self.answerable.all() else self.chances[~self.answerable]


@dataclass(frozen=True, kw_only=True)
class AcceptedRisk:
    """Which answers are given: those of a chance of at least ``cut`` (None: none), for a ``risk`` of being wrong.

    ``confidence`` and ``n_dev`` queries stand behind the promise that the risk is kept; None where none is made.
    ``sentence`` says what is promised.
    """

    risk: float
    cut: float | None
    confidence: float | None = None
    n_dev: int | None = None
    sentence: str = ""

    def given(self, chances: Floats) -> Flags:
        """Tell which answers are given."""
        return np.zeros(len(chances), dtype=bool) if self.cut is None else chances >= self.cut


class ChanceBin(msgspec.Struct, frozen=True, kw_only=True):
    """Queries with an estimated chance in one tenth: its mean, the share of them that is right, their share of all."""

    chance: float
    right: float
    share: float


class BestCut(msgspec.Struct, frozen=True, kw_only=True):
    """The cut on the chance that answers most of these very queries at the risk, and the share that it answers.

    Known only afterwards: what a learned cut can at best come near to. ``cut`` is None where no cut keeps the risk.
    """

    cut: float | None
    share: float


class AnsweredQueries(msgspec.Struct, frozen=True, kw_only=True):
    """The share of queries that is answered at a risk, and how many of those wrongly (None where none is answered).

    ``absent_answered`` is the share that is answered of queries whose answer is not in the catalogue. Answers are given
    from the chance ``cut`` on (None: none is); ``wrong_low`` and ``wrong_high`` are a 95 % interval (Clopper and
    Pearson, with Kish's effective number of answers). ``promise`` says what was promised, with ``confidence`` from
    ``n_dev`` queries, both None where nothing was.
    """

    risk: float
    share: float
    wrong: float | None
    absent_answered: float
    wrong_low: float | None = None
    wrong_high: float | None = None
    cut: float | None = None
    confidence: float | None = None
    n_dev: int | None = None
    promise: str = ""
    best: BestCut | None = None

    def sentence(self) -> str:
        """Return what is answered, how much of that is wrong, and what the best cut would answer."""
        wrong = ""
        if self.wrong is not None:
            wrong = f", {100 * self.wrong:.1f} % of them wrong"
        if self.wrong_low is not None and self.wrong_high is not None:
            wrong += f" ({100 * self.wrong_low:.1f} to {100 * self.wrong_high:.1f})"
        best = f"; the best cut, known afterwards, answers {100 * self.best.share:.1f} %" if self.best else ""
        return f"{100 * self.share:.1f} % answered at a risk of {100 * self.risk:g} %{wrong}{best}"


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
    ``known_names`` the number of queries left out because they are known names; ``absent_measured`` tells that
    ``absent`` is the share of the queries themselves and none was made by hiding an answer.
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
    absent_measured: bool = False

    def line(self) -> str:
        """Return the figures as one sentence."""
        sets, promise = self.sets, f" ({self.answered.promise})" if self.answered.promise else ""
        return (
            f"is there an answer: AUROC {self.auroc_right or 0.0:.3f} (right against none); "
            f"{self.answered.sentence()}{promise}; candidate sets hold the right one for "
            f"{100 * sets.coverage:.1f} % (wanted {100 * self.wanted:g}), {sets.mean_size} on average"
        )


def judge_answers(
    estimates: Estimates,
    accepted: AcceptedRisk,
    *,
    share: AbsentShare,
    reached: bool,
    wanted: float = 0.0,
    known_names: int = 0,
) -> AnswerQuality:
    """Return calibration, coverage and AUROC of the estimates, and how the accepted risk is kept.

    Calibration and what is answered are those of queries of which a ``share`` has no answer.
    """
    n, real = len(estimates.chances), estimates.answerable
    both, truth = np.concatenate([estimates.chances, estimates.without]), np.concatenate([estimates.right, np.zeros(n)])
    weights = np.concatenate(share.weights(real))
    both, truth, weights = (values[weights > 0] for values in (both, truth, weights))
    right, none = estimates.right > 0, estimates.of_none()
    return AnswerQuality(
        absent=round(share.absent, 5),
        absent_measured=share.measured,
        wanted=wanted,
        known_names=known_names,
        n=n,
        auroc=round(auroc(estimates.chances[real], none), 5) if real.any() else 0.5,
        auroc_right=round(auroc(estimates.chances[right], none), 5) if right.any() else None,
        auroc_mixed=round(auroc(both[truth > 0], both[truth == 0], weights[truth == 0]), 5) if right.any() else None,
        bins=_chance_bins(both, truth, weights),
        answered=answered_queries(estimates, accepted, share),
        sets=_candidate_sets(estimates, reached=reached),
    )


def answered_queries(estimates: Estimates, accepted: AcceptedRisk, share: AbsentShare) -> AnsweredQueries:
    """Return what is answered at an accepted risk, and what the best cut would have answered."""
    asked, hidden = share.weights(estimates.answerable)
    by_query = asked * accepted.given(estimates.chances) + hidden * accepted.given(estimates.without)
    total, given = float(asked.sum() + hidden.sum()), float(by_query.sum())
    right = float((asked * accepted.given(estimates.chances))[estimates.right > 0].sum())
    wrong, low, high = None, None, None
    if given > 0:
        wrong = round(1 - right / given, 5)
        low, high = exact_interval(1 - right / given, given**2 / float((by_query**2).sum()))
    return AnsweredQueries(
        risk=accepted.risk,
        share=round(given / total, 5),
        wrong=wrong,
        absent_answered=round(float(accepted.given(estimates.of_none()).mean()), 5),
        wrong_low=low,
        wrong_high=high,
        cut=accepted.cut,
        confidence=accepted.confidence,
        n_dev=accepted.n_dev,
        promise=accepted.sentence,
        best=best_cut(
            np.concatenate([estimates.chances, estimates.without]),
            np.concatenate([estimates.right, np.zeros(len(hidden))]),
            np.concatenate([asked, hidden]),
            accepted.risk,
        ),
    )


def _candidate_sets(estimates: Estimates, *, reached: bool) -> CandidateSets:
    """Return coverage and size of the candidate sets of queries that have an answer."""
    held, sizes = (values[estimates.answerable] for values in (estimates.held, estimates.sizes))
    if not len(held):
        return CandidateSets(reached=False, coverage=0.0, mean_size=0.0, median_size=0.0)
    return CandidateSets(
        reached=reached,
        coverage=round(float(held.mean()), 5),
        mean_size=round(float(sizes.mean()), 2),
        median_size=round(float(np.median(sizes)), 1),
    )


def best_cut(chances: Floats, right: Floats, weights: Floats, risk: float) -> BestCut:
    """Return the cut that answers most of what is judged with at most ``risk`` of it wrong; all arrays are ``(n,)``."""
    order = np.argsort(-chances, kind="stable")
    ordered, given = chances[order], np.cumsum(weights[order])
    wrong = np.cumsum((weights * (1 - right))[order])
    ends = np.append(ordered[1:] < ordered[:-1], True)  # equal chances are answered together
    kept = np.flatnonzero(ends & (given > 0) & (wrong <= risk * given + 1e-9))
    if not len(kept):
        return BestCut(cut=None, share=0.0)
    return BestCut(cut=round(float(ordered[kept[-1]]), 6), share=round(float(given[kept[-1]] / given[-1]), 5))


def exact_interval(share: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share of ``n`` draws (Clopper and Pearson 1934); ``n`` need not be whole."""
    from scipy.special import betaincinv

    hits, tail = share * n, (1 - level) / 2
    low = float(betaincinv(hits, n - hits + 1, tail)) if hits > 1e-9 else 0.0
    high = float(betaincinv(hits + 1, n - hits, 1 - tail)) if n - hits > 1e-9 else 1.0
    return round(low, 5), round(high, 5)


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
