"""Tables matched against a catalogue: decisions, reviews, evidence, files, and what a kill leaves."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from honed import Searcher
from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError
from honed.core.optional import PARTS
from honed.data.table import TableFormat
from honed.match import answers
from honed.match.decide import MatchOptions
from honed.match.evidence import agreement as agreement_of
from honed.match.evidence import learn_field
from honed.match.output import write_matches
from honed.match.reviews import Review, agreement, alpha, settled
from honed.match.run import TableMatch
from honed.match.table import TableColumns, read_entries
from honed.match.writers import as_it_was


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


@pytest.fixture
def table(tmp_path: Path, searcher: Searcher, institutions: list[dict[str, str]]) -> Path:
    """Aliases of the catalogue and of others, some of them often, some of nobody."""
    known = {searcher.names.entity(row)[0] for row in range(searcher.names.n_entities)}
    inside = [row for row in institutions if row["id"] in known][:80]
    rows = [[row["alias"], row["country"], row["id"]] for row in inside]
    rows += [["Bakery of the Moon", "Moon", ""], ["", "FR", ""], ["=1+1", "FR", ""], *rows[:5]]
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "country", "truth"], *rows])
    return path


def started(table: Path, searcher: Searcher, **columns: object) -> TableMatch:
    return TableMatch.start(table, TableColumns(name="name", **columns), searcher)  # type: ignore[arg-type]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_written_often_is_decided_once(table: Path, searcher: Searcher) -> None:
    entries = started(table, searcher).entries
    assert entries.n_rows == 88
    assert len(entries.entries) <= 82
    assert entries.counts().sum() == 87  # one row has no name
    assert entries.counts()[0] >= 2
    assert entries.of_row(81).tolist() == []


def test_every_row_is_written_with_its_decision(table: Path, searcher: Searcher, tmp_path: Path) -> None:
    run = started(table, searcher)
    decided = run.decided(MatchOptions(max_error=0.2))
    for ending in (".csv", ".tsv", ".jsonl", ".xlsx", ".parquet"):
        assert write_matches(run, decided, tmp_path / f"out{ending}") == 88
    rows = read(tmp_path / "out.csv")
    assert [as_it_was(row["name"]) for row in rows] == [row["name"] for row in read(table)]
    for row in rows:
        assert row["match_decision"] in ("accept", "review", "none")
        assert bool(row["match_candidates"]) == (row["match_decision"] == "review")
    assert rows[81]["match_decision"] == "none"
    accepted = [row for row in rows if row["match_decision"] == "accept"]
    assert len(accepted) > 20
    assert all(row["match_id"] for row in accepted)
    import pyarrow.parquet as parquet
    from openpyxl import load_workbook

    assert parquet.read_table(tmp_path / "out.parquet").to_pylist()[0]["match_id"] == rows[0]["match_id"]
    sheet = load_workbook(tmp_path / "out.xlsx").active
    assert sheet["A84"].data_type == "s"  # no formula
    with pytest.raises(ConfigError, match=r"out\.pdf: the ending"):
        write_matches(run, decided, tmp_path / "out.pdf")


def test_a_stopped_run_goes_on(table: Path, searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BLOCK", 16)
    asked: list[int] = []
    answer_many = searcher.answer_many

    def counting(texts: list[str], k: int) -> object:
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(len(texts))
        return answer_many(texts, k)

    monkeypatch.setattr(searcher, "answer_many", counting)
    with pytest.raises(KeyboardInterrupt):
        _ = started(table, searcher).found
    asked.clear()
    monkeypatch.setattr(searcher, "answer_many", lambda texts, k: asked.append(len(texts)) or answer_many(texts, k))
    found = started(table, searcher).found
    assert sum(asked) == len(found) - 3 * 16
    asked.clear()
    assert started(table, searcher).found == found
    assert not asked


def test_reviews_decide_and_move_the_cut(table: Path, searcher: Searcher) -> None:
    run = started(table, searcher)
    truth = {
        entry.name: row["truth"] for row in read(table) for entry in run.entries.entries if entry.name == row["name"]
    }
    options = MatchOptions(max_error=0.2)
    before = run.decided(options)
    assert before.accepted.source in ("dev", "known names")
    assert before.queue
    assert before.audit <= set(before.queue)
    for _ in range(8):
        decided = run.decided(options)
        run.journal.add(
            Review(entry=entry.key, answer=truth[entry.name], name=entry.name, who="anna")
            for entry in (run.entries.entries[at] for at in decided.queue[:12])
        )
    after = run.decided(options)
    assert len(after.queue) < len(before.queue)
    assert after.by_people.sum() > 40
    for at in np.flatnonzero(after.by_people):
        chosen, wanted = after.chosen[at], truth[run.entries.entries[at].name]
        assert (chosen.id if chosen else "") == wanted
    reviewed_wrong = [
        at
        for at in np.flatnonzero(after.by_people)
        if run.found[at].candidates and run.found[at].candidates[0].id != truth[run.entries.entries[at].name]
    ]
    assert reviewed_wrong  # otherwise nothing was put right
    assert after.accepted.reviewed > 0


def test_a_table_of_reviews_is_taken_in_once(table: Path, searcher: Searcher, tmp_path: Path) -> None:
    run = started(table, searcher)
    (tmp_path / "reviews.csv").write_text("name,id,who\nBakery of the Moon,,ben\nnobody asked,x,ben\n")
    assert run.take_reviews(tmp_path / "reviews.csv") == 1
    assert run.take_reviews(tmp_path / "reviews.csv") == 0
    decided = run.decided(MatchOptions())
    at = next(n for n, entry in enumerate(run.entries.entries) if entry.name == "Bakery of the Moon")
    assert decided.decision(at) == "none"
    assert decided.by_people[at]


def test_no_entity_is_given_twice_where_that_is_asked(table: Path, searcher: Searcher) -> None:
    run = started(table, searcher)
    options = MatchOptions(max_error=0.4)
    for one_to_one in (False, True):
        decided = run.decided(MatchOptions(max_error=options.max_error, one_to_one=one_to_one))
        given = [chosen.id for at, chosen in enumerate(decided.chosen) if decided.decision(at) == "accept" and chosen]
        assert (len(given) == len(set(given))) == one_to_one


def test_several_names_in_one_row(tmp_path: Path, searcher: Searcher) -> None:
    labels = [searcher.label_text(row) for row in (1, 2)]
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name"], [" | ".join(labels)], [labels[0]]])
    run = started(path, searcher, separator="|")
    decided = run.decided(MatchOptions(max_error=0.3))
    write_matches(run, decided, tmp_path / "out.csv")
    rows = read(tmp_path / "out.csv")
    assert len(rows[0]["match_id"].split("|")) == 2
    assert rows[1]["match_id"] == rows[0]["match_id"].split("|")[0]


def test_other_columns_are_evidence(table: Path, searcher: Searcher) -> None:
    plain, run = started(table, searcher), started(table, searcher, evidence={"country": "country"})
    truth = {row["name"]: row["truth"] for row in read(table)}

    def right(match: TableMatch) -> float:
        return float(
            np.mean(
                [
                    bool(one.candidates) and one.candidates[0].id == truth[entry.name]
                    for entry, one in zip(match.entries.entries, match.found, strict=True)
                    if truth[entry.name]
                ]
            )
        )

    assert right(run) >= right(plain)
    assert all(0 <= one.chance <= 1 for one in run.found)
    with pytest.raises(ConfigError, match="no field 'planet'"):
        started(table, searcher, evidence={"country": "planet"})


def test_agreement_on_a_rare_value_says_more() -> None:
    catalogue = ["Paris"] * 90 + ["Rome"] * 9 + ["Oslo"]
    field = learn_field(["Paris"] * 30 + ["Rome"] * 3, ["Paris"] * 30 + ["Rome"] * 3, catalogue)
    assert field.factor("Oslo", "Oslo") > field.factor("Rome", "Rome") > field.factor("paris", "Paris") > 1
    assert field.factor("Oslo", "Rome") < 1
    assert field.factor("", "Rome") == field.factor("Oslo", "") == 1
    assert [
        agreement_of(*pair) for pair in (("São Paulo", "sao paulo"), ("New York", "New York City"), ("a", "b"))
    ] == [
        "same",
        "part",
        "other",
    ]


def test_people_who_differ_leave_an_entry_open() -> None:
    said = [Review(entry="e", answer="a", who="anna"), Review(entry="e", answer="b", who="ben")]
    assert settled(said)["e"].answer == "?"
    assert settled([*said, Review(entry="e", answer="undo", who="ben")])["e"].answer == "a"
    assert settled([*said, Review(entry="e", answer="a", who="ben")])["e"].answer == "a"
    assert settled([Review(entry="e", answer="?", who="anna"), said[1]])["e"].answer == "b"
    assert agreement(said[:1]) is None


def test_alpha_is_krippendorffs() -> None:
    # 12 units of two observers, nominal: observed disagreement 4 of 12, expected 1 - (sum n_c (n_c - 1)) / (n (n - 1))
    units = [["a", "a"]] * 5 + [["b", "b"]] * 3 + [["a", "b"]] * 4
    n_a, n_b, n = 14, 10, 24
    expected = 1 - (n_a * (n_a - 1) + n_b * (n_b - 1)) / (n * (n - 1))
    assert alpha(units) == pytest.approx(1 - (4 / 12) / expected)
    assert alpha([["a", "a"]] * 3) == 1


def test_files_that_do_not_fit_say_why(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("name\n \n")
    with pytest.raises(DataError, match="no row has anything in the column 'name'"):
        read_entries(path, TableColumns(name="name"), TableFormat())
    with pytest.raises(ConfigError, match="no column 'nam'; found: name"):
        read_entries(path, TableColumns(name="nam"), TableFormat())


def test_the_command_matches_and_tells(
    table: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--quiet", "match", str(table), "--column", "name", "--with", "country", "--to", str(whole)]
    assert run_command([*asked, "--max-error", "0.2"]) == 0
    said = capsys.readouterr().out
    assert "rows accepted" in said
    assert "borrowed from dev" in said or "names that one entity of the catalogue bears" in said
    assert (table.parent / "rows.matched.csv").is_file()
    assert run_command([*asked, "--out", str(tmp_path / "m.parquet"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["accept"] + told["review"] + told["none"] == told["names"] == 87
    assert run_command([*asked, "--out", str(tmp_path / "m.doc")]) == 2
    assert run_command([*asked, "--max-error", "2"]) == 2


def test_answers_of_what_was_learned_otherwise_are_not_taken(table: Path, whole: Path) -> None:
    first, second = Searcher.load(whole), Searcher.load(whole)
    before = started(table, first).found
    assert second.hybrid is not None and second.hybrid.fusion is not None
    fusion = second.hybrid.fusion
    second.hybrid.fusion = dataclasses.replace(fusion, weights=-fusion.weights)
    after = started(table, second).found
    assert len(list((table.parent / "rows.csv.match").glob("answers-*"))) == 2
    assert [one.candidates for one in after] != [one.candidates for one in before]


def test_what_a_file_needs_is_told_before_the_work(
    table: Path, whole: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PARTS, "writing spreadsheets", ("no_such_module", "tables"))
    asked = ["--quiet", "match", str(table), "--column", "name", "--to", str(whole), "--out"]
    assert run_command([*asked, str(table.parent / "out.xlsx")]) == 2
    assert "pip install 'honed[tables]'" in capsys.readouterr().err
    assert not (table.parent / "rows.csv.match").exists()
