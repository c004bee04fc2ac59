"""A real PostgreSQL with pgvector: whole versions, the bundle's answers, filters, locks, no password in a message."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from honed import Searcher
from honed.bundle.names import NameTable
from honed.cli.main import run_command
from honed.core.errors import ConfigError, StorageError
from honed.encode.hashing import HashEncoder
from honed.index.stored import StoredVectors

pytest.importorskip("psycopg")
from honed.connect import push as pushing
from honed.connect import versions
from honed.connect.database import CollectionRef, connect
from honed.connect.graph import kth_scores
from honed.connect.postgres import Collection
from honed.connect.push import PushOptions, push

QUERIES = ("universidad nacional", "college of arts", "state", "zzzz")
EXACT = PushOptions(index="none")


@pytest.fixture(scope="module")
def searcher(made: Path) -> Searcher:
    return Searcher.load(made)


def tables(ref: CollectionRef) -> list[str]:
    with connect(ref) as connection:
        asked = "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1"
        return [row[0] for row in connection.execute(asked, [ref.schema]).fetchall()]


def ids(hits: Any) -> list[str]:
    return [hit.doc_id for hit in hits]


@pytest.mark.parametrize("kind", ["vector", "halfvec"])
def test_a_collection_answers_as_the_bundle_does(searcher: Searcher, ref: CollectionRef, kind: str) -> None:
    facts = push(searcher, ref, replace(EXACT, type=kind))
    assert facts["pushed"] and facts["records"] == searcher.names.n_entities
    collection = Collection.open(ref)
    for query, found in zip(QUERIES, collection.search(searcher.encoder, QUERIES, 5), strict=True):
        wanted = searcher.search(query, 5)
        assert [hit.rank for hit in found] == [1, 2, 3, 4, 5]
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=2e-3)
        if kind == "vector":
            assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=1e-5)
            scores = [round(hit.score, 4) for hit in wanted]
            for one, other, score in zip(found, wanted, scores, strict=True):
                assert one.doc_id == other.doc_id or scores.count(score) > 1
        assert dict(found[0].fields) == searcher.entity(found[0].doc_id)["fields"]


def test_the_graph_finds_nearly_all_and_says_so(searcher: Searcher, ref: CollectionRef) -> None:
    facts = push(searcher, ref)
    assert facts["index_recall"] >= 0.98
    assert facts["search_width"] in (40, 80, 160, 320, 640)
    with connect(ref) as connection:
        connection.execute("SET LOCAL enable_seqscan = off")
        view = Collection.read(connection, ref)
        vector = view.literal(searcher.label_vectors([0])[0]).as_string(connection)
        plan = "EXPLAIN SELECT id FROM {0}.schools ORDER BY embedding <#> {1}, id LIMIT 5"
        lines = connection.execute(plan.format(ref.schema, vector)).fetchall()
    assert any("Index Scan using schools_v1_embedding_idx" in line[0] for line in lines)


def test_known_names_come_first(searcher: Searcher, ref: CollectionRef) -> None:
    push(searcher, ref, EXACT)
    entity = next(row for row in range(searcher.names.n_entities) if searcher.names.aliases(row))
    doc_id, (alias, *_) = searcher.names.entity(entity)[0], searcher.names.aliases(entity)
    for asked in (alias, alias.upper()):
        found = Collection.open(ref).search(searcher.encoder, [asked], 3)[0]
        wanted = searcher.search(asked, 3)
        assert doc_id in ids(found)
        assert found[0].matched == wanted[0].matched
        assert found[0].score == pytest.approx(wanted[0].score, abs=1e-4)
        assert ids(found).count(doc_id) == 1


CONDITIONS = [
    {"kind": "a"},
    {"kind": ["a", "c"]},
    {"kind": []},
    {"size": {"gte": 10, "lt": 100}},
    {"size": 50},
    {"size": ["50", "x' OR TRUE --"]},
    {"date": {"gte": "1990", "lt": "2005-06"}},
    {"flag": True},
    {"kind": "b", "size": {"gt": 9.5}},
]


def table_of(labels: Sequence[str], fields: Sequence[dict[str, str]], aliases: Sequence[str] = ()) -> Searcher:
    """A searcher over labels as entities e000, e001, ... with the fake encoder; aliases are those of the first ones."""
    entities = [(f"e{at:03}", label, own) for at, (label, own) in enumerate(zip(labels, fields, strict=True))]
    texts = list(dict.fromkeys([*labels, *aliases]))
    names = [(texts.index(label), at, "label") for at, label in enumerate(labels)]
    names += [(texts.index(alias), at, "alias") for at, alias in enumerate(aliases)]
    encoder = HashEncoder()
    vectors = StoredVectors(encoder.encode(texts, "document"))
    return Searcher(encoder, vectors, NameTable.build(texts, names, entities), settings={"backend": "exact"})


def test_filters_are_those_of_honed(ref: CollectionRef) -> None:
    values = {
        "kind": ["a", "b", "c", "", "ä"],
        "size": ["9", "10", "50", "1e2", "many", "-1", "99.5", "\u300012"],
        "date": ["1989-12-31", "1990", "2005-05-31", "2005-06"],
        "flag": ["true", "False", "TRUE"],
    }
    fields = [{name: own[at % len(own)] for name, own in values.items()} for at in range(60)]
    searcher = table_of([f"label {at}" for at in range(60)], fields)
    push(searcher, ref, EXACT)
    collection = Collection.open(ref)
    for where in CONDITIONS:
        found = collection.search(searcher.encoder, ["label 7"], 60, where=where)[0]
        wanted = searcher.search("label 7", 60, where=where)
        assert sorted(ids(found)) == sorted(ids(wanted)), where
    with pytest.raises(ConfigError, match=r"no field 'kinds'; did you mean kind\? \(fields: date, flag, kind, size\)"):
        collection.search(searcher.encoder, ["x"], 3, where={"kinds": "a"})


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (("10", "29,90"), r"holds values that are no numbers \(1, such as '29,90'\).*for decimal commas set"),
        (("small", "large"), r"holds values that are no numbers \(2, such as 'large'\)"),
        (("10", "1_000"), r"holds values that are no numbers \(1, such as '1_000'\)"),
    ],
)
def test_what_is_no_number_is_not_dropped_from_a_range(
    sizes: tuple[str, str], message: str, ref: CollectionRef
) -> None:
    searcher = table_of(["one", "two", "three"], [{"size": sizes[0]}, {"size": sizes[1]}, {"size": ""}])
    push(searcher, ref, EXACT)
    collection = Collection.open(ref)
    with pytest.raises(ConfigError, match=message):
        collection.search(searcher.encoder, ["one"], 3, where={"size": {"gte": 5}})
    assert ids(collection.search(searcher.encoder, ["one"], 3, where={"size": {"gte": sizes[1]}})[0])


def test_words_beside_numbers_are_no_numbers(ref: CollectionRef) -> None:
    searcher = table_of(["one", "two"], [{"size": "10"}, {"size": "many"}])
    push(searcher, ref, EXACT)
    assert ids(Collection.open(ref).search(searcher.encoder, ["one"], 3, where={"size": {"gte": 5}})[0]) == ["e000"]


def test_a_rare_value_is_found_behind_the_graph(ref: CollectionRef) -> None:
    fields = [{"kind": "rare" if at % 300 == 7 else "common"} for at in range(3000)]
    searcher = table_of([f"label number {at} of all" for at in range(3000)], fields)
    push(searcher, ref)
    with connect(ref) as connection:  # as in a table so large that the graph gives up
        connection.execute("ALTER DATABASE postgres SET hnsw.max_scan_tuples = 50")
        connection.execute("ALTER DATABASE postgres SET enable_seqscan = off")
    try:
        found = Collection.open(ref).search(searcher.encoder, ["label number 5"], 10, where={"kind": "rare"})[0]
    finally:
        with connect(ref) as connection:
            connection.execute("ALTER DATABASE postgres RESET ALL")
    assert sorted(ids(found)) == sorted(ids(searcher.search("label number 5", 10, where={"kind": "rare"})))


def test_of_several_bearers_the_one_that_writes_it_so_is_first_for_any_k(ref: CollectionRef) -> None:
    labels = ["Ituri Valley", "Itu Institute", "Istanbul Technical University"]
    searcher = table_of(labels, [{}, {}, {}], ["itu", "Itu", "ITU"])
    push(searcher, ref, EXACT)
    for k in (1, 2, 3):
        for asked in ("itu", "Itu", "ITU"):
            found = Collection.open(ref).search(searcher.encoder, [asked], k)[0]
            assert found[0].matched == asked
            assert len(found) == k


def test_long_texts_are_pushed(ref: CollectionRef) -> None:
    from random import Random

    text = " ".join(str(Random(0).random()) for _ in range(1000))
    searcher = table_of([text, "short"], [{}, {}])
    assert push(searcher, ref)["records"] == 2
    assert ids(Collection.open(ref).search(searcher.encoder, ["short"], 2)[0]) == ["e001", "e000"]


def test_recall_counts_entities_not_labels(ref: CollectionRef) -> None:
    searcher = table_of([f"label {at % 30}" for at in range(360)], [{} for _ in range(360)])
    vectors = searcher.label_vectors(range(5))
    assert kth_scores(searcher, vectors, 10) == pytest.approx([1.0] * 5, abs=1e-5)


def test_the_same_is_not_pushed_twice_and_another_version_takes_its_place(
    searcher: Searcher, ref: CollectionRef
) -> None:
    push(searcher, ref, EXACT)
    with connect(ref) as connection:
        connection.execute("DROP ROLE IF EXISTS reader")
        connection.execute("CREATE ROLE reader")
        connection.execute(f"GRANT SELECT ON {ref.schema}.schools TO reader")
    again = push(searcher, ref, EXACT)
    assert (again["pushed"], again["version"]) == (False, 1)
    forced = push(searcher, ref, replace(EXACT, force=True, keep=1))
    assert (forced["pushed"], forced["version"]) == (True, 2)
    assert tables(ref) == ["collections", "learned", "schools_v1", "schools_v2"]
    assert push(searcher, ref, PushOptions(type="halfvec"))["version"] == 3
    assert tables(ref) == ["collections", "learned", "schools_v3"]
    assert push(searcher, ref, EXACT)["version"] == 4
    assert push(searcher, ref, replace(EXACT, force=True))["version"] == 5
    with connect(ref) as connection:  # of the view that was made for vectors of this type
        connection.execute(f"GRANT SELECT ON {ref.schema}.schools TO reader")
    push(searcher, ref, replace(EXACT, force=True))
    with connect(ref) as connection:
        kept = connection.execute("SELECT has_table_privilege('reader', %s, 'SELECT')", [f"{ref.schema}.schools"])
        assert kept.fetchone()[0]
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")


def test_what_others_made_is_left_alone(searcher: Searcher, ref: CollectionRef) -> None:
    with connect(ref) as connection:
        connection.execute(f"CREATE SCHEMA {ref.schema}")
        connection.execute(f"CREATE VIEW {ref.schema}.schools AS SELECT 1 AS theirs")
        connection.execute(f"CREATE TABLE {ref.schema}.pupils_v1 (theirs int)")
    with pytest.raises(ConfigError, match=rf"{ref.schema}.schools is there and no collection of honed"):
        push(searcher, ref, EXACT)
    with pytest.raises(StorageError, match='relation "pupils_v1" already exists'):
        push(searcher, replace(ref, collection="pupils"), EXACT)
    own = replace(ref, collection="teachers")
    push(searcher, own, EXACT)
    with connect(ref) as connection:
        connection.execute(f"CREATE TABLE {ref.schema}.teachers_v0 (theirs int)")
    assert push(searcher, own, replace(EXACT, force=True))["tables"] == ["teachers_v2"]
    assert tables(ref) == ["collections", "learned", "pupils_v1", "teachers_v0", "teachers_v2"]


def test_what_somebody_dropped_is_made_again_and_what_depends_is_told(searcher: Searcher, ref: CollectionRef) -> None:
    push(searcher, ref, EXACT)
    with connect(ref) as connection:
        connection.execute(f"DROP VIEW {ref.schema}.schools")
    assert push(searcher, ref, EXACT)["pushed"]
    with connect(ref) as connection:
        connection.execute(f"CREATE VIEW {ref.schema}.mine AS SELECT id FROM {ref.schema}.schools")
    assert push(searcher, ref, replace(EXACT, force=True))["pushed"]
    with pytest.raises(ConfigError, match=rf"but {ref.schema}.mine depends on it: drop that"):
        push(searcher, ref, replace(EXACT, type="halfvec"))


def test_a_reader_that_does_not_end_stops_nobody_else(
    searcher: Searcher, ref: CollectionRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(searcher, ref, EXACT)
    monkeypatch.setattr(versions, "_PATIENCE_S", 1)
    with connect(ref) as reader:
        reader.execute(f"SELECT count(*) FROM {ref.schema}.schools").fetchone()
        with pytest.raises(StorageError, match="is held by a transaction that does not end; nothing was changed"):
            push(searcher, ref, replace(EXACT, force=True))
        assert Collection.open(ref).search(searcher.encoder, ["state"], 3)[0]
    forced = push(searcher, ref, replace(EXACT, force=True))
    assert (forced["version"], tables(ref)) == (2, ["collections", "learned", "schools_v2"])


def _slow_push(bundle: str, ref: CollectionRef, ready: Any) -> None:
    def wait(*_: Any) -> None:
        ready.set()
        time.sleep(60)

    pushing.switch_view = wait  # type: ignore[assignment]
    push(Searcher.load(bundle), ref, replace(EXACT, force=True))


def test_a_killed_push_leaves_what_was_there_and_a_second_one_fails_at_once(
    searcher: Searcher, made: Path, ref: CollectionRef
) -> None:
    push(searcher, ref, EXACT)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_slow_push, args=(str(made), ref, ready))
    process.start()
    try:
        assert ready.wait(60)
        started = time.monotonic()
        with pytest.raises(StorageError, match=rf"another push to {ref.schema}.schools is at work: process \d+ of "):
            push(searcher, ref, replace(EXACT, force=True))
        assert time.monotonic() - started < 5
        assert Collection.open(ref).search(searcher.encoder, ["state"], 3)[0]  # readers go on
    finally:
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
    for _ in range(1000):  # until the server has seen that it is gone
        try:
            facts = push(searcher, ref, EXACT)
            break
        except StorageError:
            time.sleep(0.1)
    assert (facts["pushed"], facts["version"]) == (False, 1)
    assert tables(ref) == ["collections", "learned", "schools_v1"]


def test_another_model_is_refused_with_the_way_out(searcher: Searcher, ref: CollectionRef) -> None:
    push(searcher, ref, EXACT)
    with pytest.raises(
        ConfigError, match=r"its vectors are of model \w+, this is \w+: .* push this one with  honed push"
    ):
        Collection.open(ref).search(HashEncoder(), ["x"])


def test_what_is_not_there_is_told(postgres: str, searcher: Searcher, ref: CollectionRef) -> None:
    with pytest.raises(ConfigError, match=rf"no collection {ref.schema}.schools in the database"):
        Collection.open(ref)
    for name in ("collections", "learned", "Items", "a-b", 'x"; DROP TABLE y', ""):
        with pytest.raises(ConfigError, match="allowed are a-z"):
            push(searcher, CollectionRef(dsn=postgres, collection=name), EXACT)


def test_no_message_holds_the_password(searcher: Searcher) -> None:
    for dsn, error in (
        ("postgresql://me:s3cret@127.0.0.1:1/db", StorageError),
        ("postgresql://me:s3cret@nowhere.invalid/db", StorageError),
        ("host=127.0.0.1 password=s3cret odd", ConfigError),
        ("postgresql://me:pa@s3cret@127.0.0.1:1/db", ConfigError),
        ("postgresql://me@127.0.0.1:s3cret/db", ConfigError),
        ("s3cret", ConfigError),
    ):
        with pytest.raises(error) as caught:
            push(searcher, CollectionRef(dsn=dsn), EXACT)
        assert "s3cret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_options_that_cannot_be_are_refused(searcher: Searcher, ref: CollectionRef) -> None:
    for options, message in (
        (PushOptions(type="bit"), "--type: 'bit' is not one of vector, halfvec"),
        (PushOptions(links=1), "--links: 1 is out of range"),
        (PushOptions(links=60, build_width=100), "--build-width 100: at least twice the links, 60"),
    ):
        with pytest.raises(ConfigError, match=message):
            push(searcher, ref, options)
    with pytest.raises(ConfigError, match=r"3000 dimensions are too many for a graph over vector \(vector 2000, half"):
        PushOptions().check(3000)


def test_the_commands(made: Path, ref: CollectionRef, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["--bundle", str(made), "--collection", "schools", "--schema", ref.schema]
    assert run_command(["--quiet", "push", ref.dsn, *own, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["pushed"] and facts["version"] == 1
    assert run_command(["--quiet", "push", ref.dsn, *own]) == 0
    shown = capsys.readouterr()
    assert "nothing was written" in shown.err
    assert f"{ref.schema}.schools: version 1" in shown.out
    assert run_command(["search", "state university", "-k", "3", "--database", ref.dsn, *own, "--json"]) == 0
    assert [hit["rank"] for hit in json.loads(capsys.readouterr().out)] == [1, 2, 3]
    assert run_command(["search", "x", "--database", ref.dsn, *own, "--candidates"]) == 2
    assert run_command(["search", "x", "--database", "postgresql://127.0.0.1:1/x", *own]) == 74


def test_push_needs_no_torch(made: Path, ref: CollectionRef) -> None:
    code = (
        "import sys; from honed.cli.main import run_command; "
        f"assert run_command(['push', {ref.dsn!r}, '--schema', {ref.schema!r}, '--bundle', {str(made)!r}]) == 0; "
        "assert not {'torch', 'transformers', 'pyarrow', 'pandas'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
