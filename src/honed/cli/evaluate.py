"""honed evaluate and honed gate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides
from honed.core.errors import ConfigError

if TYPE_CHECKING:
    from honed.artifacts.report import Report


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: honed evaluate --json  or  honed evaluate --sample 500")(with_limits(evaluate))
    app.command(epilog="Example: honed gate && deploy")(gate)


def evaluate(
    project: Folder = Path(),
    sample: Annotated[int, typer.Option(help="Look quickly: only this many queries; no report is stored.")] = 0,
    on_bad_row: OnBadRow = None,
    encoding: Encoding = None,
    *,
    json: Json = False,
) -> None:
    """Measure every system on the test queries and write report.json and report.html."""
    from honed.api.project import Project
    from honed.artifacts.evaluation import EvaluateArtifact

    opened = Project(project, settings=overrides(on_bad_row, encoding), listener=terminal.stage_line)
    if sample:
        from honed.project.sample import sample_report

        report: Report = sample_report(opened, sample)
    else:
        report = opened.evaluate()
        terminal.say(f"report: {opened.runner.latest(EvaluateArtifact).page}")
    if json:
        terminal.emit_json(report)
    else:
        terminal.print_report(report)


def gate(
    project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None, *, json: Json = False
) -> None:
    """Check the gates of the last report; exit code 1 when one failed."""
    from honed.api.project import Project
    from honed.artifacts.evaluation import EvaluateArtifact
    from honed.project.workspace import refuse_failed

    opened = Project(project, settings=overrides(on_bad_row, encoding))
    gates = opened.report().gates
    planned = {plan.stage.name: plan.key.key for plan in opened.plan()}
    if not opened.runner.updates() and planned.get("evaluate") != opened.runner.latest(EvaluateArtifact).key:
        raise ConfigError("E_STALE", "the last report is of other data or settings; make it anew with  honed evaluate")
    if not gates:
        raise ConfigError("E_NO_GATE", "the last report has no gates; add a section [gate] to honed.toml and run again")
    if json:
        terminal.emit_json(gates)
    else:
        terminal.print_gates(gates)
    refuse_failed(gates)
