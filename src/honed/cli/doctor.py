"""honed doctor."""

from pathlib import Path

import typer

from honed.cli import terminal
from honed.cli.options import Folder, Json
from honed.core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed doctor")(doctor)


def doctor(project: Folder = Path(), *, json: Json = False) -> None:
    """Say what this machine has and what would run where; exit code 2 when honed.toml asks for what cannot run."""
    from honed.project.doctor import examine

    checked = examine(project)
    if json:
        terminal.emit_json(checked)
    else:
        for section, lines in checked.items():
            if isinstance(lines, dict):
                terminal.emit(section)
                for name, value in lines.items():
                    terminal.emit(f"  {name:<24} {value}")
        for problem in checked["problems"]:
            terminal.emit(f"PROBLEM {problem}")
    if checked["problems"]:
        raise ConfigError("E_CANNOT_RUN", checked["problems"][0])
