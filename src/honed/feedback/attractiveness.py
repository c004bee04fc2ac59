"""How attractive a hit is for a query, position taken out: shrunk towards all pairs, with an interval."""

from dataclasses import dataclass

import numpy as np

from honed.feedback.examination import Examination, Floats, Pairs

_MOST_SHAPE = 1e6


@dataclass(frozen=True, kw_only=True)
class Attractiveness:
    """What is known of each pair ``(n_pairs,)``.

    ``impressions`` and ``clicks`` are those at positions whose examination is known, ``examinations`` how often the
    hit was looked at in expectation. ``mean`` is the chance of a click were it shown at the first known position, with
    the ends ``low`` and ``high`` of its interval.
    """

    impressions: Floats
    clicks: Floats
    examinations: Floats
    mean: Floats
    low: Floats
    high: Floats

    @property
    def click_through(self) -> Floats:
        """Clicks by impressions, position and chance left in ``(n_pairs,)``; 0 without impressions."""
        return np.divide(self.clicks, self.impressions, out=np.zeros_like(self.clicks), where=self.impressions > 0)


def estimate_attractiveness(pairs: Pairs, examination: Examination, z: float) -> Attractiveness:
    """Return the attractiveness of all pairs, between quantiles ``z`` standard deviations from the middle.

    Clicks are taken as Poisson of attractiveness x examinations, which is never narrower than what they are, with a
    gamma prior over all pairs whose mean and variance are found by moments (Marshall 1991, Applied Statistics 40). The
    lower end is at most that of the clicks alone (Garwood 1936, Biometrika 28): other pairs lift no pair. The
    uncertainty of the curve of examination makes the intervals wider.
    """
    n_pairs = len(pairs.query)
    impressions, clicks, examinations, doubt = (np.zeros(n_pairs) for _ in range(4))
    chance = np.where(examination.known, examination.values, 0.0)
    for place, shown, clicked in pairs.blocks():
        looks = shown * chance
        impressions[place] = (shown * examination.known).sum(axis=1)
        clicks[place] = (clicked * examination.known).sum(axis=1)
        examinations[place] = total = looks.sum(axis=1)
        share = looks / np.maximum(total, 1e-300)[:, None]
        doubt[place] = np.einsum("pi,ij,pj->p", share, examination.covariance, share)
    shape, rate = _prior(clicks, examinations)
    weight = examinations / (rate + examinations)
    posterior = 1 / (1 / (shape + clicks) + doubt * weight**2)
    mean = (shape + clicks) / (rate + examinations)
    bare_rate = clicks / np.maximum(examinations, 1e-300)
    bare_low = bare_rate * _gamma_quantile(1 / (1 / np.maximum(clicks, 1e-9) + doubt), -z)
    return Attractiveness(
        impressions=impressions,
        clicks=clicks,
        examinations=examinations,
        mean=mean,
        low=np.minimum(mean * _gamma_quantile(posterior, -z), bare_low),
        high=mean * _gamma_quantile(posterior, z),
    )


def _prior(clicks: Floats, examinations: Floats) -> tuple[float, float]:
    """Return the shape and the rate of a gamma prior, so that shape / rate is the mean attractiveness."""
    there = examinations > 0
    total, n_pairs = float(examinations[there].sum()), int(there.sum())
    mean = max(float(clicks[there].sum()), 0.5) / max(total, 0.5)
    if not n_pairs:
        return 1.0, 1.0 / mean
    rates = clicks[there] / examinations[there]
    variance = float((examinations[there] * (rates - mean) ** 2).sum()) / total - mean * n_pairs / total
    shape = min(_MOST_SHAPE, mean**2 / variance) if variance > 0 else _MOST_SHAPE
    return shape, shape / mean


def _gamma_quantile(shape: Floats, z: float) -> Floats:
    """Return the quantiles of gamma variables of mean 1 at a normal deviate (Wilson & Hilferty 1931)."""
    cube: Floats = np.maximum(0.0, 1 - 1 / (9 * shape) + z / (3 * np.sqrt(shape))) ** 3
    return cube
