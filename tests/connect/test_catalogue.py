"""A collection of a real PostgreSQL as the catalogue of a table: the decisions of the bundle that was pushed."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from honed import Searcher
from honed.cli.main import run_command
from honed.core.errors import ArtifactError, ConfigError
from honed.encode.hashing import HashEncoder

pytest.importorskip("psycopg")
from honed.connect.catalogue import read_catalogue
from honed.connect.database import CollectionRef, connect
from honed.connect.push import PushOptions, push

EXACT = PushOptions(index="none")


@pytest.fixture
def table(tmp_path: Path, institutions: list[dict[str, str]]) -> Path:
    rows = [[row["alias"], row["country"]] for row in institutions[:60]] + [["Bakery of the Moon", "Moon"]]
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["name", "country"], *rows])
    return path


@pytest.fixture
def matched(table: Path, tmp_path: Path) -> Callable[..., list[dict[str, str]]]:
    """Match the table by the command; returns its rows with their decisions."""

    def match(*to: str) -> list[dict[str, str]]:
        out = tmp_path / "out.csv"
        asked = ["match", str(table), "--column", "name", "--with", "country", "--max-error", "0.2"]
        assert run_command([*asked, "--out", str(out), *to]) == 0
        with out.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    return match


def test_a_table_is_decided_as_by_the_bundle_that_was_pushed(
    whole: Path, ref: CollectionRef, matched: Callable[..., list[dict[str, str]]]
) -> None:
    push(Searcher.load(whole), ref, EXACT)
    wanted = matched("--to", str(whole))
    found = matched("--to", ref.dsn, "--bundle", str(whole), "--schema", ref.schema, "--collection", ref.collection)
    assert {row["match_decision"] for row in wanted} >= {"accept", "review"}
    for row, other in zip(found, wanted, strict=True):
        assert (row["match_decision"], row["match_id"]) == (other["match_decision"], other["match_id"])
        assert float(row["match_chance"] or 0) == pytest.approx(float(other["match_chance"] or 0), abs=1e-3)


def test_half_vectors_and_groups_are_read_too(whole: Path, ref: CollectionRef) -> None:
    searcher = Searcher.load(whole)
    searcher.catalogue.group_by = "country"
    push(searcher, ref, PushOptions(index="none", type="halfvec"))
    catalogue = read_catalogue(ref, searcher.encoder)
    (answer,), (wanted,) = (one.answer_many(["universidad nacional"], 5) for one in (catalogue, searcher))
    assert [hit.score for hit in answer.hits] == pytest.approx([hit.score for hit in wanted.hits], abs=1e-2)
    countries = [hit.fields["country"] for hit in answer.hits]
    assert len(set(countries)) == len(countries) == 5


def test_what_was_learned_anew_is_pushed_anew(whole: Path, ref: CollectionRef) -> None:
    searcher = Searcher.load(whole)
    assert push(searcher, ref, EXACT)["learned"]
    assert not push(searcher, ref, EXACT)["pushed"]
    searcher.answers = None
    assert push(searcher, ref, EXACT)["pushed"]
    assert read_catalogue(ref, searcher.encoder).answers is None
    searcher.hybrid = None
    assert push(searcher, ref, EXACT)["learned"] == 0


@pytest.mark.parametrize("before_it_was_kept", [False, True])
def test_what_is_missing_is_told_with_how_to_get_it(
    made: Path,
    ref: CollectionRef,
    matched: Callable[..., list[dict[str, str]]],
    capsys: pytest.CaptureFixture[str],
    before_it_was_kept: bool,
) -> None:
    push(Searcher.load(made), ref, EXACT)
    if before_it_was_kept:
        with connect(ref) as connection:
            connection.execute(f"DROP TABLE {ref.schema}.learned")
            connection.execute(f"UPDATE {ref.schema}.collections SET facts = facts - 'learned' - 'group_by'")
    rows = matched("--to", ref.dsn, "--bundle", str(made), "--schema", ref.schema, "--collection", ref.collection)
    assert {row["match_decision"] for row in rows} == {"review"}
    said = capsys.readouterr().err
    assert "this catalogue estimates no chances" in said
    assert "put [hybrid] and [answers] into honed.toml, run  honed run, then run  honed push  again" in said


def test_another_model_and_other_entities_are_refused(whole: Path, ref: CollectionRef) -> None:
    searcher = Searcher.load(whole)
    facts = push(searcher, ref, EXACT)
    with pytest.raises(ConfigError, match="its vectors are of model"):
        read_catalogue(ref, HashEncoder())
    with connect(ref) as connection:
        connection.execute(f"DELETE FROM {ref.schema}.{facts['tables'][-1]} WHERE label = %s", [searcher.label_text(0)])
    with pytest.raises(ArtifactError, match="is of other entities: push it again"):
        read_catalogue(ref, searcher.encoder)
    with connect(ref) as connection:
        connection.execute(f"UPDATE {ref.schema}.learned SET bytes = substring(bytes FROM 9)")
    with pytest.raises(ArtifactError, match="cannot be read, push it again with --force: "):
        read_catalogue(ref, searcher.encoder)
