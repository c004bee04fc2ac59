"""From logs of UBI to tables: what counts as shown, what is left out, and who reads the tables."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.config.sections import QueriesSection
from honed.core.errors import DataError
from honed.data.tables import TableFormat
from honed.feedback.click_judgments import ClickOptions, judgments_from_ubi, write_judgments
from honed.feedback.ubi_log import Impressions, impressions_of, read_ubi_log
from honed.shapes.own_queries import _QueryTables
from tests.feedback.simulated import World


def query(query_id: str, text: str, hits: Iterable[str], application: str = "shop", **more: Any) -> dict[str, Any]:
    return {
        "query_id": query_id,
        "user_query": text,
        "query_response_id": "r",
        "query_response_hit_ids": list(hits),
        "application": application,
        "timestamp": "2026-01-01T00:00:00Z",
        **more,
    }


def event(action: str, query_id: str, doc_id: Any, ordinal: int | None = None) -> dict[str, Any]:
    position = {} if ordinal is None else {"position": {"ordinal": ordinal}}
    return {
        "action_name": action,
        "query_id": query_id,
        "timestamp": "2026-01-01T00:00:00Z",
        "event_attributes": {"object": {"object_id": doc_id}, **position},
    }


def written(file: Path, entries: Iterable[Any]) -> Path:
    file.write_text("".join(f"{entry if isinstance(entry, str) else json.dumps(entry)}\n" for entry in entries))
    return file


def shown(impressions: Impressions) -> list[tuple[str, str, int, bool]]:
    columns = (impressions.query, impressions.doc, impressions.position, impressions.is_clicked)
    return [
        (impressions.texts[query], impressions.doc_ids[doc], place + 1, bool(clicked))
        for query, doc, place, clicked in zip(*(column.tolist() for column in columns), strict=True)
    ]


class TestReading:
    def test_without_reported_impressions_all_hits_were_shown(self, tmp_path: Path) -> None:
        entries = [event("click", "s1", "b"), query("s1", "Desk", ["a", "b"]), query("s2", "desk ", ["b"])]
        found = impressions_of(read_ubi_log([written(tmp_path / "log", entries)]), 50)
        assert shown(found) == [("Desk", "a", 1, False), ("Desk", "b", 2, True), ("Desk", "b", 1, False)]
        assert (found.n_searches, found.left_out) == (2, {})

    def test_reported_impressions_and_clicks_are_what_was_shown(self, tmp_path: Path) -> None:
        entries = [
            query("s1", "des", ["a"]),
            query("s2", "desk", ["a", "b", "c"]),
            query("s3", "desk", ["x"], application="another"),
            event("impression", "s2", "b", 1),
            event("click", "s2", "b", 7),
            event("purchase", "s2", "c", 2),
        ]
        found = impressions_of(read_ubi_log([written(tmp_path / "log", entries)]), 50)
        assert shown(found) == [("desk", "b", 1, True), ("desk", "c", 2, True), ("desk", "x", 1, False)]
        assert found.left_out == {"searches of which nothing was shown": 1}

    def test_what_is_not_used_is_counted_by_reason(self, tmp_path: Path) -> None:
        entries = [
            "{",
            "[]",
            query("s1", "desk", ["a", "b", "b"]),
            query("s1", "lamp", ["c"]),
            query("s2", " ", ["c"]),
            {"query_id": "s3"},
            query("s4", "desk", ["a"], query_attributes={"target": "aliases"}),
            event("hover", "s1", "a"),
            event("click", "s9", "a"),
            event("click", "s1", "z"),
            {"action_name": "click", "query_id": "s1"},
            event("click", "s1", 3, 1),
        ]
        found = impressions_of(read_ubi_log([written(tmp_path / "log", entries)]), 1)
        assert shown(found) == [("desk", "a", 1, False)]
        assert found.left_out == {
            "lines that are no JSON object": 2,
            "queries whose query_id was there before": 1,
            "queries without text, id or hits": 2,
            "searches for aliases": 1,
            "events of other actions": 1,
            "events about a query that is not in the log": 1,
            "events about what was no hit of the query": 2,
            "events without query_id or object_id": 1,
            "impressions below position 1": 1,
        }

    def test_queries_fold_together_under_what_is_typed_most(self, tmp_path: Path) -> None:
        texts = ["DESK", "desk", "desk", "de\u200bsk", "Ｄesk", "lamp"]
        entries = [query(f"s{number}", text, ["a"]) for number, text in enumerate(texts)]
        found = impressions_of(read_ubi_log([written(tmp_path / "log", entries)]), 50)
        assert (found.texts, found.query.tolist()) == (["desk", "lamp"], [0, 0, 0, 0, 0, 1])

    def test_a_file_without_queries_or_clicks_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="E_UBI: no line is a query of UBI"):
            read_ubi_log([written(tmp_path / "log", [event("click", "s1", "a")])])
        with pytest.raises(DataError, match="E_NO_CLICKS: nothing that was shown was clicked"):
            judgments_from_ubi([written(tmp_path / "log", [query("s1", "desk", ["a"])])], ClickOptions())


def log_entries(impressions: Impressions, n_hits: int) -> list[dict[str, Any]]:
    """Return simulated impressions, the hits of a search one after the other, as lines of UBI."""
    entries: list[dict[str, Any]] = []
    for start in range(0, len(impressions.query), n_hits):
        hits = [impressions.doc_ids[doc] for doc in impressions.doc[start : start + n_hits]]
        entries.append(query(f"s{start}", impressions.texts[impressions.query[start]], hits))
        for place in np.flatnonzero(impressions.is_clicked[start : start + n_hits]).tolist():
            entries.append(event("click", f"s{start}", hits[place], place + 1))
    return entries


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in two parts, of 30 queries with four hits."""
    generator = np.random.default_rng(0)
    world = World.drawn(generator, 30, np.array([1.0, 0.5, 0.3, 0.2]))
    entries = log_entries(world.impressions(generator, 120, 1.5), 4)
    file = tmp_path_factory.mktemp("log") / "ubi.jsonl"
    written(file.with_name("ubi.jsonl.1"), entries[: len(entries) // 2])
    return written(file, entries[len(entries) // 2 :])


def rows(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_the_command_writes_tables_that_both_readers_take(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "clicks"
    assert run_command(["judgments", "from-ubi", str(log), "--out", str(out), "--threshold", "0.15"]) == 0
    said = capsys.readouterr().out
    assert "3,600 searches, 14,400 impressions" in said and "examination by position: 1: 1.00, 2: 0." in said
    queries, qrels, pairs = (rows(out / f"{name}.jsonl") for name in ("queries", "qrels", "clicks"))
    assert {row["split"] for row in queries} == {"train", "dev", "test"}
    assert len({row["query_id"] for row in queries}) == len(queries) == len({row["text"] for row in queries})
    assert {(row["query_id"], doc) for row in queries for doc in row["ids"]} == {
        (row["query_id"], row["doc_id"]) for row in qrels
    }
    assert len(pairs) == 120
    graded = [row for row in pairs if row["relevance"]]
    assert len(graded) == len(qrels) > 20 and all(row["low"] >= 0.15 and row["impressions"] >= 20 for row in graded)
    assert all(row["relevance"] is None for row in pairs if row not in graded)

    documents = [(doc_id, f"the thing of {doc_id}") for doc_id in sorted({row["doc_id"] for row in pairs})]
    project = Project.from_judgments(documents, out / "queries.jsonl", out / "qrels.jsonl", folder=tmp_path / "p")
    audit = project.check().data
    assert (audit["queries"], audit["judgements"]) == (len(queries), len(qrels))
    (table,) = _QueryTables(QueriesSection(input=("queries.jsonl",))).tables(out / "queries.jsonl", TableFormat())
    read = [row.values for row in table.rows]  # type: ignore[union-attr]
    assert [(row["query_id"], json.loads(str(row["ids"])), row["split"]) for row in read] == [
        (row["query_id"], row["ids"], row["split"]) for row in queries
    ]


def test_the_summary_is_data_and_a_second_run_writes_the_same(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for name in ("a", "b"):
        assert run_command(["judgments", "from-ubi", str(log), "--out", str(tmp_path / name), "--json"]) == 0
        texts.append({file.name: file.read_text() for file in sorted((tmp_path / name).iterdir())})
        summary = json.loads(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert {**json.loads(texts[0]["clicks.json"]), "out": summary["out"]} == summary
    assert summary["searches"] == 3600 and [row["position"] for row in summary["examination"]] == [1, 2, 3, 4]
    assert summary["examination"][1]["low"] < 0.5 < summary["examination"][1]["high"]


def test_a_project_writes_what_the_command_does(log: Path, tmp_path: Path) -> None:
    assert run_command(["judgments", "from-ubi", str(log), "--out", str(tmp_path / "wanted")]) == 0
    project = Project.from_judgments([("a", "a desk")], [("q", "desk")], [("q", "a", "1")], folder=tmp_path / "p")
    judged = project.judgments_from_ubi(log)
    written = project.root / "clicks"
    assert {file.name: file.read_text() for file in written.iterdir()} == {
        file.name: file.read_text() for file in (tmp_path / "wanted").iterdir()
    }
    assert judged.summary()["searches"] == 3600
    with pytest.raises(DataError, match="E_NO_JUDGEMENTS"):
        project.judgments_from_ubi([log], "none", ClickOptions(thresholds=(0.99,)))


def test_a_threshold_that_nothing_reaches_is_said(log: Path, tmp_path: Path) -> None:
    judged = judgments_from_ubi([log], ClickOptions(thresholds=(0.99,)))
    with pytest.raises(DataError, match="E_NO_JUDGEMENTS: no pair of the 60 with 20 impressions is surely as attrac"):
        write_judgments(judged, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_curve_that_is_no_numbers_is_refused(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["judgments", "from-ubi", str(log), "--out", str(tmp_path / "out"), "--examination"]
    assert run_command([*options, "1,half"]) == 2
    assert "--examination 1,half: write numbers, 1,0.6,0.4" in capsys.readouterr().err
    assert run_command([*options, "1,0.5,0.3,0.2"]) == 0
    assert "(as given)" in capsys.readouterr().out
