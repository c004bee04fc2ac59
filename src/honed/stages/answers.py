"""The estimates of ``[answers]``: learned on dev by cross-fitting, judged on test."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from honed.config.sections import AnswersSection
from honed.core.records import JudgedTask
from honed.core.text import fold
from honed.evaluate.answers import AnswerQuality, Estimates, judge_answers
from honed.index.answers import AnswerModel, answer_evidence
from honed.index.fusion import JudgedCandidates, LearnedFusion
from honed.index.hybrid import DEPTH, WIDE, Ranking
from honed.search.searcher import Searcher
from honed.shapes.systems import sampled
from honed.stages.encoded_queries import FOLDS, EncodedQueries, gather_candidates

_ASKED = 3000


def strangers(asked: JudgedTask, known: frozenset[str]) -> JudgedTask:
    """Return the queries that are no known name: those whose answers are estimated."""
    return replace(asked, queries=[query for query in asked.queries if fold(query.text) not in known])


def learn_answers(
    searcher: Searcher,
    asked: EncodedQueries,
    queries: Sequence[JudgedCandidates],
    penalty: float,
    section: AnswersSection,
) -> AnswerModel:
    """Learn from queries that were ranked by weights which they did not teach (cross-fitting)."""
    index = searcher.hybrid
    assert index is not None and index.fusion is not None
    final = index.fusion
    seen: list[QueryEvidence] = []
    for part in range(FOLDS):
        others = [query for query, fold_number in zip(queries, asked.folds, strict=True) if fold_number != part]
        index.fusion = LearnedFusion.fit(index.feature_names, others, penalty=penalty)
        of_part = asked.only(np.flatnonzero(asked.folds == part))
        seen += _evidence(searcher, of_part, f"answers, dev, part {part + 1} of {FOLDS}")
    index.fusion = final
    return AnswerModel.fit(
        np.stack([evidence.shown for evidence in seen]),
        np.stack([evidence.hidden for evidence in seen]),
        np.array([evidence.right for evidence in seen], dtype=np.float64),
        np.array([evidence.distance for evidence in seen]),
        absent=section.absent,
        risk=section.risk,
        coverage=section.coverage,
    )


class QueryEvidence(NamedTuple):
    """The evidence on a query with and without its answer, whether its first hit is right, and all its candidates.

    ``distance`` is that from the first score to the best right one, infinite where none is among the candidates.
    """

    shown: Any
    hidden: Any
    right: bool
    distance: float
    wide: Ranking


def _evidence(searcher: Searcher, asked: EncodedQueries, title: str) -> Iterator[QueryEvidence]:
    """Yield the evidence on each query, ranked with its right labels and without them."""
    index = searcher.hybrid
    assert index is not None
    for at, candidates in enumerate(gather_candidates(searcher, asked, title, depth=WIDE)):
        text, vector, right = asked.texts[at], asked.vectors[at], asked.right(at)
        wide = index.rank(text, candidates)
        places = np.flatnonzero(np.isin(wide.rows, right))
        distance = float(wide.scores[0] - wide.scores[places[0]]) if len(places) else np.inf
        near = searcher.nearest(vector[None], DEPTH + len(right))[0]
        shown = index.rank(text, searcher.gather(text, vector, near, hidden=asked.own[at]))
        hidden = index.rank(text, searcher.gather(text, vector, near, hidden=[*right, *asked.own[at]]))
        first = bool(len(shown.rows) and shown.rows[0] in right)
        yield QueryEvidence(answer_evidence(text, shown), answer_evidence(text, hidden), first, distance, wide)


def judged_answers(
    searcher: Searcher, test: JudgedTask, section: AnswersSection, seed: int, known: frozenset[str]
) -> AnswerQuality | None:
    """Return how a searcher's estimates hold on test queries that are no ``known`` name; None where nothing is known.

    Of more than 3,000 queries it is a fixed draw.
    """
    model, new = searcher.answers, strangers(test, known)
    if model is None or not new.queries:
        return None
    asked = EncodedQueries.of(searcher, sampled(new, _ASKED, seed))
    rows = []
    for seen in _evidence(searcher, asked, "answers"):
        gap = np.inf if model.gap is None else model.gap
        held = np.isfinite(seen.distance) and seen.distance <= gap
        rows.append((model.chance(seen.shown), model.chance(seen.hidden), seen.right, model.within(seen.wide), held))
    columns = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    names = ("chances", "without", "right", "sizes", "held")
    estimates = Estimates(**dict(zip(names, columns, strict=True)))
    return judge_answers(
        estimates,
        absent=section.absent,
        risk=section.risk,
        reached=model.gap is not None,
        wanted=section.coverage,
        known_names=len(test.queries) - len(new.queries),
    )
