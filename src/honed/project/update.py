"""``honed update``: new pairs taught to the model that is in use, without forgetting; what regresses is not taken."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec

from honed.artifacts.data import CheckArtifact
from honed.artifacts.evaluation import EvaluateArtifact
from honed.artifacts.models import DistilArtifact, TrainArtifact
from honed.artifacts.report import Report
from honed.config.config import Config
from honed.core.artifacts import Artifact
from honed.core.errors import ConfigError, DataError
from honed.core.json import Json
from honed.core.optional import require
from honed.core.protocols import Encoder
from honed.core.records import Example, JudgedTask
from honed.core.sections import limits
from honed.core.stage import Inputs, Stage, Work
from honed.core.text import fold
from honed.core.writing import write_json
from honed.data.split import unit_interval
from honed.data.task import FORWARD
from honed.encode.models import EncoderSource
from honed.evaluate.measures import Measure
from honed.evaluate.results import GateResult
from honed.evaluate.score import Gate, TaskScores
from honed.pipeline.runner import Runner
from honed.project.workspace import Workspace
from honed.shapes.registry import shape_of
from honed.shapes.systems import encoder_run
from honed.stages import headroom, train
from honed.stages.all import stages_of
from honed.stages.gates import FEWEST
from honed.stages.shipped import shipped_encoder
from honed.train.losses import AUTO, needs_teacher

OLD, NEW = "before", "after"
RESULT = "update.json"
_R1 = Measure("R", 1)


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


class UpdateFacts(msgspec.Struct, kw_only=True):
    """What an update learned: new examples, old ones that were trained on again, and the model that it went on from."""

    new_examples: int
    replayed: int
    origin: str = msgspec.field(name="from")


@dataclass(frozen=True, kw_only=True, slots=True)
class Updated:
    """The result of an update: artifacts, gates, and the number of new examples."""

    artifacts: Mapping[str, Artifact]
    gates: Sequence[GateResult]
    new_examples: int


def update(project: Workspace, files: Sequence[Path], options: UpdateOptions | None = None) -> Updated:
    """Fine-tune the project's model on the pairs of new files with replay of old ones, then judge it on the old tests.

    When every gate passes, the result becomes what the project searches and exports, otherwise nothing changes; a
    failed gate is in ``gates``. Raises `ConfigError` without a trained model, `DataError` when the files hold nothing
    to learn.
    """
    options = options or UpdateOptions()
    if not shape_of(project.config).updates:
        raise ConfigError(
            "E_CONFIG_SHAPE", "honed update is for shapes with judged queries: aliases, judgments; run  honed run  anew"
        )
    if project.config.train is None:
        raise ConfigError("E_NOT_RUN", "honed.toml has no section [train]; there is no model to update")
    before = _models_in_use(project)
    learned = [*project.runner.updates(), *(_relative(file, project.root) for file in files)]
    runner = Runner(
        _wider(shape_of(project.config).with_files(project.config, project.root, learned), options),
        project.root,
        project.runner.tell,
        stages=_stages(project.config, before, options),
    )
    checked = Inputs(runner.make(until="check")).need(CheckArtifact)
    test = old_queries(before.need(CheckArtifact), checked)
    if not test.queries:  # told before the work
        raise DataError("E_SPLIT_EMPTY", "no old test query is left to judge the update by")
    artifacts = runner.make()
    after = Inputs(artifacts)
    gates = _regression(project.config, test, before, after, options)
    if evaluated := after.find(EvaluateArtifact):
        gates += evaluated.report(Report).gates
    if all(gate.passed for gate in gates):
        runner.remember(artifacts, updates=learned)
    facts = after.need(TrainArtifact).read(RESULT, UpdateFacts)
    return Updated(artifacts=artifacts, gates=gates, new_examples=facts.new_examples)


def _models_in_use(project: Workspace) -> Inputs:
    """Return the examples and the models of the last run, which an update continues from."""
    kinds: list[type[Artifact]] = [CheckArtifact, TrainArtifact, *([DistilArtifact] if project.config.distil else [])]
    artifacts = [project.runner.latest(kind) for kind in kinds]
    return Inputs({artifact.folder.parent.name: artifact for artifact in artifacts})


def _wider(config: Config, options: UpdateOptions) -> Config:
    """Return the configuration of an update: short training, and nothing that needs a cross-encoder."""
    assert config.train is not None  # checked by `update`
    train = replace(
        config.train,
        epochs=options.epochs,
        learning_rate=options.learning_rate or config.train.learning_rate / 2,
        objective=AUTO if needs_teacher(config.train.objective) else config.train.objective,
        processes=1,
    )
    distil = replace(config.distil, method="match") if config.distil else None
    return replace(config, train=train, distil=distil, mine=None, cross_encoder=None)


def _relative(file: Path, root: Path) -> str:
    if not file.exists():
        raise ConfigError("E_NO_FILE", f"{file}: no such file")
    return Path(os.path.relpath(file, root)).as_posix()


def _stages(config: Config, before: Inputs, options: UpdateOptions) -> tuple[Stage[Config], ...]:
    """Return the stages with training replaced by continued training of the model in use."""

    def settings(config: Config, root: Path) -> dict[str, Json]:
        return {
            "update": asdict(options),
            **{key: value for key, value in train.settings(config, root).items() if key != "model"},
            "from": {name: artifact.key for name, artifact in before.by_stage().items()},
        }

    def run(work: Work[Config]) -> dict[str, Json]:
        return _train(work, before, options)

    going_on = replace(train.STAGE, settings=settings, run=run, needs=(CheckArtifact,))
    stages = [going_on if stage is train.STAGE else stage for stage in stages_of(shape_of(config))]
    return tuple(stage for stage in stages if stage is not headroom.STAGE)  # what is expected was told before


def _train(work: Work[Config], before: Inputs, options: UpdateOptions) -> dict[str, Json]:
    require("fine-tuning")
    from honed.train.fine_tune import fine_tune
    from honed.train.history import TrainingRun

    assert work.config.train is not None  # checked by `update`
    fresh, replayed = new_and_replayed(
        before.need(CheckArtifact).examples(),
        work.inputs.need(CheckArtifact).examples(),
        options.replay,
        work.config.train.seed,
    )
    if len(fresh) < 2:
        raise DataError("E_UPDATE_EMPTY", f"{len(fresh)} new training pairs in the files; at least 2 are needed")
    model = before.need(TrainArtifact)
    trained = fine_tune(
        model.source("fp32").load(),
        [*fresh, *replayed],
        shape_of(work.config).dev_score(work),
        work.config.train,
        TrainingRun(folder=work.folder, logs=work.logs),
        work.executor.encoder(model.source(work.config.model.precision)),
    )
    facts = UpdateFacts(new_examples=len(fresh), replayed=len(replayed), origin=model.key)
    write_json(work.folder / RESULT, facts)
    return {"spec": trained.spec.as_dict(), "kept": trained.history.kept, **msgspec.to_builtins(facts)}


def new_and_replayed(
    old: Sequence[Example], everything: Sequence[Example], replay: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Return the examples that are not among the old ones, and a fixed draw of ``replay`` old ones for each."""
    seen = {_pair_key(example) for example in old}
    fresh = [example for example in everything if _pair_key(example) not in seen]
    allowed = [example for example in everything if _pair_key(example) in seen]
    allowed.sort(key=lambda example: unit_interval(seed, f"{example.anchor}\0{example.positive}"))
    return fresh, allowed[: round(replay * len(fresh))]


def _pair_key(example: Example) -> tuple[str, str]:
    return fold(example.anchor), fold(example.positive)


def _load(source: EncoderSource) -> Encoder:
    return source.load()


def _regression(
    config: Config, test: JudgedTask, before: Inputs, after: Inputs, options: UpdateOptions
) -> list[GateResult]:
    """Return the gates of an update: old test queries over the new catalogue, by what is shipped before and after."""
    scores = TaskScores(test, [_R1])
    for name, inputs in ((OLD, before), (NEW, after)):
        scores.add(encoder_run(name, shipped_encoder(config, inputs, _load), test, 10))
    parts = ["", *(name for name, ids in test.slices.items() if len(ids) >= FEWEST)]
    gates = [
        Gate.at_most_lost(f"old queries{f', {part}' if part else ''}", NEW, OLD, _R1, options.tolerance, part=part)
        for part in parts
    ]
    return scores.judge(gates)


def old_queries(before: CheckArtifact, after: CheckArtifact) -> JudgedTask:
    """Return the old test queries over the new corpus, without those that the new pairs teach."""
    old, new = (check.task(FORWARD, "test") for check in (before, after))
    text_of = {doc.doc_id: doc.encoder_text() for doc in old.corpus}
    id_of = {doc.encoder_text(): doc.doc_id for doc in new.corpus}
    taught = {fold(example.anchor) for example in new_and_replayed(before.examples(), after.examples(), 0.0, 0)[0]}
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
