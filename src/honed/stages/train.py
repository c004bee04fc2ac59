"""The stage "train": the base model is fine-tuned on the examples, with mined negatives where there are any."""

from dataclasses import asdict, replace
from pathlib import Path

from honed.artifacts.data import BaseVectors, CheckArtifact, Examples, ImportArtifact
from honed.artifacts.models import FROZEN, MODEL, TrainArtifact
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort, Texts
from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.optional import require
from honed.core.stage import Stage, Work
from honed.core.writing import write_json
from honed.encode.base_models import is_model_of_honed, resolve
from honed.encode.models import BaseModel, TrainedModel, encoder_source
from honed.shapes.registry import shape_of
from honed.train.config import TrainConfig
from honed.train.losses import AUTO, OBJECTIVES, needs_teacher

NAME = "train"
_MB_A_TOKEN, _MOST_TOKENS = 0.008, 1 << 15  # activations for a million parameters, of a batch or a part of it


def settings(config: Config, root: Path) -> dict[str, Json]:
    """Return the settings that a fine-tuned model depends on, for its fingerprint.

    Settings that came later are there where they are used: what stands without them keeps its name.
    """
    model = encoder_source(config.model).identity()
    del model["precision"]
    if config.train is None:
        return {"train": None, "model": model}
    stated = asdict(config.train)
    start, keeps = stated.pop("start"), stated.pop("keep_checkpoints")
    settings: dict[str, Json] = {"train": stated, "model": model}
    if keeps:
        settings["keeps"] = True
    if start:
        settings["from"] = resolve(str(_start_folder(config.train, root))).weights
    if plugins := OBJECTIVES.versions([config.train.objective]):
        settings["plugins"] = {**plugins}
    return settings


def _start_folder(train: TrainConfig, root: Path) -> Path:
    """Return the model folder that ``train.from`` names; `ConfigError` where there is none."""
    named = root / train.start
    for folder in (named / MODEL, named):
        if (folder / "modules.json").is_file():
            return folder
    raise ConfigError(
        "E_NO_FILE", f"train.from: {named}: holds no model; name an artifact of train, a checkpoint it kept, or a model"
    )


def starting_model(config: Config, root: Path) -> BaseModel | TrainedModel:
    """Return what training begins with: the base model, or what ``train.from`` names; weights in fp32."""
    assert config.train is not None  # the caller trains
    if not config.train.start:
        return BaseModel(config=config.model, precision="fp32")
    folder = _start_folder(config.train, root)
    if is_model_of_honed(folder):
        return TrainedModel(folder, precision="fp32")
    return BaseModel(config=replace(config.model, base=str(folder)), precision="fp32")


def fine_tune_base(work: Work[Config]) -> dict[str, Json]:
    """Fine-tune the base model on the examples of the latest stage that has some, in ``train.processes`` processes."""
    require("fine-tuning")
    from honed.train.fine_tune import fine_tune
    from honed.train.history import TrainingRun
    from honed.train.processes import is_one_of_several

    config, shape = work.config.train, shape_of(work.config)
    assert config is not None  # the stage is wanted only then
    if config.processes > 1 and not is_one_of_several():
        work.executor.in_processes(NAME, work, config.processes)  # and below the result is read back
    trained = fine_tune(
        starting_model(work.config, work.root).load(),
        work.inputs.need(Examples).examples(),
        shape.dev_score(work),
        config,
        TrainingRun(folder=work.folder, logs=work.logs),
        work.executor.encoder(encoder_source(work.config.model)) if config.head != "none" else None,
    )
    if config.head != "none":
        write_json(work.folder / FROZEN, encoder_source(work.config.model).identity())
    return {"spec": trained.spec.as_dict(), "kept": trained.history.kept}


def without_teachers(config: Config) -> Config:
    """Return the configuration of a first training: without mined negatives and without a cross-encoder's scores."""
    assert config.train is not None  # the caller trains
    objective = AUTO if needs_teacher(config.train.objective) else config.train.objective
    negatives = "semi-hard" if config.train.negatives == "own" else config.train.negatives
    return replace(config, train=replace(config.train, objective=objective, negatives=negatives, hard_negatives=0))


def effort(config: Config, facts: DataFacts) -> Effort:
    """Return how much a training does: examples forward and backward, and dev at each look."""
    train = config.train
    assert train is not None  # the stage is wanted only then
    if train.head != "none":
        return Effort(encoded=(facts.anchors,), compared=train.evaluations * facts.dev.count * facts.documents.count)
    pairs, looks = facts.examples * train.epochs, train.evaluations + 1
    mined = train.hard_negatives if config.mine and train.hard_negatives else 0
    anchors = Texts(count=pairs, tokens=facts.anchors.tokens)
    positives = Texts(count=pairs * (1 + mined), tokens=facts.positives.tokens)
    batch = train.batch_size * (facts.anchors.tokens + (1 + mined) * facts.positives.tokens)
    return Effort(
        encoded=(facts.dev_documents.times(looks), facts.dev.times(looks)),
        trained=(anchors, positives),
        compared=looks * facts.dev.count * facts.dev_documents.count,
        mb=16 * facts.parameters + _MB_A_TOKEN * facts.parameters * min(batch, _MOST_TOKENS),
    )


STAGE: Stage[Config] = Stage(
    name=NAME,
    artifact=TrainArtifact,
    needs=(ImportArtifact, CheckArtifact, BaseVectors, Examples),
    wanted=lambda config: config.train is not None,
    settings=settings,
    run=fine_tune_base,
    version=3,
    resumes=True,
    draws=True,
    command="Fine-tune the model.",
    effort=effort,
)
