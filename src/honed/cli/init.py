"""honed init."""

from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Delimiter, Encoding, Quoting, table_format
from honed.core.errors import ConfigError
from honed.core.writing import write_text


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: honed init institutions.csv  or  honed init data/ --map label=name --map alias=synonym  or  "
        "honed init corpus.jsonl queries.jsonl qrels.tsv"
    )(init)


def init(
    files: Annotated[
        list[str], typer.Argument(help="Tables, folders of them, URLs, or  'sql:URL QUERY'; a sheet:  book.xlsx#Sheet1")
    ],
    project: Annotated[Path, typer.Option("--project", "-p", help="Where to write honed.toml.")] = Path(),
    columns: Annotated[list[str] | None, typer.Option("--map", help="ROLE=COLUMN, such as label=name.")] = None,
    shape: Annotated[
        str | None, typer.Option(help="aliases, labels, relations or judgments; inferred when left out.")
    ] = None,
    encoding: Encoding = None,
    delimiter: Delimiter = "",
    quoting: Quoting = "csv",
    *,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing honed.toml.")] = False,
) -> None:
    """Look at the data and write honed.toml."""
    from honed.project.init import propose

    given = dict(_pair(column) for column in columns or [])
    target = project / "honed.toml"
    if target.exists() and not force:
        raise ConfigError("E_EXISTS", f"{target}: exists already; --force replaces it")
    proposal = propose(files, project, given=given, shape=shape, form=table_format(encoding, delimiter, quoting))
    project.mkdir(parents=True, exist_ok=True)
    write_text(target, proposal.text)
    for note in proposal.notes:
        terminal.say(note)
    terminal.say(f"wrote {target}; next:  honed check  and  honed run")


def _pair(text: str) -> tuple[str, str]:
    role, sign, column = text.partition("=")
    if not sign or not role or not column:
        raise ConfigError("E_OPTION", f"--map {text}: expected ROLE=COLUMN, such as label=name")
    return role, column
