"""Duplicates in tables that Python holds: every kind of table comes back as it was, with what the command writes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from honed import Project
from honed.api.deduping import dedupe_table
from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def rows(institutions: list[dict[str, str]]) -> dict[str, list[Any]]:
    """Institutions, each with its city, and every third once more with a slip in its name."""
    names = list({row["label"]: row for row in institutions}.values())[:60]
    again = [{**row, "label": f"The {row['label'].replace('University', 'Univ.')}"} for row in names[::3]]
    every = [*names, *again]
    return {
        "name": [row["label"] for row in every],
        "city": [row["city"] for row in every],
        "number": list(range(len(every))),
    }


@pytest.fixture(scope="module")
def csv_file(rows: dict[str, list[Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def clusters(csv_file: Path) -> list[int]:
    """The clusters that the command writes."""
    out = csv_file.with_name("out.csv")
    asked = ["dedupe", str(csv_file), "--column", "name", "--with", "city", "--max-error", "0.1", "--out", str(out)]
    assert run_command(asked) == 0
    return pd.read_csv(out)["cluster"].tolist()


@pytest.mark.parametrize(
    ("make", "kind", "columns"),
    [
        pytest.param(pd.DataFrame, pd.DataFrame, list, id="pandas"),
        pytest.param(pl.DataFrame, pl.DataFrame, lambda table: table.columns, id="polars"),
        pytest.param(pa.table, pa.Table, lambda table: table.column_names, id="pyarrow"),
        pytest.param(dict, dict, list, id="columns"),
    ],
)
def test_a_table_comes_back_as_it_was_with_the_clusters_of_the_command(
    rows: dict[str, list[Any]],
    clusters: list[int],
    make: Callable[..., Any],
    kind: type,
    columns: Callable[[Any], list[str]],
) -> None:
    deduped = dedupe_table(make(rows), evidence=["city"], max_error=0.1)
    assert type(deduped.table) is kind
    assert columns(deduped.table) == [*rows, "cluster", "cluster_size"]
    read = {
        name: deduped.table[name].to_pylist() if kind is pa.Table else list(deduped.table[name])
        for name in (*rows, "cluster")
    }
    assert read == {**rows, "cluster": clusters}
    assert len(set(clusters)) < len(clusters)
    assert deduped.records.num_rows == len(set(clusters)) == deduped.summary["clusters"]
    assert deduped.promise.source == "estimated" and "estimated, not promised" in str(deduped)


def test_rows_that_are_tuples_get_names_and_files_an_arrow_table(
    rows: dict[str, list[Any]], csv_file: Path, clusters: list[int]
) -> None:
    tuples = list(zip(rows["name"], rows["city"], strict=True))
    listed = dedupe_table(iter(tuples), evidence=["city"], max_error=0.1).table
    assert listed[0] == {
        "name": tuples[0][0],
        "city": tuples[0][1],
        "cluster": 1,
        "cluster_size": listed[0]["cluster_size"],
    }
    assert [row["cluster"] for row in listed] == clusters
    of_file = dedupe_table(csv_file, evidence=["city"], max_error=0.1).table
    assert of_file["cluster"].to_pylist() == clusters and of_file["number"].to_pylist()[1] == "1"


def test_rows_without_anything_keep_their_place(rows: dict[str, list[Any]]) -> None:
    frame = pd.DataFrame(rows).astype(object)
    frame.loc[3] = None
    deduped = dedupe_table(frame, evidence=["city"])
    assert len(deduped.table) == len(frame) and deduped.table.cluster_size[3] == 1
    assert deduped.table.name[4] == rows["name"][4]


def test_what_people_said_holds(rows: dict[str, list[Any]], tmp_path: Path) -> None:
    deduped = dedupe_table(rows, evidence=["city"], reviews=[(1, 2, "yes"), (1, 61, "no")])
    cluster = deduped.table["cluster"]
    assert cluster[0] == cluster[1] != cluster[60]
    files = deduped.write(tmp_path / "clean.csv")
    assert [len(pd.read_csv(file)) for file in (files.rows, files.records)] == [80, deduped.summary["clusters"]]
    with pytest.raises(DataError, match="there is no row 99"):
        dedupe_table(rows, reviews=[(1, 99, "yes")])


def test_two_tables_are_linked_by_the_model_of_a_project(
    rows: dict[str, list[Any]], institutions: list[dict[str, str]]
) -> None:
    project = Project.from_pairs(institutions[:60], settings={"model.base": "hash:64", "train": None, "gate": None})
    project.run(until="index")
    ours = pd.DataFrame(rows)[:60]
    theirs = pd.DataFrame(rows)[60:].rename(columns={"name": "title", "city": "town"})
    linked = project.dedupe(ours, evidence={"city": "town"}, against=theirs, against_column="title", max_error=0.1)
    assert linked.run.encoder is project.searcher().encoder
    pairs = linked.table.dropna(subset="other_row")
    assert len(pairs) > 5
    assert all(row.other_row == row.number // 3 + 1 for row in pairs.itertuples())
    assert all(row.other_name == theirs.title.iloc[int(row.other_row) - 1] for row in pairs.itertuples())
    with pytest.raises(ConfigError, match="no column 'nam'"):
        project.dedupe(ours, column="nam")
