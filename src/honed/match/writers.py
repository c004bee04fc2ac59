"""Rows of text to a file, as a stream, whole or not at all: CSV, TSV, JSON lines, XLSX or Parquet."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeAlias

from honed.core.errors import ConfigError
from honed.core.optional import require
from honed.core.writing import new_file

_PARTS = {".xlsx": "writing spreadsheets", ".parquet": "reading tables"}  # what an ending needs
ENDINGS = (".csv", ".tsv", ".jsonl", ".xlsx", ".parquet")
Cells: TypeAlias = Sequence[str]
WriteRow: TypeAlias = Callable[[Cells], object]
_ROWS_AT_ONCE = 10_000
_DELIMITED = (".csv", ".tsv")  # the others say that a cell is a text
_FORMULA = re.compile(r"'*[=+\-@\t\r]")  # what a spreadsheet may run; and what was written for one already
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?")


def free_names(names: Sequence[str], taken: Iterable[object]) -> list[str]:
    """Return the names of columns that are added to a table whose columns are ``taken``: "honed_..." for those."""
    known = set(taken)
    return [name if name not in known else f"honed_{name}" for name in names]


def checked_ending(path: Path) -> None:
    """Refuse an ending that cannot be written (`ConfigError`), or for which a part is missing (`MissingPartError`)."""
    if path.suffix not in ENDINGS:
        raise ConfigError("E_OPTION", f"{path}: the ending is not one of {', '.join(ENDINGS)}")
    if path.suffix in _PARTS:
        require(_PARTS[path.suffix])


@contextmanager
def written_table(path: Path, header: Cells, *, exact: bool = False) -> Iterator[WriteRow]:
    """Open a table to be written row by row; it stands under its name when the ``with`` block ends without an error.

    Its ending says how: .csv, .tsv, .jsonl, .xlsx or .parquet; `ConfigError` for another. In delimited files no cell is
    one that a spreadsheet takes for a formula, see `without_formula`, unless they shall be ``exact``.
    """
    checked_ending(path)
    guarded = path.suffix in _DELIMITED and not exact
    if guarded:
        header = [*map(without_formula, header)]
    with new_file(path) as beside, _WRITERS[path.suffix](beside, header) as write:
        yield (lambda cells: write([*map(without_formula, cells)])) if guarded else write


@contextmanager
def written_csv(path: Path, header: Cells) -> Iterator[WriteRow]:
    """Open a CSV file that honed reads again, with cells as they are; it stands when the ``with`` block ends."""
    with new_file(path) as beside, _delimited(beside, header) as write:
        yield write


class _LineFeeds:
    """Ends the lines of csv with a line feed alone; told so itself, csv leaves carriage returns in cells unquoted."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.removesuffix("\r\n") + "\n")


@contextmanager
def _delimited(path: Path, header: Cells, delimiter: str = ",") -> Iterator[WriteRow]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(_LineFeeds(file), delimiter=delimiter)
        writer.writerow(header)
        yield writer.writerow


@contextmanager
def _tabbed(path: Path, header: Cells) -> Iterator[WriteRow]:
    with _delimited(path, header, "\t") as write:
        yield write


@contextmanager
def _lines(path: Path, header: Cells) -> Iterator[WriteRow]:
    with path.open("w", encoding="utf-8") as file:
        yield lambda cells: file.write(json.dumps(dict(zip(header, cells, strict=True)), ensure_ascii=False) + "\n")


@contextmanager
def _workbook(path: Path, header: Cells) -> Iterator[WriteRow]:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("rows")

    def write(cells: Cells) -> None:
        row = [WriteOnlyCell(sheet, value=cell) for cell in cells]
        for cell in row:
            cell.data_type = "s"  # text, whatever it looks like: no formula runs
        sheet.append(row)

    write(header)
    yield write
    packed = io.BytesIO()  # an archive that fails on a full disk would try again when it is collected, and print that
    book.save(packed)
    path.write_bytes(packed.getbuffer())


@contextmanager
def _parquet(path: Path, header: Cells) -> Iterator[WriteRow]:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.string()) for name in header])
    rows: list[Cells] = []
    with parquet.ParquetWriter(path, schema) as writer:

        def flush() -> None:
            columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
            writer.write_table(pa.table(columns, schema=schema))
            rows.clear()

        def write(cells: Cells) -> None:
            rows.append(cells)
            if len(rows) >= _ROWS_AT_ONCE:
                flush()

        yield write
        if rows:
            flush()


_WRITERS = {".csv": _delimited, ".tsv": _tabbed, ".jsonl": _lines, ".xlsx": _workbook, ".parquet": _parquet}


def without_formula(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe before it, unless it is a number.

    `as_it_was` gives the cell back.
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def as_it_was(cell: str) -> str:
    """Return a cell as it was before `without_formula`, or as it is where it was not that."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
