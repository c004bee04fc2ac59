"""A mean from few true values and many predicted ones, with an interval that predictions cannot bias.

Prediction-powered inference (Angelopoulos, Bates, Fannjiang, Jordan, Zrnic 2023, Science 382, arXiv 2301.09633), with
the weight of the predictions tuned by their use (PPI++: Angelopoulos, Duchi, Zrnic 2023, arXiv 2311.01453).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from honed.feedback.examination import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean with its interval; ``weight`` is how far predictions count, 0 for not at all."""

    mean: float
    low: float
    high: float
    weight: float


def predicted_mean(true: Floats, predicted: Floats, alone: Floats, level: float = 0.95) -> Estimate:
    """Return the mean of a population of which ``true`` are values ``(n,)``, with ``predicted`` ``(n,)`` for the same.

    ``alone`` are predictions ``(m,)`` for others of the population, drawn like the first. Without any, or where
    predictions tell nothing, the mean is that of ``true`` with its usual interval. At least two true values are needed.
    """
    n, m = len(true), len(alone)
    weight = _weight(true, predicted, alone) if m > 1 else 0.0
    rest = true - weight * predicted
    mean = float(rest.mean()) + (weight * float(alone.mean()) if m else 0.0)
    variance = float(rest.var(ddof=1)) / n + (weight**2 * float(alone.var(ddof=1)) / m if weight else 0.0)
    half = NormalDist().inv_cdf(0.5 + level / 2) * variance**0.5
    return Estimate(mean=mean, low=mean - half, high=mean + half, weight=weight)


def _weight(true: Floats, predicted: Floats, alone: Floats) -> float:
    """Return the weight in [0, 1] that makes the interval shortest (PPI++, section 6: the mean)."""
    spread = float(np.concatenate([predicted, alone]).var(ddof=1))
    if spread <= 0:
        return 0.0
    together = float(np.cov(true, predicted)[0, 1])
    return min(1.0, max(0.0, together / ((1 + len(true) / len(alone)) * spread)))
