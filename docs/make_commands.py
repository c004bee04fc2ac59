"""Write docs/commands.md from the commands themselves; --check only says whether it is up to date."""

from pathlib import Path

import typer
from generated import write

from honed.cli.main import make_app

TARGET = Path(__file__).with_name("commands.md")


def reference() -> str:
    """Return the page: each command with its help."""
    root = typer.main.get_command(make_app())
    assert isinstance(root, typer.core.TyperGroup)
    parts = ["# Commands", "", "Made by `make docs`. stdout is data (`--json`), stderr is progress and errors.", ""]
    parts += [
        "Exit codes: 0 ok, 1 a gate failed, 2 your data or configuration, 3 an artifact is unfit, 74 I/O, "
        "70 a bug of honed."
    ]
    for name, command in root.commands.items():
        group = isinstance(command, typer.core.TyperGroup)
        found = [("", command)] if not group or command.invoke_without_command else []
        found += command.commands.items() if group else []
        parts += ["", f"## honed {name}"]
        for sub, each in found:
            context = typer.Context(
                each, info_name=f"honed {name} {sub}".strip(), terminal_width=100, max_content_width=100
            )
            parts += ["", "```", each.get_help(context).strip(), "```"]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    write(TARGET, reference())
