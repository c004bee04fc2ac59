"""The table with its decisions, as CSV, XLSX or Parquet: every row in its order, as a stream."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from honed.core.artifacts import sync
from honed.core.errors import ConfigError
from honed.core.json import Json
from honed.core.optional import require
from honed.data.table import Reject, Row
from honed.match.answers import Found
from honed.match.decide import ACCEPT, NO_MATCH, REVIEW, Decided
from honed.match.run import TableMatch
from honed.match.table import opened, shown

COLUMNS = ("match_id", "match_name", "match_chance", "match_decision", "match_by", "match_candidates")
ENDINGS = (".csv", ".tsv", ".jsonl", ".xlsx", ".parquet")
Cells: TypeAlias = Sequence[str]
WriteRow: TypeAlias = Callable[[Cells], object]
_ROWS_AT_ONCE = 10_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_ORDER = (REVIEW, NO_MATCH, ACCEPT)  # of a row of several names, what the first of these says


def checked_ending(path: Path) -> None:
    """Raise `ConfigError` for a file whose ending is none that can be written."""
    if path.suffix not in ENDINGS:
        raise ConfigError("E_OPTION", f"{path}: the ending is not one of {', '.join(ENDINGS)}")


def write_matches(match: TableMatch, decided: Decided, path: Path) -> int:
    """Write the table with its decisions to a file, whole or not at all; returns the number of rows.

    Its ending says how: .csv, .tsv, .jsonl, .xlsx or .parquet. A row of several names has the ids of all that are
    accepted, with the separator between them, and the most careful of their decisions. Rows that could not be read are
    in ``rejected.jsonl`` of the match's folder. Raises `ConfigError` for another ending.
    """
    checked_ending(path)
    beside = path.with_name(f".{path.name}.new")
    table = opened(match.table, match.form)
    header = [*table.columns, *added_columns(table.columns)]
    count = 0
    with _WRITERS[path.suffix](beside, header) as write:
        rows = (row for row in table.rows if isinstance(row, Row))
        for number, row in enumerate(rows):
            write([*(shown(row.values.get(name)) for name in table.columns), *decided_cells(match, decided, number)])
            count += 1
    sync(beside)
    beside.replace(path)
    write_rejected(match.entries.rejected, match.folder / "rejected.jsonl")
    return count


def added_columns(taken: Iterable[object]) -> list[str]:
    """Return the names of the columns that are added to a table whose columns are ``taken``."""
    known = set(taken)
    return [name if name not in known else f"honed_{name}" for name in COLUMNS]


def decided_cells(match: TableMatch, decided: Decided, row: int) -> list[str]:
    """Return what is decided of a row, in the order of `COLUMNS`; empty for a row without a name."""
    numbers = match.entries.of_row(row).tolist()
    if not numbers:
        return ["", "", "", NO_MATCH, "", ""]
    decisions = [decided.decision(at) for at in numbers]
    decision = next(one for one in _ORDER if one in decisions)
    if decision == NO_MATCH and ACCEPT in decisions:
        decision = ACCEPT  # one name of several has no counterpart
    given = [one for at in numbers if decided.decision(at) != NO_MATCH and (one := decided.chosen[at]) is not None]
    between = match.columns.separator or "; "
    by = {("person" if decided.by_people[at] else "model") for at in numbers}
    return [
        between.join(one.id for one in given),
        between.join(one.name for one in given),
        f"{min((one.chance for one in given), default=0.0):.4f}" if given else "",
        decision,
        " and ".join(sorted(by)),
        json.dumps([_listed(match.found[at]) for at in numbers], ensure_ascii=False) if decision == REVIEW else "",
    ]


def _listed(found: Found) -> list[Json]:
    return [{"id": one.id, "name": one.name, "chance": one.chance} for one in found.candidates]


def write_rejected(rejected: Sequence[Reject], path: Path) -> None:
    """Write the rows that could not be read, with their reasons; nothing where there are none."""
    if not rejected:
        return
    lines = [
        json.dumps({"where": row.where, "code": row.code, "reason": row.reason, "text": row.text}, ensure_ascii=False)
        for row in rejected
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@contextmanager
def _delimited(path: Path, header: Cells, delimiter: str = ",") -> Iterator[WriteRow]:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        yield lambda cells: writer.writerow([*cells[: -len(COLUMNS)], *map(_no_formula, cells[-len(COLUMNS) :])])


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
    require("writing spreadsheets")
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell

    book = Workbook(write_only=True)
    sheet = book.create_sheet("matches")

    def write(cells: Cells) -> None:
        row = [WriteOnlyCell(sheet, value=cell) for cell in cells]
        for cell in row:
            cell.data_type = "s"  # text, whatever it looks like: no formula runs
        sheet.append(row)

    write(header)
    yield write
    book.save(path)


@contextmanager
def _parquet(path: Path, header: Cells) -> Iterator[WriteRow]:
    require("reading tables")
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
