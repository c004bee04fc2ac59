"""What people reviewed, as pairs to learn from and as dev queries, and read as such."""

import csv
import shutil
from pathlib import Path

import pytest

from honed import Project, Searcher
from honed.cli.main import run_command
from honed.match.reviews import Review
from honed.match.run import TableMatch
from honed.match.table import TableColumns
from honed.match.teaching import Taught, write_lessons
from honed.project.update import UpdateOptions


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


@pytest.fixture
def run(tmp_path: Path, searcher: Searcher) -> TableMatch:
    """A table of names that were reviewed: 40 new names, one that is known, one of nobody, two that are not settled."""
    entities = [searcher.names.entity(row) for row in range(40)]
    names = [f"{entity.label} of the new table" for entity in entities]
    others = [entities[0].label, "Bakery of the Moon", "not sure", "differ"]
    table = tmp_path / "rows.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name"], *([name] for name in [*names, *others])])
    run = TableMatch.start(table, TableColumns(name="name"), searcher)
    keys = {entry.name: entry.key for entry in run.entries.entries}
    answers = [(name, entity.entity_id) for name, entity in zip(names, entities, strict=True)]
    answers += [(others[0], entities[0].entity_id), (others[1], ""), (others[2], "?")]
    answers += [("differ", entities[1].entity_id)]
    reviews = [Review(entry=keys[name], answer=answer, name=name, who="anna") for name, answer in answers]
    run.journal.add([*reviews, Review(entry=keys["differ"], answer=entities[2].entity_id, name="differ", who="ben")])
    return run


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_what_is_settled_and_new_becomes_pairs_and_all_of_it_queries(run: TableMatch, tmp_path: Path) -> None:
    taught = write_lessons(run, tmp_path / "pairs.csv", None)
    assert taught == Taught(pairs=40, queries=0, known=1)
    pairs = read(tmp_path / "pairs.csv")
    assert list(pairs[0]) == ["alias", "label", "id"]
    assert all(pair["alias"] == f"{pair['label']} of the new table" for pair in pairs)
    assert write_lessons(run, None, tmp_path / "queries.csv") == Taught(pairs=0, queries=42, known=0)
    queries = {row["text"]: row for row in read(tmp_path / "queries.csv")}
    assert queries["Bakery of the Moon"] == {"text": "Bakery of the Moon", "ids": "", "split": "dev"}
    assert not {"not sure", "differ"} & set(queries)


def test_with_both_files_an_entity_is_in_one_of_them(run: TableMatch, tmp_path: Path) -> None:
    taught = write_lessons(run, tmp_path / "pairs.csv", tmp_path / "queries.csv")
    pairs, queries = read(tmp_path / "pairs.csv"), read(tmp_path / "queries.csv")
    learned, measured = {row["id"] for row in pairs}, {row["ids"] for row in queries}
    assert not learned & measured
    assert len(learned | measured) == 41  # with none
    assert taught.pairs > 5
    assert taught.queries > 5


@pytest.fixture
def project(fused: Project, tmp_path: Path) -> Path:
    """A copy to teach."""
    return Path(shutil.copytree(fused.root, tmp_path / "p"))


def test_the_command_writes_what_update_and_queries_read(
    run: TableMatch, project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, queries = project / "pairs.csv", project / "queries.csv"
    asked = ["--quiet", "match", str(run.table), "--column", "name", "--to", str(project)]
    assert run_command([*asked, "--pairs", str(pairs), "--queries", str(queries)]) == 0
    told = capsys.readouterr().out
    written = (len(read(pairs)), len(read(queries)))
    assert f"reviewed: {written[0]} pairs, {written[1]} dev queries" in told
    assert set(read(pairs)[0]) <= set(Project(project).config.data.columns.values())
    audit = Project(project, settings={"queries": {"input": ["queries.csv"]}}).check().as_dict()
    parts = [audit["own_queries"][split] for split in ("dev", "test")]  # type: ignore[index,call-overload]
    assert sum(part["queries"] + part["without_answer"] for part in parts) == written[1]
    updated = Project(project).update(pairs, UpdateOptions(epochs=1, tolerance=1))
    assert updated.new_examples > 0
