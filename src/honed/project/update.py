"""``honed update``: new pairs taught to the model that is in use, without forgetting; what regresses is not taken."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from honed.config.sections import Config
from honed.core.artifacts import Artifact, write_json
from honed.core.errors import ConfigError, DataError
from honed.core.optional import require
from honed.core.records import Example, JudgedTask
from honed.core.sections import limits
from honed.core.text import fold
from honed.data import task
from honed.data.split import unit_interval
from honed.evaluate.measures import Measure
from honed.evaluate.score import Gate, TaskScores
from honed.pipeline.runner import Runner
from honed.project.project import Project
from honed.stages.all import STAGES, read_report
from honed.stages.stage import Stage, Work, dev_score, dev_task, trained_encoder
from honed.stages.systems import encoder_run
from honed.train.config import CROSS_ENCODER_OBJECTIVES

OLD, NEW = "before", "after"
RESULT = "update.json"
_R1 = Measure("R", 1)
_SLICE = 100
_LEFT_OUT = ("headroom", "draft", "mine", "cross_encoder", "rescore")


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateOptions:
    """How an update is trained and judged.

    ``replay`` old examples are trained on for each new one; ``learning_rate`` 0 takes half of that of ``[train]``.
    ``tolerance`` is what the old test queries, all of them and each slice of at least 100, may lose in R@1: the low
    bound of the paired difference must stay above its negative.
    """

    epochs: float = field(default=2.0, metadata=limits(low=0.001, high=1000))
    replay: float = field(default=2.0, metadata=limits(low=0, high=1000))
    learning_rate: float = field(default=0.0, metadata=limits(low=0))
    tolerance: float = field(default=0.02, metadata=limits(low=0, high=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class Updated:
    """What an update gave: the artifacts, its gates, and how many examples were new."""

    artifacts: Mapping[str, Artifact]
    gates: Sequence[Mapping[str, Any]]
    new_examples: int


def update(project: Project, files: Sequence[Path], options: UpdateOptions | None = None) -> Updated:
    """Fine-tune the project's model on the pairs of new files with replay of old ones, then judge it on the old tests.

    When every gate passes, the result becomes what the project searches and exports, otherwise nothing changes; a
    failed gate is in ``gates``. Raises `ConfigError` without a trained model, `DataError` when the files hold nothing
    to learn.
    """
    options = options or UpdateOptions()
    if project.config.data.shape != "aliases":
        raise ConfigError("E_CONFIG_SHAPE", "honed update is for names and aliases; run  honed run  with the new files")
    if project.config.train is None:
        raise ConfigError("E_NOT_RUN", "honed.toml has no section [train]; there is no model to update")
    wanted = ("check", "train", *(("distil",) if project.config.distil else ()))
    before = {name: project.runner.latest(name) for name in wanted}
    root = project.file.parent
    learned = [*project.runner.updates(), *(_relative(file, root) for file in files)]
    runner = Runner(
        _wider(project.config, learned, options), root, project.runner.tell, stages=_stages(before, options)
    )
    checked = runner.make(until="check")
    test = old_queries(before["check"].folder, checked["check"].folder)
    if not test.queries:  # told before the work
        raise DataError("E_SPLIT_EMPTY", "no old test query is left to judge the update by")
    artifacts = runner.make()
    gates = _regression(project, test, before, artifacts, options)
    if "evaluate" in artifacts:
        gates += read_report(artifacts["evaluate"])["gates"]
    if all(gate["passed"] for gate in gates):
        runner.remember(artifacts, updates=learned)
    facts = artifacts["train"].manifest.facts
    return Updated(artifacts=artifacts, gates=gates, new_examples=int(facts["new_examples"]))


def _wider(config: Config, files: Sequence[str], options: UpdateOptions) -> Config:
    """Return the configuration of an update: more files, short training, nothing that needs a cross-encoder."""
    assert config.train is not None  # checked by `update`
    train = replace(
        config.train,
        epochs=options.epochs,
        learning_rate=options.learning_rate or config.train.learning_rate / 2,
        objective="auto" if config.train.objective in CROSS_ENCODER_OBJECTIVES else config.train.objective,
        processes=1,
    )
    distil = replace(config.distil, method="match") if config.distil else None
    paths = replace(config.paths, input=tuple(dict.fromkeys([*config.paths.input, *files])))
    return replace(config, paths=paths, train=train, distil=distil, mine=None, cross_encoder=None)


def _relative(file: Path, root: Path) -> str:
    if not file.exists():
        raise ConfigError("E_NO_FILE", f"{file}: no such file")
    return Path(os.path.relpath(file, root)).as_posix()


def _stages(before: Mapping[str, Artifact], options: UpdateOptions) -> tuple[Stage, ...]:
    """Return the pipeline with training replaced by going on from the model that is in use."""

    def key(config: Config, root: Path) -> Mapping[str, Any]:
        return {
            "update": asdict(options),
            "train": asdict(config.train) if config.train else None,
            "from": {name: artifact.key for name, artifact in before.items()},
        }

    def run(work: Work) -> Mapping[str, Any]:
        return _train(work, before, options)

    going_on = [replace(each, key=key, run=run) if each.name == "train" else each for each in STAGES]
    return tuple(each for each in going_on if each.name not in _LEFT_OUT)


def _train(work: Work, before: Mapping[str, Artifact], options: UpdateOptions) -> Mapping[str, Any]:
    require("fine-tuning")
    from honed.encode.torch_encoder import TorchEncoder
    from honed.train.fine_tune import fine_tune
    from honed.train.history import TrainingRun

    assert work.config.train is not None  # checked by `update`
    old = task.load_examples(before["check"].folder / "examples.parquet")
    fresh, replayed = new_and_replayed(
        old,
        task.load_examples(work.inputs["check"].folder / "examples.parquet"),
        options.replay,
        work.config.train.seed,
    )
    if len(fresh) < 2:
        raise DataError("E_UPDATE_EMPTY", f"{len(fresh)} new training pairs in the files; at least 2 are needed")
    dev = dev_task(work)
    trained = fine_tune(
        TorchEncoder.load_folder(before["train"].folder / "model", precision="fp32"),
        [*fresh, *replayed],
        lambda encoder: dev_score(encoder, dev),
        work.config.train,
        TrainingRun(folder=work.folder, logs=work.logs),
    )
    facts = {"new_examples": len(fresh), "replayed": len(replayed), "from": before["train"].key}
    write_json(work.folder / RESULT, facts)
    return {"spec": trained.spec.as_dict(), "kept": trained.history.kept, **facts}


def new_and_replayed(
    old: Sequence[Example], everything: Sequence[Example], replay: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Return the examples that are not among the old ones, and a fixed draw of ``replay`` old ones for each."""
    seen = {(fold(each.anchor), fold(each.positive)) for each in old}
    fresh = [each for each in everything if (fold(each.anchor), fold(each.positive)) not in seen]
    allowed = [each for each in everything if (fold(each.anchor), fold(each.positive)) in seen]
    allowed.sort(key=lambda each: unit_interval(seed, f"{each.anchor}\0{each.positive}"))
    return fresh, allowed[: round(replay * len(fresh))]


def _regression(
    project: Project,
    test: JudgedTask,
    before: Mapping[str, Artifact],
    after: Mapping[str, Artifact],
    options: UpdateOptions,
) -> list[dict[str, Any]]:
    """Return the gates of an update: old test queries over the new catalogue, by what is shipped before and after."""
    scores = TaskScores(test, [_R1])
    for name, inputs in ((OLD, before), (NEW, after)):
        scores.add(encoder_run(name, trained_encoder(project.config, inputs), test, 10))
    parts = ["", *(name for name, ids in test.slices.items() if len(ids) >= _SLICE)]
    gates = [
        Gate.at_most_lost(f"old queries{f', {part}' if part else ''}", NEW, OLD, _R1, options.tolerance, part=part)
        for part in parts
    ]
    return scores.judge(gates)


def old_queries(before: Path, after: Path) -> JudgedTask:
    """Return the old test queries over the new corpus, without those that the new pairs teach."""
    old, new = (task.load_task(folder, task.FORWARD, "test") for folder in (before, after))
    text_of = {doc.doc_id: doc.encoder_text() for doc in old.corpus}
    id_of = {doc.encoder_text(): doc.doc_id for doc in new.corpus}
    known, now = (task.load_examples(folder / "examples.parquet") for folder in (before, after))
    taught = {fold(each.anchor) for each in new_and_replayed(known, now, 0.0, 0)[0]}
    grades = {
        query.query_id: {
            id_of[text_of[doc_id]]: grade
            for doc_id, grade in old.qrels.grades[query.query_id].items()
            if text_of[doc_id] in id_of
        }
        for query in old.queries
    }
    queries = [query for query in old.queries if grades[query.query_id] and fold(query.text) not in taught]
    kept = frozenset(query.query_id for query in queries)
    return replace(
        old,
        queries=queries,
        corpus=new.corpus,
        qrels=replace(old.qrels, grades={query_id: grades[query_id] for query_id in kept}),
        slices={name: ids & kept for name, ids in old.slices.items() if ids & kept},
    )
