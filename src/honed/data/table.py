"""An open table: its columns, its rows as they stand in the file, and what is wrong with a row."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

from honed.core.json import Json


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
