"""Which labels are used: for each class a threshold of confidence, and how right the labels above it are."""

from collections.abc import Sequence

import numpy as np

from honed.core.proportion import wilson
from honed.core.protocols import Mask
from honed.label.arrays import Classes, Probabilities
from honed.label.report import ClassQuality, CoveragePoint, Interval, LabelQuality

_UNREACHABLE = 1.01


def class_shares(probabilities: Probabilities) -> Probabilities:
    """Return the estimated share of each class ``(n_classes,)`` among records of calibrated probabilities."""
    if not len(probabilities):
        return np.full(probabilities.shape[1], 1 / probabilities.shape[1])
    return np.asarray(probabilities.mean(axis=0))


def balanced_thresholds(probabilities: Probabilities, coverage: float) -> Probabilities:
    """Return thresholds ``(n_classes,)`` that label ``coverage`` of the records in the classes' estimated shares.

    A class that is likeliest for too few records gives all of them; records of equal confidence stay together.
    """
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wanted = np.round(class_shares(probabilities) * coverage * len(probabilities)).astype(int)
    thresholds = np.full(probabilities.shape[1], _UNREACHABLE)
    for number, n_wanted in enumerate(wanted.tolist()):
        falling = np.sort(confidence[top == number])[::-1]
        if n_wanted and len(falling):
            thresholds[number] = falling[min(n_wanted, len(falling)) - 1]
    return thresholds


def overall_thresholds(probabilities: Probabilities, coverage: float) -> Probabilities:
    """Return one threshold, ``(n_classes,)`` times, that labels the ``coverage`` of the records that are surest."""
    falling = np.sort(probabilities.max(axis=1, initial=0.0))[::-1]
    n_wanted = round(coverage * len(falling))
    return np.full(probabilities.shape[1], falling[n_wanted - 1] if n_wanted else _UNREACHABLE)


def precise_thresholds(probabilities: Probabilities, precision: float) -> Probabilities:
    """Return thresholds ``(n_classes,)`` that label all that keeps the expected precision of each class."""
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    thresholds = np.full(probabilities.shape[1], _UNREACHABLE)
    for number in range(probabilities.shape[1]):
        falling = np.sort(confidence[top == number])[::-1]
        enough = np.flatnonzero(np.cumsum(falling) / np.arange(1, len(falling) + 1) >= precision)
        enough = enough[np.append(falling[1:] != falling[:-1], True)[enough]]  # equal ones all together or not at all
        if len(enough):
            thresholds[number] = falling[enough[-1]]
    return thresholds


def reaches_threshold(probabilities: Probabilities, thresholds: Probabilities) -> Mask:
    """Return which records ``(n,)`` reach the threshold of their likeliest class."""
    return np.asarray(probabilities.max(axis=1) >= thresholds[probabilities.argmax(axis=1)])


def label_quality(probabilities: Probabilities, kept: Mask, truth: Classes, names: Sequence[str]) -> LabelQuality:
    """Return how right the likeliest classes of ``kept`` records ``(n,)`` are, in all and by class.

    Records without a known class in ``truth`` ``(n,)`` do not count. ``names`` are those of the classes.
    """
    known = truth >= 0
    probabilities, kept, truth = probabilities[known], kept[known], truth[known]
    top = probabilities.argmax(axis=1)
    classes = {}
    for number, name in enumerate(names):
        labelled, true = kept & (top == number), truth == number
        right = int((labelled & true).sum())
        classes[name] = ClassQuality(
            n=int(labelled.sum()),
            precision=_interval(right, int(labelled.sum())),
            recall=_interval(right, int(true.sum())),
            share=round(float(labelled.sum() / max(1, kept.sum())), 4),
            true_share=round(float(true.mean()), 4) if len(truth) else 0.0,
        )
    return LabelQuality(
        n=len(truth),
        coverage=round(float(kept.mean()), 4) if len(truth) else 0.0,
        accuracy=_interval(int((top[kept] == truth[kept]).sum()), int(kept.sum())),
        classes=classes,
    )


def _interval(right: int, n: int) -> Interval:
    low, high = wilson(right, n)
    return Interval(mean=round(right / n, 4) if n else None, low=round(low, 4), high=round(high, 4))


def coverage_curve(
    probabilities: Probabilities,
    truth: Classes,
    names: Sequence[str],
    coverages: Sequence[float],
    *,
    by_class: bool = True,
) -> list[CoveragePoint]:
    """Return the quality at several coverages, of thresholds that keep the classes' shares, or of one for all classes.

    Thresholds are those of the records of known class in ``truth`` ``(n,)``.
    """
    thresholds = balanced_thresholds if by_class else overall_thresholds
    known = truth >= 0
    probabilities, truth = probabilities[known], truth[known]
    points = []
    for coverage in coverages:
        kept = reaches_threshold(probabilities, thresholds(probabilities, coverage))
        quality = label_quality(probabilities, kept, truth, names)
        points.append(
            CoveragePoint(
                asked=coverage,
                n=quality.n,
                coverage=quality.coverage,
                accuracy=quality.accuracy,
                classes=quality.classes,
            )
        )
    return points


def confusion_counts(probabilities: Probabilities, kept: Mask, truth: Classes) -> list[list[int]]:
    """Return counts by true class (rows) and given class (columns); the last column counts what got no label."""
    n = probabilities.shape[1]
    counts = np.zeros((n, n + 1), dtype=int)
    known = truth >= 0
    labels = np.where(kept, probabilities.argmax(axis=1), n)
    np.add.at(counts, (truth[known], labels[known]), 1)
    return [[int(count) for count in row] for row in counts]
