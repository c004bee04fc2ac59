"""Whether there is an answer at all: the chance that a first hit is right, and sets of candidates that hold the truth.

Fitted on dev and judged on test. How a query without an answer looks is learned from queries that have one: their right
documents are hidden, as if the entity had never been in the catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject
from honed.core.plain import as_floats, as_number
from honed.core.text import looks_like_acronym
from honed.index.hybrid import Ranking

Floats: TypeAlias = npt.NDArray[np.float64]
_NEXT, _CLEAR = 5, 3.0  # hits that the first is compared with; a lead of this is clear, and more says no more
_N_OF_RANKING = 9  # features of a ranking, before those of its first hit


def answer_evidence(text: str, ranking: Ranking) -> Floats:
    """Return the features by which the first hit of a ranking is judged ``(n_features + 9,)``, all 0 without a hit.

    Nine tell of the scores and of the query: the first hit's share of the softmax and its logarithm, its lead over the
    second and over the mean of the next five, both also bounded, how many tie with it, whether the query looks like an
    acronym, and its number of words / 10. The others are the features of the first hit.
    """
    if not len(ranking.rows):
        return np.zeros(len(ranking.first) + _N_OF_RANKING)
    scores = ranking.scores
    share = float(1 / np.exp(scores - scores[0]).sum())
    rest = scores[1 : _NEXT + 1] if len(scores) > 1 else scores[:1] - 10.0
    leads = [float(scores[0] - rest[0]), float(scores[0] - rest.mean())]
    of_ranking = [
        share,
        float(np.log(share)),
        *leads,
        *(min(lead, _CLEAR) for lead in leads),
        float((rest > scores[0] - 1e-6).sum()),
        float(looks_like_acronym(text)),
        len(text.split()) / 10,
    ]
    return np.concatenate([of_ranking, ranking.first])


@dataclass(frozen=True, kw_only=True)
class AnswerModel:
    """Logistic regression on `answer_evidence`, and a set of candidates that holds the right document.

    ``weights`` ``(n_features + 1,)`` are for the standardised evidence and a constant, ``centre`` and ``scale`` theirs.
    ``risk`` is the accepted chance of a wrong answer. ``gap`` is how far below the first score a candidate may lie
    (None: no limit), ``coverage`` the share of queries whose right document is within it.
    """

    weights: Floats
    centre: Floats
    scale: Floats
    gap: float | None
    risk: float
    coverage: float

    def chance(self, evidence: Floats) -> float:
        """Return the estimated chance that the first hit is right, in [0, 1]."""
        values = (evidence - self.centre) / self.scale
        return float(1 / (1 + np.exp(-np.clip(values @ self.weights[:-1] + self.weights[-1], -500, 500))))

    def within(self, ranking: Ranking) -> int:
        """Return how many of the first hits are in the candidate set."""
        if self.gap is None or not len(ranking.rows):
            return len(ranking.rows)
        return int((ranking.scores >= ranking.scores[0] - self.gap).sum())

    @classmethod
    def fit(
        cls,
        with_answer: Floats,
        without: Floats,
        right: Floats,
        distances: Floats,
        *,
        absent: float,
        risk: float,
        coverage: float,
    ) -> Self:
        """Learn from the evidence of queries ``(n, n_features)`` with and without their answer in the catalogue.

        ``right`` ``(n,)`` tells whether the first hit is right where the answer is there; ``absent`` is the share of
        queries that are expected to have none; ``distances`` ``(n,)`` are how far the right document lies below the
        first, infinite where it is not among the candidates. The gap is split-conformal (Vovk et al. 2005): at least
        ``coverage`` of exchangeable queries have a right document within it; None where too few do.
        """
        from scipy.optimize import minimize

        table = np.concatenate([with_answer, without])
        target = np.concatenate([right, np.zeros(len(without))])
        shares = np.repeat([1 - absent, absent], [len(with_answer), len(without)])
        centre, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
        table = np.column_stack([(table - centre) / scale, np.ones(len(table))])

        def loss(weights: Floats) -> tuple[float, Floats]:
            scores = table @ weights
            value = float((shares * (np.logaddexp(0, scores) - target * scores)).sum()) + float(weights @ weights) / 2
            slope = shares * (1 / (1 + np.exp(-np.clip(scores, -500, 500))) - target)
            return value, slope @ table + weights

        weights = minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x
        return cls(
            weights=weights.round(6),
            centre=centre.round(6),
            scale=scale.round(6),
            gap=conformal_gap(distances, coverage),
            risk=risk,
            coverage=coverage,
        )

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        arrays = {name: getattr(self, name).tolist() for name in ("weights", "centre", "scale")}
        return {**arrays, "gap": self.gap, "risk": self.risk, "coverage": self.coverage}

    @classmethod
    def from_dict(cls, data: JsonObject, n_features: int) -> Self:
        """Read it back; `ArtifactError` when it was made of other evidence than ``n_features`` of a hit give."""
        try:
            weights, centre, scale = (as_floats(data[name]) for name in ("weights", "centre", "scale"))
            risk, coverage = as_number(data["risk"]), as_number(data["coverage"])
            gap = None if data["gap"] is None else as_number(data["gap"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError("E_ANSWERS", f"the estimate of the chance cannot be read: {error}") from error
        n = n_features + _N_OF_RANKING
        numbers = np.concatenate([*map(np.ravel, (weights, centre, scale)), [risk, coverage, gap or 0.0]])
        finite = bool(np.isfinite(numbers).all())
        fits = centre.shape == scale.shape == (n,) and weights.shape == (n + 1,)
        if not fits or not finite or not (scale > 0).all():
            raise ArtifactError("E_ANSWERS", "the estimate of the chance was made of other evidence")
        return cls(weights=weights, centre=centre, scale=scale, gap=gap, risk=risk, coverage=coverage)


def conformal_gap(distances: Sequence[float] | Floats, coverage: float) -> float | None:
    """Return the distance within which at least ``coverage`` of exchangeable queries stay (Vovk et al. 2005).

    None where too few of the ``distances`` are finite, or there are too few of them.
    """
    ordered = np.sort(np.asarray(distances, dtype=np.float64))
    at = int(np.ceil((len(ordered) + 1) * coverage)) - 1
    return float(ordered[at]) if at < len(ordered) and np.isfinite(ordered[at]) else None
