"""How the parts of a hybrid are fused: weights that dev teaches, unless the best part alone does as well."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from honed.core.protocols import Vectors
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.results import FusionChoice, Interval
from honed.index.fusion import FusionLearner, JudgedCandidates, kind_of_query
from honed.index.hybrid import HybridIndex
from honed.index.prior import prior_weights
from honed.search.searcher import Searcher
from honed.stages.encoded_queries import FOLDS, EncodedQueries, gather_candidates

_MEASURED = "MRR@10"
_DEPTH = 10


@dataclass(frozen=True, kw_only=True)
class TaughtFusion:
    """Queries with their candidates ``taught`` the weights by ``learner``; ``choice`` tells why these."""

    queries: Sequence[JudgedCandidates]
    learner: FusionLearner
    choice: FusionChoice


def teach_fusion(searcher: Searcher, asked: EncodedQueries, penalty: float) -> TaughtFusion:
    """Give a searcher's hybrid the weights that queries teach.

    The weights are shrunk towards a prior of many data sets. Unless the fused ranking, cross-fitted, is better than the
    best single part by the low bound of the difference, that part answers alone.
    """
    index = searcher.hybrid
    assert index is not None
    queries = judged_candidates(searcher, index, asked)
    names = tuple(index.feature_names)
    learner = FusionLearner(names=names, penalty=penalty, prior=prior_weights(names, of_names=index.names))
    choice = choose(index, learner, queries, asked)
    if choice.part:
        learner = replace(learner, only=_feature_of(index, choice.part))
    index.fusion = learner.fit(queries)
    return TaughtFusion(queries=queries, learner=learner, choice=choice)


def judged_candidates(searcher: Searcher, index: HybridIndex, asked: EncodedQueries) -> list[JudgedCandidates]:
    """Return the candidates of queries with their features and grades, to learn from."""
    return [
        JudgedCandidates(
            candidates.features,
            np.array([asked.grades[at].get(row, 0) for row in candidates.rows.tolist()], dtype=np.float32),
            kind_of_query(asked.texts[at], names=index.names),
        )
        for at, candidates in enumerate(gather_candidates(searcher, asked, "hybrid, dev"))
    ]


def choose(
    index: HybridIndex, learner: FusionLearner, queries: Sequence[JudgedCandidates], asked: EncodedQueries
) -> FusionChoice:
    """Return whether the fused ranking answers or its best part alone, by reciprocal ranks on dev, cross-fitted."""
    answered = np.flatnonzero(asked.answerable())
    if not len(answered):
        return FusionChoice(queries=0, part="", best_part="", measure=_MEASURED, fused=0.0, alone=0.0, difference=None)
    fused = np.zeros(len(queries))
    for fold in range(FOLDS):
        others = [query for query, of in zip(queries, asked.folds, strict=True) if of != fold]
        fusion = learner.fit(others)
        for at in np.flatnonzero(asked.folds == fold).tolist():
            query = queries[at]
            fused[at] = reciprocal_rank(fusion.scores(query.features, kind=query.kind), query.grades)
    alone = {}
    for part in index.part_features:
        at_feature = learner.names.index(_feature_of(index, part))
        alone[part] = np.array([reciprocal_rank(query.features[:, at_feature], query.grades) for query in queries])
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
        difference=Interval(mean=bounds.mean, low=bounds.low, high=bounds.high),
    )


def _feature_of(index: HybridIndex, part: str) -> str:
    """Return the feature by which a part alone would rank."""
    return index.part_features[part]


def reciprocal_rank(scores: Vectors, grades: Vectors) -> float:
    """Return 1 / the rank of the first right candidate, 0 beyond 10 or for none; of equal scores the mean rank."""
    right = grades > 0
    if not right.any():
        return 0.0
    best = scores[right].max()
    rank = 1 + int((scores > best).sum()) + int(((scores == best) & ~right).sum()) / 2
    return 1 / rank if rank <= _DEPTH else 0.0
