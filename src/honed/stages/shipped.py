"""What is shipped: the model, who taught it, and who encodes documents where a student encodes queries alone."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from honed.artifacts.models import DIRECTIONS, MODEL, DistilArtifact, ShippedModel, TrainArtifact
from honed.config.config import Config
from honed.core.artifacts import Artifact
from honed.core.json import Json
from honed.core.protocols import Encoder
from honed.core.stage import Inputs
from honed.encode.base_models import is_trained_folder, read_spec
from honed.encode.config import EncoderConfig
from honed.encode.joined import AsymmetricEncoder, JoinedEncoder
from honed.encode.models import EncoderSource, TrainedModel, encoder_source

EncoderOf: TypeAlias = Callable[[EncoderSource], Encoder]  # such as `Executor.encoder`


def shipped_model(config: Config, inputs: Inputs) -> EncoderSource:
    """Return the model that is shipped: the student, else the fine-tuned model, else the base model."""
    trained = inputs.find(ShippedModel)
    return trained.source(config.model.precision) if trained else encoder_source(config.model)


def teacher_sources(config: Config, inputs: Inputs, precision: str = "auto") -> list[EncoderSource]:
    """Return the teachers of a student: the fine-tuned model, then those that are named."""
    return [inputs.need(TrainArtifact).source(precision), *named_teachers(config, precision)]


def named_teachers(config: Config, precision: str = "auto") -> list[EncoderSource]:
    """Return the teachers that ``distil.teachers`` names: base models, or folders of models that honed trained."""
    return [_teacher(name, precision) for name in (config.distil.teachers if config.distil else ())]


def _teacher(name: str, precision: str) -> EncoderSource:
    if is_trained_folder(Path(name)):
        return TrainedModel(folder=Path(name).resolve(), precision=precision)
    return encoder_source(EncoderConfig(base=name, precision=precision))


def teachers_identity(config: Config) -> list[Json]:
    """Return names and fingerprints of the named teachers, for fingerprints of stages."""
    identities: list[Json] = []
    for source in named_teachers(config):
        if isinstance(source, TrainedModel):
            identities.append({"weights": read_spec(source.folder).weights})
        else:
            identities.append(source.identity())
    return identities


def encodes_queries_alone(config: Config) -> bool:
    """Tell whether the student encodes queries, and its teacher documents."""
    return config.distil is not None and config.distil.documents == "teacher"


def document_encoder(config: Config, inputs: Inputs, encoder_of: EncoderOf) -> Encoder:
    """Return what encodes the documents of the index."""
    if not encodes_queries_alone(config):
        return encoder_of(shipped_model(config, inputs))
    parts = [encoder_of(source) for source in teacher_sources(config, inputs, config.model.precision)]
    return JoinedEncoder(parts, inputs.need(DistilArtifact).directions())


def shipped_encoder(config: Config, inputs: Inputs, encoder_of: EncoderOf) -> Encoder:
    """Return what is shipped, for queries, and what encodes documents in its space."""
    queries = encoder_of(shipped_model(config, inputs))
    if not encodes_queries_alone(config):
        return queries
    return AsymmetricEncoder(queries, lambda: document_encoder(config, inputs, encoder_of))


def model_place(artifact: Artifact, precision: str) -> dict[str, Json]:
    """Return where the model of an artifact lies, seen from another artifact's folder."""
    return {"model": f"../../{artifact.folder.parent.name}/{artifact.key}/{MODEL}", "precision": precision}


def documents_place(config: Config, inputs: Inputs) -> dict[str, Json]:
    """Return where the models of documents lie, seen from another artifact's folder; empty where it is the student."""
    if not encodes_queries_alone(config):
        return {}
    student = inputs.need(DistilArtifact)
    directions = f"../../{student.folder.parent.name}/{student.key}/{DIRECTIONS}" if student.has(DIRECTIONS) else None
    precision = config.model.precision
    models: list[Json] = [model_place(inputs.need(TrainArtifact), precision)]
    for source in named_teachers(config, precision):
        if isinstance(source, TrainedModel):
            models.append({"model": str(source.folder), "precision": precision})
        else:
            models.append({"base": asdict(source.config)})
    return {"documents": {"models": models, "directions": directions}}
