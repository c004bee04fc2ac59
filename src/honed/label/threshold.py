"""Where to draw the line: a confidence for each class, above which a label is used."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.core.proportion import wilson
from honed.label.learner import Classes, Shares

Kept = npt.NDArray[np.bool_]


def class_shares(shares: Shares) -> Shares:
    """Return the estimated share of each class among records with calibrated shares ``(n, n_classes)``."""
    return np.asarray(shares.mean(axis=0)) if len(shares) else np.full(shares.shape[1], 1 / shares.shape[1])


def balanced_thresholds(shares: Shares, coverage: float) -> Shares:
    """Return thresholds ``(n_classes,)`` that label ``coverage`` of the records in the classes' estimated shares.

    A class that has too few records of its own gives all of them, and records of equal confidence stay together.
    """
    top, confidence = shares.argmax(axis=1), shares.max(axis=1)
    wanted = np.round(class_shares(shares) * coverage * len(shares)).astype(int)
    found = np.zeros(shares.shape[1])
    for each in range(shares.shape[1]):
        mine = np.sort(confidence[top == each])[::-1]
        found[each] = 1.01 if not wanted[each] or not len(mine) else mine[min(wanted[each], len(mine)) - 1]
    return found


def precise_thresholds(shares: Shares, precision: float) -> Shares:
    """Return thresholds ``(n_classes,)`` that label all that keeps the expected precision of each class."""
    top, confidence = shares.argmax(axis=1), shares.max(axis=1)
    found = np.full(shares.shape[1], 1.01)
    for each in range(shares.shape[1]):
        mine = np.sort(confidence[top == each])[::-1]
        enough = np.flatnonzero(np.cumsum(mine) / np.arange(1, len(mine) + 1) >= precision)
        enough = enough[np.append(mine[1:] != mine[:-1], True)[enough]]  # equal ones come together or not at all
        if len(enough):
            found[each] = mine[enough[-1]]
    return found


def above(shares: Shares, thresholds: Shares) -> Kept:
    """Return which records ``(n,)`` reach the threshold of their likeliest class."""
    return np.asarray(shares.max(axis=1) >= thresholds[shares.argmax(axis=1)])


def quality(shares: Shares, kept: Kept, truth: Classes, names: Sequence[str]) -> dict[str, Any]:
    """Return how right kept labels are: coverage, accuracy with interval, and each class's precision and share.

    ``truth`` ``(n,)`` holds the class of each record, -1 where it is not known; those records do not count.
    """
    known = truth >= 0
    shares, kept, truth = shares[known], kept[known], truth[known]
    top = shares.argmax(axis=1)
    right = int((top[kept] == truth[kept]).sum())
    classes = {}
    for each, name in enumerate(names):
        mine = kept & (top == each)
        hits = int((truth[mine] == each).sum())
        classes[name] = {
            "n": int(mine.sum()),
            "precision": _share(hits, int(mine.sum())),
            "recall": _share(hits, int((truth == each).sum())),
            "share": round(float(mine.sum() / max(1, kept.sum())), 4),
            "true_share": round(float((truth == each).mean()), 4) if len(truth) else 0.0,
        }
    return {
        "n": len(truth),
        "coverage": round(float(kept.mean()), 4) if len(truth) else 0.0,
        "accuracy": _share(right, int(kept.sum())),
        "classes": classes,
    }


def _share(right: int, n: int) -> dict[str, float | None]:
    low, high = wilson(right, n)
    return {"mean": round(right / n, 4) if n else None, "low": round(low, 4), "high": round(high, 4)}


def curve(shares: Shares, truth: Classes, names: Sequence[str], coverages: Sequence[float]) -> list[dict[str, Any]]:
    """Return the quality at several coverages, each with thresholds that keep the classes' estimated shares."""
    known = truth >= 0
    shares, truth = shares[known], truth[known]
    return [
        {"asked": coverage, **quality(shares, above(shares, balanced_thresholds(shares, coverage)), truth, names)}
        for coverage in coverages
    ]


def confusion(shares: Shares, kept: Kept, truth: Classes) -> list[list[int]]:
    """Return counts by true class (rows) and given class (columns); the last column counts what got no label."""
    n = shares.shape[1]
    table = np.zeros((n, n + 1), dtype=int)
    known = truth >= 0
    given = np.where(kept, shares.argmax(axis=1), n)
    np.add.at(table, (truth[known], given[known]), 1)
    return [[int(count) for count in row] for row in table]
