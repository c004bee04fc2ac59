"""Runs whose time is told before it is spent, and that teach the machine's speeds what they really took."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from honed.artifacts.evaluation import HeadroomArtifact
from honed.core.artifacts import Artifact
from honed.core.errors import ConfigError
from honed.project.budget import Choice, Variant, choose, variants
from honed.project.estimate import RunEstimate, StageEstimate, data_facts, estimate_run
from honed.project.speeds import machine_speeds, save_speeds
from honed.project.workspace import Workspace

W = TypeVar("W", bound=Workspace)
_FIRST_LOOK = 0.5  # of a time, that may be spent on asking dev whether tuning will help
_LEARNED_FROM = 2.0  # seconds that a stage must take to say anything of speeds
_UNTIL_AUDIT, _UNTIL_CHOICE, _UNTIL_HEADROOM = "check", "bases", "headroom"
_FOR_CHOICE = 0.25  # of a time, that may be spent on choosing among base models


def estimate(project: Workspace, *, start: str | None = None, until: str | None = None) -> RunEstimate:
    """Return what a run will take on this machine; nothing of the project changes.

    The first time with a base model the machine's speeds are measured, which takes seconds.
    """
    plans = project.plan(start=start, until=until)
    if all(plan.stands or plan.stage.effort is None for plan in plans):  # nothing to ask the data or the machine for
        return RunEstimate(
            stages=[StageEstimate(plan=plan, seconds=0.0 if plan.stands else None, mb=0.0) for plan in plans]
        )
    return estimate_run(plans, project.config, data_facts(project), machine_speeds(project.config))


@dataclass(frozen=True, kw_only=True)
class PlannedRun(Generic[W]):
    """A run with its estimate; `run` does it."""

    project: W
    estimate: RunEstimate
    start: str | None = None
    until: str | None = None

    def run(self) -> dict[str, Artifact]:
        """Do the run; returns the artifacts by stage. What stages really took corrects later estimates."""
        runner, took = self.project.runner, dict[str, float]()
        tell = runner.tell

        def listen(stage: str, state: str, seconds: float) -> None:
            if state == "done":
                took[stage] = seconds
            tell(stage, state, seconds)

        runner.tell = listen
        try:
            return self.project.run(start=self.start, until=self.until)
        finally:
            runner.tell = tell
            self._learn(took)

    def _learn(self, took: Mapping[str, float]) -> None:
        estimated = self.estimate.by_stage()
        known = {name: seconds for name, seconds in took.items() if name in estimated and seconds >= _LEARNED_FROM}
        if known:
            speeds = machine_speeds(self.project.config)
            for name, seconds in known.items():
                speeds.learn(name, estimated[name], seconds)
            save_speeds(self.project.config, speeds)


def plan_run(project: W, *, start: str | None = None, until: str | None = None) -> PlannedRun[W]:
    """Make the stages up to "check", from which all estimates follow, and return the run with its estimate.

    Where honed.toml leaves the base model open it is chosen first.
    """
    names = [stage.name for stage in project.runner.stages(until)]
    first = next((name for name in (_UNTIL_CHOICE, _UNTIL_AUDIT) if name in names), None)
    if start is None and first is not None:
        project.runner.make(until=first)
    estimated = estimate(project, start=start, until=until)
    return PlannedRun(project=project, estimate=estimated, start=start, until=until)


def fit_into(project: W, minutes: float) -> tuple[PlannedRun[W], Choice]:
    """Return the fullest run that fits into a time, and what more time would buy; honed.toml stays as it is.

    A base model that is left open is chosen within a quarter of the time.
    Where whether tuning helps can be asked of dev within half of the time, it is, and the answer counts.
    """
    started = time.monotonic()
    if project.runner.asked.model.is_open:
        most = min(project.runner.asked.model.minutes, max(0.1, _FOR_CHOICE * minutes))
        project.changed({"model.minutes": most}).runner.make(until=_UNTIL_CHOICE)
    first = plan_run(project)
    headroom = _asked_dev(project, first, _FIRST_LOOK * 60 * minutes)
    left = 60 * minutes - (time.monotonic() - started)
    runs = _estimated_variants(project)
    choice = choose([variant for variant, _ in runs], left, headroom)
    run = next(run for variant, run in runs if variant is choice.chosen)
    return run, choice


def _asked_dev(project: W, first: PlannedRun[W], seconds: float) -> HeadroomArtifact | None:
    names = [stage.name for stage in project.runner.stages()]
    if _UNTIL_HEADROOM not in names:
        return None
    before = names[: names.index(_UNTIL_HEADROOM) + 1]
    estimated = first.estimate.by_stage()
    if sum(estimated.get(name, 0.0) for name in before) > seconds:
        return None
    artifact = project.runner.make(until=_UNTIL_HEADROOM)[_UNTIL_HEADROOM]
    assert isinstance(artifact, HeadroomArtifact)
    return artifact


def _estimated_variants(project: W) -> list[tuple[Variant, PlannedRun[W]]]:
    """Return the variants of a run that honed.toml allows, with their seconds."""
    facts, speeds = data_facts(project), machine_speeds(project.config)
    runs = []
    for variant in variants(project.config):
        try:
            changed = project.changed(variant.overrides)
        except ConfigError:  # sections that do not go together without those that are left out
            continue
        estimated = estimate_run(changed.plan(), changed.config, facts, speeds)
        run = PlannedRun(project=changed, estimate=estimated)
        runs.append((replace(variant, seconds=estimated.seconds), run))
    return runs
