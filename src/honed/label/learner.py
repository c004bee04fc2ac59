"""The active learner: a classifier on embeddings, judged on texts it was not taught, and what to label next."""

from collections.abc import Sequence

import numpy as np

from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.label.arrays import Classes, Probabilities, Votes

_ABSENT = 1e-3  # the probability of a class that a fit has no example of
_UNREACHABLE = 1.01
_BLOCK = 100_000


def predict_probabilities(
    vectors: Vectors, rows: Rows, classes: Classes, weights: Probabilities, n_classes: int
) -> Probabilities:
    """Fit logistic regression on some ``rows`` of ``vectors`` ``(n, dim)``; return probabilities ``(n, n_classes)``.

    ``classes`` and ``weights`` ``(n_rows,)`` are those of the rows. Where there is one class alone, all are of it.
    """
    probabilities = np.full((len(vectors), n_classes), _ABSENT)
    seen = np.unique(classes)
    if len(seen) == 1:
        probabilities[:, seen[0]] = 1.0
    elif len(seen):
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1.0, max_iter=300, tol=1e-3)
        model.fit(vectors[rows], classes, sample_weight=weights)
        for start in range(0, len(vectors), _BLOCK):
            block = slice(start, start + _BLOCK)
            probabilities[block, model.classes_] = model.predict_proba(vectors[block])
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def cross_fit_probabilities(
    vectors: Vectors, rows: Rows, classes: Classes, folds: Rows, n_classes: int
) -> Probabilities:
    """Return probabilities ``(n, n_classes)``: of labelled rows by fits without their fold, of others by the whole fit.

    ``rows``, ``classes`` and ``folds`` are ``(n_labelled,)``.
    """
    probabilities = predict_probabilities(vectors, rows, classes, np.ones(len(rows)), n_classes)
    for fold in np.unique(folds):
        inside, outside = rows[folds == fold], folds != fold
        local = np.concatenate([rows[outside], inside])
        taught = np.arange(int(outside.sum()))
        fitted = predict_probabilities(vectors[local], taught, classes[outside], np.ones(len(taught)), n_classes)
        probabilities[inside] = fitted[len(taught) :]
    return probabilities


def stratified_folds(classes: Classes, n_folds: int, seed: int) -> Rows:
    """Return a fold for each labelled record ``(n,)``: the records of each class dealt out evenly, in seeded order."""
    random = np.random.default_rng(seed)
    folds, next_fold = np.zeros(len(classes), dtype=np.int64), 0
    for number in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == number))
        folds[members] = (np.arange(len(members)) + next_fold) % n_folds
        next_fold += len(members)
    return folds


def softmax(logits: Probabilities) -> Probabilities:
    """Return the softmax over classes of ``(n, n_classes)``."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def apply_temperature(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Return probabilities ``(n, n_classes)`` that are less sure for a temperature above 1, more for one below."""
    return softmax(np.log(np.clip(probabilities, 1e-12, 1)) / temperature)


def fit_temperature(probabilities: Probabilities, classes: Classes) -> float:
    """Return the temperature, between 0.2 and 5, under which ``classes`` ``(n,)`` are most likely.

    Temperature scaling: Guo et al. 2017, arXiv 1706.04599, section 4.2.
    """
    candidates = np.geomspace(0.2, 5, 81)
    records = np.arange(len(classes))
    losses = [
        -np.log(apply_temperature(probabilities, temperature)[records, classes] + 1e-12).mean()
        for temperature in candidates
    ]
    return float(candidates[int(np.argmin(losses))])


def fit_confidence_minimums(probabilities: Probabilities, classes: Classes, precision: float) -> Probabilities:
    """Return for each class the confidence ``(n_classes,)`` from which on it is right with ``precision``.

    Estimated on cross-fitted probabilities of hand-labelled records; 1.01 where no confidence is enough.
    """
    minimums = np.full(probabilities.shape[1], _UNREACHABLE)
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    for number in range(probabilities.shape[1]):
        members = np.flatnonzero(top == number)
        order = members[np.argsort(-confidence[members], kind="stable")]
        right = np.cumsum(classes[order] == number) / np.arange(1, len(order) + 1)
        enough = np.flatnonzero(right >= precision)
        if len(enough):
            minimums[number] = confidence[order[enough[-1]]]
    return minimums


def records_to_label(
    vectors: Vectors, probabilities: Probabilities, votes: Votes, known: Sequence[int], n: int
) -> Rows:
    """Return ``n`` rows that are most worth labelling: uncertain, or disputed by the rules, and unlike each other.

    The most doubtful are thinned out greedily: the next is the one furthest from all that were taken, among those in
    doubt (k-center greedy: Sener & Savarese 2018, arXiv 1708.00489, algorithm 1). ``known`` rows are not asked for.
    """
    ordered = np.sort(probabilities, axis=1)
    doubt = 1 - (ordered[:, -1] - ordered[:, -2])
    highest = np.where(votes >= 0, votes, -1).max(axis=1, initial=-1)
    lowest = np.where(votes >= 0, votes, np.int16(32_767)).min(axis=1, initial=32_767)
    doubt = doubt + 0.25 * ((highest >= 0) & (highest != lowest))
    doubt[list(known)] = -1
    pool = np.argsort(-doubt, kind="stable")[: max(n, min(20 * n, int((doubt >= 0).sum())))]
    pool = pool[doubt[pool] >= 0]
    taken: list[int] = []
    nearest = np.full(len(pool), -np.inf)
    for _ in range(min(n, len(pool))):
        worth = doubt[pool] * (1 - np.clip(nearest, 0, 1)) if taken else doubt[pool].copy()
        worth[[place for place, row in enumerate(pool) if row in set(taken)]] = -np.inf
        best = int(np.argmax(worth))
        taken.append(int(pool[best]))
        nearest = np.maximum(nearest, vectors[pool] @ vectors[pool[best]])
    return np.array(taken, dtype=np.int64)
