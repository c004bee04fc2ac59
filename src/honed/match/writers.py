"""Rows of text to a file, as a stream, whole or not at all: CSV, TSV, JSON lines, XLSX or Parquet."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from honed.core.errors import ConfigError
from honed.core.optional import require
from honed.core.writing import new_file

_PARTS = {".xlsx": "writing spreadsheets", ".parquet": "reading tables"}  # what an ending needs
ENDINGS = (".csv", ".tsv", ".jsonl", ".xlsx", ".parquet")
Cells: TypeAlias = Sequence[str]
WriteRow: TypeAlias = Callable[[Cells], object]
_ROWS_AT_ONCE = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


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
def written_table(path: Path, header: Cells, *, added: int = 0) -> Iterator[WriteRow]:
    """Open a table to be written row by row; it stands under its name when the ``with`` block ends without an error.

    Its ending says how: .csv, .tsv, .jsonl, .xlsx or .parquet; `ConfigError` for another. In delimited files the last
    ``added`` cells of a row, which are not the user's own, are none that a spreadsheet takes for a formula.
    """
    checked_ending(path)
    with new_file(path) as beside, _WRITERS[path.suffix](beside, header) as write:
        if path.suffix in (".csv", ".tsv") and added:
            yield lambda cells: write([*cells[:-added], *map(_no_formula, cells[-added:])])
        else:
            yield write


@contextmanager
def written_csv(path: Path, header: Cells) -> Iterator[WriteRow]:
    """Open a CSV file to be written row by row, whatever its ending; it stands when the ``with`` block ends."""
    with new_file(path) as beside, _delimited(beside, header) as write:
        yield write


@contextmanager
def _delimited(path: Path, header: Cells, delimiter: str = ",") -> Iterator[WriteRow]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
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


def _no_formula(cell: str) -> str:
    """Return a cell of the catalogue that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
