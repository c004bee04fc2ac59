"""Systems on one judged task: scores with intervals, slices, ceiling, paired comparisons, gates."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from honed.core.ranking import Rows
from honed.core.records import JudgedTask, Run
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.measures import Measure, Scores, score_run
from honed.evaluate.results import Comparison, GateResult, Interval, SystemResult

SCORES, GROUPS = "scores.npz", "groups"
Scored = dict[str, dict[Measure, Scores]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """A rule that a result must meet: the low bound of a paired difference, of a slice or all, is above ``bound``.

    ``or_equal``: at the bound is good enough, as it is for a loss that is allowed.
    """

    name: str
    candidate: str
    reference: str
    measure: Measure
    bound: float
    part: str = ""
    or_equal: bool = False

    @classmethod
    def at_most_lost(
        cls, name: str, candidate: str, reference: str, measure: Measure, most: float, *, part: str = ""
    ) -> Self:
        """Return the rule that a candidate may lose at most a share against a reference."""
        return cls(
            name=name,
            candidate=candidate,
            reference=reference,
            measure=measure,
            bound=-most,
            part=part,
            or_equal=True,
        )


class TaskScores:
    """All systems of one task, scored on the same queries."""

    def __init__(self, task: JudgedTask, measures: Sequence[Measure], *, seed: int = 0) -> None:
        self.task, self.measures, self.seed = task, list(measures), seed
        self.query_ids = [query.query_id for query in task.queries]
        self.bootstrap = Bootstrap([task.groups[query] for query in self.query_ids], seed=seed)
        self.scores: Scored = {}
        self.own = task.own_documents()

    def add(self, run: Run) -> None:
        """Score a run under its name; passages count as the documents that they were cut from.

        The document that a query itself is stands in no ranking.
        """
        run = run.by_parent(self.task.parents) if self.task.parents else run
        run = run.without(self.own)
        self.scores[run.name] = score_run(run, self.task.qrels, self.measures, self.query_ids)

    def systems(self) -> list[SystemResult]:
        """Return every system with every measure and its interval, and the same by slice."""
        everything = np.arange(len(self.query_ids))
        parts = {name: self._rows(ids) for name, ids in self.task.slices.items()}
        table = {name: self._intervals(rows) for name, rows in {"": everything, **parts}.items()}
        return [
            SystemResult(
                name=system,
                measures=table[""][system],
                slices={name: {"n": len(rows), **table[name][system]} for name, rows in parts.items()},
            )
            for system in self.scores
        ]

    def save(self, folder: Path) -> None:
        """Write the scores ``(n_queries,)`` of every system and measure, and the queries' groups, to ``scores.npz``."""
        named = {
            f"{name}/{measure}": values for name, scored in self.scores.items() for measure, values in scored.items()
        }
        np.savez_compressed(folder / SCORES, allow_pickle=False, **named, **{GROUPS: self.bootstrap.group})

    def _rows(self, ids: frozenset[str]) -> Rows:
        return np.array([row for row, query_id in enumerate(self.query_ids) if query_id in ids], dtype=np.int64)

    def _bootstrap_of(self, rows: Rows) -> Bootstrap:
        return Bootstrap([self.task.groups[self.query_ids[row]] for row in rows], seed=self.seed)

    def _intervals(self, rows: Rows) -> dict[str, dict[str, Interval]]:
        columns = [scores[measure][rows] for scores in self.scores.values() for measure in self.measures]
        intervals = iter(self._bootstrap_of(rows).intervals(np.stack(columns, axis=1)))
        return {
            system: {str(measure): next(intervals).rounded() for measure in self.measures} for system in self.scores
        }

    def compare(self, candidate: str, reference: str, measure: Measure, part: str = "") -> Comparison:
        """Return the paired comparison of two systems, in a slice or all: difference, interval, p, wins and losses."""
        difference = self.scores[candidate][measure] - self.scores[reference][measure]
        bootstrap = self.bootstrap
        if part:
            rows = self._rows(self.task.slices[part])
            difference, bootstrap = difference[rows], self._bootstrap_of(rows)
        interval = bootstrap.intervals(difference[:, None])[0]
        return Comparison(
            candidate=candidate,
            reference=reference,
            measure=str(measure),
            difference=interval.rounded(),
            p_value=round(bootstrap.p_value(difference), 5),
            wins=int((difference > 0).sum()),
            losses=int((difference < 0).sum()),
            n=len(difference),
        )

    def best(self, names: Sequence[str], measure: Measure) -> str:
        """Return the system of ``names`` with the highest mean."""
        return max(names, key=lambda name: float(self.scores[name][measure].mean()))

    def judge(self, gates: Sequence[Gate]) -> list[GateResult]:
        """Return whether each gate was met; a gate on a system that is not there fails."""
        judged = []
        for gate in gates:
            where = f" in {gate.part}" if gate.part else ""
            sign = ">=" if gate.or_equal else ">"
            who = f"{gate.candidate} over {gate.reference}{where}"
            rule = f"low bound of paired {gate.measure} of {who} {sign} {gate.bound:g}"
            value, low = 0.0, None
            if gate.candidate in self.scores and gate.reference in self.scores:
                difference = self.compare(gate.candidate, gate.reference, gate.measure, gate.part).difference
                value, low = difference.mean, difference.low
            passed = low is not None and (low > gate.bound or (gate.or_equal and low == gate.bound))
            judged.append(GateResult(name=gate.name, rule=rule, value=value, low=low, passed=passed))
        return judged

    def judge_mean(self, name: str, what: str, values: Scores, *, at_least: float) -> GateResult:
        """Return a gate on the low bound of the mean of one value for each query ``(n_queries,)``."""
        interval = self.bootstrap.intervals(values[:, None])[0].rounded()
        rule = f"low bound of {what} >= {at_least:g}"
        return GateResult(name=name, rule=rule, value=interval.mean, low=interval.low, passed=interval.low >= at_least)


def judge_limit(name: str, what: str, value: float, *, at_most: float, high: float | None = None) -> GateResult:
    """Return a gate on a size or a time; ``high`` is the upper bound of a mean of several measurements."""
    bound = value if high is None else high
    rule = f"{'high bound of ' if high is not None else ''}{what} <= {at_most:g}"
    return GateResult(name=name, rule=rule, value=round(value, 5), low=round(bound, 5), passed=bound <= at_most)


def agreement(first: Run, second: Run, query_ids: Sequence[str]) -> Scores:
    """Return for each query ``(n_queries,)`` whether two runs have the same first hit."""
    tops = [[hits[0][0] if (hits := run.hits.get(query)) else None for query in query_ids] for run in (first, second)]
    return np.array([float(left == right) for left, right in zip(*tops, strict=True)])


def task_ceiling(task: JudgedTask) -> float:
    """Return the best possible mean R@1 of any system that sees the query string alone.

    Equal strings get equal answers, so of queries with one string only those that share the best document can be right.
    """
    by_text: dict[str, list[Mapping[str, int]]] = defaultdict(list)
    for query in task.queries:
        by_text[query.text].append(task.qrels.grades[query.query_id])
    total = 0.0
    for judged in by_text.values():
        value: dict[str, float] = defaultdict(float)
        for grades in judged:
            relevant = [doc_id for doc_id, grade in grades.items() if grade > 0]
            for doc_id in relevant:
                value[doc_id] += 1 / len(relevant)
        total += max(value.values(), default=0.0)
    return total / len(task.queries) if task.queries else 0.0
