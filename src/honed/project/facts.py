"""What a bundle or a model card says of its origin: fingerprints, versions, licences, measures."""

from pathlib import Path

import msgspec

from honed.artifacts.evaluation import EvaluateArtifact
from honed.artifacts.models import ShippedModel, TrainArtifact
from honed.artifacts.report import Report
from honed.config.config import Config
from honed.core.json import Json
from honed.core.optional import installed_version
from honed.core.stage import Inputs
from honed.encode.base_models import licence_of
from honed.evaluate.results import Interval
from honed.project.workspace import Workspace

_PACKAGES = ("honed", "numpy", "tokenizers", "onnxruntime", "onnx", "torch", "sentence-transformers")


class Measures(msgspec.Struct, kw_only=True):
    """What was measured: under which protocol, on how many queries, and every measure of every system."""

    protocol: str
    n_queries: int
    systems: dict[str, dict[str, Interval]]


class ProjectFacts(msgspec.Struct, kw_only=True):
    """Where a model comes from; ``fingerprints`` are the keys of the artifacts of all stages of the last run.

    ``matryoshka`` are the shorter widths at which its vectors were trained to work as well.
    """

    title: str
    base_model: str
    licences: dict[str, str]
    fingerprints: dict[str, str]
    versions: dict[str, str | None]
    matryoshka: list[int]
    measures: Measures | None

    def as_dict(self) -> dict[str, Json]:
        """Return the facts as plain data."""
        data: dict[str, Json] = msgspec.to_builtins(self)
        return data


def project_facts(project: Workspace) -> ProjectFacts:
    """Return the facts of the last run."""
    inputs = project.runner.latest_inputs()
    evaluated, base = inputs.find(EvaluateArtifact), project.config.model.base
    measures = None
    if evaluated:
        report = evaluated.report(Report)
        measures = Measures(
            protocol=report.protocol,
            n_queries=report.n_queries,
            systems={system.name: system.measures for system in report.systems},
        )
    return ProjectFacts(
        title=project.title,
        base_model=Path(base).name if Path(base).is_dir() else base,
        licences={"base model": licence_of(base), "data": project.config.data.licence or "not stated"},
        fingerprints={name: artifact.key for name, artifact in inputs.by_stage().items()},
        versions={name: installed_version(name) for name in _PACKAGES},
        matryoshka=_matryoshka(project.config, inputs),
        measures=measures,
    )


def _matryoshka(config: Config, inputs: Inputs) -> list[int]:
    """Return the shorter widths that the shipped model was trained for: a student learns full vectors alone."""
    is_fine_tuned = isinstance(inputs.find(ShippedModel), TrainArtifact)
    return sorted(set(config.train.matryoshka)) if config.train is not None and is_fine_tuned else []
