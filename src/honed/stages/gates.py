"""The gates of judged search: gain by training, loss of the student, slices, and what is shipped."""

from collections.abc import Sequence
from dataclasses import dataclass

from honed.artifacts.report import StudentComparison
from honed.config.config import Config
from honed.config.sections import GateSection
from honed.core.errors import ConfigError
from honed.core.stage import Work
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.measures import Scores
from honed.evaluate.results import GateResult
from honed.evaluate.score import Gate, TaskScores, judge_limit
from honed.search.measure import index_recall, query_times
from honed.shapes.systems import BASE, STUDENT, TUNED
from honed.stages.hybrid import searcher_of
from honed.stages.shipped import shipped_model

FEWEST = 100  # queries that a slice needs for a gate


@dataclass(frozen=True, kw_only=True, slots=True)
class Student:
    """A student beside its teacher: whether they share the first hit ``(n_queries,)``, and the facts for the report."""

    agreement: Scores
    facts: StudentComparison


def judged_gates(
    work: Work[Config], scores: TaskScores, lexical: Sequence[str], student: Student | None
) -> list[GateResult]:
    """Return whether each gate of honed.toml was met; ``lexical`` are the names of the systems without a model."""
    rules = work.config.gate
    if rules is None:
        return []
    first = work.config.gate_measure(scores.measures[0])
    gates = [Gate(name="gain over base", candidate=TUNED, reference=BASE, measure=first, bound=rules.gain_over_base)]
    if rules.gain_over_best_baseline is not None and lexical:
        bound, best = rules.gain_over_best_baseline, scores.best(lexical, first)
        gates.append(Gate(name="gain over best baseline", candidate=TUNED, reference=best, measure=first, bound=bound))
    ship, reference = (TUNED, BASE) if student is None else (STUDENT, TUNED)
    if student is not None:
        gates.append(Gate.at_most_lost("student", ship, reference, first, rules.student_gap))
    if rules.slice_gap is not None:
        for part, ids in scores.task.slices.items():
            if len(ids) >= FEWEST:
                gates.append(Gate.at_most_lost(f"slice {part}", ship, reference, first, rules.slice_gap, part=part))
    results = scores.judge(gates)
    if student is not None:
        what = "the share of first hits that student and teacher share"
        results.append(scores.judge_mean("agreement", what, student.agreement, at_least=rules.agreement))
    return results + _shipping_gates(work, rules, scores)


def _shipping_gates(work: Work[Config], rules: GateSection, scores: TaskScores) -> list[GateResult]:
    """Return the gates on the shipped model: size of its weights, latency of a query, recall of the index."""
    if rules.size_mb is None and rules.latency_ms is None and rules.index_recall is None:
        return []
    results, index = [], searcher_of(work, with_hybrid=False, timed=True)
    if rules.size_mb is not None:
        from honed.encode.torch_encoder import TorchEncoder
        from honed.train.students import size_in_mb

        encoder = work.executor.model(shipped_model(work.config, work.inputs))
        if not isinstance(encoder, TorchEncoder):
            raise ConfigError("E_CONFIG_SHAPE", f"gate.size_mb: {work.config.model.base} has no weights to measure")
        results.append(judge_limit("size", "MB of weights in int8", size_in_mb(encoder.model), at_most=rules.size_mb))
    if rules.latency_ms is not None:
        times = query_times(index, [query.text for query in scores.task.queries[:200]])
        results.append(
            judge_limit(
                "latency",
                "ms from text to 10 hits, with PyTorch on this machine (mean of 200 queries)",
                float(times.mean()),
                at_most=rules.latency_ms,
                high=Bootstrap([str(row) for row in range(len(times))]).intervals(times[:, None])[0].high,
            )
        )
    if rules.index_recall is not None:
        shipped = work.executor.encoder(shipped_model(work.config, work.inputs))
        vectors = shipped.encode([query.text for query in scores.task.queries], "query")
        shares = index_recall(index, vectors, 10)
        what = "index recall, the share of the exact 10 nearest that the index finds"
        results.append(scores.judge_mean("index recall", what, shares, at_least=rules.index_recall))
    return results
