"""Queries of one's own: read, divided, taught from and measured, in the shapes whose records are searched."""

import csv
import json
from pathlib import Path

import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError

CONFIG = """
[paths]
input = ["names.csv"]
[data]
shape = "aliases"
[data.columns]
id = "id"
label = "label"
alias = "alias"
[queries]
input = ["queries.csv"]
separator = ";"
[model]
base = "{base}"
[baselines]
[index]
[hybrid]
fields = ["country"]
[answers]
[evaluate]
"""


def table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def lines(tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]) -> Path:
    """A catalogue of institutions, and lines of addresses that name one, two or none of them."""
    entities = {row["id"]: row for row in institutions}
    chosen = list(entities)[:120]
    rows = [row for row in institutions if row["id"] in set(chosen)]
    table(
        tmp_path / "names.csv",
        ["id", "label", "alias", "country"],
        [[row["id"], row["label"], row["alias"], row["country"]] for row in rows],
    )
    queries = []
    for number, entity in enumerate(chosen):
        label, country = entities[entity]["label"], entities[entity]["country"]
        other = entities[chosen[(number + 7) % len(chosen)]]["label"]
        split = ("train", "dev", "test")[number % 3]
        queries.append([f"Department of Physics, {label}, {country}", entity, split])
        if number % 6 == 0:
            both = f"{entity};{chosen[(number + 7) % len(chosen)]}"
            queries.append([f"{label} and {other}, Faculty of Law", both, split])
        if number % 10 == 0:
            queries.append([f"Unheard-of Society {number} of nowhere", "" if number % 20 else "unknown:1", split])
    asked = next(query for query in queries if query[2] == "test")
    queries.append([asked[0], chosen[0], "train"])  # stands in test, too
    table(tmp_path / "queries.csv", ["text", "ids", "split"], queries)
    (tmp_path / "honed.toml").write_text(CONFIG.format(base=tiny_model.as_posix()))
    return tmp_path


def test_own_queries_teach_and_are_measured(lines: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--quiet", "run", "--project", str(lines)]) == 0
    project = Project(lines)
    report = project.report()
    assert (report.direction, report.reverse) == ("query-to-entity", None)
    hit = {system.name: system.measures["Hit@1"].mean for system in report.systems}
    assert hit["hybrid, learned"] >= max(hit["base model"], hit["BM25, stemmed words, all names"])
    assert hit["hybrid, learned"] > 0.9
    assert report.fusion is not None
    assert report.fusion.queries > 60
    assert report.fusion.sentence() in capsys.readouterr().out
    assert report.fusion.sentence() in project.runner.latest_of("evaluate").path("report.html").read_text()
    audit = project.check()
    assert any(line.startswith("queries of your own: ") and "without an answer" in line for line in audit.lines)
    assert audit.findings["W_QUERY_WITHHELD"].count == 1
    assert audit.findings["W_QUERY_UNKNOWN_ID"].count >= 1
    found = project.search("Dept. of Physics, University of Nowhere", k=3)
    assert len(found) == 3


def test_every_alias_may_be_known_and_trained_on(lines: Path) -> None:
    project = Project(lines)
    project.run(until="check")
    check = project.runner.latest_of("check")
    assert all(name.known for name in check.names())
    assert check.task("alias-to-label", "test").absent
    assert {len(grades) for grades in check.task("alias-to-label", "dev").qrels.grades.values()} == {1, 2}


def test_a_changed_query_is_seen_and_a_missing_column_named(lines: Path) -> None:
    before = [stage.key.key for stage in Project(lines).plan()]
    file = lines / "queries.csv"
    file.write_text(file.read_text().replace("Faculty of Law", "Faculty of Laws"))
    assert [stage.key.key for stage in Project(lines).plan()] != before
    file.write_text(file.read_text().replace("text,ids,split", "line,ids,split", 1))
    with pytest.raises(DataError, match=r"no column for the text of queries; found: line, ids, split"):
        Project(lines).run(until="check")
    config = lines / "honed.toml"
    config.write_text(config.read_text().replace('separator = ";"', 'separator = ";"\ncolumns = {text = "line"}'))
    Project(lines).run(until="check")
    config.write_text(config.read_text().replace('{text = "line"}', '{words = "line"}'))
    with pytest.raises(ConfigError, match="unknown role words"):
        Project(lines)


def test_without_splits_queries_are_drawn_by_their_text(lines: Path) -> None:
    rows = rows_of(lines / "queries.csv")
    table(lines / "queries.csv", rows[0][:2], [row[:2] for row in rows[1:]])
    project = Project(lines)
    project.run(until="check")
    numbers = json.loads(project.runner.latest_of("check").path("audit.json").read_text())["own_queries"]
    assert numbers["dev"]["queries"] > 2 * numbers["test"]["queries"] > 0


def test_queries_of_another_collection_are_refused(lines: Path) -> None:
    file = lines / "queries.csv"
    rows = rows_of(file)
    table(file, rows[0], [[row[0], f"other:{number}", row[2]] for number, row in enumerate(rows[1:])])
    with pytest.raises(DataError, match="are these files of one collection"):
        Project(lines).run(until="check")


def test_a_query_of_several_rows_means_the_ids_of_all(lines: Path) -> None:
    rows = rows_of(lines / "queries.csv")[1:]
    numbered = [[f"q{number}", *row] for number, row in enumerate(rows)]
    numbered.append(["q0", numbered[0][1], numbered[4][2], numbered[0][3]])
    table(lines / "queries.csv", ["query_id", "text", "ids", "split"], numbered)
    project = Project(lines)
    project.run(until="check")
    dev = project.runner.latest_of("check").task("alias-to-label", "dev")
    first = next(query for query in dev.queries if query.query_id == "q0")
    wanted = set(numbered[0][2].split(";")) | set(numbered[4][2].split(";"))
    assert set(dev.qrels.grades[first.query_id]) == wanted
    table(lines / "queries.csv", ["query_id", "text", "ids", "split"], [*numbered, ["q0", "another text", "", "train"]])
    with pytest.raises(DataError, match=r"E_ID_DUP: \[queries\]: query q0 has text"):
        Project(lines).run(until="check")
