"""The estimates of ``[answers]``: learned on dev by cross-fitting, judged on test."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from honed.config.sections import AnswersSection
from honed.core.absence import ABSENT, AbsentShare
from honed.core.json import Json
from honed.core.records import JudgedTask
from honed.core.text import fold
from honed.data.split import unit_interval
from honed.evaluate.answers import AcceptedRisk, AnswerQuality, Estimates, judge_answers
from honed.index.answers import AnswerEvidence, AnswerModel, answer_evidence
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
        seen += query_evidence(searcher, of_part, f"answers, dev, part {part + 1} of {FOLDS}")
    index.fusion = final
    order = np.argsort(asked.folds, kind="stable")
    return AnswerModel.learn(
        answer_table(seen, asked.only(order)),
        absent=section.absent,
        risk=section.risk,
        confidence=section.confidence,
        coverage=section.coverage,
    )


def answer_table(seen: "Sequence[QueryEvidence]", asked: EncodedQueries) -> AnswerEvidence:
    """Return the evidence on queries in one table, in the order in which they were asked."""
    return AnswerEvidence(
        shown=np.stack([evidence.shown for evidence in seen]),
        hidden=np.stack([evidence.hidden for evidence in seen]),
        answerable=asked.answerable(),
        right=np.array([evidence.right for evidence in seen], dtype=np.float64),
        distances=np.array([evidence.distance for evidence in seen]),
        parts=asked.parts,
        draws=np.array([unit_interval(11, text) for text in asked.texts]),
    )


def answer_facts(model: AnswerModel | None, n: int) -> dict[str, Json]:
    """Return what a stage tells of estimates that ``n`` queries taught; None where they were too few to learn from."""
    if model is None or model.promise is None:
        return {"gap": None, "promise": f"no estimates and no promise: {n} dev queries are no known names"}
    return {"gap": model.gap, "cut": model.promise.cut, "promise": model.promise.sentence()}


class QueryEvidence(NamedTuple):
    """The evidence on a query with and without its answer, whether its first hit is right, and all its candidates.

    ``distance`` is that from the first score to the best right one, infinite where none is among the candidates.
    """

    shown: Any
    hidden: Any
    right: bool
    distance: float
    wide: Ranking


def query_evidence(searcher: Searcher, asked: EncodedQueries, title: str) -> Iterator[QueryEvidence]:
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
    for seen in query_evidence(searcher, asked, "answers"):
        gap = np.inf if model.gap is None else model.gap
        held = np.isfinite(seen.distance) and seen.distance <= gap
        rows.append((model.chance(seen.shown), model.chance(seen.hidden), seen.right, model.within(seen.wide), held))
    columns = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    names = ("chances", "without", "right", "sizes", "held")
    estimates = Estimates(answerable=asked.answerable(), **dict(zip(names, columns, strict=True)))
    promise = model.promise
    return judge_answers(
        estimates,
        _accepted(model),
        share=AbsentShare.of(estimates.answerable, section.absent, otherwise=promise.absent if promise else ABSENT),
        reached=model.gap is not None,
        wanted=section.coverage,
        known_names=len(test.queries) - len(new.queries),
    )


def _accepted(model: AnswerModel) -> AcceptedRisk:
    """Return which answers a model gives, and what it promises of them."""
    promise = model.promise
    if promise is None or not promise.made:
        return AcceptedRisk(risk=model.risk, cut=1 - model.risk, sentence=model.promise_sentence())
    return AcceptedRisk(
        risk=model.risk,
        cut=promise.cut,
        confidence=promise.confidence,
        n_dev=promise.n,
        sentence=promise.sentence(),
    )
