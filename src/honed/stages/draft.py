"""The stage "draft": a first model, without mined negatives, that mining is done with."""

from dataclasses import replace
from pathlib import Path

from honed.artifacts.data import Examples
from honed.artifacts.models import DraftArtifact
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort
from honed.core.json import Json
from honed.core.stage import Stage, Work
from honed.stages import train


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return train.settings(train.without_teachers(config), root)


def _run(work: Work[Config]) -> dict[str, Json]:
    return train.fine_tune_base(replace(work, config=train.without_teachers(work.config)))


def _wanted(config: Config) -> bool:
    return config.mine is not None and config.mine.encoder == "tuned" and config.train is not None


def _effort(config: Config, facts: DataFacts) -> Effort:
    return train.effort(replace(train.without_teachers(config), mine=None), facts)


STAGE: Stage[Config] = Stage(
    name="draft",
    artifact=DraftArtifact,
    needs=(Examples,),
    wanted=_wanted,
    settings=_settings,
    run=_run,
    resumes=True,
    effort=_effort,
)
