"""The stage that makes the student: one that is named, or the best of several within a budget."""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from honed.config.sections import Config
from honed.core.artifacts import write_json
from honed.core.errors import TrainingError
from honed.core.optional import require
from honed.core.protocols import Encoder, Role
from honed.core.records import Example, JudgedTask
from honed.data import task
from honed.encode.base_models import resolve
from honed.stages.stage import Work, dev_score, dev_task
from honed.stages.training import examples_file
from honed.train.config import STUDENT_KINDS, DistilConfig

STUDENT_FILE = "student.json"


def distil_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes a student; its teacher is an input."""
    settings = asdict(config.distil) if config.distil else {}
    named = settings.get("student", "auto") not in (*STUDENT_KINDS, "auto")
    return {"distil": settings, "weights": resolve(settings["student"]).weights if named else ""}


def distil(work: Work) -> Mapping[str, Any]:
    """Train the student and save it with the story of its making."""
    require("fine-tuning")
    from honed.encode.torch_encoder import TorchEncoder

    config = work.config.distil
    assert config is not None  # the stage is wanted only then
    teacher = TorchEncoder.load_folder(work.inputs["train"].folder / "model", precision="fp32")
    dev = dev_task(work)
    if config.student == "auto":
        tried = _auto(work, teacher, dev, config)
    else:
        student, facts = _untrained(teacher, dev, config)
        if over := _over_budget(facts, config):
            raise TrainingError("E_DISTIL_BUDGET", f"the student {facts['name']} has {over}")
        tried = [_train(work, teacher, student, facts, dev, config, work.folder)]
    teacher_facts = {"mb": round(_size(teacher), 3), "ms": _latency(teacher, dev), "dev": dev_score(teacher, dev)}
    chosen = next(each for each in tried if each.get("chosen", True))
    write_json(work.folder / STUDENT_FILE, {"teacher": teacher_facts, "student": chosen, "tried": tried})
    return {"spec": chosen["spec"], "student": chosen["name"]}


def _size(encoder: Any) -> float:
    from honed.train.students import size_in_mb

    return size_in_mb(encoder.model)


def _untrained(teacher: Any, dev: JudgedTask, config: DistilConfig) -> tuple[Any, dict[str, Any]]:
    """Return a student before its training, and its name, size and speed."""
    from honed.train.students import make_student

    student = make_student(teacher, config.student, layers=config.layers, dim=config.dim)
    return student, {"name": _name(config), "mb": round(_size(student), 3), "ms": _latency(student, dev)}


def _over_budget(facts: Mapping[str, Any], config: DistilConfig) -> str:
    """Return which limit a student breaks, or nothing."""
    limits = {"mb": config.max_mb, "ms": config.max_ms}
    over = [
        f"{facts[name]} {name}; distil.max_{name} is {most:g}"
        for name, most in limits.items()
        if 0 < most < facts[name]
    ]
    return over[0] if over else ""


def _train(
    work: Work, teacher: Any, student: Any, facts: dict[str, Any], dev: JudgedTask, config: DistilConfig, folder: Path
) -> dict[str, Any]:
    """Train one student; returns its facts."""
    way = _match if config.method == "match" else _by_pairs
    trained = way(work, teacher, student, dev, config, folder)
    return facts | {
        "method": config.method,
        "dev": trained.history.best_score,
        "spec": trained.spec.as_dict(),
        "history": msgspec.to_builtins(trained.history),
    }


def _name(config: DistilConfig) -> str:
    parts = [
        config.student,
        f"{config.layers} layers" if config.layers else "",
        f"{config.dim} wide" if config.dim else "",
    ]
    return ", ".join(part for part in parts if part)


def _match(work: Work, teacher: Any, student: Any, dev: JudgedTask, config: DistilConfig, folder: Path) -> Any:
    from honed.train.distil import match_teacher, teacher_vectors
    from honed.train.history import TrainingRun
    from honed.train.variants import text_variants

    names = task.load_names(work.inputs["check"].folder)
    texts: dict[tuple[str, Role], None] = {}
    for name in names:
        if name.known:
            texts[name.text, "document" if name.kind == "label" else "query"] = None
    for text in list(dict.fromkeys(text for text, _ in texts)):
        for each in text_variants(text, config.variants, config.seed):
            texts[each, "query"] = None
    cache = work.root / work.config.paths.output / "cache"
    targets = teacher_vectors(cache, _fast(teacher), list(texts))
    run = TrainingRun(folder=folder, logs=work.logs)
    return match_teacher(student, list(texts), targets, lambda encoder: dev_score(encoder, dev), config, run)


def _fast(teacher: Any) -> Encoder:
    """Return the teacher in the precision that this machine is fastest in."""
    from honed.encode.torch_encoder import TorchEncoder

    return TorchEncoder.snapshot(teacher.model, teacher.spec)


def _by_pairs(work: Work, teacher: Any, student: Any, dev: JudgedTask, config: DistilConfig, folder: Path) -> Any:
    from honed.train.fine_tune import fine_tune
    from honed.train.history import TrainingRun

    examples = task.load_examples(examples_file(work))
    if not any(each.negatives for each in examples):
        raise TrainingError(
            "E_DISTIL_NEGATIVES", f"distil.method {config.method} needs mined negatives: add [mine] to honed.toml"
        )
    if config.method == "pairs":
        examples = with_cosines(examples, _fast(teacher))
    schedule = config.schedule(objective=config.method)
    run = TrainingRun(folder=folder, logs=work.logs)
    return fine_tune(student, examples, lambda encoder: dev_score(encoder, dev), schedule, run)


def with_cosines(examples: list[Example], teacher: Encoder) -> list[Example]:
    """Return examples with the teacher's cosines of their positives and negatives."""
    anchors = list(dict.fromkeys(each.anchor for each in examples))
    documents = list(dict.fromkeys(text for each in examples for text in (each.positive, *each.negatives)))
    left = dict(zip(anchors, teacher.encode(anchors, "query"), strict=True))
    right = dict(zip(documents, teacher.encode(documents, "document"), strict=True))
    return [
        replace(
            each,
            teacher=tuple(float(left[each.anchor] @ right[text]) for text in (each.positive, *each.negatives)),
        )
        for each in examples
    ]


def _auto(work: Work, teacher: Any, dev: JudgedTask, config: DistilConfig) -> list[dict[str, Any]]:
    """Train every student of the ladder that fits the budget, keep the one that is best on dev."""
    from honed.train.students import student_shapes

    tried: list[dict[str, Any]] = []
    story = work.folder / "tried.json"
    if story.is_file():  # a crash came after all were trained
        tried = json.loads(story.read_text(encoding="utf-8"))
        _take(work.folder, tried)
        return tried
    for kind, layers, dim in student_shapes(teacher):
        one = replace(config, student=kind, layers=layers, dim=dim)
        student, facts = _untrained(teacher, dev, one)
        if _over_budget(facts, config):
            tried.append(facts | {"chosen": False, "over_budget": True})
            continue
        folder = work.folder / "candidates" / f"{kind}-{layers}"
        folder.mkdir(parents=True, exist_ok=True)
        tried.append(_train(work, teacher, student, facts, dev, one, folder) | {"chosen": False, "folder": folder.name})
    fitting = [each for each in tried if "dev" in each]
    if not fitting:
        smallest = min(tried, key=lambda each: float(each["mb"]))
        raise TrainingError(
            "E_DISTIL_BUDGET",
            f"no student fits distil.max_mb {config.max_mb:g} and max_ms {config.max_ms:g}; the smallest, "
            f"{smallest['name']}, has {smallest['mb']} MB and takes {smallest['ms']} ms",
        )
    best = max(fitting, key=lambda each: float(each["dev"]))
    best["chosen"] = True
    write_json(story, tried)
    _take(work.folder, tried)
    return tried


def _take(folder: Path, tried: list[dict[str, Any]]) -> None:
    """Copy the chosen candidate's files to where a student lies, then remove the candidates; may be done again."""
    best = next(each for each in tried if each["chosen"])
    made = folder / "candidates" / str(best["folder"])
    if made.is_dir():
        shutil.copytree(made, folder, dirs_exist_ok=True)
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
