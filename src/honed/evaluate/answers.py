"""Whether there is an answer at all: the chance that a first hit is right, and sets of candidates that hold the truth.

Fitted on dev and judged on test. What it is to have no answer is made of queries that have one: their right documents
are taken out of the list, as if the entity had never been in the catalogue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Hits = Sequence[tuple[str, float]]
Floats = npt.NDArray[np.float64]
_NEXT, _BINS = 5, 10


@dataclass(frozen=True, kw_only=True)
class AnswerModel:
    """Logistic regression on what a list of hits looks like; ``gap`` is how far below the first a candidate may lie.

    ``weights`` ``(n_features + 1,)`` are for the standardised features and a constant, ``centre`` and ``scale`` theirs.
    """

    weights: Floats
    centre: Floats
    scale: Floats
    gap: float | None

    def chance(self, hits: Hits) -> float:
        """Return the estimated chance that the first hit is right; 0 where there is none."""
        if not hits:
            return 0.0
        values = (features(hits) - self.centre) / self.scale
        return float(1 / (1 + np.exp(-(values @ self.weights[:-1] + self.weights[-1]))))

    def candidates(self, hits: Hits) -> list[str]:
        """Return the documents that the answer is among, at the rate that was chosen; all where no gap reaches it."""
        return [doc for doc, score in hits if self.gap is None or score >= hits[0][1] - self.gap]

    @classmethod
    def fit(
        cls, lists: Sequence[tuple[Hits, Mapping[str, int]]], *, absent: float = 0.1, coverage: float = 0.9
    ) -> Self:
        """Learn from lists of hits and grades; ``absent`` is the share of queries that are expected to have no answer.

        The gap is split-conformal (Vovk et al. 2005): at least ``coverage`` of exchangeable queries have a right
        document within it, provided that so many lists hold one at all; None where too few do.
        """
        from scipy.optimize import minimize

        rows, right, weight = [], [], []
        for hits, grades in lists:
            for some, share in ((hits, 1 - absent), (without_right(hits, grades), absent)):
                if some:
                    rows.append(features(some))
                    right.append(float(grades.get(some[0][0], 0) > 0))
                    weight.append(share)
        table, wanted, weights = np.stack(rows), np.array(right), np.array(weight)
        centre, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-9)
        table = np.column_stack([(table - centre) / scale, np.ones(len(table))])

        def loss(found: Floats) -> tuple[float, Floats]:
            scores = table @ found
            value = float((weights * (np.logaddexp(0, scores) - wanted * scores)).sum()) + float(found @ found) / 2
            slope = weights * (1 / (1 + np.exp(-scores)) - wanted)
            return value, slope @ table + found

        fitted = minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x
        return cls(weights=fitted, centre=centre, scale=scale, gap=_gap(lists, coverage))


def features(hits: Hits) -> Floats:
    """Return what a list looks like: its first score, how far the second and the next ones lie below, how many tie."""
    scores = np.array([score for _, score in hits[: _NEXT + 1]], dtype=np.float64)
    rest = scores[1:] if len(scores) > 1 else scores[:1] - 1.0
    return np.array([scores[0], scores[0] - rest[0], scores[0] - rest.mean(), float((rest > scores[0] - 1e-6).sum())])


def without_right(hits: Hits, grades: Mapping[str, int]) -> list[tuple[str, float]]:
    """Return a list as it would be if no right document were in the catalogue."""
    return [(doc, score) for doc, score in hits if grades.get(doc, 0) <= 0]


def _gap(lists: Sequence[tuple[Hits, Mapping[str, int]]], coverage: float) -> float | None:
    gaps = np.sort([_distance(hits, grades) for hits, grades in lists])
    at = int(np.ceil((len(gaps) + 1) * coverage)) - 1
    return float(gaps[at]) if at < len(gaps) and np.isfinite(gaps[at]) else None


def _distance(hits: Hits, grades: Mapping[str, int]) -> float:
    return next((hits[0][1] - score for doc, score in hits if grades.get(doc, 0) > 0), np.inf)


def judge_answers(
    model: AnswerModel, lists: Sequence[tuple[Hits, Mapping[str, int]]], *, absent: float = 0.1, risk: float = 0.1
) -> dict[str, Any]:
    """Return how the estimates hold on other lists, as plain data.

    ``auroc`` tells lists with a right document in the catalogue from the same ones without; ``bins`` are chance and
    truth side by side, and ``answered`` says how many are answered, and how many of those wrongly, where the estimated
    chance is at least 1 - ``risk``: both of queries of which the share ``absent`` has no answer. ``sets`` are coverage
    and size of the candidate sets of those that have one.
    """
    chances = np.array([model.chance(hits) for hits, _ in lists])
    without = np.array([model.chance(without_right(hits, grades)) for hits, grades in lists])
    right = np.array([float(bool(hits) and grades.get(hits[0][0], 0) > 0) for hits, grades in lists])
    both, truth = np.concatenate([chances, without]), np.concatenate([right, np.zeros(len(without))])
    weights = np.repeat([1 - absent, absent], len(lists))
    taken = both >= 1 - risk
    sets = [model.candidates(hits) for hits, _ in lists]
    held = [any(grades.get(doc, 0) > 0 for doc in found) for found, (_, grades) in zip(sets, lists, strict=True)]
    edges = np.linspace(0, 1, _BINS + 1)
    places = np.clip(np.digitize(both, edges) - 1, 0, _BINS - 1)
    return {
        "n": len(lists),
        "auroc": round(auroc(chances, without), 5),
        "bins": [
            {
                "chance": round(float(np.average(both[each], weights=weights[each])), 4),
                "right": round(float(np.average(truth[each], weights=weights[each])), 4),
                "share": round(float(weights[each].sum() / weights.sum()), 5),
            }
            for each in (np.flatnonzero(places == place) for place in range(_BINS))
            if len(each)
        ],
        "answered": {
            "risk": risk,
            "share": round(float(weights[taken].sum() / weights.sum()), 5),
            "wrong": round(float(1 - np.average(truth[taken], weights=weights[taken])), 5) if taken.any() else None,
            "absent_answered": round(float((without >= 1 - risk).mean()), 5),
        },
        "sets": {
            "reached": model.gap is not None,
            "coverage": round(float(np.mean(held)), 5),
            "mean_size": round(float(np.mean([len(found) for found in sets])), 2),
        },
    }


def auroc(above: Floats, below: Floats) -> float:
    """Return the chance that a value of the first kind is higher than one of the second; ties count half."""
    order = np.sort(below)
    lower, upper = np.searchsorted(order, above, "left"), np.searchsorted(order, above, "right")
    return float(((lower + upper) / 2).mean() / max(1, len(order)))
