"""The features of a candidate as one score, by weights learned on queries whose answers are known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject
from honed.core.plain import as_floats, as_texts
from honed.core.protocols import Vectors
from honed.core.text import is_other_script, looks_like_acronym, words

Floats: TypeAlias = npt.NDArray[np.float64]
F = TypeVar("F", bound=np.floating[Any])
KINDS = ("general", "acronym", "long", "other script")  # of queries, each with weights of its own
_APART = KINDS.index("other script")  # learned after the others, so that it does not move them
_FEWEST_KINDS = 2  # that older weights tell apart
_LONG = 8  # words; a query for a name that has more holds other words too
_CONSTANT = 1e-5  # of the standard deviation of a feature
RRF = 60.0  # of reciprocal rank fusion (Cormack, Clarke, Buettcher 2009)


class JudgedCandidates(NamedTuple):
    """A query to learn from: features of its candidates ``(n, n_features)`` and their grades ``(n,)``.

    ``kind`` is that of the query, see `kind_of_query`.
    """

    features: Vectors
    grades: Vectors
    kind: int


def kind_of_query(text: str, *, names: bool, other_scripts: bool = False) -> int:
    """Return the place of a query's kind in `KINDS`; ``names`` says that names are searched.

    A line of an address that holds a name is another thing than the name: long queries for names have weights of their
    own. So has a query in another script than Latin, whatever else it is, where there are ``other_scripts`` among names
    and queries: letters tell of it what they never tell of others.
    """
    if other_scripts and is_other_script(text):
        return KINDS.index("other script")
    if looks_like_acronym(text):
        return KINDS.index("acronym")
    return KINDS.index("long" if names and is_long(text) else "general")


def is_long(text: str) -> bool:
    """Tell whether a query for a name has so many words that it holds others too; an acronym has not."""
    return not looks_like_acronym(text) and len(words(text)) > _LONG


def feature_scales(table: npt.NDArray[F]) -> npt.NDArray[F]:
    """Return what standardises the columns of a table ``(n, n_features)``: 1 for what is the same in all its rows.

    That teaches nothing; with a tiny scale it would get a huge weight, which counts where it is not the same.
    """
    scale: npt.NDArray[F] = table.std(axis=0)
    scale[scale < _CONSTANT] = 1
    return scale


class _Table(NamedTuple):
    """Candidates of many queries, one after the other.

    ``features`` ``(n, n_features)`` are divided by ``scale``; ``target`` ``(n,)`` is the share of the grades of its
    query; ``kinds`` ``(n_kinds - 1, n)`` tells which candidates are those of an acronym, and so on; ``query_of``
    ``(n,)`` numbers the queries, ``starts`` tells where each begins.
    """

    features: Vectors
    scale: Vectors
    target: Vectors
    kinds: Vectors
    query_of: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, queries: Sequence[JudgedCandidates], n_kinds: int) -> Self:
        """Lay the candidates of queries of the first ``n_kinds``, each with a right one, end to end."""
        sizes = np.array([len(query.grades) for query in queries])
        rights = [np.maximum(query.grades, 0).astype(np.float32) for query in queries]
        features = np.concatenate([query.features for query in queries]).astype(np.float32)
        scale = feature_scales(features)
        features /= scale
        query_of = np.repeat(np.arange(len(queries)), sizes)
        kind_of = np.array([query.kind for query in queries])[query_of]
        return cls(
            features=features,
            scale=scale,
            target=np.concatenate([grades / grades.sum() for grades in rights]),
            kinds=(kind_of == np.arange(1, n_kinds)[:, None]).astype(np.float32),
            query_of=query_of,
            starts=np.concatenate([[0], np.cumsum(sizes)[:-1]]),
        )

    def loss(self, flat: Floats, penalty: float, centre: Floats) -> tuple[float, Floats]:
        """Return the cross-entropy of weights ``(n_kinds * n_features,)``, shared ones first, and its gradient.

        It is penalised by how far the weights are from a ``centre``.
        """
        shared, *extras = flat.reshape(1 + len(self.kinds), -1).astype(np.float32)
        scores = self.features @ shared
        for extra, of_kind in zip(extras, self.kinds, strict=True):
            scores += of_kind * (self.features @ extra)
        scores = scores.astype(np.float64)
        scores -= np.maximum.reduceat(scores, self.starts)[self.query_of]
        exps = np.exp(scores)
        likely = exps / np.add.reduceat(exps, self.starts)[self.query_of]
        away = flat - centre
        value = -float((self.target * np.log(np.maximum(likely, 1e-300))).sum()) + penalty * float(away @ away) / 2
        slope = (likely - self.target).astype(np.float32)
        gradients = [slope @ self.features, *((slope * of_kind) @ self.features for of_kind in self.kinds)]
        return value, np.concatenate(gradients).astype(np.float64) + penalty * away


@dataclass(frozen=True, kw_only=True)
class LearnedFusion:
    """Weights ``(n_kinds, n_features)`` of the features of a candidate, one row for each of `KINDS` of queries.

    ``names`` are those of the features.
    """

    names: tuple[str, ...]
    weights: Floats

    def scores(self, features: Vectors, *, kind: int = 0) -> Vectors:
        """Return the scores ``(n,)`` of candidates: log-odds among those of one query, up to a constant."""
        scores: Vectors = (features @ self.weights[kind]).astype(np.float64)
        return scores

    def contributions(self, features: Vectors, *, kind: int = 0) -> Floats:
        """Return what each feature adds to the score of each candidate ``(n, n_features)``."""
        added: Floats = features * self.weights[kind]
        return added

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {"names": list(self.names), "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read it back; `ArtifactError` unless each kind of query has a finite weight for each feature.

        Weights of before there were long queries, or such in other scripts, serve those as they serve any.
        """
        names, weights = as_texts(data["names"]), as_floats(data["weights"])
        if weights.ndim == 2 and _FEWEST_KINDS <= len(weights) < len(KINDS):
            weights = np.concatenate([weights, np.tile(weights[:1], (len(KINDS) - len(weights), 1))])
        if weights.shape != (len(KINDS), len(names)) or not np.isfinite(weights).all():
            raise ArtifactError("E_FUSION", "the weights of the fusion do not fit what they weigh")
        return cls(names=tuple(names), weights=weights)


@dataclass(frozen=True, kw_only=True)
class FusionLearner:
    """Learns the weights of features by their ``names``, with an L2 ``penalty`` towards a ``prior``.

    ``prior`` ``(n_kinds, n_features)`` holds weights of all queries, then what each further kind adds. With ``only``
    the feature of that name alone is the score.
    """

    names: tuple[str, ...]
    penalty: float = 10.0
    prior: Floats | None = None
    only: str = ""

    def fit(self, queries: Sequence[JudgedCandidates]) -> LearnedFusion:
        """Return the weights that queries teach; one of whose candidates none is right teaches nothing.

        A softmax over each query's candidates, its right ones to be likely by their grades, with a penalty on how far
        the weights of standardised features are from the prior; those of a kind are shrunk towards those of all, so
        that a few queries of it do no harm. Queries in other scripts are learned from last, and leave the weights of
        all others as they are. Convex: the same data give the same weights. Without anything to learn from the prior
        is what is left, or the first feature alone.
        """
        with_answer = [query for query in queries if (query.grades > 0).any()]
        if self.only:
            return self._alone(with_answer)
        together = [query for query in with_answer if query.kind < _APART]
        apart = [query._replace(kind=0) for query in with_answer if query.kind == _APART]
        learned = self._untaught()
        if together:
            learned[:_APART] = _minimised(_Table.of(together, _APART), self.penalty, self._centre()[:_APART])
        whole = _per_kind(learned)
        if apart:
            whole[_APART:] = _minimised(_Table.of(apart, 1), self.penalty, whole[_APART:])
        return LearnedFusion(names=self.names, weights=whole.round(6))

    def _centre(self) -> Floats:
        """Return the weights that a penalty keeps near to: those of all queries, then what each kind adds."""
        return np.zeros((len(KINDS), len(self.names))) if self.prior is None else self.prior

    def _untaught(self) -> Floats:
        """Return the weights without a query: the prior, or the first feature alone."""
        centre = self._centre().copy()
        if self.prior is None:
            centre[0, 0] = 1
        return centre

    def _alone(self, queries: Sequence[JudgedCandidates]) -> LearnedFusion:
        """Return weights that rank by one feature; how much it tells is learned, so that scores are log-odds."""
        at = self.names.index(self.only)
        weight = 1.0
        if queries:
            alike = [query._replace(features=query.features[:, [at]], kind=0) for query in queries]
            learned = float(_minimised(_Table.of(alike, 1), self.penalty, np.zeros((1, 1)))[0, 0])
            weight = learned if learned > 0 else 1.0
        weights = np.zeros((len(KINDS), len(self.names)))
        weights[:, at] = round(weight, 6)
        return LearnedFusion(names=self.names, weights=weights)


def _minimised(table: _Table, penalty: float, prior: Floats) -> Floats:
    """Return the best weights ``(n_kinds, n_features)`` of features as they are, shared ones first."""
    from scipy.optimize import minimize

    centre = (prior * table.scale).ravel()
    flat = minimize(table.loss, centre, args=(penalty, centre), jac=True, method="L-BFGS-B").x
    learned: Floats = flat.reshape(prior.shape) / table.scale
    return learned


def _per_kind(weights: Floats) -> Floats:
    """Return the weights of each kind of query, from those of all and what each kind adds."""
    return np.concatenate([weights[:1], weights[:1] + weights[1:]])
