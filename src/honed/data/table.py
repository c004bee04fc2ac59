"""An open table: its columns, its rows as they stand in the file, and what is wrong with a row."""

from collections.abc import Iterator
from dataclasses import dataclass, field


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
    """How files are to be read. ``delimiter`` "" means: by the file's ending and its header line."""

    encoding: str = "utf-8"
    delimiter: str = ""
    quoting: str = "csv"
    max_text_chars: int = 100_000


@dataclass(kw_only=True)
class Table:
    """One open table: its columns, and its rows once."""

    file: str
    columns: list[str]
    rows: Iterator[Row | Reject]
    format: TableFormat = field(default_factory=TableFormat)
    open_columns: bool = False  # records may leave columns out
