"""honed show."""

from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Folder, Json
from honed.core.artifacts import Artifact


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed show train  or  honed show work/train/1f0c... --verify")(show)


def show(
    artifact: Annotated[str, typer.Argument(help="A stage of the last run, or the folder of an artifact.")],
    project: Folder = Path(),
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Check every file against its hash.")] = False,
    json: Json = False,
) -> None:
    """Show what an artifact is, what it was made from, and whether it is whole."""
    from honed.api.project import Project

    folder = Path(artifact)
    shown = Artifact.at(folder) if folder.is_dir() else Project(project).runner.latest_of(artifact)
    if verify:
        shown.verify()
    if json:
        terminal.emit_json({"folder": str(shown.folder), **shown.manifest.as_dict()})
        return
    terminal.emit(f"{shown.manifest.stage}  {shown.key}\nfolder  {shown.folder}")
    for name, key in shown.manifest.inputs.items():
        terminal.emit(f"input   {name} {key}")
    for name, value in shown.manifest.facts.items():
        terminal.emit(f"fact    {name} = {value}")
    for name in shown.manifest.files:
        terminal.emit(f"file    {name}")
    if verify:
        terminal.emit("every file is as it was written")
