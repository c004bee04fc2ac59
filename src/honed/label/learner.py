"""The active learner: a classifier on embeddings, judged on texts it was not taught, and what to label next."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.tensors import unit_rows
from honed.label.arrays import Classes, Probabilities, Votes
from honed.label.calibration import softmax, temperature_of_logits

_ABSENT = 1e-3  # the probability of a class that a fit has no example of
_UNREACHABLE = 1.01
_BLOCK = 100_000
_FEW_JUDGED = 10  # records that a class's own confidence can be read from
_MOST_COMPARED = 3000  # hand labels that recipes are compared on
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
NEARNESS = (0.0, 5.0, 10.0, 20.0, 40.0, 80.0)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the learner comes to its probabilities: logistic regression, and how near a record is to each class.

    ``c`` is the inverse strength of the L2 penalty, ``nearness`` the weight of the cosine between a record and the
    centroid of a class beside the logits, ``temperature`` divides their sum. ``unseen`` is the estimated share of
    records whose class has no example.
    """

    c: float = 1.0
    nearness: float = 0.0
    temperature: float = 1.0
    unseen: float = 1e-3


USUAL = Recipe()


class _Scores(NamedTuple):
    """Of records and the classes that a fit has examples of: log-probabilities ``(n, n_seen)``, and cosines."""

    log_shares: Probabilities
    cosines: Probabilities

    def logits(self, nearness: float) -> Probabilities:
        return self.log_shares + nearness * self.cosines


class _Classifier:
    """Logistic regression and centroids of weighted examples of at least two classes."""

    def __init__(self, vectors: Vectors, classes: Classes, weights: Probabilities, c: float) -> None:
        from sklearn.linear_model import LogisticRegression

        self.regression = LogisticRegression(C=c, max_iter=300, tol=1e-3).fit(vectors, classes, sample_weight=weights)
        self.seen: Classes = self.regression.classes_
        members = [classes == number for number in self.seen]
        means = [np.average(vectors[inside], axis=0, weights=weights[inside]) for inside in members]
        self.middle = np.mean(means, axis=0)
        self.centroids = unit_rows(np.stack(means) - self.middle)

    def scores(self, vectors: Vectors) -> _Scores:
        """Return the scores of records for the classes ``seen``."""
        log_shares = np.log(np.maximum(self.regression.predict_proba(vectors), 1e-30)).astype(np.float64)
        return _Scores(log_shares, (unit_rows(vectors - self.middle) @ self.centroids.T).astype(np.float64))


def predict_probabilities(
    vectors: Vectors, rows: Rows, classes: Classes, weights: Probabilities, n_classes: int, recipe: Recipe = USUAL
) -> Probabilities:
    """Fit the learner on some ``rows`` of ``vectors`` ``(n, dim)``; return probabilities ``(n, n_classes)`` of all.

    ``classes`` and ``weights`` ``(n_rows,)`` are those of the rows. Where there is one class alone, all are of it.
    """
    probabilities = np.full((len(vectors), n_classes), _ABSENT)
    seen = np.unique(classes)
    if len(seen) == 1:
        probabilities[:, seen[0]] = 1.0
    elif len(seen):
        classifier = _Classifier(vectors[rows], classes, weights, recipe.c)
        for start in range(0, len(vectors), _BLOCK):
            block = slice(start, start + _BLOCK)
            logits = classifier.scores(vectors[block]).logits(recipe.nearness)
            probabilities[block, classifier.seen] = softmax(logits / recipe.temperature)
    return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))


def cross_fit_probabilities(
    vectors: Vectors, rows: Rows, classes: Classes, folds: Rows, n_classes: int, recipe: Recipe = USUAL
) -> Probabilities:
    """Return probabilities ``(n, n_classes)``: of labelled rows by fits without their fold, of others by the whole fit.

    ``rows``, ``classes`` and ``folds`` are ``(n_labelled,)``.
    """
    probabilities = predict_probabilities(vectors, rows, classes, np.ones(len(rows)), n_classes, recipe)
    for fold in np.unique(folds):
        inside, outside = rows[folds == fold], folds != fold
        local = np.concatenate([rows[outside], inside])
        taught, weights = np.arange(int(outside.sum())), np.ones(int(outside.sum()))
        fitted = predict_probabilities(vectors[local], taught, classes[outside], weights, n_classes, recipe)
        probabilities[inside] = fitted[len(taught) :]
    return probabilities


def choose_recipe(vectors: Vectors, classes: Classes, n_folds: int, seed: int) -> Recipe:
    """Return the recipe under which hand labels ``(n_hand,)`` of ``vectors`` ``(n_hand, dim)`` are likeliest, unseen.

    Every strength and nearness is judged by cross-fitting, with the temperature that suits it. A label whose class the
    other folds have no example of tells nothing of them; the share of such labels is what is ``unseen``: about that
    share of all records is of classes without a label (Good 1953). The usual recipe where there is nothing to judge by.
    """
    if len(classes) > _MOST_COMPARED:
        chosen = np.random.default_rng(seed).permutation(len(classes))[:_MOST_COMPARED]
        vectors, classes = vectors[chosen], classes[chosen]
    folds = stratified_folds(classes, n_folds, seed)
    best, most, judged = USUAL, -np.inf, np.zeros(len(classes), dtype=bool)
    for c in STRENGTHS:
        scores = _cross_fitted(vectors, classes, folds, c)
        if scores is None:
            return USUAL
        judged = np.isfinite(scores.log_shares[np.arange(len(classes)), classes])
        for nearness in NEARNESS if judged.any() else ():
            temperature, likelihood = temperature_of_logits(scores.logits(nearness)[judged], classes[judged])
            if likelihood > most:
                best, most = Recipe(c=c, nearness=nearness, temperature=temperature), likelihood
    n = len(classes)
    return replace(best, unseen=max(float((~judged).sum()) / n, 1 / (n + 2)))


def _cross_fitted(vectors: Vectors, classes: Classes, folds: Rows, c: float) -> _Scores | None:
    """Return scores of all records by fits without their fold, -inf for classes that those had no example of.

    None where a fit has fewer than two classes.
    """
    shape = (len(classes), int(classes.max(initial=0)) + 1)
    log_shares, cosines = np.full(shape, -np.inf), np.zeros(shape)
    for fold in np.unique(folds):
        inside = folds == fold
        if len(np.unique(classes[~inside])) < 2:
            return None
        classifier = _Classifier(vectors[~inside], classes[~inside], np.ones(int((~inside).sum())), c)
        scores = classifier.scores(vectors[inside])
        cells = np.ix_(inside, classifier.seen)
        log_shares[cells], cosines[cells] = scores.log_shares, scores.cosines
    return _Scores(log_shares, cosines) if len(classes) else None


def stratified_folds(classes: Classes, n_folds: int, seed: int) -> Rows:
    """Return a fold for each labelled record ``(n,)``: the records of each class dealt out evenly, in seeded order."""
    random = np.random.default_rng(seed)
    folds, next_fold = np.zeros(len(classes), dtype=np.int64), 0
    for number in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == number))
        folds[members] = (np.arange(len(members)) + next_fold) % n_folds
        next_fold += len(members)
    return folds


def fit_confidence_minimums(probabilities: Probabilities, classes: Classes, precision: float) -> Probabilities:
    """Return for each class the confidence ``(n_classes,)`` from which on it is right with ``precision``.

    Estimated on cross-fitted probabilities of hand-labelled records; 1.01 where no confidence is enough. Classes that
    are likeliest for fewer than ten of them are estimated together.
    """
    n_classes = probabilities.shape[1]
    minimums = np.full(n_classes, _UNREACHABLE)
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    few = np.bincount(top, minlength=n_classes) < _FEW_JUDGED
    groups = [few, *(np.arange(n_classes) == number for number in np.flatnonzero(~few))]
    for group in groups:
        members = np.flatnonzero(group[top])
        order = members[np.argsort(-confidence[members], kind="stable")]
        right = np.cumsum(classes[order] == top[order]) / np.arange(1, len(order) + 1)
        enough = np.flatnonzero((right >= precision) & np.append(np.diff(confidence[order]) != 0, True)[: len(order)])
        if len(enough):
            minimums[group] = confidence[order[enough[-1]]]
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
