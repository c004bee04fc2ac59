"""Spreadsheets: a sheet's cells as texts, as they would stand in a CSV file; the first full row is the header."""

import math
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from itertools import pairwise

from honed.core.errors import DataError
from honed.core.optional import require
from honed.core.text import visible
from honed.data.csv_tables import check_header
from honed.data.source import Source
from honed.data.table import Notes, Row, Table


def open_sheet(source: Source) -> Table:
    """Open the sheet of a workbook (.xlsx, .xls, .ods) that is named, or its only one that holds anything.

    Raises `DataError` for a damaged workbook, an unknown sheet, and several sheets of which none is named.
    """
    require("spreadsheets")
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with source.seekable() as file:
            book = CalamineWorkbook.from_filelike(file)
            names = _wanted(source, list(book.sheet_names))
            sheets = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=False) for name in names}
    except (CalamineError, OSError, ValueError) as error:
        raise DataError("E_SPREADSHEET", f"{source.name}: not a readable workbook: {error}") from error
    filled = {name: rows for name, rows in sheets.items() if any(_text(cell).strip() for row in rows for cell in row)}
    if not filled:
        raise DataError("E_EMPTY", f"{source.name}: no sheet holds anything")
    if len(filled) > 1:
        raise several_parts(source, "sheets", list(filled))
    ((name, rows),) = filled.items()
    return _table(f"{source.name}#{name}" if source.part else source.name, rows)


def _wanted(source: Source, names: list[str]) -> list[str]:
    if source.part and source.part not in names:
        raise DataError("E_SHEET", f"{source.name}: no sheet {source.part!r}; there are: {', '.join(names)}")
    return [source.part] if source.part else names


def several_parts(source: Source, kind: str, names: Sequence[str]) -> DataError:
    """Return the error for a file of several tables of which none is named."""
    shown = ", ".join(names[:8])
    return DataError(
        "E_SHEET", f"{source.name}: {len(names)} {kind} ({shown}): name one, such as  {source.name}#{names[0]}"
    )


def _text(cell: object) -> str:
    """Return a cell as a spreadsheet would write it to CSV: whole numbers without a point, dates in ISO form."""
    if cell is None or isinstance(cell, str):
        return cell or ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return "" if math.isnan(cell) else str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time() else cell.isoformat()
    if isinstance(cell, date | time):
        return cell.isoformat()
    return str(cell)


def _table(file: str, cells: Sequence[Sequence[object]]) -> Table:
    notes, rows = Notes(), [[_text(cell) for cell in row] for row in cells]
    head = _header_place(file, rows, notes)
    columns = [visible(name).strip() for name in rows[head]]
    named = [name for name in columns if name]
    check_header(file, named)
    return Table(file=file, columns=named, rows=_rows(file, columns, rows, head, notes), notes=notes)


def _header_place(file: str, rows: Sequence[Sequence[str]], notes: Notes) -> int:
    """Return the place of the header: the first row that is not blank, nor a title of one cell above a wider one."""
    filled = [(place, sum(1 for cell in row if cell.strip())) for place, row in enumerate(rows)]
    filled = [(place, count) for place, count in filled if count]
    for (place, count), (_, following) in pairwise(filled):
        if count > 1 or following < 2:
            return place
        notes.warn("W_TITLE_LINE", f"{file}, line {place + 1}: taken for a title, not for column names")
    return filled[-1][0]


def _rows(file: str, columns: Sequence[str], rows: Sequence[Sequence[str]], head: int, notes: Notes) -> Iterator[Row]:
    for place in range(head + 1, len(rows)):
        cells = rows[place]
        if not any(map(str.strip, cells)):
            notes.blank_rows += 1
            continue
        unnamed = any(cell.strip() and not name for name, cell in zip(columns, cells, strict=False))
        if unnamed and not any(code == "W_COLUMN_UNNAMED" for code, _ in notes.warnings):
            text = f"{file}, line {place + 1}: a column has no name; what it holds is left out"
            notes.warn("W_COLUMN_UNNAMED", text)
        values: dict[str, object] = {name: cell for name, cell in zip(columns, cells, strict=False) if name}
        yield Row(file=file, where=f"line {place + 1}", values=values)
