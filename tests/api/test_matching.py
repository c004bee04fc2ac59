"""Tables that Python holds, matched against a catalogue: every kind of table comes back as it was, with decisions."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from honed import Project, Searcher, match_table
from honed.core.errors import ConfigError, DataError
from honed.match.output import COLUMNS

ADDED = list(COLUMNS)


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


@pytest.fixture(scope="module")
def rows(searcher: Searcher, institutions: list[dict[str, str]]) -> dict[str, list[Any]]:
    known = {searcher.names.entity(row)[0] for row in range(searcher.names.n_entities)}
    inside = list({row["alias"]: row for row in institutions if row["id"] in known}.values())[:40]
    return {
        "name": [*(row["alias"] for row in inside), None, "Bakery of the Moon"],
        "country": [*(row["country"] for row in inside), "FR", None],
        "number": list(range(len(inside) + 2)),
    }


@pytest.fixture(scope="module")
def expected(searcher: Searcher, rows: dict[str, list[Any]]) -> list[tuple[str, str | None]]:
    """What is decided of the rows, through a file and the command's own way."""
    matched = match_table(searcher, rows, evidence=["country"], max_error=0.3)
    return list(zip(matched.table["match_decision"], matched.table["match_id"], strict=True))


def pandas_frame(rows: dict[str, list[Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, index=[f"r{n}" for n in range(len(rows["name"]))])
    frame["odd"] = [object() for _ in rows["name"]]  # a column that no table can hold
    return frame


@pytest.mark.parametrize(
    ("make", "kind", "columns"),
    [
        pytest.param(pandas_frame, pd.DataFrame, list, id="pandas"),
        pytest.param(pl.DataFrame, pl.DataFrame, lambda table: table.columns, id="polars"),
        pytest.param(pa.table, pa.Table, lambda table: table.column_names, id="pyarrow"),
        pytest.param(dict, dict, list, id="columns"),
    ],
)
def test_a_frame_comes_back_as_it_was_with_its_decisions(
    searcher: Searcher,
    rows: dict[str, list[Any]],
    expected: list[tuple[str, str | None]],
    make: Callable[..., Any],
    kind: type,
    columns: Callable[[Any], list[str]],
) -> None:
    data = make(rows)
    matched = match_table(searcher, data, evidence={"country": "country"}, max_error=0.3)
    assert type(matched.table) is kind
    assert columns(matched.table) == [*columns(data), *ADDED]
    decisions, ids, names, numbers = (
        list(matched.table[name].to_pylist() if kind is pa.Table else matched.table[name])
        for name in ("match_decision", "match_id", "name", "number")
    )
    assert [None if one is None or one != one else one for one in names] == rows["name"]
    assert numbers == rows["number"]
    assert [(decision, None if pd.isna(one) else one) for decision, one in zip(decisions, ids, strict=True)] == expected
    assert decisions.count("accept") == matched.summary["accept"] > 10
    assert matched.promise.source == "dev"
    if kind is pd.DataFrame:
        assert list(matched.table.index) == list(data.index)


def test_rows_lists_of_names_and_files_are_matched_too(
    searcher: Searcher, rows: dict[str, list[Any]], expected: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    mappings = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
    tuples = list(zip(rows["name"], rows["country"], strict=True))
    for data in (mappings, tuples, iter(tuples)):
        table = match_table(searcher, data, evidence=["country"], max_error=0.3).table
        assert [(row["match_decision"], row["match_id"]) for row in table] == expected
        assert [row["name"] for row in table] == rows["name"]
    names = match_table(searcher, rows["name"][:5]).table
    assert [row["name"] for row in names] == rows["name"][:5]
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([list(rows), *zip(*rows.values(), strict=True)])
    matched = match_table(searcher, tmp_path / "rows.csv", evidence=["country"], max_error=0.3)
    assert matched.table.column_names == [*rows, *ADDED]
    assert list(zip(*(matched.table[name].to_pylist() for name in ("match_decision", "match_id")), strict=True)) == (
        expected
    )
    assert (tmp_path / "rows.csv.match" / "match.json").is_file()
    assert matched.write(tmp_path / "out.xlsx") == len(rows["name"])


def test_reviews_decide_and_the_queue_says_what_is_left(searcher: Searcher, rows: dict[str, list[Any]]) -> None:
    first = match_table(searcher, rows, evidence=["country"])
    assert str(first).startswith(f"{first.summary['accept']} of 41 rows accepted")
    one, two = first.queue[:2]
    assert one.candidates
    assert one.count >= 1
    assert set(one.evidence) == {"country"}
    reviews = [
        {"name": one.name, "country": one.evidence["country"], "id": one.candidates[0].id, "who": "anna"},
        {"name": two.name, "country": two.evidence["country"], "id": "", "who": "anna"},
    ]
    after = match_table(searcher, rows, evidence=["country"], reviews=reviews)
    by_name = dict(
        zip(rows["name"], zip(after.table["match_decision"], after.table["match_by"], strict=True), strict=True)
    )
    assert by_name[one.name] == ("accept", "person")
    assert by_name[two.name] == ("none", "person")
    assert not {one.name, two.name} & {row.name for row in after.queue}


def test_a_project_matches_and_keeps_reviews_in_a_folder(fused: Project, tmp_path: Path) -> None:
    data = pd.DataFrame({"who": ["Bakery of the Moon", "UM"], "match_id": ["mine", "too"]})
    reviews = [("Bakery of the Moon", "")]
    matched = fused.match(data, column="who", reviews=reviews, folder=tmp_path / "kept")
    assert list(matched.table.columns) == ["who", "match_id", *(f"honed_{n}" if n == "match_id" else n for n in ADDED)]
    again = fused.match(data, column="who", folder=tmp_path / "kept")
    assert again.table["match_by"][0] == "person"


def test_what_is_not_there_is_refused(searcher: Searcher, rows: dict[str, list[Any]]) -> None:
    for data in (rows, pd.DataFrame(rows), pl.DataFrame(rows), pa.table(rows)):
        with pytest.raises(ConfigError, match="no column 'nam'; found: name, country, number"):
            match_table(searcher, data, column="nam")
    with pytest.raises(ConfigError, match="no field 'planet'"):
        match_table(searcher, rows, evidence={"country": "planet"})
    with pytest.raises(ConfigError, match="max-error"):
        match_table(searcher, rows, max_error=0.9)
    with pytest.raises(DataError, match="no rows"):
        match_table(searcher, [])
