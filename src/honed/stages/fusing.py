"""How the parts of a hybrid are fused: weights that dev teaches, unless the best part alone does as well."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.results import FusionChoice
from honed.index.fusion import FusionLearner, JudgedCandidates
from honed.index.hybrid import Candidates, HybridIndex
from honed.index.prior import prior_weights
from honed.search.searcher import Searcher
from honed.stages.encoded_queries import EncodedQueries, gather_candidates

Floats: TypeAlias = npt.NDArray[np.float64]
_MANY, _NEARER = 1000, 10  # queries that need no prior; times the penalty, for weights very near the prior
_MEASURED = "MRR@10"
_DEPTH = 10


@dataclass(frozen=True, kw_only=True)
class TaughtFusion:
    """The ``learner`` of the weights, the ``queries`` that taught it, their ``candidates``, and why these weights."""

    candidates: Sequence[Candidates]
    queries: Sequence[JudgedCandidates]
    learner: FusionLearner
    choice: FusionChoice


def teach_fusion(searcher: Searcher, asked: EncodedQueries, penalty: float) -> TaughtFusion:
    """Give a searcher's hybrid the weights that queries teach.

    The weights are shrunk towards a prior of many data sets where that makes the right answers of other queries
    likelier, cross-fitted, and towards 0 where it does not. Unless the fused ranking is better than the best single
    part by the low bound of the difference, cross-fitted too, that part answers alone.
    """
    index = searcher.hybrid
    assert index is not None
    candidates = list(gather_candidates(searcher, asked, "hybrid, dev"))
    queries = judged_candidates(index, asked, candidates)
    names = tuple(index.feature_names)
    learner = FusionLearner(names=names, penalty=penalty, prior=prior_weights(names, of_names=index.names))
    learner, cross_fitted = best_way(learner, queries, asked.folds)
    choice = choose(index, cross_fitted.ranks, queries, asked)
    if choice.part:
        learner = replace(learner, only=index.part_features[choice.part])
    index.fusion = learner.fit(queries)
    return TaughtFusion(candidates=candidates, queries=queries, learner=learner, choice=choice)


def judged_candidates(
    index: HybridIndex, asked: EncodedQueries, gathered: Sequence[Candidates]
) -> list[JudgedCandidates]:
    """Return the candidates of queries with their grades, to learn from."""
    return [
        JudgedCandidates(
            candidates.features,
            asked.grades_of(at, candidates.rows),
            index.kind_of(asked.texts[at]),
        )
        for at, candidates in enumerate(gathered)
    ]


@dataclass(frozen=True, kw_only=True)
class CrossFitted:
    """How a learner ranks queries that did not teach it: ``ranks`` ``(n,)`` reciprocal, of the first right candidate.

    ``likelihood`` is the mean log-likelihood of right candidates.
    """

    ranks: Floats
    likelihood: float

    @classmethod
    def of(cls, learner: FusionLearner, queries: Sequence[JudgedCandidates], folds: Rows) -> Self:
        """Learn from all folds but one, and rank that one, in turn."""
        ranks, logs = np.zeros(len(queries)), []
        for fold in np.unique(folds).tolist():
            fusion = learner.fit([query for query, of in zip(queries, folds, strict=True) if of != fold])
            for at in np.flatnonzero(folds == fold).tolist():
                query = queries[at]
                scores = fusion.scores(query.features, kind=query.kind)
                ranks[at] = reciprocal_rank(scores, query.grades)
                if (query.grades > 0).any():
                    logs.append(_log_likelihood(scores, query.grades))
        return cls(ranks=ranks, likelihood=float(np.mean(logs)) if logs else 0.0)


def choose(
    index: HybridIndex, fused: Floats, queries: Sequence[JudgedCandidates], asked: EncodedQueries
) -> FusionChoice:
    """Return whether the fused ranking answers, of cross-fitted reciprocal ranks ``(n,)``, or its best part alone."""
    answered = np.flatnonzero(asked.answerable())
    if not len(answered):
        return FusionChoice(queries=0, part="", best_part="", measure=_MEASURED, fused=0.0, alone=0.0, difference=None)
    alone = {}
    for part, feature in index.part_features.items():
        column = index.feature_names.index(feature)
        alone[part] = np.array([reciprocal_rank(query.features[:, column], query.grades) for query in queries])
    best = max(alone, key=lambda part: (alone[part][answered].mean(), part))
    difference = fused[answered] - alone[best][answered]
    bounds = Bootstrap(asked.groups[answered].astype(str).tolist()).intervals(difference[:, None])[0].rounded()
    return FusionChoice(
        queries=len(answered),
        part="" if bounds.low > 0 else best,
        best_part=best,
        measure=_MEASURED,
        fused=round(float(fused[answered].mean()), 5),
        alone=round(float(alone[best][answered].mean()), 5),
        difference=bounds,
    )


def best_way(
    learner: FusionLearner, queries: Sequence[JudgedCandidates], folds: Rows
) -> tuple[FusionLearner, CrossFitted]:
    """Return the learner that makes the right answers of other queries likeliest: near its prior, or near 0.

    Few queries may be held very near the prior; many need none.
    """
    without = replace(learner, prior=None)
    ways = [without]
    if learner.prior is not None and len(queries) < _MANY:
        ways = [replace(learner, penalty=_NEARER * learner.penalty), learner, without]
    tried = [(way, CrossFitted.of(way, queries, folds)) for way in ways]
    return max(tried, key=lambda pair: pair[1].likelihood)


def _log_likelihood(scores: Vectors, grades: Vectors) -> float:
    """Return the log-likelihood of a query's right candidates, weighed by their grades, in the softmax of all."""
    target = np.maximum(grades, 0) / np.maximum(grades, 0).sum()
    top = scores.max()
    logs = scores - top - np.log(np.exp(scores - top).sum())
    return float((target * logs).sum())


def reciprocal_rank(scores: Vectors, grades: Vectors) -> float:
    """Return 1 / the rank of the first right candidate, 0 beyond 10 or for none; of equal scores the mean rank."""
    right = grades > 0
    if not right.any():
        return 0.0
    best = scores[right].max()
    rank = 1 + int((scores > best).sum()) + int(((scores == best) & ~right).sum()) / 2
    return 1 / rank if rank <= _DEPTH else 0.0
