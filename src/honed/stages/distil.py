"""The stage that makes the student: one that is named, or the best of several within a budget."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec.structs import replace as replace_fields

from honed.artifacts.data import Examples
from honed.artifacts.models import DIRECTIONS, STUDENT, DistilArtifact, TrainArtifact
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort
from honed.core.errors import TrainingError
from honed.core.json import Json
from honed.core.optional import require
from honed.core.protocols import Encoder, Role, Vectors
from honed.core.records import Example, JudgedTask
from honed.core.stage import Stage, Work
from honed.core.writing import write_json
from honed.encode.base_models import resolve
from honed.encode.joined import AsymmetricEncoder, JoinedEncoder
from honed.shapes.judged import DEV_CHARS, judged_task
from honed.shapes.registry import shape_of
from honed.shapes.systems import TUNED, dev_reciprocal_rank, narrowed
from honed.stages.known_texts import RoleText, known_texts, name_texts, unseen_queries
from honed.stages.shipped import teacher_sources, teachers_identity
from honed.train.config import STUDENT_KINDS, DistilConfig
from honed.train.history import TrainingResult, TrainingRun
from honed.train.reports import StudentFigures, StudentReport, TeacherFigures
from honed.train.targets import TargetFacts, student_targets, turned

if TYPE_CHECKING:
    from honed.encode.torch_encoder import TorchEncoder

_TURNED_BY = 4000  # texts by which the targets are turned towards the student


def _settings(config: Config, root: Path) -> dict[str, Json]:
    settings = config.distil.settings() if config.distil else {}
    student = str(settings.get("student", "auto"))
    teachers: dict[str, Json] = {"teachers": teachers_identity(config)} if settings.get("teachers") else {}
    weights = resolve(student).weights if student not in (*STUDENT_KINDS, "auto") else ""
    turned_too: dict[str, Json] = {"targets": "turned"} if weights and settings["method"] == "match" else {}
    return {"distil": settings, "weights": weights, **teachers, **turned_too}


def _run(work: Work[Config]) -> dict[str, Json]:
    """Train the student and save it with its training history, sizes and dev scores."""
    require("fine-tuning")
    config = work.config.distil
    assert config is not None  # the stage is wanted only then
    teacher = work.inputs.need(TrainArtifact).source("fp32").load()
    main = shape_of(work.config).directions(work.config)[0].name
    dev = narrowed(judged_task(work.inputs, main, "dev"), DEV_CHARS)
    if config.student == "auto":
        tried = _auto(work, teacher, dev, config)
    else:
        student, figures = _untrained(work, teacher, dev, config)
        if over := _over_budget(figures, config):
            raise TrainingError("E_DISTIL_BUDGET", f"the student {figures.name} has {over}")
        tried = [_train(_Distillation(work, teacher, dev, config, work.folder), student, figures)]
    report = StudentReport(
        teacher=TeacherFigures(
            mb=round(_size(teacher), 3), ms=_latency(teacher, dev), dev=dev_reciprocal_rank(teacher, dev)
        ),
        student=next(student for student in tried if student.chosen is not False),
        tried=tried,
    )
    write_json(work.folder / STUDENT, report)
    return {"spec": msgspec.to_builtins(report.student.spec), "student": report.student.name}


@dataclass(frozen=True)
class _Distillation:
    """The inputs of one student's training: teacher, dev queries for scoring, settings, folder."""

    work: Work[Config]
    teacher: "TorchEncoder"
    dev: JudgedTask
    config: DistilConfig
    folder: Path

    @property
    def run(self) -> TrainingRun:
        """Where the training writes."""
        return TrainingRun(folder=self.folder, logs=self.work.logs)

    def score(self, encoder: Encoder) -> float:
        """Return MRR@10 on dev."""
        return dev_reciprocal_rank(encoder, self.dev)


def _size(encoder: "TorchEncoder") -> float:
    from honed.train.students import size_in_mb

    return size_in_mb(encoder.model)


def _untrained(
    work: Work[Config], teacher: "TorchEncoder", dev: JudgedTask, config: DistilConfig
) -> "tuple[TorchEncoder, StudentFigures]":
    """Return an untrained student with its name, size (MB of int8 weights) and ms for one query."""
    from honed.train.projection import with_width
    from honed.train.students import make_student

    student = make_student(teacher, config.student, layers=config.layers, dim=config.dim)
    if config.method == "match" and (width := _target_width(work, student, config)) != student.spec.dim:
        student = with_width(student, width)
    facts = None
    if config.vocabulary == "known":
        from honed.encode.pruned import prune_vocabulary

        known = [*known_texts(work.inputs), *_matched_texts(work, config)]
        student, facts = prune_vocabulary(student, known, unseen_queries(work.config, work.inputs, known))
    size, took = round(_size(student), 3), _latency(student, dev)
    return student, StudentFigures(name=_name(config), mb=size, ms=took, vocabulary=facts)


def _target_width(work: Work[Config], student: "TorchEncoder", config: DistilConfig) -> int:
    """Return how many numbers the vectors have that a student learns."""
    widths = [teacher.spec.dim for teacher in _teachers(work)]
    return widths[0] if config.output == "teacher" else min(student.spec.dim, sum(widths))


def _over_budget(student: StudentFigures, config: DistilConfig) -> str:
    """Return the limit that a student exceeds, as a phrase for messages; empty within the budget."""
    figures = {"mb": (student.mb, config.max_mb), "ms": (student.ms, config.max_ms)}
    over = [
        f"{value} {unit}; distil.max_{unit} is {most:g}" for unit, (value, most) in figures.items() if 0 < most < value
    ]
    return over[0] if over else ""


def _train(distillation: _Distillation, student: "TorchEncoder", figures: StudentFigures) -> StudentFigures:
    """Train one student; returns its name, size, speed and dev score."""
    config, targets = distillation.config, None
    if config.method == "match":
        trained, targets = _match(distillation, student)
    else:
        trained = _by_pairs(distillation, student)
    return replace_fields(
        figures,
        method=config.method,
        dev=trained.history.best_score,
        spec=trained.spec,
        history=trained.history,
        targets=targets,
    )


def _name(config: DistilConfig) -> str:
    parts = [
        config.student,
        f"{config.layers} layers" if config.layers else "",
        f"{config.dim} wide" if config.dim else "",
    ]
    return ", ".join(part for part in parts if part)


def _match(distillation: _Distillation, student: "TorchEncoder") -> tuple[TrainingResult, TargetFacts]:
    """Teach a student the vectors of its teachers; keeps the directions that these were projected on."""
    from honed.train.distil import match_teacher
    from honed.train.projection import fit_projection, has_projection

    work, config = distillation.work, distillation.config
    texts, teachers = _matched_texts(work, config), _teachers(work)
    targets = student_targets([role_vectors(teacher, texts) for teacher in teachers], student.spec.dim)
    rows = np.arange(0, len(texts), 1 + len(texts) // _TURNED_BY)
    some = [texts[row] for row in rows]
    if has_projection(student):
        fit_projection(student, some, targets.vectors[rows])
    elif len(teachers) > 1 or config.student not in (*STUDENT_KINDS, "auto"):  # the axes are not the student's
        targets = turned(targets, rows, role_vectors(student, some))
    if targets.directions is not None:
        np.save(distillation.folder / DIRECTIONS, targets.directions, allow_pickle=False)
    documents = JoinedEncoder(teachers, targets.directions)

    def score(encoder: Encoder) -> float:
        if config.documents == "teacher":
            return distillation.score(AsymmetricEncoder(encoder, lambda: documents))
        return distillation.score(encoder)

    trained = match_teacher(student, texts, targets.vectors, score, config, distillation.run)
    facts = TargetFacts(
        teachers=[TUNED, *(Path(name).name if Path(name).is_dir() else name for name in config.teachers)],
        documents=config.documents,
        dim=targets.vectors.shape[1],
        of=sum(teacher.spec.dim for teacher in teachers),
        kept=targets.kept,
    )
    return trained, facts


def _matched_texts(work: Work[Config], config: DistilConfig) -> list[RoleText]:
    """Return the texts whose vectors a student learns: known names, and variants of them as queries."""
    from honed.train.variants import text_variants

    texts = dict.fromkeys(name_texts(work.inputs))
    for text in list(dict.fromkeys(text for text, _ in texts)):
        for variant in text_variants(text, config.variants, config.seed):
            texts[variant, "query"] = None
    return list(texts)


def _teachers(work: Work[Config]) -> list[Encoder]:
    """Return the teachers in the precision that this machine is fastest in; their vectors are kept."""
    return [work.executor.encoder(source) for source in teacher_sources(work.config, work.inputs)]


def role_vectors(encoder: Encoder, texts: Sequence[RoleText]) -> Vectors:
    """Return the vectors ``(n_texts, dim)`` of texts in their roles."""
    vectors = np.empty((len(texts), encoder.spec.dim), dtype=np.float32)
    roles: tuple[Role, ...] = ("query", "document")
    for role in roles:
        rows = [row for row, (_, role_of_text) in enumerate(texts) if role_of_text == role]
        if rows:
            vectors[rows] = encoder.encode([texts[row][0] for row in rows], role)
    return vectors


def _by_pairs(distillation: _Distillation, student: "TorchEncoder") -> TrainingResult:
    from honed.train.fine_tune import fine_tune

    config, examples = distillation.config, distillation.work.inputs.need(Examples).examples()
    if not any(example.negatives for example in examples):
        raise TrainingError(
            "E_DISTIL_NEGATIVES", f"distil.method {config.method} needs mined negatives: add [mine] to honed.toml"
        )
    if config.method == "pairs":
        examples = with_cosines(examples, _teachers(distillation.work)[0])
    schedule = config.schedule(objective=config.method)
    return fine_tune(student, examples, distillation.score, schedule, distillation.run)


def with_cosines(examples: list[Example], teacher: Encoder) -> list[Example]:
    """Return examples with the teacher's cosines of their positives and negatives."""
    anchors = list(dict.fromkeys(example.anchor for example in examples))
    documents = list(dict.fromkeys(text for example in examples for text in (example.positive, *example.negatives)))
    left = dict(zip(anchors, teacher.encode(anchors, "query"), strict=True))
    right = dict(zip(documents, teacher.encode(documents, "document"), strict=True))
    return [
        replace(
            example,
            teacher=tuple(float(left[example.anchor] @ right[text]) for text in (example.positive, *example.negatives)),
        )
        for example in examples
    ]


def _auto(work: Work[Config], teacher: "TorchEncoder", dev: JudgedTask, config: DistilConfig) -> list[StudentFigures]:
    """Train every student of the ladder that fits the budget, keep the one that is best on dev."""
    from honed.train.students import student_shapes

    tried: list[StudentFigures] = []
    trained_file = work.folder / "tried.json"
    if trained_file.is_file():  # a crash came after all were trained
        tried = msgspec.json.decode(trained_file.read_bytes(), type=list[StudentFigures])
        _take_chosen(work.folder, tried)
        return tried
    for kind, layers, dim in student_shapes(teacher):
        one = replace(config, student=kind, layers=layers, dim=dim)
        student, figures = _untrained(work, teacher, dev, one)
        if _over_budget(figures, config):
            tried.append(replace_fields(figures, chosen=False, over_budget=True))
            continue
        folder = work.folder / "candidates" / f"{kind}-{layers}"
        folder.mkdir(parents=True, exist_ok=True)
        figures = _train(_Distillation(work, teacher, dev, one, folder), student, figures)
        tried.append(replace_fields(figures, chosen=False, folder=folder.name))
    tried = _with_best_chosen(tried, config)
    write_json(trained_file, tried)
    _take_chosen(work.folder, tried)
    return tried


def _with_best_chosen(tried: list[StudentFigures], config: DistilConfig) -> list[StudentFigures]:
    """Return the students with the best on dev marked as chosen; `TrainingError` where none fits the budget."""
    scores = [student.dev for student in tried if student.dev is not None]
    if not scores:
        smallest = min(tried, key=lambda student: student.mb)
        raise TrainingError(
            "E_DISTIL_BUDGET",
            f"no student fits distil.max_mb {config.max_mb:g} and max_ms {config.max_ms:g}; the smallest, "
            f"{smallest.name}, has {smallest.mb} MB and takes {smallest.ms} ms",
        )
    best = next(student for student in tried if student.dev == max(scores))
    return [replace_fields(student, chosen=True) if student is best else student for student in tried]


def _take_chosen(folder: Path, tried: list[StudentFigures]) -> None:
    """Copy the chosen candidate's files to the student's folder, then remove the candidates; can be repeated."""
    best = next(student for student in tried if student.chosen)
    best_folder = folder / "candidates" / str(best.folder)
    if best_folder.is_dir():
        shutil.copytree(best_folder, folder, dirs_exist_ok=True)
        shutil.rmtree(folder / "candidates")


def _latency(encoder: Encoder, dev: JudgedTask) -> float:
    """Return the median ms of encoding one dev query alone, with PyTorch on this machine."""
    texts = [query.text for query in dev.queries[:30]]
    encoder.encode(texts[:2], "query")
    took = []
    for text in texts:
        started = time.perf_counter()
        encoder.encode([text], "query")
        took.append(1000 * (time.perf_counter() - started))
    return round(float(np.median(took)), 3)


def _effort(config: Config, facts: DataFacts) -> Effort:
    section = config.distil
    assert section is not None  # the stage is wanted only then
    share = 0.05 if section.student == "static" else 0.5  # of the teacher's work; several are tried with "auto"
    texts = [texts.times(1 + section.variants) for texts in (facts.names, facts.anchors)]
    looks = (section.evaluations + 1) * share
    return Effort(
        encoded=(*texts, facts.dev_documents.times(1 + looks), facts.dev.times(1 + looks)),
        trained=tuple(part.times(section.epochs * share) for part in texts),
        vectors=2 * sum(part.count for part in texts),
        mb=20 * facts.parameters,
    )


STAGE: Stage[Config] = Stage(
    name="distil",
    artifact=DistilArtifact,
    needs=(Examples, TrainArtifact),
    wanted=lambda config: config.distil is not None,
    settings=_settings,
    run=_run,
    resumes=True,
    draws=True,
    command="Distil a small student.",
    effort=_effort,
)
