"""An open table: its columns, its rows as they stand in the file, and what is wrong with a row."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from honed.core.json import Json

QUOTING = ("csv", "none", "trusted")
_ROW_ID = re.compile(r"[\w.:/-]*\d[\w.:/-]*")
_TREC = re.compile(r"(?:0|Q0)\t\S+\t-?\d+", re.IGNORECASE)  # after the query


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One record of a table as it stands in the file; ``where`` is for people ("line 7", "row 0")."""

    file: str
    where: str
    values: dict[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """One record that cannot be used, with its reason and its original text."""

    file: str
    where: str
    field: str
    code: str
    reason: str
    text: str

    def __str__(self) -> str:
        name = f", {self.field}" if self.field else ""
        return f"{self.file}, {self.where}{name}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFormat:
    """How files are to be read. ``delimiter`` "" means: by the file's ending and its first lines.

    ``quoting`` "none" takes quotes as plain signs, "trusted" takes every quoted field as it is, also one that looks as
    if a stray quote had swallowed rows. ``header`` names the columns of delimited files that have no line of names.
    """

    encoding: str = "utf-8"
    delimiter: str = ""
    quoting: str = "csv"
    max_text_chars: int = 100_000
    header: tuple[str, ...] = ()

    def key(self) -> dict[str, Json]:
        """Return what of it decides what is read, as JSON; settings that came later stand in it where they are set."""
        return {name: value for name, value in asdict(self).items() if value or name != "header"}


@dataclass(kw_only=True)
class Notes:
    """What a reader left out of a table or took another way, for the books; complete once all rows are read."""

    blank_rows: int = 0
    warnings: list[tuple[str, str]] = field(default_factory=list)

    def warn(self, code: str, text: str) -> None:
        """Keep a warning: its code, and what people should know."""
        self.warnings.append((code, text))


@dataclass(kw_only=True)
class Table:
    """One open table: its columns, and its rows once."""

    file: str
    columns: list[str]
    rows: Iterator[Row | Reject]
    format: TableFormat = field(default_factory=TableFormat)
    open_columns: bool = False  # records may leave columns out
    notes: Notes = field(default_factory=Notes)


def with_column(table: Table, name: str, value: str) -> Table:
    """Return a table with one more column, of one value."""
    rows = (replace(row, values={**row.values, name: value}) if isinstance(row, Row) else row for row in table.rows)
    return replace(table, columns=[*table.columns, name], rows=rows)


def named_columns(
    header: Sequence[str], usual: Mapping[str, Sequence[str]], stated: Mapping[str, str]
) -> dict[str, str]:
    """Return the column of each role in a table: as stated, or the first of its usual names that is there.

    Roles without one are absent.
    """
    columns = {
        role: stated.get(role) or next((name for name in names if name in header), "") for role, names in usual.items()
    }
    return {role: column for role, column in columns.items() if column}


def is_headerless(columns: Sequence[str]) -> bool:
    """Tell whether the names of columns look like a row: the first is an id with digits, the others no short names.

    So does a judgement in TREC's places, whatever its ids.

    Files of MS MARCO and TREC have no line of names; what pandas writes for columns without names (0, 1, 2) is one.
    """
    if len(columns) < 2 or list(columns) == [str(place) for place in range(len(columns))]:
        return False
    if len(columns) == 4 and _TREC.fullmatch("\t".join(columns[1:])):
        return True
    numbers = sum(name.lstrip("-").isdigit() for name in columns)
    return _ROW_ID.fullmatch(columns[0]) is not None and (numbers >= 3 or any(name.count(" ") >= 2 for name in columns))
