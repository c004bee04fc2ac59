"""``honed judgments judge``: a language model grades what nobody judged; those of people say how far it is right."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from honed.artifacts.data import CheckArtifact
from honed.artifacts.evaluation import RUNS, BaselinesArtifact, EvaluateArtifact
from honed.config.judge import JudgeSection
from honed.core.errors import ConfigError, DataError
from honed.core.progress import progress
from honed.core.records import JudgedTask, Qrels, Run
from honed.core.writing import write_json
from honed.data import task
from honed.data.endpoint import EndpointConfig, open_endpoint
from honed.data.split import unit_interval
from honed.evaluate.measures import Measure, score_run
from honed.evaluate.runs import load_runs
from honed.feedback.agreement import Agreement, measure_agreement
from honed.feedback.examination import Floats
from honed.feedback.judging import ModelJudge, Question, judge_instruction
from honed.feedback.prediction_powered import Estimate, predicted_mean
from honed.feedback.ubi_log import Ints
from honed.project.workspace import Workspace
from honed.shapes.systems import BASE, SHIPPED, sampled

FOLDER, REPORT = "judge", "judge.json"
LEAST_UNITS = 20  # groups of queries that people judged whole, for the model to be corrected by
_MOST_CHARS = 20_000


class CorrectedDifference(msgspec.Struct, kw_only=True):
    """A system compared with another: by people alone, by people and the model (corrected), by the model alone.

    ``by_model`` has no interval: nothing corrects it.
    """

    candidate: str
    reference: str
    by_people: Estimate
    corrected: Estimate
    by_model: float


class JudgeReport(msgspec.Struct, kw_only=True):
    """What a language model said of the pools of the systems, and what that is worth."""

    model: str
    prompt_sha256: str
    measure: str
    agreement: Agreement
    least_kappa: float
    is_forced: bool
    pairs_judged_by_people: int
    pairs_judged_by_model_alone: int
    unreadable: int
    groups_judged_by_people: int
    groups_judged_by_model: int
    differences: list[CorrectedDifference]
    note: str
    spent: str


@dataclass(frozen=True, kw_only=True)
class Pools:
    """The first hits of every system for each test query, all of them to be graded."""

    test: JudgedTask
    runs: Sequence[Run]
    documents: Mapping[str, str]
    pools: Mapping[str, Sequence[str]]
    texts: Mapping[str, str]

    @classmethod
    def of(cls, project: Workspace, section: JudgeSection) -> "Pools":
        """Read the runs of the last evaluation of a project."""
        config, runner = project.config, project.runner
        evaluation = runner.latest(EvaluateArtifact)
        test = sampled(runner.latest(CheckArtifact).task(task.FORWARD, "test"), config.most_queries, config.seed)
        baselines = runner.find_latest(BaselinesArtifact)
        found = load_runs(evaluation.folder / RUNS / task.FORWARD) + (baselines.runs(task.FORWARD) if baselines else [])
        if not found:
            raise ConfigError("E_NOT_RUN", "the last evaluation kept no rankings of a judged search")
        own = test.own_documents()
        runs = [_cut(run.by_parent(test.parents) if test.parents else run, own, section.depth) for run in found]
        pools = {
            query.query_id: list(dict.fromkeys(doc for run in runs for doc, _ in run.hits.get(query.query_id, ())))
            for query in test.queries
        }
        wanted = {doc_id for pool in pools.values() for doc_id in pool}
        texts: dict[str, list[str]] = {}
        for document in test.corpus:
            if (doc_id := test.judged_as(document.doc_id)) in wanted:
                texts.setdefault(doc_id, []).append(document.encoder_text())
        return cls(
            test=test,
            runs=runs,
            documents={doc_id: _first_words(parts, section.words) for doc_id, parts in texts.items()},
            pools=pools,
            texts={query.query_id: query.text for query in test.queries},
        )

    def questions(self) -> list[Question]:
        """Return every pair of the pools, with the grade of people where there is one."""
        return [
            Question(
                query_id=query_id,
                doc_id=doc_id,
                query=self.texts[query_id],
                document=self.documents.get(doc_id, ""),
                person=self.test.qrels.grades.get(query_id, {}).get(doc_id),
            )
            for query_id, pool in self.pools.items()
            for doc_id in pool
        ]


def _cut(run: Run, own: Mapping[str, str], depth: int) -> Run:
    hits = {query_id: ranking[:depth] for query_id, ranking in run.without(own).hits.items()}
    return Run(name=run.name, hits=hits)


def _first_words(parts: Sequence[str], n_words: int) -> str:
    return " ".join(" ".join(parts)[:_MOST_CHARS].split()[:n_words])


def judge_project(project: Workspace, *, force: bool = False) -> JudgeReport:
    """Let the model of ``[judge]`` grade the pools of the last evaluation, and return what that is worth.

    Its grades stand in ``judge/`` of the output folder and are read by no stage and no gate. Raises `DataError`
    (``E_JUDGE``) where it does not agree with people, unless ``force``.
    """
    config = project.config
    section, folder = config.judge or JudgeSection(), project.runner.output / FOLDER
    endpoint = open_endpoint(_asked(config.endpoint, section), folder)
    pools = Pools.of(project, section)
    questions = pools.questions()
    best = max((grade for grades in pools.test.qrels.grades.values() for grade in grades.values()), default=1)
    instruction = judge_instruction(best, section.grades, section.instruction)
    judge = ModelJudge(endpoint, instruction, best, folder)
    agreement = _agreement(judge, questions, pools, section, seed=config.seed)
    if not agreement.low >= section.least_kappa and not force:
        raise DataError(
            "E_JUDGE",
            f"{endpoint.config.model} does not grade as people do: kappa {agreement.kappa:.2f} "
            f"({agreement.low:.2f} to {agreement.high:.2f}) on {agreement.n} pairs, least_kappa is "
            f"{section.least_kappa:g}; say in [judge] instruction and grades what is right, name another model, or "
            "--force",
        )
    _grades(judge, questions)
    measure = Measure("nDCG", section.depth)
    differences, n_people, n_model, note = _differences(pools, judge, questions, measure)
    report = JudgeReport(
        model=endpoint.config.model,
        prompt_sha256=judge.prompt_hash,
        measure=str(measure),
        agreement=agreement,
        least_kappa=section.least_kappa,
        is_forced=not agreement.low >= section.least_kappa,
        pairs_judged_by_people=sum(question.person is not None for question in questions),
        pairs_judged_by_model_alone=sum(question.person is None for question in questions),
        unreadable=judge.unreadable,
        groups_judged_by_people=n_people,
        groups_judged_by_model=n_model,
        differences=differences,
        note=note,
        spent=str(endpoint.spent),
    )
    write_json(folder / REPORT, report)
    return report


def _asked(config: EndpointConfig | None, section: JudgeSection) -> EndpointConfig | None:
    """Return [endpoint] as the judge is asked there."""
    return replace(config, model=section.model or config.model, temperature=0.0) if config else None


def _grades(judge: ModelJudge, questions: Sequence[Question]) -> list[int | None]:
    """Return the model's grades of pairs, None where an answer holds none."""
    grades = []
    with progress("judge", len(questions)) as bar:
        for question in questions:
            grades.append(judge.grade(question))
            bar.advance()
    return grades


def _agreement(
    judge: ModelJudge, questions: Iterable[Question], pools: Pools, section: JudgeSection, *, seed: int
) -> Agreement:
    """Return how far the model agrees with people on pairs that they judged, as drawn."""
    known = [question for question in questions if question.person is not None]
    known.sort(key=lambda question: unit_interval(seed, f"{question.query_id}\0{question.doc_id}"))
    drawn = known[: section.pairs]
    both = [
        (question, grade) for question, grade in zip(drawn, _grades(judge, drawn), strict=True) if grade is not None
    ]
    if len({question.person for question, _ in both}) < 2:
        raise DataError(
            "E_JUDGE",
            f"people gave one grade alone to the {len(both)} pairs that the model could be compared on: agreement "
            "takes judgements of wrong documents, too",
        )
    ours = np.array([grade for _, grade in both], dtype=np.int64)
    theirs = np.array([question.person for question, _ in both], dtype=np.int64)
    return measure_agreement(ours, theirs, [pools.test.groups[question.query_id] for question, _ in both], seed=seed)


def _differences(
    pools: Pools, judge: ModelJudge, questions: Sequence[Question], measure: Measure
) -> tuple[list[CorrectedDifference], int, int, str]:
    """Return the systems compared with the shipped one, how many groups people and the model judged, and a note."""
    by_model: dict[str, dict[str, int]] = {}
    open_queries = {question.query_id for question in questions if question.person is None}
    for question in questions:
        if (grade := judge.grade(question)) is not None:
            by_model.setdefault(question.query_id, {})[question.doc_id] = grade
    query_ids = [query.query_id for query in pools.test.queries]
    names = {name: place for place, name in enumerate(dict.fromkeys(pools.test.groups[query] for query in query_ids))}
    group = np.array([names[pools.test.groups[query_id]] for query_id in query_ids], dtype=np.int64)
    is_open = np.array([query_id in open_queries for query_id in query_ids], dtype=np.float64)
    whole = _means(is_open, group, len(names)) == 0
    n_people, n_model = int(whole.sum()), int((~whole).sum())
    if n_people < LEAST_UNITS:
        note = f"people judged the pools of {n_people} queries whole: fewer than {LEAST_UNITS} do not correct the model"
        return [], n_people, n_model, note
    scores = {
        run.name: [
            _means(score_run(run, qrels, [measure], query_ids)[measure], group, len(names))
            for qrels in (pools.test.qrels, Qrels(grades=by_model))
        ]
        for run in pools.runs
    }
    candidate = next(name for name in (*SHIPPED, BASE, *scores) if name in scores)
    differences = []
    for reference in scores:
        if reference != candidate:
            true, predicted = (ours - other for ours, other in zip(scores[candidate], scores[reference], strict=True))
            nothing = np.zeros(0)
            differences.append(
                CorrectedDifference(
                    candidate=candidate,
                    reference=reference,
                    by_people=predicted_mean(true[whole], predicted[whole], nothing),
                    corrected=predicted_mean(true[whole], predicted[whole], predicted[~whole]),
                    by_model=float(predicted.mean()),
                )
            )
    note = "corrected intervals hold if the queries that people judged whole are like the others"
    return differences, n_people, n_model, note


def _means(values: Floats, group: Ints, n_groups: int) -> Floats:
    """Return the means by group of values ``(n_queries,)``: queries of one group are one unit."""
    sizes = np.bincount(group, minlength=n_groups).astype(np.float64)
    return np.bincount(group, values, n_groups).astype(np.float64) / sizes
