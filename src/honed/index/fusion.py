"""What is known of candidates as one score, by weights learned on queries whose answers are known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import Vectors

Floats = npt.NDArray[np.float64]
RRF = 60.0  # of reciprocal rank fusion (Cormack, Clarke, Buettcher 2009)


class Judged(NamedTuple):
    """A query to learn from: what is known of its candidates ``(n, n_features)``, their grades ``(n,)``, its kind."""

    features: Vectors
    grades: Vectors
    acronym: bool


@dataclass(frozen=True, kw_only=True)
class LearnedFusion:
    """Weights ``(2, n_features)`` of what is known of a candidate: for queries that look like acronyms, and others."""

    names: tuple[str, ...]
    weights: Floats

    def scores(self, features: Vectors, *, acronym: bool) -> Vectors:
        """Return the scores ``(n,)`` of candidates: log-odds among those of one query, up to a constant."""
        scores: Vectors = (features @ self.weights[int(acronym)]).astype(np.float64)
        return scores

    def added(self, features: Vectors, *, acronym: bool) -> Floats:
        """Return what each feature adds to the score of each candidate ``(n, n_features)``."""
        found: Floats = features * self.weights[int(acronym)]
        return found

    @classmethod
    def fit(cls, names: Sequence[str], queries: Sequence[Judged], *, penalty: float = 10.0) -> Self:
        """Learn weights; a query of whose candidates none is right teaches nothing.

        A softmax over each query's candidates, its right ones to be likely by their grades, with an L2 penalty on the
        weights of standardised features; the weights of acronyms are shrunk towards the others, so that a few of them
        do no harm. Convex: the same data give the same weights. Without anything to learn from the first feature is
        the score.
        """
        from scipy.optimize import minimize

        some = [each for each in queries if (each.grades > 0).any()]
        width = len(names)
        if not some:
            return cls(names=tuple(names), weights=np.tile(np.eye(1, width)[0], (2, 1)))
        sizes = np.array([len(each.grades) for each in some])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        rights = [np.maximum(each.grades, 0).astype(np.float32) for each in some]
        target = np.concatenate([each / each.sum() for each in rights])
        table = np.concatenate([each.features for each in some]).astype(np.float32)
        scale = np.maximum(table.std(axis=0), 1e-6)
        table /= scale
        query_of = np.repeat(np.arange(len(some)), sizes)
        acronym = np.array([each.acronym for each in some], dtype=np.float32)[query_of]

        def loss(flat: Floats) -> tuple[float, Floats]:
            shared, own = flat[:width].astype(np.float32), flat[width:].astype(np.float32)
            scores = (table @ shared + acronym * (table @ own)).astype(np.float64)
            scores -= np.maximum.reduceat(scores, starts)[query_of]
            exps = np.exp(scores)
            likely = exps / np.add.reduceat(exps, starts)[query_of]
            value = -float((target * np.log(np.maximum(likely, 1e-300))).sum()) + penalty * float(flat @ flat) / 2
            slope = (likely - target).astype(np.float32)
            both = np.concatenate([slope @ table, (slope * acronym) @ table]).astype(np.float64)
            return value, both + penalty * flat

        flat = minimize(loss, np.zeros(2 * width), jac=True, method="L-BFGS-B").x
        weights = np.stack([flat[:width], flat[:width] + flat[width:]]) / scale
        return cls(names=tuple(names), weights=weights.round(6))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"names": list(self.names), "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read it back; `ArtifactError` when the weights do not fit what they weigh."""
        weights = np.array(data["weights"], dtype=np.float64)
        if weights.shape != (2, len(data["names"])) or not np.isfinite(weights).all():
            raise ArtifactError("E_FUSION", "the weights of the fusion do not fit what they weigh")
        return cls(names=tuple(data["names"]), weights=weights)
