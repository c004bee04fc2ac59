"""honed models."""

from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Json

if TYPE_CHECKING:
    from honed.project.models import ModelEntry


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed models  or  honed models e5-multilingual --measure")(models)


def models(
    name: Annotated[str, typer.Argument(help="A short name, an id of the Hub, or a folder; all without it.")] = "",
    *,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the models that are on this machine, about a second each.")
    ] = False,
    json: Json = False,
) -> None:
    """List the base models with a short name: size, prompts, licence, where they are here, speed here."""
    from honed.project.models import list_models

    entries = list_models(name, measure=measure)
    if json:
        terminal.emit_json(entries)
    elif name:
        terminal.table(["", name], _details(entries[0]))
    else:
        columns = ["name", "languages", "parameters", "MB", "dim", "tokens", "licence", "prompts", "here", "query"]
        terminal.table(columns, [_row(entry) for entry in entries])


def _row(entry: "ModelEntry") -> list[str]:
    return [
        entry.name,
        entry.languages,
        f"{entry.parameters:g} M" if entry.parameters else "",
        f"{entry.mb:,.0f}" if entry.mb else "",
        str(entry.dim or ""),
        str(entry.max_length or ""),
        entry.licence,
        "yes" if entry.uses else "none",
        entry.place or "not here",
        f"{entry.speed.query_ms:.1f} ms" if entry.speed else "",
    ]


def _details(entry: "ModelEntry") -> list[list[str]]:
    speed = "not measured: --measure" if entry.folder else "not here"
    if entry.speed:
        speed = (
            f"{entry.speed.query_ms:.1f} ms a query, {entry.speed.names:,.0f} names (6 words) or "
            f"{entry.speed.passages:,.0f} passages (90 words) a second"
        )
    rows = [
        ["short names", ", ".join(entry.names)],
        ["on the Hub", entry.hub],
        ["languages", entry.languages],
        ["parameters", f"{entry.parameters:g} million" if entry.parameters else ""],
        ["weights", f"{entry.mb:,.0f} MB" if entry.mb else ""],
        ["numbers a vector", str(entry.dim or "")],
        ["longest text", f"{entry.max_length} tokens" if entry.max_length else ""],
        ["pooling", entry.pooling],
        ["prompts", entry.uses or "none"],
        ["licence", entry.licence],
        ["note", entry.note],
        ["here", f"{entry.place}: {entry.folder}" if entry.folder else "no"],
        ["speed here", speed],
    ]
    return [row for row in rows if row[1]]
