"""What rules and learner give together: calibrated probabilities of each class, by the way that fits the hand labels.

The learner is taught by hand labels, and the votes are combined with it in one of `WAYS`. A second lesson, of all
records that are labelled with confidence, is kept only where it makes hand labels likelier that it did not see.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from honed.core.errors import DataError
from honed.core.progress import progress
from honed.core.ranking import Rows
from honed.label.arrays import Classes, Probabilities
from honed.label.calibration import apply_temperature, fit_temperature, softmax, spread
from honed.label.evidence import Evidence
from honed.label.learner import (
    USUAL,
    Recipe,
    choose_recipe,
    cross_fit_probabilities,
    fit_confidence_minimums,
    predict_probabilities,
    stratified_folds,
)
from honed.label.report import Interval
from honed.label.ways import WAYS, find_way

AUTO, DEFAULT = "auto", "majority"
LESSONS = ("hand labels", "hand labels and confident records", "both")
_CONFIDENT, _MOST_TAUGHT = 0.7, 10_000
_HAND_WEIGHT = 0.1  # of all hand labels, where confident records weigh 1
_SHARES = (0.4, 1.0)  # of the first and the second learner: two that agree are surer than each
_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class WayComparison:
    """How right a way is on the hand labels, unseen: its accuracy, and the mean log-likelihood of the labels.

    Both are None without hand labels. ``gain`` ``(mean, low, high)`` is the paired gain in log-likelihood over the way
    ``reference``, with its 95 % bootstrap interval.
    """

    way: str
    accuracy: float | None
    log_likelihood: float | None
    reference: str
    gain: tuple[float, float, float]

    @property
    def is_better(self) -> bool:
        """Whether the interval of the gain lies above zero."""
        return self.gain[1] > 0

    def as_entry(self) -> dict[str, str | float | Interval | None]:
        """Return the entry of ``label.json``, rounded; the key of the gain names the reference: ``over_majority``."""
        mean, low, high = self.gain
        return {
            "way": self.way,
            "accuracy": _rounded(self.accuracy),
            "log_likelihood": _rounded(self.log_likelihood),
            f"over_{self.reference}": Interval(mean=round(mean, 5), low=round(low, 5), high=round(high, 5)),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


@dataclass(frozen=True, kw_only=True)
class CombinedLabels:
    """Calibrated probabilities ``(n, n_classes)`` of all records; of hand-labelled ones as if they had no label.

    ``way`` was taken for ``reason``, ``comparisons`` are of all ways that were tried, ``temperature`` calibrates them.
    ``has_learner`` tells whether there was a learner: without one, records that no rule votes for are all alike.
    ``learner_minimums`` ``(n_classes,)`` is the confidence from which on it votes, 0 without one. It was fitted by
    ``recipe``, and from the `LESSONS` of ``lesson``.
    """

    way: str
    probabilities: Probabilities
    temperature: float
    learner_minimums: Probabilities
    has_learner: bool
    comparisons: list[WayComparison]
    reason: str
    recipe: Recipe = USUAL
    lesson: str = LESSONS[0]


class _Fitted(NamedTuple):
    """Probabilities of a way: of all records, and of the hand-labelled ones by fits without their fold."""

    probabilities: Probabilities
    held_out: Probabilities
    temperature: float
    lesson: str

    def calibrated_held_out(self) -> Probabilities:
        return apply_temperature(self.held_out, self.temperature)

    def log_likelihoods(self, classes: Classes) -> Probabilities:
        return np.asarray(np.log(self.calibrated_held_out()[np.arange(len(classes)), classes] + 1e-12))


def combine(evidence: Evidence, wanted: str, n_sources: int) -> CombinedLabels:
    """Return the probabilities of the wanted way; "auto" keeps the majority unless another is better on hand labels.

    Better means: of calibrated, cross-fitted probabilities, the paired interval of the log-likelihood of the hand
    labels lies above zero. ``n_sources`` is how many rules and learners there are. Raises `DataError` for a way that
    needs more sources: a label model of fewer than three cannot tell which is wrong.
    """
    names = _ways_to_try(evidence, wanted, n_sources)
    if evidence.vectors is not None:
        recipe = choose_recipe(evidence.vectors[evidence.rows], evidence.classes, evidence.folds, evidence.seed)
        evidence = replace(evidence, recipe=recipe)
    folds = stratified_folds(evidence.classes, evidence.folds, evidence.seed)
    with progress("combine", 1 + len(np.unique(folds))) as bar:
        fitted = _fit_ways(evidence, names, folds, bar.advance)
    comparisons = _compare(fitted, evidence)
    way, reason = _choose(comparisons, len(evidence.rows))
    probabilities = apply_temperature(fitted[way].probabilities, fitted[way].temperature)
    probabilities[evidence.rows] = fitted[way].calibrated_held_out()
    probabilities = spread(probabilities, evidence.recipe.unseen)
    minimums, learned = np.zeros(evidence.n_classes), taught_by_hand(evidence)
    if learned is not None:
        minimums = fit_confidence_minimums(learned[evidence.rows], evidence.classes, evidence.learner_precision)
    return CombinedLabels(
        way=way,
        probabilities=probabilities,
        temperature=fitted[way].temperature,
        learner_minimums=minimums,
        has_learner=learned is not None,
        comparisons=comparisons,
        reason=reason,
        recipe=evidence.recipe,
        lesson=fitted[way].lesson,
    )


def _fit_ways(evidence: Evidence, names: list[str], folds: Rows, advance: Callable[[], None]) -> dict[str, _Fitted]:
    """Return each way after the lesson under which the hand labels are likelier, judged by fits without their fold."""
    whole = _lessons(evidence, names)
    advance()
    held_out = {name: np.zeros((len(whole[name]), len(evidence.rows), evidence.n_classes)) for name in names}
    for fold in np.unique(folds):
        inside = folds == fold
        for name, lessons in _lessons(evidence.without(inside), names).items():
            for lesson in range(len(whole[name])):
                held_out[name][lesson, inside] = lessons[min(lesson, len(lessons) - 1)][evidence.rows[inside]]
        advance()
    fitted = {}
    for name in names:
        taught = [
            _Fitted(probabilities, judged, fit_temperature(judged, evidence.classes), lesson=LESSONS[lesson])
            for lesson, (probabilities, judged) in enumerate(zip(whole[name], held_out[name], strict=True))
        ]
        fitted[name] = max(taught, key=lambda lesson: lesson.log_likelihoods(evidence.classes).sum())
    return fitted


def _lessons(evidence: Evidence, names: list[str]) -> dict[str, list[Probabilities]]:
    """Return for each way its probabilities after the first lesson and after the second, where there is one."""
    learned = taught_by_hand(evidence, unseen=evidence.votes.shape[1] > 0)  # else nothing is weighed by them
    return {name: lesson_probabilities(evidence, name, learned) for name in names}


def _ways_to_try(evidence: Evidence, wanted: str, n_sources: int) -> list[str]:
    n_sources = max(n_sources, 1)  # hand labels alone are one
    if wanted != AUTO:
        fewest = find_way(wanted).fewest_sources
        if n_sources < fewest:
            raise DataError(
                "E_LF_TOO_FEW",
                f"a {wanted.replace('-', ' ')} of {n_sources} sources cannot tell which is wrong: need >= {fewest} or "
                '--majority (combine = "majority")',
            )
        return [wanted]
    if len(evidence.rows) < 4 * evidence.n_classes or not evidence.votes.shape[1]:
        return [DEFAULT]
    return [name for name, way in WAYS.items() if n_sources >= way.fewest_sources]


def _compare(fitted: Mapping[str, _Fitted], evidence: Evidence) -> list[WayComparison]:
    """Return how right each way is on the hand labels, compared with the first."""
    log_likelihoods = {name: way.log_likelihoods(evidence.classes) for name, way in fitted.items()}
    first = next(iter(fitted))
    return [
        WayComparison(
            way=name,
            accuracy=_mean(way.held_out.argmax(axis=1) == evidence.classes),
            log_likelihood=_mean(log_likelihoods[name]),
            reference=first,
            gain=_mean_interval(log_likelihoods[name] - log_likelihoods[first], evidence.seed),
        )
        for name, way in fitted.items()
    ]


def _choose(comparisons: list[WayComparison], n_hand: int) -> tuple[str, str]:
    """Return the way that is taken and the reason: the first, or the best of those that are better than it."""
    first = best = comparisons[0]
    for comparison in comparisons:
        if comparison.is_better and (comparison.log_likelihood or 0.0) > (best.log_likelihood or 0.0):
            best = comparison
    if len(comparisons) == 1:
        return best.way, f"{best.way}: the only way" if n_hand else f"{best.way}: no hand labels to choose by"
    if best is first:
        return best.way, f"{first.way} kept: no other way is better on {n_hand} hand labels"
    mean, low, high = (round(value, 5) for value in best.gain)
    return best.way, (
        f"{best.way}: on {n_hand} hand labels, cross-fitted, its log-likelihood is better than the {first.way}'s by "
        f"{mean:.3f} ({low:.3f} to {high:.3f})"
    )


def _mean(values: npt.NDArray[np.bool_] | npt.NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _mean_interval(differences: npt.NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Return the mean and its 95 % bootstrap interval (percentiles); zeros for no differences."""
    if not len(differences):
        return 0.0, 0.0, 0.0
    random = np.random.default_rng(seed)
    means = differences[random.integers(0, len(differences), (_RESAMPLES, len(differences)))].mean(axis=1)
    return float(differences.mean()), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def lesson_probabilities(evidence: Evidence, way: str, learned: Probabilities | None) -> list[Probabilities]:
    """Return uncalibrated probabilities ``(n, n_classes)`` of one way after each of the `LESSONS` that there are.

    First with what the learner ``learned`` of the hand labels; then after it was taught twice more by what the way is
    confident of; last with the log-probabilities of both learners. Without a learner, or without confident
    records, the first alone.
    """
    combine_votes = find_way(way).combine
    first = combine_votes(evidence, learned)
    if learned is None or not len(_confident_rows(evidence, first)):
        return [first]
    again, second = learned, first
    for _ in range(2):
        again = _taught_by_confident(evidence, second, again)
        second = combine_votes(evidence, again)
    both = softmax(_SHARES[0] * np.log(learned + 1e-12) + _SHARES[1] * np.log(again + 1e-12))
    return [first, second, combine_votes(evidence, both)]


def taught_by_hand(evidence: Evidence, *, unseen: bool = True) -> Probabilities | None:
    """Return calibrated probabilities of a learner of the hand labels; None where it cannot learn.

    Those of hand-labelled records are by fits without their fold if they are to be judged ``unseen``.
    """
    if evidence.vectors is None or len(np.unique(evidence.classes)) < 2:
        return None
    rows, classes = evidence.rows, evidence.classes
    if not unseen:
        return predict_probabilities(
            evidence.vectors, rows, classes, np.ones(len(rows)), evidence.n_classes, evidence.recipe
        )
    folds = stratified_folds(classes, evidence.folds, evidence.seed)
    return cross_fit_probabilities(evidence.vectors, rows, classes, folds, evidence.n_classes, evidence.recipe)


def _taught_by_confident(evidence: Evidence, probabilities: Probabilities, learned: Probabilities) -> Probabilities:
    """Return calibrated probabilities of a learner of confident records beside the hand labels, or those it had.

    Hand-labelled records are judged, and the temperature is fitted, by a learner that did not see their labels.
    """
    assert evidence.vectors is not None
    weak = _confident_rows(evidence, probabilities)
    if not len(weak):
        return learned
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    vectors, n_classes = evidence.vectors, evidence.n_classes
    rows = np.concatenate([weak, evidence.rows])
    classes = np.concatenate([top[weak], evidence.classes])
    share = max(1.0, _HAND_WEIGHT * len(weak) / max(1, len(evidence.rows)))
    weights = np.concatenate([confidence[weak], np.full(len(evidence.rows), share)])
    recipe = evidence.recipe
    taught = predict_probabilities(vectors, rows, classes, weights, n_classes, recipe)
    weak_and_hand = np.concatenate([vectors[weak], vectors[evidence.rows]])
    taught_rows = np.arange(len(weak))
    without_hand = predict_probabilities(weak_and_hand, taught_rows, top[weak], confidence[weak], n_classes, recipe)
    judged = without_hand[len(weak) :]
    taught[evidence.rows] = judged
    known = np.isin(evidence.classes, top[weak])  # of other classes it cannot know
    return apply_temperature(taught, fit_temperature(judged[known], evidence.classes[known]))


def _confident_rows(evidence: Evidence, probabilities: Probabilities) -> Rows:
    """Return rows without a hand label whose class is sure, drawn evenly over the classes.

    So the largest class does not drown the others.
    """
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    random = np.random.default_rng(evidence.seed)
    confident = confidence > _CONFIDENT
    confident[evidence.rows] = False
    if evidence.hidden is not None:
        confident &= ~evidence.hidden
    most = _MOST_TAUGHT // evidence.n_classes
    return np.concatenate(
        [random.permutation(np.flatnonzero(confident & (top == number)))[:most] for number in range(evidence.n_classes)]
    )
