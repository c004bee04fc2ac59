"""The ways to combine votes: from the evidence and the learner's probabilities to probabilities of all records.

``majority``: every rule and the learner have one vote. ``weighted``: each vote counts by the log-odds of its estimated
precision, the learner by its probabilities. ``label-model``: how often each rule votes for which class in each class is
estimated on all records by expectation maximisation (Dawid & Skene 1979), abstaining included, hand labels held fast.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from honed.label.arrays import Probabilities
from honed.label.calibration import softmax
from honed.label.evidence import Evidence, count_votes, rule_precisions
from honed.label.learner import fit_confidence_minimums

CombineVotes = Callable[[Evidence, Probabilities | None], Probabilities]
"""Evidence and the learner's probabilities ``(n, n_classes)``, None without a learner, to combined ones."""
_ROUNDS = 12


def majority(evidence: Evidence, learned: Probabilities | None) -> Probabilities:
    """Return the shares of votes for each class, ties by the learner, which votes where it is confident enough.

    Without any rule there is nothing to vote on: what the learner says is returned.
    """
    if learned is not None and not evidence.votes.shape[1]:
        return learned
    counts = count_votes(evidence.votes, evidence.n_classes)
    prior = np.full(counts.shape, 1 / evidence.n_classes)
    if learned is not None:
        minimums = fit_confidence_minimums(learned[evidence.rows], evidence.classes, evidence.learner_precision)
        top = learned.argmax(axis=1)
        confident = np.flatnonzero(learned[np.arange(len(top)), top] >= minimums[top])
        counts[confident, top[confident]] += 1
        prior = learned
    return np.asarray((counts + prior) / (counts + prior).sum(axis=1, keepdims=True))


def weighted(evidence: Evidence, learned: Probabilities | None) -> Probabilities:
    """Return probabilities by votes that count by the log-odds of their rule's precision on the hand labels."""
    precisions = np.clip(rule_precisions(evidence), 0.05, 0.98)
    log_odds = np.log(precisions / (1 - precisions) * (evidence.n_classes - 1 or 1))
    logits = np.zeros((len(evidence.votes), evidence.n_classes))
    for rule in range(evidence.votes.shape[1]):
        votes = evidence.votes[:, rule]
        rows = np.flatnonzero(votes >= 0)
        logits[rows, votes[rows]] += log_odds[rule, votes[rows]]
    return _with_learner(evidence, learned, logits)


def label_model(evidence: Evidence, learned: Probabilities | None) -> Probabilities:
    """Return probabilities under the model of Dawid & Skene (1979), fitted on all records that are not hidden."""
    n_classes = evidence.n_classes
    answers = [evidence.votes == vote for vote in range(-1, n_classes)]
    probabilities = weighted(evidence, learned)
    truth = np.eye(n_classes)[evidence.classes]
    for _ in range(_ROUNDS):
        probabilities[evidence.rows] = truth
        if evidence.hidden is not None:
            probabilities = probabilities * ~evidence.hidden[:, None]
        sizes = probabilities.sum(axis=0)
        logits = np.zeros((len(evidence.votes), n_classes))
        for number, answer in enumerate(answers):
            fired = answer.astype(np.float64)
            prior = np.where(np.arange(n_classes) == number - 1, 1.5, 1.0) if number else 20.0
            likelihood = (fired.T @ probabilities + prior) / (sizes + 20.0 + n_classes + 0.5)
            logits += fired @ np.log(likelihood)
        probabilities = _with_learner(evidence, learned, logits)
    return probabilities


def _with_learner(evidence: Evidence, learned: Probabilities | None, logits: Probabilities) -> Probabilities:
    """Return the softmax of the learner's logits plus those of the rules, weighted as the hand labels ask for.

    Rules repeat each other and what the learner sees, so that full weight would be overconfident.
    """
    if learned is None:
        return softmax(logits)
    base = np.log(np.clip(learned, 1e-12, 1))
    weight = 0.5
    if len(evidence.rows):
        records = np.arange(len(evidence.rows))
        candidates = np.linspace(0.1, 1.0, 10)
        losses = [
            -np.log(
                softmax(base[evidence.rows] + candidate * logits[evidence.rows])[records, evidence.classes] + 1e-12
            ).mean()
            + 0.02 * (candidate - 0.5) ** 2
            for candidate in candidates
        ]
        weight = float(candidates[int(np.argmin(losses))])
    return softmax(base + weight * logits)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way to combine votes, and how many sources (rules and learner) it needs at the least."""

    combine: CombineVotes
    fewest_sources: int = 1


# name in honed.toml -> way; the first is kept unless another is better
WAYS: dict[str, Way] = {
    "majority": Way(combine=majority),
    "weighted": Way(combine=weighted),
    "label-model": Way(combine=label_model, fewest_sources=3),
}


def find_way(name: str) -> Way:
    """Return the way of a name; `KeyError` for one that is unknown."""
    return WAYS[name]
