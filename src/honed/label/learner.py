"""The active learner: a classifier on embeddings, honest about texts it was taught, that knows what to ask next."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Vectors

Shares = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int64]
_UNSEEN = 1e-3  # the share of a class that a fit has not seen


def classify(vectors: Vectors, rows: Rows, classes: Classes, weights: Shares, n_classes: int) -> Shares:
    """Fit logistic regression on some rows of ``vectors`` ``(n, dim)``; returns shares ``(n, n_classes)`` for all.

    ``classes`` and ``weights`` ``(len(rows),)`` belong to the rows. One class alone is answered with itself.
    """
    shares = np.full((len(vectors), n_classes), _UNSEEN)
    seen = np.unique(classes)
    if len(seen) == 1:
        shares[:, seen[0]] = 1.0
    elif len(seen):
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1.0, max_iter=300, tol=1e-3)
        model.fit(vectors[rows], classes, sample_weight=weights)
        for start in range(0, len(vectors), 100_000):
            shares[start : start + 100_000, model.classes_] = model.predict_proba(vectors[start : start + 100_000])
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def cross_fitted(vectors: Vectors, rows: Rows, classes: Classes, folds: Rows, n_classes: int) -> Shares:
    """Return shares ``(n, n_classes)``: of taught rows by fits without their fold, of all others by the whole fit."""
    shares = classify(vectors, rows, classes, np.ones(len(rows)), n_classes)
    for fold in np.unique(folds):
        inside, outside = rows[folds == fold], folds != fold
        local = np.concatenate([rows[outside], inside])
        taught = np.arange(int(outside.sum()))
        found = classify(vectors[local], taught, classes[outside], np.ones(len(taught)), n_classes)
        shares[inside] = found[len(taught) :]
    return shares


def stratified_folds(classes: Classes, n_folds: int, seed: int) -> Rows:
    """Return a fold for each labelled record ``(n,)``: the records of each class dealt out evenly, in seeded order."""
    random = np.random.default_rng(seed)
    folds, next_fold = np.zeros(len(classes), dtype=np.int64), 0
    for each in np.unique(classes):
        members = random.permutation(np.flatnonzero(classes == each))
        folds[members] = (np.arange(len(members)) + next_fold) % n_folds
        next_fold += len(members)
    return folds


def tempered(shares: Shares, temperature: float) -> Shares:
    """Return shares with a temperature: above 1 they are less sure, below 1 more."""
    logs = np.log(np.clip(shares, 1e-12, 1)) / temperature
    raised = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def fit_temperature(shares: Shares, classes: Classes) -> float:
    """Return the temperature, between 0.2 and 5, under which shares ``(n, n_classes)`` are most likely.

    Guo et al. 2017, arXiv 1706.04599.
    """
    candidates = np.geomspace(0.2, 5, 81)
    own = np.arange(len(classes))
    costs = [-np.log(tempered(shares, each)[own, classes] + 1e-12).mean() for each in candidates]
    return float(candidates[int(np.argmin(costs))])


def least_confidence(shares: Shares, classes: Classes, precision: float) -> Shares:
    """Return for each class the confidence above which votes for it are right with ``precision`` ``(n_classes,)``.

    Estimated on cross-fitted shares of hand-labelled records; 1.01 where no confidence is enough.
    """
    found = np.full(shares.shape[1], 1.01)
    top, confidence = shares.argmax(axis=1), shares.max(axis=1)
    for each in range(shares.shape[1]):
        mine = np.flatnonzero(top == each)
        order = mine[np.argsort(-confidence[mine], kind="stable")]
        right = np.cumsum(classes[order] == each) / np.arange(1, len(order) + 1)
        enough = np.flatnonzero(right >= precision)
        if len(enough):
            found[each] = confidence[order[enough[-1]]]
    return found


def next_records(vectors: Vectors, shares: Shares, votes: npt.NDArray[np.int16], known: Sequence[int], n: int) -> Rows:
    """Return ``n`` rows that are most worth labelling: uncertain, or in dispute among the rules, and unlike each other.

    The most doubtful are thinned out greedily: the next is the one furthest from all that were taken (Sener & Savarese
    2018, arXiv 1708.00489), among those in doubt.
    """
    ordered = np.sort(shares, axis=1)
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
        worth[[at for at, row in enumerate(pool) if row in set(taken)]] = -np.inf
        best = int(np.argmax(worth))
        taken.append(int(pool[best]))
        nearest = np.maximum(nearest, vectors[pool] @ vectors[pool[best]])
    return np.array(taken, dtype=np.int64)
