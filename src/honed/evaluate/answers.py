"""Calibration of the answers: estimated chances and candidate sets against queries that they were not learned from."""

from dataclasses import dataclass
from typing import Any

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


def judge_answers(estimates: Estimates, *, absent: float, risk: float, reached: bool) -> dict[str, Any]:
    """Return calibration, coverage and AUROC of the estimates, as plain data.

    ``auroc`` tells queries with their answer in the catalogue from the same ones without, ``auroc_right`` first hits
    that are right from those of queries without an answer, ``auroc_mixed`` right first hits from all others; ``bins``
    are chance and truth side by side, and ``answered`` says how many are answered, and how many of those wrongly,
    where the estimated chance is at least 1 - ``risk``: both of queries of which the share ``absent`` has no answer.
    ``sets`` are coverage and size of the candidate sets of queries that have an answer.
    """
    n = len(estimates.chances)
    both, truth = np.concatenate([estimates.chances, estimates.without]), np.concatenate([estimates.right, np.zeros(n)])
    weights = np.repeat([1 - absent, absent], n)
    taken = both >= 1 - risk
    edges = np.linspace(0, 1, _BINS + 1)
    places = np.clip(np.digitize(both, edges) - 1, 0, _BINS - 1)
    right = estimates.right > 0
    return {
        "n": n,
        "auroc": round(auroc(estimates.chances, estimates.without), 5),
        "auroc_right": round(auroc(estimates.chances[right], estimates.without), 5) if right.any() else None,
        "auroc_mixed": round(auroc(both[truth > 0], both[truth == 0], weights[truth == 0]), 5) if right.any() else None,
        "bins": [
            {
                "chance": round(float(np.average(both[rows], weights=weights[rows])), 4),
                "right": round(float(np.average(truth[rows], weights=weights[rows])), 4),
                "share": round(float(weights[rows].sum() / weights.sum()), 5),
            }
            for rows in (np.flatnonzero(places == place) for place in range(_BINS))
            if len(rows)
        ],
        "answered": {
            "risk": risk,
            "share": round(float(weights[taken].sum() / weights.sum()), 5),
            "wrong": round(float(1 - np.average(truth[taken], weights=weights[taken])), 5) if taken.any() else None,
            "absent_answered": round(float((estimates.without >= 1 - risk).mean()), 5),
        },
        "sets": {
            "reached": reached,
            "coverage": round(float(estimates.held.mean()), 5),
            "mean_size": round(float(estimates.sizes.mean()), 2),
            "median_size": round(float(np.median(estimates.sizes)), 1),
        },
    }


def auroc(above: Floats, below: Floats, weights: Floats | None = None) -> float:
    """Return the chance that a value of the first kind is higher than one of the second; ties count half.

    ``weights`` ``(len(below),)`` say how much each of the second kind counts.
    """
    order = np.argsort(below, kind="stable")
    counts = np.ones(len(below)) if weights is None else weights[order]
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    lower, upper = np.searchsorted(below[order], above, "left"), np.searchsorted(below[order], above, "right")
    return float(((sums[lower] + sums[upper]) / 2).mean() / max(1e-12, sums[-1]))
