"""The stage "baselines": the runs of systems that nothing was trained for, and of the base model."""

from dataclasses import asdict
from pathlib import Path

from honed.artifacts.data import CheckArtifact
from honed.artifacts.evaluation import RUNS, BaselinesArtifact
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort
from honed.core.json import Json
from honed.core.stage import Stage, Work
from honed.encode.models import encoder_source
from honed.evaluate.runs import save_run
from honed.shapes.judged import measured_task
from honed.shapes.registry import shape_of
from honed.shapes.systems import BASE, encoder_run
from honed.stages.prompt_trial import trial_effort, try_prompts


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {
        **({**asdict(config.baselines), "language": config.language} if config.baselines else {}),
        "k": shape_of(config).depth(config),
        "model": encoder_source(config.model).identity(),
        **config.query_settings,
    }


def _run(work: Work[Config]) -> dict[str, Json]:
    shape, check = shape_of(work.config), work.inputs.need(CheckArtifact)
    encoder = work.executor.encoder(encoder_source(work.config.model))
    for direction in shape.directions(work.config):
        test = measured_task(work, direction.name, "test")
        runs = shape.lexical_runs(test, direction, check, work.config)
        for run in [*runs, encoder_run(BASE, encoder, test, shape.depth(work.config))]:
            save_run(work.folder / RUNS / direction.name, run)
    try_prompts(work)
    return {"base": encoder.spec.as_dict()}


def _wanted(config: Config) -> bool:
    return config.baselines is not None and bool(shape_of(config).directions(config))


def _effort(config: Config, facts: DataFacts) -> Effort:
    pairs = facts.test.count * facts.documents.count * facts.directions
    systems = 6 if shape_of(config).reads_names else 2
    texts = (facts.documents, facts.test.times(facts.directions), *trial_effort(config, facts))
    return Effort(encoded=texts, compared=pairs, matched=systems * pairs, vectors=facts.documents.count)


STAGE: Stage[Config] = Stage(
    name="baselines",
    artifact=BaselinesArtifact,
    needs=(CheckArtifact,),
    wanted=_wanted,
    settings=_settings,
    run=_run,
    version=2,
    effort=_effort,
)
