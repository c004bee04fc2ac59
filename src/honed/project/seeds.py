"""The same run under several seeds: how much of a result is luck."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from honed.artifacts.evaluation import EvaluateArtifact
from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.writing import write_json
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.measures import Scores
from honed.evaluate.results import Interval
from honed.project.workspace import Workspace
from honed.shapes.systems import BASE, TUNED

FILE = "seeds.json"


class SeedsInterval(msgspec.Struct, kw_only=True):
    """A measure over all seeds, with an interval over seeds and queries; ``each`` is the mean of each seed."""

    mean: float
    low: float
    high: float
    each: list[float]


class SeedsSystem(msgspec.Struct, kw_only=True):
    """One system over all seeds."""

    name: str
    measures: dict[str, SeedsInterval]


class SeedsReport(msgspec.Struct, kw_only=True):
    """Every system under several seeds; ``gain`` is what fine-tuning gained over the base model, by measure."""

    seeds: list[int]
    n_queries: int
    systems: list[SeedsSystem]
    gain: dict[str, Interval]


def run_seeds(project: Workspace, seeds: Sequence[int]) -> SeedsReport:
    """Run a project once for each seed and return every measure over all of them.

    Intervals cover both the luck of training and that of the test set; see `Bootstrap.over_seeds`. What is searched and
    shipped stays that of the last plain run. Also written to ``seeds.json``.

    Raises `ConfigError` for fewer than two seeds and without [train] and [evaluate].
    """
    if len(set(seeds)) < 2 or len(set(seeds)) != len(seeds):
        raise ConfigError("E_OPTION", "give at least two different seeds, such as --seeds 0,1,2")
    if project.config.train is None or project.config.evaluate is None:
        raise ConfigError("E_CONFIG_MISSING", "several seeds need the sections [train] and [evaluate]")
    drawn = [stage.name for stage in project.runner.stages() if stage.draws and project.config.has(stage.name)]
    scored = []
    for seed in seeds:
        changes: dict[str, Json] = {f"{name}.seed": seed for name in drawn}  # what training draws; splits stay
        artifact = project.changed(changes).runner.make(until="evaluate")["evaluate"]
        assert isinstance(artifact, EvaluateArtifact)
        scored.append(artifact.scores())
    report = _together([scores for scores, _ in scored], scored[0][1].tolist(), seeds)
    write_json(project.runner.output / FILE, report)
    return report


def _together(
    scored: Sequence[Mapping[str, Mapping[str, Scores]]], groups: Sequence[int], seeds: Sequence[int]
) -> SeedsReport:
    bootstrap = Bootstrap([str(group) for group in groups])
    values = {
        (system, measure): np.stack([scores[system][measure] for scores in scored])
        for system, measures in scored[0].items()
        for measure in measures
    }
    systems: dict[str, dict[str, SeedsInterval]] = {}
    for (system, measure), stacked in values.items():
        interval = bootstrap.over_seeds(stacked).rounded()
        systems.setdefault(system, {})[measure] = SeedsInterval(
            mean=interval.mean,
            low=interval.low,
            high=interval.high,
            each=stacked.mean(axis=1).round(5).tolist(),
        )
    gain = {
        measure: bootstrap.over_seeds(values[TUNED, measure] - values[BASE, measure]).rounded()
        for measure in systems.get(BASE, {})
        if TUNED in systems
    }
    return SeedsReport(
        seeds=list(seeds),
        n_queries=len(bootstrap.group),
        systems=[SeedsSystem(name=name, measures=measures) for name, measures in systems.items()],
        gain=gain,
    )
