"""honed export."""

from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Folder
from honed.pipeline.export import export_bundle
from honed.pipeline.project import Project


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog='Example: honed export bundle  then  honed search "UdeG" --bundle bundle')(export)


def export(
    target: Annotated[Path, typer.Argument(help="Folder to write the bundle to.")], project: Folder = Path()
) -> None:
    """Write the last run as one folder that answers without PyTorch."""
    written = export_bundle(Project(project), target)
    size = sum(path.stat().st_size for path in written.rglob("*") if path.is_file())
    terminal.say(f"wrote {written}: {size / 1e6:.1f} MB")
    terminal.emit(str(written))
