"""The rows of a table as distinct entries: what is written often is decided once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from honed.core.errors import ConfigError, DataError
from honed.core.fingerprint import sha256_file
from honed.data.table import Reject, Row, Table, TableFormat
from honed.data.tables import file_of, open_table, table_files
from honed.match.entry import Entry

Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class TableColumns:
    """Which columns of a table are matched.

    ``name`` holds the names, several of them where they are divided by ``separator``; ``evidence`` maps further columns
    to the fields of the catalogue that say the same.
    """

    name: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    separator: str = ""


@dataclass(frozen=True, kw_only=True)
class Entries:
    """The distinct entries of a table, and those of each row.

    The entries of row n are ``of_rows[ends[n - 1]:ends[n]]``; a row without a name has none. ``rejected`` are the rows
    that could not be read. Memory: some 200 bytes for a distinct entry, 8 for a row.
    """

    entries: list[Entry]
    of_rows: Numbers
    ends: npt.NDArray[np.int64]
    rejected: list[Reject]

    @cached_property
    def keys(self) -> list[str]:
        """The keys of the entries; those that differ in case or blanks alone share one, and what people say of it."""
        return [entry.key for entry in self.entries]

    @cached_property
    def by_key(self) -> dict[str, int]:
        """The number of the first entry of each key."""
        numbers: dict[str, int] = {}
        for number, key in enumerate(self.keys):
            numbers.setdefault(key, number)
        return numbers

    @property
    def n_rows(self) -> int:
        """The number of rows that were read."""
        return len(self.ends)

    def counts(self) -> npt.NDArray[np.int64]:
        """Return how often each entry stands in the table ``(n_entries,)``."""
        return np.bincount(self.of_rows, minlength=len(self.entries))

    def of_row(self, row: int) -> Numbers:
        """Return the numbers of the entries of a row."""
        return self.of_rows[self.ends[row - 1] if row else 0 : self.ends[row]]


def opened(path: Path, form: TableFormat, needed: Sequence[str] = ()) -> Table:
    """Open the one table of a file; `DataError` for several, and for a file that is none.

    Raises `ConfigError` for a column of those ``needed`` that is not there.
    """
    (file,) = table_files(path)[:1] or [path]
    table = open_table(file, form)
    for name in needed:
        if name not in table.columns:
            raise ConfigError("E_OPTION", f"{table.file}: no column {name!r}; found: {', '.join(table.columns)}")
    return table


def content_of(path: Path) -> str:
    """Return the sha256 of a table's file."""
    return sha256_file(file_of(path))


def read_entries(path: Path, columns: TableColumns, form: TableFormat) -> Entries:
    """Read a table once, as a stream.

    Raises `ConfigError` for a column that is not there, `DataError` for a table without a name.
    """
    table = opened(path, form, [columns.name, *columns.evidence])
    known: dict[Entry, int] = {}
    of_rows: list[int] = []
    ends: list[int] = []
    rejected: list[Reject] = []
    for row in table.rows:
        if isinstance(row, Reject):
            rejected.append(row)
            continue
        of_rows += [known.setdefault(entry, len(known)) for entry in entries_of(row, columns)]
        ends.append(len(of_rows))
    if not known:
        raise DataError("E_EMPTY", f"{table.file}: no row has anything in the column {columns.name!r}")
    return Entries(
        entries=list(known),
        of_rows=np.array(of_rows, dtype=np.int32),
        ends=np.array(ends, dtype=np.int64),
        rejected=rejected,
    )


def entries_of(row: Row, columns: TableColumns) -> Iterator[Entry]:
    """Yield the entries of a row: one for each name that it holds, none for a row without a name."""
    text = shown(row.values.get(columns.name))
    values = tuple(shown(row.values.get(column)) for column in columns.evidence)
    names = text.split(columns.separator) if columns.separator else [text]
    for name in dict.fromkeys(" ".join(part.split()) for part in names):
        if name:
            yield Entry(name, values)


def shown(value: object) -> str:
    """Return a cell as text; "" for an empty one."""
    return "" if value is None else str(value).strip()
