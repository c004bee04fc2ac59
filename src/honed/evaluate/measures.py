"""Measures as values: they print, parse, hash and score one query at a time.

A package adds a measure by an entry point of the group ``honed.measures`` that names a `RankingMeasure`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ConfigError
from honed.core.records import Qrels, Run
from honed.core.registry import Registry, instance_of

Scores = npt.NDArray[np.float64]
_ROUNDING = 1e-9
# (documents, best first, at most ``cut``; grades by document, above 0 relevant; cut) -> score in [0, 1]
RankingScore: TypeAlias = Callable[[Sequence[str], Mapping[str, int], int], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class RankingMeasure:
    """How the ranking of one query is scored; a query without a relevant document scores 0 unasked.

    ``judged_only`` takes out of rankings what nobody has judged, before they are cut.
    """

    score: RankingScore
    judged_only: bool = False


@dataclass(frozen=True, order=True, slots=True)
class Measure:
    """One measure with its cut, such as ``R@1``, ``Hit@3``, ``MRR@10``, ``nDCG@10``, ``AP@100``; cut 0: none."""

    name: str
    cut: int

    def __str__(self) -> str:
        return f"{self.name}@{self.cut}" if self.cut else self.name

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME@CUT``; `ConfigError` for an unknown name or a cut below 1."""
        match = re.fullmatch(r"(\w+)@(\d+)", text.strip())
        if not match or int(match[2]) < 1 or match[1] not in MEASURES:
            raise ConfigError("E_MEASURE", f"unknown measure {text!r}; known: {', '.join(f'{n}@k' for n in MEASURES)}")
        return cls(match[1], int(match[2]))

    def score(self, ranking: Sequence[str], grades: Mapping[str, int]) -> float:
        """Return the score of one ranking, in [0, 1]; 0 when nothing is relevant."""
        if not any(grade > 0 for grade in grades.values()):
            return 0.0
        kind = MEASURES[self.name]
        if kind.judged_only:
            ranking = [doc_id for doc_id in ranking if doc_id in grades]
        score = kind.score(ranking[: self.cut], grades, self.cut)
        if not 0 <= score <= 1 + _ROUNDING:
            raise ConfigError("E_PLUGIN", f"measure {self}: {score} is not between 0 and 1")
        return score


def _recall(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    relevant = sum(grade > 0 for grade in grades.values())
    return sum(grades.get(doc_id, 0) > 0 for doc_id in ranking) / relevant


def _precision(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    return sum(grades.get(doc_id, 0) > 0 for doc_id in ranking) / cut


def _hit(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    return float(any(grades.get(doc_id, 0) > 0 for doc_id in ranking))


def _reciprocal_rank(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    return next((1 / rank for rank, doc_id in enumerate(ranking, 1) if grades.get(doc_id, 0) > 0), 0.0)


def _ndcg(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    gain = sum(max(grades.get(doc_id, 0), 0) / log2(rank + 1) for rank, doc_id in enumerate(ranking, 1))
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:cut]
    return gain / sum(grade / log2(rank + 1) for rank, grade in enumerate(best, 1))


def _average_precision(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    relevant, total = 0, 0.0
    for rank, doc_id in enumerate(ranking, 1):
        if grades.get(doc_id, 0) > 0:
            relevant += 1
            total += relevant / rank
    return total / sum(grade > 0 for grade in grades.values())


def _judged(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    return sum(doc_id in grades for doc_id in ranking) / cut


# Judged@k is the share of the found that anyone has judged: the others count as wrong, and may not be. nDCG_judged@k is
# the nDCG of what is left of a ranking when they are taken out (condensed lists; Sakai 2007): a system that finds what
# the judges never saw is not punished for it. Recall@k is the share of the relevant that were found, P@k the share of
# the found that are relevant; hit rate@k the share of queries with one found.
MEASURES: Registry[RankingMeasure] = Registry(
    "measure",
    group="honed.measures",
    built_in={
        "R": RankingMeasure(score=_recall),
        "P": RankingMeasure(score=_precision),
        "Hit": RankingMeasure(score=_hit),
        "MRR": RankingMeasure(score=_reciprocal_rank),
        "nDCG": RankingMeasure(score=_ndcg),
        "AP": RankingMeasure(score=_average_precision),
        "Judged": RankingMeasure(score=_judged),
        "nDCG_judged": RankingMeasure(score=_ndcg, judged_only=True),
    },
    accepts=instance_of(RankingMeasure),
)
DEFAULT_MEASURES = tuple(Measure.parse(name) for name in ("R@1", "R@3", "R@10", "MRR@10", "nDCG@10"))
JUDGED_MEASURES = tuple(
    Measure.parse(name)
    for name in ("nDCG@10", "R@1", "R@3", "R@10", "R@100", "Hit@1", "MRR@10", "Judged@10", "nDCG_judged@10")
)
OWN_MEASURES = tuple(Measure.parse(name) for name in ("Hit@1", "Hit@10", "R@1", "R@3", "R@10", "MRR@10", "nDCG@10"))
REVERSE_MEASURES = tuple(Measure.parse(name) for name in ("Hit@1", "Hit@3", "Hit@10", "MRR@10", "nDCG@10"))


def score_run(run: Run, qrels: Qrels, measures: Sequence[Measure], query_ids: Sequence[str]) -> dict[Measure, Scores]:
    """Return for each measure the scores ``(n_queries,)`` in the order of ``query_ids``.

    A query that the run misses scores 0: leaving queries out can never help a system.
    """
    scores = {measure: np.zeros(len(query_ids)) for measure in measures}
    for position, query_id in enumerate(query_ids):
        ranking = [doc_id for doc_id, _ in run.hits.get(query_id, ())]
        grades = qrels.grades.get(query_id, {})
        for measure in measures:
            scores[measure][position] = measure.score(ranking, grades)
    return scores
