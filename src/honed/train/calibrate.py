"""How likely it is that a candidate for a hard negative is in fact right: calibrated on the data, never a constant.

Pairs that are known to be right and candidates of which nothing is known are compared by one number (a similarity).
This is learning from positive and unlabelled data (Elkan & Noto 2008): where candidates are as rare as they are among
the highest scoring known pairs, they may all be right, which bounds how many right ones are hidden among the rest.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
FEW = 50
_TOP = 0.02
_AT_MOST = 500_000


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """The estimated chance, by score, that an unlabelled candidate is right; it never falls as the score rises.

    ``knots`` (scores, rising) and ``chances`` have the same length; ``hidden`` is the estimate, an upper bound, of how
    many right ones are hidden for each known one.
    """

    knots: Floats
    chances: Floats
    hidden: float

    def __call__(self, scores: npt.ArrayLike) -> Floats:
        """Return the chance for each score, in [0, 1]."""
        return np.interp(np.asarray(scores, dtype=np.float64), self.knots, self.chances)


def fit_posterior(positives: Floats, candidates: Floats, *, seed: int = 0) -> Posterior | None:
    """Fit the chance that a candidate is right; None with fewer than 50 known pairs or no candidates.

    ``positives`` are scores of known pairs, ``candidates`` of unlabelled ones, higher is closer, both ``(n,)``.
    """
    all_positives, all_candidates = len(positives), len(candidates)
    positives, candidates = _sample(positives, seed), _sample(candidates, seed)
    if len(positives) < FEW or not len(candidates):
        return None
    from sklearn.isotonic import IsotonicRegression

    scores = np.concatenate([positives, candidates])
    known = np.concatenate([np.ones(len(positives)), np.zeros(len(candidates))])
    share = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, known)
    edge = np.sort(positives)[-max(FEW, int(_TOP * len(positives)))]
    hidden = float((candidates >= edge).sum() + 1) / float((positives >= edge).sum())
    knots = np.unique(np.quantile(scores, np.linspace(0, 1, 513)))
    found = np.clip(share.predict(knots), 0.0, 1.0 - 1e-9)
    chances = np.minimum(1.0, hidden * found / (1.0 - found))
    sampled = (all_candidates / len(candidates)) / (all_positives / len(positives))
    return Posterior(knots=knots, chances=chances, hidden=hidden * sampled)


def _sample(values: Floats, seed: int) -> Floats:
    values = np.asarray(values, dtype=np.float64)
    if len(values) <= _AT_MOST:
        return values
    return np.random.default_rng(seed).choice(values, _AT_MOST, replace=False)
