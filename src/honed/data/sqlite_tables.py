"""SQLite files: the rows of a table or view, in the order of the file."""

import sqlite3
from collections.abc import Iterator
from urllib.parse import quote

from honed.core.errors import DataError
from honed.data.cell_tables import several_parts
from honed.data.source import Source
from honed.data.table import Row, Table
from honed.data.values import plain_value

SQLITE_MARK = b"SQLite format 3\0"
_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name"


def open_sqlite(source: Source) -> Table:
    """Open the table of a SQLite file that is named, or its only one; `DataError` for a damaged file."""
    try:
        connection = _connect(source)
        try:
            names = [str(name) for (name,) in connection.execute(_TABLES)]
            name = _chosen(source, names)
            quoted = '"' + name.replace('"', '""') + '"'
            columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({quoted})")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DataError("E_SQLITE", f"{source.name}: not a readable SQLite file: {error}") from error
    file = f"{source.name}#{name}" if source.part else source.name
    return Table(file=file, columns=columns, rows=_rows(file, source, quoted, columns))


def _connect(source: Source) -> sqlite3.Connection:
    """Return a connection that only reads; a file that is packed is held in memory."""
    if source.path is not None:
        return sqlite3.connect(f"file:{quote(str(source.path.absolute()))}?mode=ro", uri=True)
    connection = sqlite3.connect(":memory:")
    with source.open() as packed:
        connection.deserialize(packed.read())
    return connection


def _chosen(source: Source, names: list[str]) -> str:
    if not names:
        raise DataError("E_EMPTY", f"{source.name}: holds no table")
    if source.part and source.part not in names:
        raise DataError("E_SHEET", f"{source.name}: no table {source.part!r}; there are: {', '.join(names)}")
    if not source.part and len(names) > 1:
        raise several_parts(source, "tables", names)
    return source.part or names[0]


def _rows(file: str, source: Source, quoted: str, columns: list[str]) -> Iterator[Row]:
    connection = _connect(source)
    try:
        # the name comes from the file's own list of tables, and is quoted
        for number, row in enumerate(connection.execute(f"SELECT * FROM {quoted}")):  # noqa: S608
            values = dict(zip(columns, map(plain_value, row), strict=True))
            yield Row(file=file, where=f"row {number}", values=values)
    except sqlite3.Error as error:
        raise DataError("E_SQLITE", f"{file}: {error}") from error
    finally:
        connection.close()
