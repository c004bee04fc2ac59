"""honed run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides
from honed.core.errors import ConfigError, GateError

if TYPE_CHECKING:
    from honed.api.project import Project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed run  or  honed run --until train  or  honed run --dry-run")(run)


def run(
    project: Folder = Path(),
    start: Annotated[str | None, typer.Option("--from", help="Make this stage and all after it anew.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    seeds: Annotated[str, typer.Option(help="Run once for each of these seeds, such as 0,1,2, and compare.")] = "",
    on_bad_row: OnBadRow = None,
    encoding: Encoding = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and do nothing.")] = False,
    json: Json = False,
) -> None:
    """Run all stages of honed.toml; what stands is skipped."""
    from honed.api.project import Project
    from honed.artifacts.evaluation import EvaluateArtifact

    if seeds and (start or until or dry_run):
        raise ConfigError("E_OPTION", "--seeds runs everything: it goes without --from, --until and --dry-run")
    opened = Project(project, settings=overrides(on_bad_row, encoding), listener=terminal.stage_line)
    if seeds:
        _run_seeds(opened, seeds, json=json)
        return
    if dry_run:
        for plan in opened.plan(start=start, until=until):
            terminal.emit(f"{plan.stage.name:>10}  {'stands' if plan.stands else 'would run':<10} {plan.key.key}")
        return
    failed: GateError | None = None
    try:
        artifacts = opened.run(start=start, until=until)
    except GateError as error:
        failed, artifacts = error, {"evaluate": opened.runner.latest(EvaluateArtifact)}
    if json:
        terminal.emit_json({name: str(artifact.folder) for name, artifact in artifacts.items()})
    elif "evaluate" in artifacts:
        terminal.print_report(opened.report())
        terminal.emit(f"report: {artifacts['evaluate'].path('report.html')}")
    if failed:
        raise failed


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
