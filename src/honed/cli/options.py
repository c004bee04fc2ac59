"""Options that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honed.core.errors import ConfigError

if TYPE_CHECKING:
    from honed.data.tables import TableFormat

Folder = Annotated[Path, typer.Option("--project", "-p", help="Folder of honed.toml.", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
OnBadRow = Annotated[
    str | None, typer.Option("--on-bad-row", help="stop: refuse the whole import. quarantine: keep the good rows.")
]
Encoding = Annotated[str | None, typer.Option("--encoding", help="Encoding of the input files, such as cp1252.")]
Delimiter = Annotated[str, typer.Option(help="What stands between the fields of CSV files; found by itself otherwise.")]
Quoting = Annotated[str, typer.Option(help="csv; none: quotes are plain signs; trusted: no quote counts as stray.")]
Direction = Annotated[str, typer.Option(help="alias-to-label or label-to-alias: the older words for --target.")]
Database = Annotated[
    str, typer.Argument(envvar="HONED_DATABASE", help="postgresql://user@host:5432/name, or HONED_DATABASE.")
]
Collection = Annotated[str, typer.Option(help="Name of the collection in the database.")]
Schema = Annotated[str, typer.Option(help="Schema of the database that holds it.")]
Bundle = Annotated[Path | None, typer.Option(help="A bundle (folder or zip) instead of a project.")]
PublicKey = Annotated[
    Path | None, typer.Option("--require-signature", help="Public key (Ed25519, PEM) that must have signed the bundle.")
]
Exact = Annotated[
    bool,
    typer.Option("--exact", help="Cells of .csv and .tsv as they are, also those that a spreadsheet runs as formulas."),
]
Target = Annotated[str, typer.Option(help="What is looked for: entities (or documents, records), or their aliases.")]
TopK = Annotated[int, typer.Option("-k", help="How many hits.")]


def table_format(encoding: str | None, delimiter: str, quoting: str) -> "TableFormat":
    """Return how files are to be read; `honed.core.errors.ConfigError` for options that are none."""
    from honed.data.tables import TableFormat, checked_format

    return checked_format(TableFormat(encoding=encoding or "utf-8", delimiter=delimiter, quoting=quoting))


def column_pairs(given: Sequence[str], form: str) -> dict[str, str]:
    """Return what --with says: each column, and what it is called elsewhere, the same where nothing is said.

    ``form`` is how it is to be written, for the `ConfigError`.
    """
    pairs = {}
    for text in given:
        for part in text.split(","):
            column, _, name = (piece.strip() for piece in part.partition("="))
            if not column:
                raise ConfigError("E_OPTION", f"--with {text}: write {form}")
            pairs[column] = name or column
    return pairs


def overrides(on_bad_row: str | None, encoding: str | None) -> dict[str, Any]:
    """Return the options that were given, as settings of honed.toml."""
    given = {"data.on_bad_row": on_bad_row, "data.encoding": encoding}
    return {key: value for key, value in given.items() if value is not None}
