"""Whatever Python's csv, pandas, json or openpyxl write comes back exactly, or is refused with its row."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pandas
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from honed.core.errors import DataError
from honed.data.importer import Importer, PlainRows, iterate_records
from honed.data.rows import ImportConfig, Role
from honed.data.tables import Reject, Row, TableFormat, open_table

pytest.importorskip("python_calamine")
COLUMNS = ["id", "text", "more"]
Cells = list[list[str]]
# texts with what readers stumble over, among any others
ODD = some.text(alphabet=" \",;\t\n\r'|0a\u00e9\u00a0\u200b\u2028\u3042", max_size=12)
PLAIN = some.text(alphabet=some.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
CELL = some.one_of(ODD, PLAIN, some.sampled_from(["007", "NA", "null", "1e5", "-", "=1", "sep=;", "\ufeffx"]))
TABLE = some.lists(some.lists(CELL, min_size=3, max_size=3), min_size=1, max_size=8)
QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def filled(rows: Sequence[Sequence[str]]) -> Cells:
    return [list(row) for row in rows if any(cell.strip() for cell in row)]


def check_rows(path: Path, expected: Cells, form: TableFormat | None = None) -> None:
    """Every row that is read is the next one that was written; what is not read is a reject with its place.

    Below a quote that looks like a stray one, lines are rows: an import stops at it unless bad rows are to be left out.
    """
    waiting = iter(expected)
    rows = list(open_table(path, form or TableFormat()).rows)
    for row in rows:
        if isinstance(row, Reject):
            assert row.where and row.code
            if row.code.startswith("E_CSV"):  # of a field of several lines the rest stands alone
                break
        else:
            values = [row.values[name] for name in COLUMNS]
            assert values in waiting, f"{values} was not written, or not here"
    if not any(isinstance(row, Reject) for row in rows):
        assert [[row.values[name] for name in COLUMNS] for row in rows if isinstance(row, Row)] == expected


@QUICK
@given(TABLE, some.sampled_from([",", ";", "\t", "|"]), some.sampled_from(["\n", "\r\n"]),
       some.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))  # fmt: skip
def test_what_csv_writes(tmp_path: Path, rows: Cells, mark: str, end: str, quoting: int) -> None:
    if end == "\n":  # then csv leaves carriage returns unquoted, and one before the line's end is a part of it
        rows = [[cell.replace("\r", "") for cell in row] for row in rows]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=mark, lineterminator=end, quoting=quoting)
        writer.writerows([COLUMNS, *rows])
    check_rows(tmp_path / "t.csv", filled(rows))


@QUICK
@given(TABLE, some.sampled_from([",", ";"]))
def test_quotes_that_are_trusted_lose_no_row(tmp_path: Path, rows: Cells, mark: str) -> None:
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=mark).writerows([COLUMNS, *rows])
    found = list(open_table(tmp_path / "t.csv", TableFormat(quoting="trusted")).rows)
    assert not any(isinstance(row, Reject) for row in found)
    check_rows(tmp_path / "t.csv", filled(rows), TableFormat(quoting="trusted"))


@QUICK
@given(TABLE, some.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
def test_what_pandas_writes(tmp_path: Path, rows: Cells, encoding: str) -> None:
    pandas.DataFrame(rows, columns=COLUMNS).to_csv(
        tmp_path / "t.csv", index=False, encoding=encoding, lineterminator="\r\n"
    )
    check_rows(tmp_path / "t.csv", filled(rows), TableFormat(encoding=encoding))


@QUICK
@given(TABLE, some.booleans())
def test_what_json_writes(tmp_path: Path, rows: Cells, lines: bool) -> None:
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    if lines and len(objects) == 1:
        objects *= 2  # one object alone in .json is no table
        rows = rows * 2
    text = "\n".join(map(json.dumps, objects)) if lines else json.dumps(objects, ensure_ascii=False, indent=1)
    (tmp_path / "t.json").write_text(text, encoding="utf-8")
    check_rows(tmp_path / "t.json", rows)


@settings(parent=QUICK, max_examples=40)
@given(TABLE)
def test_what_openpyxl_writes(tmp_path: Path, rows: Cells) -> None:
    rows = [["".join(char for char in cell if char != "\r").lstrip("=") for cell in row] for row in rows]
    book = openpyxl.Workbook()
    try:
        for row in [COLUMNS, *rows]:
            book.active.append(row)
    except openpyxl.utils.exceptions.IllegalCharacterError:
        return
    book.save(tmp_path / "t.xlsx")
    if filled(rows):
        check_rows(tmp_path / "t.xlsx", filled(rows))


def imported(folder: Path, rows: Cells) -> list[dict[str, str]] | None:
    """The records of a table without their places, None where it is refused."""
    folder.mkdir(exist_ok=True)
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    (folder / "t.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    roles = (Role(name="id", kind="id", required=True, unique=True), Role(name="text", kind="text", required=True))
    config = ImportConfig(shape="t", columns={"id": "id", "text": "text"}, format=TableFormat(quoting="trusted"))
    try:
        Importer(config, PlainRows(roles)).run([folder / "t.csv"], folder)
    except DataError:
        return None
    return [{name: value for name, value in record.items() if name != "where"} for record in iterate_records(folder)]


@settings(parent=QUICK, max_examples=60)
@given(TABLE, TABLE)
def test_no_two_tables_give_one_data_set(tmp_path: Path, left: Cells, right: Cells) -> None:
    first, second = imported(tmp_path / "left", left), imported(tmp_path / "right", right)
    if first is not None and first == second:
        assert filled(left) == filled(right)
