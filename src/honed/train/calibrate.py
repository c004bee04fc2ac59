"""How likely it is that a candidate for a hard negative is in fact right: estimated from the data, never a constant.

Pairs that are known to be right and candidates of which nothing is known are compared by one number, a similarity.
This is learning from positive and unlabelled data (Elkan & Noto 2008): where candidates are as rare as they are among
the highest scoring known pairs, they may all be right, which bounds how many right ones are hidden among the rest.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
FEWEST_POSITIVES = 50
_TOP_SHARE = 0.02
_MOST_SAMPLED = 500_000


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """The estimated chance, by score, that an unlabelled candidate is right; it never falls as the score rises.

    ``knots`` (rising scores) and ``chances`` (in [0, 1]) are ``(n_knots,)``, linear in between. ``hidden`` is the
    estimate, an upper bound, of how many right candidates there are for each known pair.
    """

    knots: Values
    chances: Values
    hidden: float

    def __call__(self, scores: npt.ArrayLike) -> Values:
        """Return the chance that a candidate is right for each score, in the shape of ``scores``, in [0, 1]."""
        return np.interp(np.asarray(scores, dtype=np.float64), self.knots, self.chances)


def fit_posterior(positives: npt.ArrayLike, candidates: npt.ArrayLike, *, seed: int = 0) -> Posterior | None:
    """Fit the chance that a candidate is right; None with fewer than 50 known pairs or no candidates.

    ``positives`` ``(n_known,)`` are scores of known pairs, ``candidates`` ``(n_candidates,)`` of unlabelled ones,
    higher is closer. The ratio of the two densities is fitted by isotonic regression, and scaled so that it is 1 where
    candidates are as rare as among the top 2 % of the known pairs (Elkan & Noto 2008, section 2).
    """
    known, unlabelled = np.asarray(positives, dtype=np.float64), np.asarray(candidates, dtype=np.float64)
    n_known, n_unlabelled = len(known), len(unlabelled)
    known, unlabelled = _sample(known, seed), _sample(unlabelled, seed)
    if len(known) < FEWEST_POSITIVES or not len(unlabelled):
        return None
    from sklearn.isotonic import IsotonicRegression

    scores = np.concatenate([known, unlabelled])
    is_known = np.concatenate([np.ones(len(known)), np.zeros(len(unlabelled))])
    regression = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(scores, is_known)
    edge = np.sort(known)[-max(FEWEST_POSITIVES, int(_TOP_SHARE * len(known)))]
    hidden = float((unlabelled >= edge).sum() + 1) / float((known >= edge).sum())
    knots = np.unique(np.quantile(scores, np.linspace(0, 1, 513)))
    share = np.clip(regression.predict(knots), 0.0, 1.0 - 1e-9)
    chances = np.minimum(1.0, hidden * share / (1.0 - share))
    sampled = (n_unlabelled / len(unlabelled)) / (n_known / len(known))
    return Posterior(knots=knots, chances=chances, hidden=hidden * sampled)


def _sample(values: Values, seed: int) -> Values:
    if len(values) <= _MOST_SAMPLED:
        return values
    return np.random.default_rng(seed).choice(values, _MOST_SAMPLED, replace=False)
