"""The stage "evaluate": every system measured on the test queries, compared in pairs, judged by the gates."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from honed.artifacts.bases import BasesArtifact
from honed.artifacts.data import BaseVectors, CheckArtifact, Examples, SearchRecords
from honed.artifacts.evaluation import (
    REPORT,
    REPORT_PAGE,
    RUNS,
    BaselinesArtifact,
    EvaluateArtifact,
    HeadroomArtifact,
    ReportPart,
)
from honed.artifacts.index import HybridArtifact, IndexArtifact
from honed.artifacts.models import CrossEncoderArtifact, DistilArtifact, Mined, ShippedModel, TrainArtifact
from honed.artifacts.report import Direction, JudgedReport, StudentComparison
from honed.config.config import Config
from honed.config.sections import EvaluateSection, GateSection
from honed.core.effort import DataFacts, Effort
from honed.core.json import Json
from honed.core.records import JudgedTask, Run
from honed.core.stage import Stage, Work
from honed.core.writing import write_json
from honed.encode.models import encoder_source
from honed.evaluate.headroom import Headroom, compared_with_gain
from honed.evaluate.measures import MEASURES, Measure
from honed.evaluate.outcomes import OutcomeFinder
from honed.evaluate.results import Comparison, FusionChoice, QueryOutcomes
from honed.evaluate.runs import save_run
from honed.evaluate.score import TaskScores, agreement, task_ceiling
from honed.shapes.judged import measured_task
from honed.shapes.next_steps import next_steps
from honed.shapes.registry import shape_of
from honed.shapes.report_facts import report_facts
from honed.shapes.shape import DirectionPlan
from honed.shapes.systems import (
    BASE,
    HYBRID,
    HYBRID_RANKS,
    KNOWN_NAMES,
    RERANKED,
    SHIPPED,
    STUDENT,
    TUNED,
    encoder_run,
    reranked,
    sampled,
    with_known_names,
)
from honed.stages.answers import judged_answers
from honed.stages.gates import Student, judged_gates
from honed.stages.hybrid import OF_ONE_QUERY, hybrid_runs, known_names, searcher_of
from honed.stages.latency import QUERIES, latencies
from honed.stages.shipped import shipped_encoder

R1 = Measure("R", 1)


def _settings(config: Config, root: Path) -> dict[str, Json]:
    plugins = MEASURES.versions(measure.name for measure in config.measures(()))
    return {
        "retrieval": None,
        "answers": asdict(config.answers) if config.answers else None,
        "language": config.language,
        "stop_words": config.stop_words,
        "evaluate": _without(config.evaluate, "measures", "queries"),
        "gate": _without(config.gate, "measure"),
        "protocol": config.split.protocol,
        "model": encoder_source(config.model).identity(),
        **shape_of(config).evaluation_settings(config),
        **({"plugins": {**plugins}} if plugins else {}),
    }


def _without(section: EvaluateSection | GateSection | None, *names: str) -> dict[str, Json] | None:
    """Return a section as plain data, without settings that came later where they are as usual: results stay valid."""
    if section is None:
        return None
    usual = asdict(type(section)())
    return {key: value for key, value in asdict(section).items() if key not in names or value != usual[key]}


def _run(work: Work[Config]) -> dict[str, Json]:
    """Evaluate by the shape of the data; writes ``report.json`` and ``report.html``, returns the gates."""
    shape = shape_of(work.config)
    report = shape.evaluate(JudgedEvaluation(work))
    report.next_steps = next_steps(report)
    write_json(work.folder / REPORT, report)
    (work.folder / REPORT_PAGE).write_text(shape.render(report), encoding="utf-8")
    gates: Json = msgspec.to_builtins(report.gates)
    return {"gates": gates}


@dataclass(frozen=True, slots=True)
class JudgedEvaluation:
    """Measures the systems of a run on judged tasks; what `honed.shapes.shape.Evaluation` asks for."""

    work: Work[Config]

    def judged_report(self, directions: Sequence[DirectionPlan]) -> JudgedReport:
        """Measure every system on the judged tasks of some directions, the main one first."""
        work, inputs = self.work, self.work.inputs
        main, *others = (_measured(work, direction) for direction in directions)
        mined, baselines, chosen = inputs.find(Mined), inputs.find(BaselinesArtifact), inputs.find(BasesArtifact)
        return JudgedReport(
            **report_facts(work, work.config.split.protocol),
            **{name: getattr(main, name) for name in Direction.__struct_fields__},
            headline=[str(directions[0].measures[0])],
            reverse=others[0] if others else None,
            **_asked_one_by_one(work, directions[0]),
            headroom=_headroom_after(work, main.comparisons),
            mining=mined.mining() if mined else None,
            fusion=_fusion(work),
            model=baselines.base_spec() if baselines else None,
            prompts=baselines.prompt_trial() if baselines else None,
            bases=chosen.choice() if chosen else None,
        )


def _asked_one_by_one(work: Work[Config], main: DirectionPlan) -> dict[str, Any]:
    """Return the report's parts on single queries: calibration of the answers, and latency."""
    if work.inputs.find(IndexArtifact) is None:
        return {"answers": None, "latency": None}
    config, fused = work.config, work.inputs.find(HybridArtifact) is not None
    timed = config.evaluate is not None and config.evaluate.latency
    if not timed and not (config.answers and fused):
        return {"answers": None, "latency": None}
    test = measured_task(work, main.name, "test")
    answers, times = None, None
    if config.answers and fused:
        known, asked = known_names(work.inputs.need(CheckArtifact)), test.with_absent()
        answers = judged_answers(searcher_of(work, with_hybrid=True), asked, config.answers, config.seed, known)
    if timed:
        texts = [query.text for query in sampled(test, QUERIES, config.seed).queries]
        times = latencies(searcher_of(work, with_hybrid=fused, timed=True), work.inputs, texts)
    return {"answers": answers, "latency": times}


def _fusion(work: Work[Config]) -> FusionChoice | None:
    """Return why the hybrid ranks as it does, where there is one."""
    hybrid = work.inputs.find(HybridArtifact)
    choice = hybrid.data().get("choice") if hybrid else None
    return msgspec.convert(choice, FusionChoice) if choice else None


def _headroom_after(work: Work[Config], comparisons: Sequence[Comparison]) -> Headroom | None:
    """Return the estimate made before training beside the gain that was measured."""
    estimated = work.inputs.find(HeadroomArtifact)
    if estimated is None:
        return None
    before = msgspec.convert(estimated.estimate(), Headroom)
    gain = next(
        (
            comparison.difference
            for comparison in comparisons
            if (comparison.candidate, comparison.reference, comparison.measure) == (TUNED, BASE, str(R1))
        ),
        None,
    )
    return compared_with_gain(before, gain) if gain else before


# -- one direction -------------------------------------------------------------------------------


def _measured(work: Work[Config], direction: DirectionPlan) -> Direction:
    """Measure all systems on the test queries of a direction; the runs and scores are kept beside the report."""
    test = measured_task(work, direction.name, "test")
    measures = work.config.measures(direction.measures)
    scores = TaskScores(test, measures, seed=work.config.seed)
    stored = work.inputs.find(BaselinesArtifact)
    baselines = stored.runs(direction.name) if stored else []
    ours = _our_runs(work, test, direction)
    for run in [*baselines, *ours]:
        scores.add(run)
    for run in ours:
        save_run(work.folder / RUNS / direction.name, run)
    if direction.main:
        scores.save(work.folder)
    lexical = [run.name for run in baselines if run.name != BASE]
    student = _student(work, scores, ours) if direction.main else None
    return Direction(
        direction=direction.title,
        n_queries=len(test.queries),
        drawn_from=_drawn_from(work, test, direction),
        n_candidates=len(test.corpus),
        ceiling=round(task_ceiling(test), 5) if direction.bounded else None,
        systems=scores.systems(),
        comparisons=_comparisons(scores, lexical, measures),
        student=student.facts if student else None,
        gates=judged_gates(work, scores, lexical, student) if direction.main else [],
        own_documents=len(scores.own),
        **_outcomes(test, [*baselines, *ours]),
    )


def _drawn_from(work: Work[Config], test: JudgedTask, direction: DirectionPlan) -> int:
    """Return how many queries the test split has where a draw of them is measured, otherwise 0."""
    n = work.inputs.need(CheckArtifact).n_queries(direction.name, "test")
    return n if n > len(test.queries) else 0


def _outcomes(test: JudgedTask, runs: Sequence[Run]) -> dict[str, QueryOutcomes | None]:
    """Return queries that what is shipped got wrong, and those that it won by fine-tuning; None without such runs."""
    by_name, finder = {run.name: run for run in runs}, OutcomeFinder(test)
    shipped = next((name for name in (*SHIPPED, BASE) if name in by_name), None)
    tuned = TUNED in by_name and BASE in by_name
    return {
        "wrong": finder.wrong(by_name[shipped]) if shipped else None,
        "won": finder.won(by_name[TUNED], by_name[BASE]) if tuned else None,
    }


def _our_runs(work: Work[Config], test: JudgedTask, direction: DirectionPlan) -> list[Run]:
    """Return the runs of the trained models and of the hybrid."""
    runs = _model_runs(work, test, direction)
    if not direction.main or work.inputs.find(HybridArtifact) is None:
        return runs
    shape, check = shape_of(work.config), work.inputs.need(CheckArtifact)
    fused = hybrid_runs(work, test, shape.depth(work.config))
    if names := shape.known_names(check):
        learned = next(run for run in fused if run.name == HYBRID)
        fused.append(with_known_names(HYBRID + KNOWN_NAMES, learned, test, names, shape.depth(work.config)))
    return runs + fused


def _model_runs(work: Work[Config], test: JudgedTask, direction: DirectionPlan) -> list[Run]:
    """Return the runs of teacher and student, and of the shipped model reranked and with known names."""
    index, teacher = work.inputs.find(IndexArtifact), work.inputs.find(TrainArtifact)
    if index is None or teacher is None:
        return []
    shape, k, precision = shape_of(work.config), shape_of(work.config).depth(work.config), work.config.model.precision
    stored, runs = index.vector_of_text(), []
    if work.inputs.find(DistilArtifact):
        runs.append(encoder_run(TUNED, work.executor.encoder(teacher.source(precision)), test, k))
    shipped = shipped_encoder(work.config, work.inputs, work.executor.encoder)
    first = encoder_run(STUDENT if runs else TUNED, shipped, test, k, stored=stored)
    runs.append(first)
    judge, section = work.inputs.find(CrossEncoderArtifact), work.config.cross_encoder
    if direction.main and judge and section:
        scorer = work.executor.model(judge.scorer())
        wide = first if section.depth <= k else encoder_run(first.name, shipped, test, section.depth, stored=stored)
        runs.append(reranked(first.name + RERANKED, wide, test, scorer, section.depth))
    if direction.main and (names := shape.known_names(work.inputs.need(CheckArtifact))):
        runs.append(with_known_names(first.name + KNOWN_NAMES, first, test, names, k))
    return runs


def _comparisons(scores: TaskScores, lexical: Sequence[str], measures: Sequence[Measure]) -> list[Comparison]:
    first = measures[0]
    references = [name for name in (BASE, scores.best(lexical, first) if lexical else "") if name in scores.scores]
    pairs = [(TUNED, name) for name in references if TUNED in scores.scores]
    pairs += [(name, name.removesuffix(RERANKED)) for name in scores.scores if name.endswith(RERANKED)]
    if STUDENT in scores.scores:
        pairs += [(STUDENT, name) for name in (TUNED, *references)]
    if HYBRID in scores.scores:
        shipped = [name for name in (STUDENT, TUNED) if name in scores.scores][:1]
        pairs += [(HYBRID, name) for name in (*shipped, *references, HYBRID_RANKS)]
    return [scores.compare(*pair, measure) for pair in pairs for measure in measures]


def _student(work: Work[Config], scores: TaskScores, runs: Sequence[Run]) -> Student | None:
    """Return the student's agreement with its teacher; None without a student."""
    by_name, distilled = {run.name: run for run in runs}, work.inputs.find(DistilArtifact)
    if STUDENT not in by_name or distilled is None:
        return None
    same = agreement(by_name[TUNED], by_name[STUDENT], scores.query_ids)
    interval = scores.bootstrap.intervals(same[:, None])[0].rounded()
    report = distilled.student()
    facts = StudentComparison(agreement=interval, teacher=report.teacher, student=report.student, tried=report.tried)
    return Student(agreement=same, facts=facts)


def _effort(config: Config, facts: DataFacts) -> Effort:
    pairs = facts.test.count * facts.documents.count
    looks = (1 + (3 if config.answers else 0)) if config.hybrid else 0
    return Effort(
        encoded=(facts.test.times(facts.directions),),
        compared=pairs * facts.directions,
        fused=looks * (pairs + facts.test.count * OF_ONE_QUERY),
        vectors=2 * facts.names.count,
    )


STAGE: Stage[Config] = Stage(
    name="evaluate",
    artifact=EvaluateArtifact,
    needs=(
        CheckArtifact,
        BasesArtifact,
        BaseVectors,
        Examples,
        SearchRecords,
        BaselinesArtifact,
        HeadroomArtifact,
        CrossEncoderArtifact,
        ShippedModel,
        IndexArtifact,
        HybridArtifact,
        ReportPart,
    ),
    wanted=lambda config: config.evaluate is not None,
    settings=_settings,
    run=_run,
    version=3,
    effort=_effort,
)
