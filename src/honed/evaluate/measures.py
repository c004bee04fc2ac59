"""Measures as values: they print, parse, hash and score one query at a time."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ConfigError
from honed.core.records import Qrels, Run

Scores = npt.NDArray[np.float64]


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
        if not match or match[1] not in _SCORERS or int(match[2]) < 1:
            raise ConfigError("E_MEASURE", f"unknown measure {text!r}; known: {', '.join(f'{n}@k' for n in _SCORERS)}")
        return cls(match[1], int(match[2]))

    def score(self, ranking: Sequence[str], grades: Mapping[str, int]) -> float:
        """Return the score of one ranking, in [0, 1]; 0 when nothing is relevant."""
        if not any(grade > 0 for grade in grades.values()):
            return 0.0
        if self.name in _OF_JUDGED:
            ranking = [doc_id for doc_id in ranking if doc_id in grades]
        return _SCORERS[self.name](ranking[: self.cut], grades, self.cut)


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
    found, total = 0, 0.0
    for rank, doc_id in enumerate(ranking, 1):
        if grades.get(doc_id, 0) > 0:
            found += 1
            total += found / rank
    return total / sum(grade > 0 for grade in grades.values())


def _judged(ranking: Sequence[str], grades: Mapping[str, int], cut: int) -> float:
    return sum(doc_id in grades for doc_id in ranking) / cut


# Judged@k is the share of the found that anyone has judged: the others count as wrong, and may not be. nDCG_judged@k is
# the nDCG of what is left of a ranking when they are taken out (condensed lists; Sakai 2007): a system that finds what
# the judges never saw is not punished for it. Recall@k is the share of the relevant that were found, P@k the share of
# the found that are relevant; hit rate@k the share of queries with one found.
_SCORERS = {
    "R": _recall,
    "P": _precision,
    "Hit": _hit,
    "MRR": _reciprocal_rank,
    "nDCG": _ndcg,
    "AP": _average_precision,
    "Judged": _judged,
    "nDCG_judged": _ndcg,
}
_OF_JUDGED = ("nDCG_judged",)
DEFAULT_MEASURES = tuple(Measure.parse(each) for each in ("R@1", "R@3", "R@10", "MRR@10", "nDCG@10"))
JUDGED_MEASURES = tuple(
    Measure.parse(each)
    for each in ("nDCG@10", "R@1", "R@3", "R@10", "R@100", "Hit@1", "MRR@10", "Judged@10", "nDCG_judged@10")
)
REVERSE_MEASURES = tuple(Measure.parse(each) for each in ("Hit@1", "Hit@3", "Hit@10", "MRR@10", "nDCG@10"))


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
