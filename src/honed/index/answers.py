"""Whether there is an answer at all: the chance that a first hit is right, and sets of candidates that hold the truth.

Fitted on dev and judged on test. What it is to have no answer is made of queries that have one: their right documents
are hidden, as if the entity had never been in the catalogue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.text import looks_like_acronym
from honed.index.hybrid import Ranked

Floats = npt.NDArray[np.float64]
_NEXT, _CLEAR = 5, 3.0  # hits that the first is compared with; a lead of this is clear, and more says no more
_OF_LIST = 9


def evidence(text: str, ranked: Ranked) -> Floats:
    """Return what speaks for the first of a ranking: its share, its lead, and all that is known of it.

    ``(n_features + 9,)``; of an empty ranking all is 0.
    """
    if not len(ranked.rows):
        return np.zeros(len(ranked.first) + _OF_LIST)
    scores = ranked.scores
    share = float(1 / np.exp(scores - scores[0]).sum())
    rest = scores[1 : _NEXT + 1] if len(scores) > 1 else scores[:1] - 10.0
    leads = [float(scores[0] - rest[0]), float(scores[0] - rest.mean())]
    list_says = [
        share,
        float(np.log(share)),
        *leads,
        *(min(lead, _CLEAR) for lead in leads),
        float((rest > scores[0] - 1e-6).sum()),
        float(looks_like_acronym(text)),
        len(text.split()) / 10,
    ]
    return np.concatenate([list_says, ranked.first])


@dataclass(frozen=True, kw_only=True)
class AnswerModel:
    """Logistic regression on `evidence`; ``gap`` is how far below the first score a candidate may lie, None: no limit.

    ``weights`` ``(n_features + 1,)`` are for the standardised evidence and a constant, ``centre`` and ``scale`` theirs.
    ``risk`` is the chance of a wrong answer that is taken; ``coverage`` how often the truth is within the gap.
    """

    weights: Floats
    centre: Floats
    scale: Floats
    gap: float | None
    risk: float
    coverage: float

    def chance(self, found: Floats) -> float:
        """Return the estimated chance that the first hit is right."""
        values = (found - self.centre) / self.scale
        return float(1 / (1 + np.exp(-np.clip(values @ self.weights[:-1] + self.weights[-1], -500, 500))))

    def within(self, ranked: Ranked) -> int:
        """Return how many of the first hits are in the candidate set."""
        if self.gap is None or not len(ranked.rows):
            return len(ranked.rows)
        return int((ranked.scores >= ranked.scores[0] - self.gap).sum())

    @classmethod
    def fit(
        cls, with_answer: Floats, without: Floats, right: Floats, distances: Floats, *, absent: float, **chosen: float
    ) -> Self:
        """Learn from the evidence of queries ``(n, n_features)`` with and without their answer in the catalogue.

        ``right`` ``(n,)`` tells whether the first hit is right where the answer is there; ``absent`` is the share of
        queries that are expected to have none; ``distances`` ``(n,)`` are how far the right document lies below the
        first, infinite where it was not found. The gap is split-conformal (Vovk et al. 2005): at least ``coverage`` of
        exchangeable queries have a right document within it; None where too few do. ``chosen`` are risk and coverage.
        """
        from scipy.optimize import minimize

        table = np.concatenate([with_answer, without])
        wanted = np.concatenate([right, np.zeros(len(without))])
        weights = np.repeat([1 - absent, absent], [len(with_answer), len(without)])
        centre, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
        table = np.column_stack([(table - centre) / scale, np.ones(len(table))])

        def loss(found: Floats) -> tuple[float, Floats]:
            scores = table @ found
            value = float((weights * (np.logaddexp(0, scores) - wanted * scores)).sum()) + float(found @ found) / 2
            slope = weights * (1 / (1 + np.exp(-np.clip(scores, -500, 500))) - wanted)
            return value, slope @ table + found

        fitted = minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x
        gap = conformal_gap(distances, chosen["coverage"])
        return cls(weights=fitted.round(6), centre=centre.round(6), scale=scale.round(6), gap=gap, **chosen)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        arrays = {name: getattr(self, name).tolist() for name in ("weights", "centre", "scale")}
        return {**arrays, "gap": self.gap, "risk": self.risk, "coverage": self.coverage}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], n_features: int) -> Self:
        """Read it back; `ArtifactError` when it was made of other evidence."""
        try:
            arrays = {name: np.array(data[name], dtype=np.float64) for name in ("weights", "centre", "scale")}
            rest = {name: float(data[name]) for name in ("risk", "coverage")}
            gap = None if data["gap"] is None else float(data["gap"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError("E_ANSWERS", f"the estimate of the chance cannot be read: {error}") from error
        n = n_features + _OF_LIST
        shapes = [arrays[name].shape for name in ("centre", "scale", "weights")]
        numbers = np.concatenate([*map(np.ravel, arrays.values()), list(rest.values()), [gap or 0.0]])
        finite = bool(np.isfinite(numbers).all())
        if shapes != [(n,), (n,), (n + 1,)] or not finite or not (arrays["scale"] > 0).all():
            raise ArtifactError("E_ANSWERS", "the estimate of the chance was made of other evidence")
        return cls(**arrays, gap=gap, risk=rest["risk"], coverage=rest["coverage"])


def conformal_gap(distances: Sequence[float] | Floats, coverage: float) -> float | None:
    """Return the distance that so many of exchangeable queries stay within; None where too few were found at all."""
    ordered = np.sort(np.asarray(distances, dtype=np.float64))
    at = int(np.ceil((len(ordered) + 1) * coverage)) - 1
    return float(ordered[at]) if at < len(ordered) and np.isfinite(ordered[at]) else None
