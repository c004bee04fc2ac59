"""Tables that people open in a spreadsheet hold no formula, whoever wrote their texts; and they are read back."""

import csv
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.data.tables import TableFormat, open_table
from honed.match.writers import ENDINGS, as_it_was, without_formula, written_table

STARTS = ("=", "+", "-", "@", "\t", "\r")
FORMULAS = [f"{start}cmd|' /C calc'!A0" for start in STARTS]


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_no_cell_of_a_delimited_table_starts_as_a_formula_does(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    with written_table(path, ["=header", "plain"]) as write:
        for text in FORMULAS:
            write([text, "plain"])
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t" if ending == ".tsv" else ","))
    cells = [cell for row in rows for cell in row]
    assert len(cells) == 2 * (1 + len(FORMULAS))
    assert not [cell for cell in cells if cell.startswith(STARTS)]
    assert [as_it_was(row[0]) for row in rows] == ["=header", *FORMULAS]


@pytest.mark.parametrize("ending", [ending for ending in ENDINGS if ending not in (".csv", ".tsv")])
def test_the_other_kinds_hold_texts_as_they_are(tmp_path: Path, ending: str) -> None:
    with written_table(tmp_path / f"t{ending}", ["a", "b"]) as write:
        for text in FORMULAS[:4]:
            write([text, "x"])
    assert [row.values["a"] for row in open_table(tmp_path / f"t{ending}", TableFormat()).rows] == FORMULAS[:4]
    if ending == ".xlsx":
        from openpyxl import load_workbook

        sheet = load_workbook(tmp_path / "t.xlsx").active
        assert {cell.data_type for row in sheet.iter_rows() for cell in row} == {"s"}


def test_cells_are_as_they_are_where_that_is_asked_for(tmp_path: Path) -> None:
    with written_table(tmp_path / "t.csv", ["a"], exact=True) as write:
        write(["=1"])
    assert (tmp_path / "t.csv").read_text() == "a\n=1\n"


@pytest.mark.parametrize("cell", ["", "plain", "-5", "+3.25", "-1,5", "1e-3", "-2.5E+10", "'quoted'", "a=b", "O'Neil"])
def test_numbers_and_other_texts_are_left_alone(cell: str) -> None:
    assert without_formula(cell) == cell
    assert as_it_was(cell) == cell


@pytest.mark.parametrize("cell", ["-1+cmd", "+49 30 123", "--1", "-", "'=1", "-1-1"])
def test_what_is_no_plain_number_is_guarded(cell: str) -> None:
    assert without_formula(cell) == f"'{cell}"


@given(st.text(alphabet="'=+-@\t\r 1a,.", max_size=6))
def test_every_cell_is_given_back(cell: str) -> None:
    guarded = without_formula(cell)
    assert as_it_was(guarded) == cell
    assert guarded == cell or not guarded.startswith(STARTS)
