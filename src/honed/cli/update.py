"""honed update."""

from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Folder, Json
from honed.core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed update new-names.csv  then  honed export bundle")(with_limits(update))


def update(
    files: Annotated[list[Path], typer.Argument(help="Tables of new pairs, with the columns of the project.")],
    project: Folder = Path(),
    epochs: Annotated[float, typer.Option(help="Epochs over new and replayed pairs.")] = 2.0,
    replay: Annotated[float, typer.Option(help="Old pairs that are trained on again, for each new one.")] = 2.0,
    tolerance: Annotated[float, typer.Option(help="Share of R@1 that old queries may lose (low bound).")] = 0.02,
    learning_rate: Annotated[float, typer.Option(help="Learning rate; 0: half of that of [train].")] = 0.0,
    *,
    json: Json = False,
) -> None:
    """Teach the trained model new pairs, and take the result only if it did not forget."""
    from honed.api.project import Project
    from honed.project.update import UpdateOptions, update
    from honed.project.workspace import refuse_failed

    if epochs <= 0 or replay < 0 or learning_rate < 0 or not 0 <= tolerance <= 1:
        limits = "--epochs must be above 0, --replay and --learning-rate at least 0, --tolerance 0 to 1"
        raise ConfigError("E_RANGE", limits)
    options = UpdateOptions(epochs=epochs, replay=replay, tolerance=tolerance, learning_rate=learning_rate)
    done = update(Project(project, listener=terminal.stage_line), files, options)
    if json:
        folders = {name: str(artifact.folder) for name, artifact in done.artifacts.items()}
        terminal.emit_json({"new_examples": done.new_examples, "gates": done.gates, "artifacts": folders})
    else:
        terminal.print_gates(done.gates)
    refuse_failed(done.gates)
    terminal.say(
        f"{done.new_examples} new pairs learned; search and export use the result. Before the next full  honed run  "
        f"add to paths.input: {', '.join(str(file) for file in files)}"
    )
