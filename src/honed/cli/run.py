"""honed run, and one command for each stage that people run alone."""

from pathlib import Path
from typing import Annotated, Any

import typer

from honed.cli import terminal
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides
from honed.core.errors import GateError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: honed run  or  honed run --until train  or  honed run --dry-run")(run)
    app.command(epilog="Example: honed train")(train)
    app.command(epilog="Example: honed index")(index)


def run(
    project: Folder = Path(),
    start: Annotated[str | None, typer.Option("--from", help="Make this stage and all after it anew.")] = None,
    until: Annotated[str | None, typer.Option(help="Stop after this stage.")] = None,
    on_bad_row: OnBadRow = None,
    encoding: Encoding = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and do nothing.")] = False,
    json: Json = False,
) -> None:
    """Run all stages of honed.toml; what stands is skipped."""
    from honed.pipeline.project import Project
    from honed.pipeline.stages import read_report

    opened = Project(project, overrides=overrides(on_bad_row, encoding), listener=terminal.stage_line)
    if dry_run:
        for plan in opened.plan(start=start, until=until):
            terminal.emit(f"{plan.stage.name:>10}  {'stands' if plan.stands else 'would run':<10} {plan.key.key}")
        return
    failed: GateError | None = None
    try:
        artifacts = opened.run(start=start, until=until)
    except GateError as error:
        failed, artifacts = error, {"evaluate": opened.runner.latest("evaluate")}
    if json:
        terminal.emit_json({name: str(artifact.folder) for name, artifact in artifacts.items()})
    elif "evaluate" in artifacts:
        terminal.print_report(read_report(artifacts["evaluate"]))
        terminal.emit(f"report: {artifacts['evaluate'].path('report.html')}")
    if failed:
        raise failed


def train(project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None) -> None:
    """Fine-tune, running what must come before it."""
    _until(project, "train", overrides(on_bad_row, encoding))


def index(project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None) -> None:
    """Build the search index, running what must come before it."""
    _until(project, "index", overrides(on_bad_row, encoding))


def _until(project: Path, stage: str, given: dict[str, Any]) -> None:
    from honed.pipeline.project import Project

    artifact = Project(project, overrides=given, listener=terminal.stage_line).run(until=stage)[stage]
    terminal.emit(str(artifact.folder))
