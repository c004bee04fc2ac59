"""The features of a candidate as one score, by weights learned on queries whose answers are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject
from honed.core.plain import as_floats, as_texts
from honed.core.protocols import Vectors

Floats: TypeAlias = npt.NDArray[np.float64]
RRF = 60.0  # of reciprocal rank fusion (Cormack, Clarke, Buettcher 2009)


class JudgedCandidates(NamedTuple):
    """A query to learn from: features of its candidates ``(n, n_features)`` and their grades ``(n,)``.

    ``acronym`` tells whether the query looks like one.
    """

    features: Vectors
    grades: Vectors
    acronym: bool


class _Table(NamedTuple):
    """Candidates of many queries, one after the other.

    ``features`` ``(n, n_features)`` are divided by ``scale``; ``target`` ``(n,)`` is the share of the grades of its
    query; ``query_of`` ``(n,)`` numbers the queries, ``starts`` tells where each begins.
    """

    features: Vectors
    scale: Vectors
    target: Vectors
    acronym: Vectors
    query_of: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, queries: Sequence[JudgedCandidates]) -> Self:
        """Lay the candidates of queries, each with a right one, end to end."""
        sizes = np.array([len(query.grades) for query in queries])
        rights = [np.maximum(query.grades, 0).astype(np.float32) for query in queries]
        features = np.concatenate([query.features for query in queries]).astype(np.float32)
        scale = np.maximum(features.std(axis=0), 1e-6)
        features /= scale
        query_of = np.repeat(np.arange(len(queries)), sizes)
        return cls(
            features=features,
            scale=scale,
            target=np.concatenate([grades / grades.sum() for grades in rights]),
            acronym=np.array([query.acronym for query in queries], dtype=np.float32)[query_of],
            query_of=query_of,
            starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        )

    def loss(self, flat: Floats, penalty: float) -> tuple[float, Floats]:
        """Return the penalised cross-entropy of weights ``(2 * n_features,)``, shared ones first, and its gradient."""
        width = self.features.shape[1]
        shared, extra = flat[:width].astype(np.float32), flat[width:].astype(np.float32)
        scores = (self.features @ shared + self.acronym * (self.features @ extra)).astype(np.float64)
        scores -= np.maximum.reduceat(scores, self.starts)[self.query_of]
        exps = np.exp(scores)
        likely = exps / np.add.reduceat(exps, self.starts)[self.query_of]
        value = -float((self.target * np.log(np.maximum(likely, 1e-300))).sum()) + penalty * float(flat @ flat) / 2
        slope = (likely - self.target).astype(np.float32)
        gradient = np.concatenate([slope @ self.features, (slope * self.acronym) @ self.features]).astype(np.float64)
        return value, gradient + penalty * flat


@dataclass(frozen=True, kw_only=True)
class LearnedFusion:
    """Weights ``(2, n_features)`` of the features of a candidate: row 0 for queries in general, row 1 for acronyms.

    ``names`` are those of the features.
    """

    names: tuple[str, ...]
    weights: Floats

    def scores(self, features: Vectors, *, acronym: bool) -> Vectors:
        """Return the scores ``(n,)`` of candidates: log-odds among those of one query, up to a constant."""
        scores: Vectors = (features @ self.weights[int(acronym)]).astype(np.float64)
        return scores

    def contributions(self, features: Vectors, *, acronym: bool) -> Floats:
        """Return what each feature adds to the score of each candidate ``(n, n_features)``."""
        added: Floats = features * self.weights[int(acronym)]
        return added

    @classmethod
    def fit(cls, names: Sequence[str], queries: Sequence[JudgedCandidates], *, penalty: float = 10.0) -> Self:
        """Learn weights; a query of whose candidates none is right teaches nothing.

        A softmax over each query's candidates, its right ones to be likely by their grades, with an L2 penalty on the
        weights of standardised features; the weights of acronyms are shrunk towards the others, so that a few of them
        do no harm. Convex: the same data give the same weights. Without anything to learn from the first feature is
        the score.
        """
        from scipy.optimize import minimize

        width = len(names)
        with_answer = [query for query in queries if (query.grades > 0).any()]
        if not with_answer:
            return cls(names=tuple(names), weights=np.tile(np.eye(1, width)[0], (2, 1)))
        table = _Table.of(with_answer)
        start = np.zeros(2 * width)
        flat = minimize(table.loss, start, args=(penalty,), jac=True, method="L-BFGS-B").x
        weights = np.stack([flat[:width], flat[:width] + flat[width:]]) / table.scale
        return cls(names=tuple(names), weights=weights.round(6))

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {"names": list(self.names), "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read it back; `ArtifactError` unless there are two finite weights for each feature."""
        names, weights = as_texts(data["names"]), as_floats(data["weights"])
        if weights.shape != (2, len(names)) or not np.isfinite(weights).all():
            raise ArtifactError("E_FUSION", "the weights of the fusion do not fit what they weigh")
        return cls(names=tuple(names), weights=weights)
