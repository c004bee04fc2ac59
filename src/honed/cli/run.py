"""honed run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides
from honed.core.errors import ConfigError, GateError, HonedError

if TYPE_CHECKING:
    from honed.api.project import Project
    from honed.project.planned import PlannedRun


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed run  or  honed run --until train  or  honed run --dry-run")(with_limits(run))


def run(
    project: Folder = Path(),
    start: Annotated[str | None, typer.Option("--from", help="Make this stage and all after it anew.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    seeds: Annotated[str, typer.Option(help="Run once for each of these seeds, such as 0,1,2, and compare.")] = "",
    minutes: Annotated[
        float,
        typer.Option(min=0, help="Run what fits into so many minutes, with fewer epochs or rows."),
    ] = 0.0,
    on_bad_row: OnBadRow = None,
    encoding: Encoding = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, how long it takes and how much memory; do nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Run all stages of honed.toml; what stands is skipped."""
    from honed.api.project import Project
    from honed.artifacts.evaluation import EvaluateArtifact

    if seeds and (start or until or dry_run or minutes):
        raise ConfigError("E_OPTION", "--seeds runs everything: without --from, --until, --minutes and --dry-run")
    if minutes and (start or until or dry_run):
        raise ConfigError("E_OPTION", "--minutes chooses what is run: it goes without --from, --until and --dry-run")
    opened = Project(project, settings=overrides(on_bad_row, encoding), listener=terminal.stage_line)
    if seeds:
        _run_seeds(opened, seeds, json=json)
        return
    if dry_run:
        _show_plan(opened, start, until)
        return
    planned, more = _planned(opened, start, until, minutes)
    opened = planned.project
    failed: GateError | None = None
    try:
        artifacts = planned.run()
    except GateError as error:
        failed, artifacts = error, {"evaluate": opened.runner.latest(EvaluateArtifact)}
    if json:
        terminal.emit_json({name: str(artifact.folder) for name, artifact in artifacts.items()})
    elif "evaluate" in artifacts:
        terminal.print_report(opened.report())
        for line in more:
            terminal.emit(f"next: {line}")
        terminal.emit(f"report: {artifacts['evaluate'].path('report.html')}")
    if failed:
        raise failed


def _show_plan(project: "Project", start: str | None, until: str | None) -> None:
    """Show each stage with its time and memory; without those where the data cannot be read."""
    from honed.project.budget import duration, table
    from honed.project.estimate import RunEstimate, StageEstimate
    from honed.project.planned import estimate

    try:
        estimated = estimate(project, start=start, until=until)
    except HonedError as error:
        terminal.say(f"no estimates: {error}")
        plans = project.plan(start=start, until=until)
        estimated = RunEstimate(stages=[StageEstimate(plan=plan, seconds=None, mb=0.0) for plan in plans])
    terminal.table(["stage", "", "about", "peak memory", "fingerprint"], table(estimated))
    if estimated.seconds:
        terminal.emit(f"together about {duration(estimated.seconds)}, up to {estimated.mb:,.0f} MB")


def _planned(
    project: "Project", start: str | None, until: str | None, minutes: float
) -> "tuple[PlannedRun[Project], list[str]]":
    """Return the run, after telling how long it will take, and what more time would buy."""
    from honed.project.budget import duration
    from honed.project.planned import fit_into, plan_run

    more: list[str] = []
    if minutes:
        planned, choice = fit_into(project, minutes)
        terminal.say(f"{minutes:g} minutes: {choice.chosen.name} ({choice.reason})")
        more = choice.next_lines()
    else:
        planned = plan_run(project, start=start, until=until)
    stages = planned.estimate.by_stage()
    if stages:
        parts = ", ".join(f"{name} {duration(seconds)}" for name, seconds in stages.items())
        seconds, mb = planned.estimate.seconds, planned.estimate.mb
        terminal.say(f"about {duration(seconds)}, up to {mb:,.0f} MB: {parts}")
    return planned, more


def _run_seeds(project: "Project", text: str, *, json: bool) -> None:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigError("E_OPTION", f"--seeds {text}: expected whole numbers and commas, such as 0,1,2")
    report = project.run_seeds([int(part) for part in parts])
    if json:
        terminal.emit_json(report)
        return
    terminal.emit(
        f"seeds {', '.join(parts)}; {report.n_queries} queries; mean, 95 % interval and each seed, in percent"
    )
    rows = [
        [
            system.name,
            measure,
            f"{100 * value.mean:.1f}",
            f"{100 * value.low:.1f} to {100 * value.high:.1f}",
            ", ".join(f"{100 * mean:.1f}" for mean in value.each),
        ]
        for system in report.systems
        for measure, value in system.measures.items()
    ]
    terminal.table(["system", "measure", "mean", "interval", "by seed"], rows)
    for measure, gain in report.gain.items():
        terminal.emit(
            f"fine-tuned - base model: {100 * gain.mean:+.1f} points of {measure} "
            f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
        )
