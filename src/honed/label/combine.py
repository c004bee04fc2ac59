"""What rules and learner say together: a share for each class, and how sure that is.

Three ways, from the same evidence. ``majority``: every rule and the learner have one vote. ``weighted``: each vote
counts by the log-odds of its estimated precision, the learner by its shares. ``label-model``: how often each rule fires
in each class is estimated on all records by expectation maximisation (Dawid & Skene 1979), abstaining included, hand
labels held fast. Then the learner is taught once more, by all records that are labelled with confidence, and asked
again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.core.errors import DataError
from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.label.learner import (
    Classes,
    Rows,
    Shares,
    classify,
    cross_fitted,
    fit_temperature,
    least_confidence,
    stratified_folds,
    tempered,
)

WAYS = ("majority", "weighted", "label-model")
_ROUNDS, _SURE, _MOST_TAUGHT = 12, 0.7, 10_000
_PRIOR_PRECISION, _PRIOR_VOTES = 0.75, 2.0
_NEED = 3


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of n records: unit ``vectors`` ``(n, dim)`` or None, ``votes`` ``(n, n_rules)`` with -1 for none.

    ``rows`` and ``classes`` ``(n_hand,)`` are the hand labels that may be learned from; ``hidden`` ``(n,)`` marks
    records that nothing may be learned from, not even without their labels: those of test.
    """

    n_classes: int
    votes: npt.NDArray[np.int16]
    rows: Rows
    classes: Classes
    vectors: Vectors | None = None
    hidden: npt.NDArray[np.bool_] | None = None
    folds: int = 5
    seed: int = 0
    learner_precision: float = 0.8

    @property
    def n_sources(self) -> int:
        """How many voices there are: the rules, and the learner where there is something to teach it."""
        return int(self.votes.shape[1]) + (self.vectors is not None and len(self.rows) > 0)

    def without(self, left_out: npt.NDArray[np.bool_]) -> "Evidence":
        """Return the evidence without some of the hand labels ``(n_hand,)``."""
        return replace(self, rows=self.rows[~left_out], classes=self.classes[~left_out])


@dataclass(frozen=True, kw_only=True)
class Combined:
    """Calibrated shares ``(n, n_classes)`` of all records; of hand-labelled ones as if their label were not known.

    ``learned`` tells whether there was a learner: without one, records that no rule speaks for are not told apart.
    """

    way: str
    shares: Shares
    temperature: float
    minimum: Shares
    learned: bool
    compared: list[dict[str, Any]]
    reason: str


def combine(evidence: Evidence, wanted: str, n_sources: int) -> Combined:
    """Return the shares of the wanted way; "auto" keeps the majority unless another is better on the hand labels.

    Better means: of calibrated, cross-fitted shares, the paired interval of the log-likelihood of the hand labels lies
    above zero. Raises `DataError` for a label model of fewer than three sources, which cannot tell who is wrong.
    """
    if wanted == "label-model" and n_sources < _NEED:
        raise DataError(
            "E_LF_TOO_FEW",
            f"a label model of {n_sources} sources cannot tell which is wrong: need >= 3 or --majority "
            '(combine = "majority")',
        )
    ways = [wanted] if wanted != "auto" else [each for each in WAYS if each != "label-model" or n_sources >= _NEED]
    if len(evidence.rows) < 4 * evidence.n_classes and wanted == "auto":
        ways = ["majority"]
    folds = stratified_folds(evidence.classes, evidence.folds, evidence.seed)
    found: dict[str, tuple[Shares, Shares, float]] = {}
    with progress("combine", len(ways) * (1 + len(np.unique(folds)))) as bar:
        for way in ways:
            whole = shares_of(evidence, way)
            bar.advance()
            held_out = np.zeros((len(evidence.rows), evidence.n_classes))
            for fold in np.unique(folds):
                inside = folds == fold
                held_out[inside] = shares_of(evidence.without(inside), way)[evidence.rows[inside]]
                bar.advance()
            temperature = fit_temperature(held_out, evidence.classes) if len(held_out) else 1.0
            found[way] = whole, held_out, temperature
    way, compared, reason = _choose(found, evidence)
    whole, held_out, temperature = found[way]
    shares = tempered(whole, temperature)
    shares[evidence.rows] = tempered(held_out, temperature)
    minimum, learned = np.zeros(evidence.n_classes), _first_lesson(evidence)
    if learned is not None:
        minimum = least_confidence(learned[evidence.rows], evidence.classes, evidence.learner_precision)
    return Combined(
        way=way,
        shares=shares,
        temperature=temperature,
        minimum=minimum,
        learned=learned is not None,
        compared=compared,
        reason=reason,
    )


def _choose(
    found: Mapping[str, tuple[Shares, Shares, float]], evidence: Evidence
) -> tuple[str, list[dict[str, Any]], str]:
    own = np.arange(len(evidence.rows))
    logs, right = {}, {}
    for way, (_, held_out, temperature) in found.items():
        sure = tempered(held_out, temperature)
        logs[way] = np.log(sure[own, evidence.classes] + 1e-12)
        right[way] = held_out.argmax(axis=1) == evidence.classes
    first = next(iter(found))
    compared: list[dict[str, Any]] = []
    best = first
    for way in found:
        gain, low, high = _interval(logs[way] - logs[first], evidence.seed)
        compared.append(
            {
                "way": way,
                "accuracy": round(float(right[way].mean()), 5) if len(own) else None,
                "log_likelihood": round(float(logs[way].mean()), 5) if len(own) else None,
                "over_" + first: {"mean": round(gain, 5), "low": round(low, 5), "high": round(high, 5)},
            }
        )
        if low > 0 and logs[way].mean() > logs[best].mean():
            best = way
    if len(found) == 1:
        return best, compared, f"{best}: the only way" if len(own) else f"{best}: no hand labels to choose by"
    if best == first:
        return best, compared, f"{first} kept: no other way is better on {len(own)} hand labels"
    chosen: dict[str, float] = next(each for each in compared if each["way"] == best)["over_" + first]
    return (
        best,
        compared,
        (
            f"{best}: on {len(own)} hand labels, cross-fitted, its log-likelihood is better than the {first}'s by "
            f"{chosen['mean']:.3f} ({chosen['low']:.3f} to {chosen['high']:.3f})"
        ),
    )


def _interval(differences: npt.NDArray[Any], seed: int) -> tuple[float, float, float]:
    """Return the mean and its 95 % bootstrap interval."""
    if not len(differences):
        return 0.0, 0.0, 0.0
    random = np.random.default_rng(seed)
    means = differences[random.integers(0, len(differences), (2000, len(differences)))].mean(axis=1)
    return float(differences.mean()), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def shares_of(evidence: Evidence, way: str) -> Shares:
    """Return uncalibrated shares ``(n, n_classes)`` of one way, the learner taught twice where there are vectors."""
    learned = _first_lesson(evidence)
    shares: Shares = _WAYS[way](evidence, learned)
    if evidence.vectors is None or learned is None:
        return shares
    for _ in range(2):
        learned = _second_lesson(evidence, shares, learned)
        shares = _WAYS[way](evidence, learned)
    return shares


def _first_lesson(evidence: Evidence) -> Shares | None:
    """Return the learner's shares: cross-fitted on hand labels, calibrated."""
    if evidence.vectors is None or len(np.unique(evidence.classes)) < 2:
        return None
    folds = stratified_folds(evidence.classes, evidence.folds, evidence.seed)
    learned = cross_fitted(evidence.vectors, evidence.rows, evidence.classes, folds, evidence.n_classes)
    return tempered(learned, fit_temperature(learned[evidence.rows], evidence.classes))


def _second_lesson(evidence: Evidence, shares: Shares, learned: Shares) -> Shares:
    """Return the shares of a learner that was taught the confident records of ``shares`` beside the hand labels.

    Records are drawn evenly over the classes, so that the largest does not drown the others.
    """
    assert evidence.vectors is not None
    random = np.random.default_rng(evidence.seed)
    top, confidence = shares.argmax(axis=1), shares.max(axis=1)
    sure = confidence > _SURE
    sure[evidence.rows] = False
    if evidence.hidden is not None:
        sure &= ~evidence.hidden
    most = _MOST_TAUGHT // evidence.n_classes
    taken = [random.permutation(np.flatnonzero(sure & (top == each)))[:most] for each in range(evidence.n_classes)]
    weak = np.concatenate(taken)
    if not len(weak):
        return learned
    rows = np.concatenate([weak, evidence.rows])
    classes = np.concatenate([top[weak], evidence.classes])
    weights = np.concatenate([confidence[weak], np.ones(len(evidence.rows))])
    found = classify(evidence.vectors, rows, classes, weights, evidence.n_classes)
    some = np.concatenate([evidence.vectors[weak], evidence.vectors[evidence.rows]])  # hand labels judge, untaught
    judged = classify(some, np.arange(len(weak)), top[weak], confidence[weak], evidence.n_classes)[len(weak) :]
    found[evidence.rows] = judged
    return tempered(found, fit_temperature(judged, evidence.classes))


# -- the ways ------------------------------------------------------------------------------------


def _majority(evidence: Evidence, learned: Shares | None) -> Shares:
    counts = counted(evidence.votes, evidence.n_classes)
    shares = np.full(counts.shape, 1 / evidence.n_classes)
    if learned is not None:
        minimum = least_confidence(learned[evidence.rows], evidence.classes, evidence.learner_precision)
        top = learned.argmax(axis=1)
        rows = np.flatnonzero(learned[np.arange(len(top)), top] >= minimum[top])
        counts[rows, top[rows]] += 1
        shares = learned
    return np.asarray((counts + shares) / (counts + shares).sum(axis=1, keepdims=True))


def counted(votes: npt.NDArray[np.int16], n_classes: int) -> Shares:
    """Return how many rules vote for each class ``(n, n_classes)``."""
    return np.stack([(votes == each).sum(axis=1) for each in range(n_classes)], axis=1).astype(np.float64)


def precisions(evidence: Evidence) -> Shares:
    """Return the estimated precision of each rule's votes for each class ``(n_rules, n_classes)``, smoothed."""
    votes = evidence.votes[evidence.rows]
    given = np.stack([(votes == each).sum(axis=0) for each in range(evidence.n_classes)], axis=1)
    right = np.stack(
        [((votes == each) & (evidence.classes == each)[:, None]).sum(axis=0) for each in range(evidence.n_classes)],
        axis=1,
    )
    return np.asarray((right + _PRIOR_PRECISION * _PRIOR_VOTES) / (given + _PRIOR_VOTES))


def _weighted(evidence: Evidence, learned: Shares | None) -> Shares:
    found = np.clip(precisions(evidence), 0.05, 0.98)
    odds = np.log(found / (1 - found) * (evidence.n_classes - 1 or 1))
    said = np.zeros((len(evidence.votes), evidence.n_classes))
    for rule in range(evidence.votes.shape[1]):
        votes = evidence.votes[:, rule]
        rows = np.flatnonzero(votes >= 0)
        said[rows, votes[rows]] += odds[rule, votes[rows]]
    return _balanced(evidence, learned, said)


def _label_model(evidence: Evidence, learned: Shares | None) -> Shares:
    n = len(evidence.votes)
    answers = [evidence.votes == each for each in range(-1, evidence.n_classes)]
    shares = _weighted(evidence, learned)
    truth = np.eye(evidence.n_classes)[evidence.classes]
    for _ in range(_ROUNDS):
        shares[evidence.rows] = truth
        if evidence.hidden is not None:
            shares = shares * ~evidence.hidden[:, None]
        size = shares.sum(axis=0)
        said = np.zeros((n, evidence.n_classes))
        for number, answer in enumerate(answers):
            fired = answer.astype(np.float64)
            prior = np.where(np.arange(evidence.n_classes) == number - 1, 1.5, 1.0) if number else 20.0
            likely = (fired.T @ shares + prior) / (size + 20.0 + evidence.n_classes + 0.5)
            said += fired @ np.log(likely)
        shares = _balanced(evidence, learned, said)
    return shares


def _balanced(evidence: Evidence, learned: Shares | None, said: Shares) -> Shares:
    """Return the softmax of what learner and rules say; how much the rules count is fitted on the hand labels.

    Rules repeat each other and what the learner sees, so that full weight would be overconfident.
    """
    base = np.log(np.clip(learned, 1e-12, 1)) if learned is not None else np.zeros_like(said)
    share = 0.5 if learned is not None else 1.0
    if len(evidence.rows) and learned is not None:
        own = np.arange(len(evidence.rows))
        candidates = np.linspace(0.1, 1.0, 10)
        costs = [
            -np.log(_softmax(base[evidence.rows] + each * said[evidence.rows])[own, evidence.classes] + 1e-12).mean()
            + 0.02 * (each - 0.5) ** 2
            for each in candidates
        ]
        share = float(candidates[int(np.argmin(costs))])
    return _softmax(base + share * said)


def _softmax(logs: Shares) -> Shares:
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


_WAYS: Mapping[str, Any] = {"majority": _majority, "weighted": _weighted, "label-model": _label_model}


def agreeing(votes: npt.NDArray[np.int16], names: Sequence[str]) -> list[list[str]]:
    """Return groups of rules that always say the same: nothing tells them apart."""
    groups: dict[bytes, list[str]] = {}
    for column, name in enumerate(names):
        if (votes[:, column] >= 0).any():
            groups.setdefault(np.ascontiguousarray(votes[:, column]).tobytes(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]
