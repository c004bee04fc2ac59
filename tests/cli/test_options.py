"""No message advises an option that the command lacks: the words of messages beside the commands themselves."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import typer

from honed.cli.main import make_app

SOURCE = Path(__file__).parents[2] / "src" / "honed"
OPTION = re.compile(r"(?<![\w(-])--[a-z][a-z-]*[a-z]")  # var(--ours) is a colour
COMMAND = re.compile(r"\bhoned +([a-z-]+)(?: +([a-z-]+))?")
OTHERS = {"--standalone", "--nproc-per-node"}  # torchrun's
GENERAL = {"--help", "--version"}


def commands() -> dict[str, set[str]]:
    """The options of every command, by its name; those of honed itself by an empty one."""
    root = typer.main.get_command(make_app())
    assert isinstance(root, typer.core.TyperGroup)
    options = {"": options_of(root)}
    for name, command in root.commands.items():
        options[name] = options_of(command)
        for sub, inner in command.commands.items() if isinstance(command, typer.core.TyperGroup) else ():
            options[f"{name} {sub}"] = options_of(inner)
    return options


def options_of(command: object) -> set[str]:
    return {name for option in command.params for name in (*option.opts, *option.secondary_opts)}  # type: ignore[attr-defined]


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the source, docstrings too, with its place; what an f-string fills in is left open."""
    for file in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        skipped: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                skipped |= {id(part) for part in node.values}
                text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
                text = node.value
            else:
                continue
            yield f"{file.relative_to(SOURCE)}:{node.lineno}", text


def unknown_options(text: str, options: dict[str, set[str]]) -> list[str]:
    """The options of a text that its command lacks; where it names none before them, that every command lacks."""
    unknown = []
    for found in OPTION.finditer(text):
        named = list(COMMAND.finditer(text[: found.start()]))
        names = [" ".join(filter(None, named[-1].groups())), named[-1][1]] if named else []
        command = next((name for name in names if name in options), None)
        known = options[command] | options[""] if command else set().union(*options.values())
        if found[0] not in known | OTHERS | GENERAL:
            unknown.append(f"{found[0]} of honed {command or '...'}")
    return unknown


def test_no_message_advises_an_option_that_the_command_lacks() -> None:
    options = commands()
    wrong = [f"{place}: {name}" for place, text in texts() for name in unknown_options(text, options)]
    assert wrong == []


def test_an_option_that_is_not_there_is_found() -> None:
    options = {"": {"--quiet"}, "store": set(), "store add": {"--replace"}, "run": {"--until"}}
    assert unknown_options("say  honed store add --replace  or --until x", options) == ["--until of honed store add"]
    assert unknown_options("honed run --quiet --nothing", options) == ["--nothing of honed run"]
    assert unknown_options("give --nothing, not --until", options) == ["--nothing of honed ..."]
    assert sum(1 for _, text in texts() if OPTION.search(text)) > 50
