"""A store that changes: what is found after each change, and what a killed or a second writer leaves."""

import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from honed.core.errors import ArtifactError, ConfigError, DataError
from honed.index import segment_columns, segments
from honed.index.exact import ExactIndex
from honed.index.segments import BuildLimits
from honed.index.settings import IndexSettings
from honed.index.store import Store
from honed.index.store_records import Batch, Record
from honed.index.store_writer import writing

DIM = 16
MODEL = {"fingerprint": "abc"}
COMPOSED = IndexSettings(backend="composed", codes="rabitq", bits=4, nlist=8, nprobe=8, rescore=400)


def unit(n: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def batch(first: int, n: int, seed: int = 0, **more: str | float) -> Batch:
    records = [
        Record(
            doc_id=f"d{number}",
            text=f"text {number}",
            fields={"parity": "even" if number % 2 == 0 else "odd", "number": number, **more},
        )
        for number in range(first, first + n)
    ]
    return Batch(records=records, vectors=unit(n, seed))


@pytest.fixture(params=["small", "indexed"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "indexed":
        monkeypatch.setattr(segments, "SMALL", 20)
    return Store.create(tmp_path / "s", [batch(0, 60), batch(60, 40, 1)], dim=DIM, settings=COMPOSED, model=MODEL)


def ids(store: Store, vectors: np.ndarray, k: int, **more: object) -> list[list[str]]:
    return [[hit.record.doc_id for hit in hits] for hits in store.search(vectors, k, **more)]


def expected(store: Store, vectors: np.ndarray, k: int, keep=lambda record: True) -> list[list[str]]:
    records, rows = [], []
    for each in store.batches(7):
        for record, vector in zip(each.records, each.vectors, strict=True):
            if keep(record):
                records.append(record.doc_id)
                rows.append(vector)
    found = ExactIndex(np.array(rows)).search(vectors, k)[1]
    return [[records[row] for row in line] for line in found]


class TestChanges:
    def test_what_was_made_is_found(self, store: Store) -> None:
        asked = unit(5, 9)
        assert len(store) == 100
        assert ids(store, asked, 10) == expected(store, asked, 10)
        first = store.search(unit(60), 1)[7][0]
        assert (first.record.doc_id, first.record.text, first.rank) == ("d7", "text 7", 1)
        assert first.record.fields == {"parity": "odd", "number": 7}
        assert first.score == pytest.approx(1, abs=1e-5)

    def test_added_replaced_and_deleted_records_count_at_once(self, store: Store) -> None:
        asked = unit(5, 9)
        with writing(store.path) as writer:
            writer.add([batch(100, 30, 2)])
            writer.add([batch(95, 10, 3, state="new")], replace=True)
            writer.delete(["d0", "d1", "d129"])
        now = store.refresh()
        assert (len(now), now.version) == (127, 4)
        assert ids(now, asked, 20) == expected(now, asked, 20)
        everything = ids(now, asked[:1], 1000)[0]
        assert len(everything) == len(set(everything)) == 127
        assert not {"d0", "d1", "d129"} & set(everything)
        assert now.get("d95").fields["state"] == "new"
        assert now.get("d0") is None
        assert now.search(unit(10, 3)[:1], 1)[0][0].record.doc_id == "d95"

    def test_a_reader_keeps_its_version(self, store: Store) -> None:
        asked = unit(5, 9)
        with writing(store.path) as writer:
            writer.delete(["d0"])
            writer.add([batch(200, 5, 4)])
            writer.compact()
            writer.compact()
        assert len(store) == 100
        assert ids(store, asked, 100) == expected(store, asked, 100)
        assert len(store.refresh()) == 104

    def test_compacting_keeps_what_is_found_and_frees_the_rest(self, store: Store) -> None:
        asked = unit(5, 9)
        with writing(store.path) as writer:
            changed = writer.delete([f"d{number}" for number in range(50)])
            wanted = ids(changed, asked, 20)
            assert changed.n_deleted == 50
            compacted = writer.compact()
            assert compacted.n_deleted == 0
            assert len(compacted.segments) == 1
            writer.compact(IndexSettings(backend="hnsw"))
        now = Store.open(store.path)
        assert now.settings.backend == "hnsw"
        assert ids(now, asked, 20) == wanted
        assert sorted(each.name for each in (store.path / "segments").iterdir()) == ["3-0", "4-0"]

    def test_many_small_changes_do_not_leave_many_parts(self, store: Store) -> None:
        with writing(store.path) as writer:
            for number in range(30):
                writer.add([batch(1000 + number, 1, 100 + number)])
        now = store.refresh()
        assert len(now) == 130
        assert len(now.segments) <= 12
        assert ids(now, unit(3, 9), 20) == expected(now, unit(3, 9), 20)

    def test_all_can_be_deleted_and_added_again(self, store: Store) -> None:
        with writing(store.path) as writer:
            empty = writer.delete([f"d{number}" for number in range(100)])
            assert (len(empty), empty.search(unit(1), 5)) == (0, [[]])
            writer.compact()
            assert len(writer.add([batch(0, 3)])) == 3
        assert ids(store.refresh(), unit(1), 5)[0][0] == "d0"

    def test_an_empty_store_takes_records(self, tmp_path: Path) -> None:
        store = Store.create(tmp_path / "s", [], dim=DIM)
        assert store.search(unit(2), 3) == [[], []]
        with writing(tmp_path / "s") as writer:
            writer.add([batch(0, 3)])
        assert len(store.refresh()) == 3


class TestErrors:
    def test_an_id_that_is_there_is_not_added_twice(self, store: Store) -> None:
        with writing(store.path) as writer, pytest.raises(DataError, match="id 'd99' is in the store"):
            writer.add([batch(99, 2, 5)])
        assert store.refresh() is store
        with writing(store.path) as writer, pytest.raises(DataError, match="id 'd100' comes twice"):
            writer.add([batch(100, 1, 5), batch(100, 1, 6)])
        assert [each.name for each in (store.path / "segments").iterdir()] == ["1-0"]

    def test_an_unknown_id_is_not_deleted_and_nothing_else(self, store: Store) -> None:
        with writing(store.path) as writer, pytest.raises(DataError, match=r"no record 'x' and 1 more in .*; nothing"):
            writer.delete(["d1", "x", "y"])
        assert len(store.refresh()) == 100

    @pytest.mark.parametrize(
        ("vectors", "message"),
        [
            (np.zeros((2, DIM)), "record 'd100': its vector is zero or not finite"),
            (np.full((2, DIM), np.nan), "record 'd100': its vector is zero or not finite"),
            (np.ones((2, 3)), r"2 records need vectors of shape \(2, 16\), not \(2, 3\)"),
        ],
    )
    def test_vectors_that_cannot_be_searched_are_refused(self, store: Store, vectors: np.ndarray, message: str) -> None:
        with writing(store.path) as writer, pytest.raises(DataError, match=message):
            writer.add([Batch(records=batch(100, 2).records, vectors=vectors)])

    def test_a_query_of_another_size_is_refused(self, store: Store) -> None:
        with pytest.raises(DataError, match="finite vectors of 16 dimensions"):
            store.search(np.ones((1, 3), np.float32))
        with pytest.raises(DataError, match="finite vectors"):
            store.search(np.full((1, DIM), np.nan, np.float32))

    def test_another_model_is_refused_with_the_way_out(self, store: Store) -> None:
        assert len(Store.open(store.path, model="abc")) == 100
        with pytest.raises(ConfigError, match=r"of model abc, this is xyz.*honed store migrate .* --bundle"):
            Store.open(store.path, model="xyz")

    def test_a_newer_version_of_another_model_is_refused_too(self, store: Store) -> None:
        reader = Store.open(store.path, model="abc")
        with writing(store.path) as writer:
            writer.migrate(lambda texts: unit(len(texts)), DIM, {"fingerprint": "xyz"})
        with pytest.raises(ConfigError, match="of model xyz, this is abc"):
            reader.refresh()

    def test_another_store_in_its_place_is_seen(self, store: Store) -> None:
        import shutil

        shutil.rmtree(store.path)
        Store.create(store.path, [batch(0, 7)], dim=DIM)
        assert len(store.refresh()) == 7

    def test_settings_that_the_vectors_cannot_have_are_refused_before_work(self, store: Store, tmp_path: Path) -> None:
        odd = IndexSettings(backend="product", bits=1)

        def stream() -> Iterator[Batch]:
            raise AssertionError("read")
            yield

        with pytest.raises(ConfigError, match="divisible by 8, not 12"):
            Store.create(tmp_path / "odd", stream(), dim=12, settings=odd)

    def test_a_change_that_is_made_is_not_undone_by_gathering(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError("no space left")

        monkeypatch.setattr("honed.index.store_writer.StoreWriter._merge_small", full)
        with writing(store.path) as writer:
            for number in range(14):
                writer.add([batch(1000 + number, 1, 100 + number)])
        assert len(store.refresh()) == 114

    def test_what_a_failed_change_left_is_written_over(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        with writing(store.path) as writer:
            with monkeypatch.context() as patch, pytest.raises(OSError, match="full"):
                patch.setattr(
                    "honed.index.store_writer.commit_version", lambda *_: (_ for _ in ()).throw(OSError("full"))
                )
                writer.add([batch(100, 1, 5)])
            assert len(writer.add([batch(100, 1, 5)])) == 101

    def test_a_field_of_too_many_values_is_shown_and_no_filter(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(segment_columns, "MOST_VALUES", 20)
        store = Store.create(tmp_path / "wide", [batch(0, 15), batch(15, 15, 1)], dim=DIM)
        assert store.get("d20").fields["number"] == 20
        assert set(store.fields()) == {"parity"}
        assert "no filter can use it: number" in caplog.text
        with pytest.raises(ConfigError, match="no field 'number'"):
            store.search(unit(1), 3, where={"number": 3})

    def test_a_store_is_not_made_over_another(self, store: Store) -> None:
        with pytest.raises(ConfigError, match="exists; add to it with"):
            Store.create(store.path, [], dim=DIM)

    @pytest.mark.parametrize("name", ["vectors.npy", "records.npy", "id_keys.npy", "columns.json", "column0.npy"])
    def test_a_changed_byte_is_found(self, store: Store, name: str) -> None:
        path = store.path / "segments" / "1-0" / name
        raw = bytearray(path.read_bytes())
        raw[-3] ^= 1
        path.write_bytes(bytes(raw))
        with pytest.raises(ArtifactError):
            Store.open(store.path)

    def test_a_changed_version_and_changed_deletions_are_found(self, store: Store) -> None:
        with writing(store.path) as writer:
            writer.delete(["d1"])
        deleted = store.path / "versions" / "2-0.npy"
        good = deleted.read_bytes()
        deleted.write_bytes(good[:-4] + b"\2\0\0\0")
        with pytest.raises(ArtifactError, match=r"2-0\.npy: bytes differ"):
            Store.open(store.path, verify=False)
        deleted.write_bytes(good)
        version = store.path / "versions" / "00000002.json"
        version.write_text(version.read_text().replace('"dim": 16', '"dim": 8'))
        with pytest.raises(ArtifactError, match="bytes differ from CURRENT"):
            Store.open(store.path)

    def test_what_is_no_store_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match="not a store of honed"):
            Store.open(tmp_path)


class TestFilters:
    @pytest.mark.parametrize(
        ("where", "keep"),
        [
            ({"parity": "even"}, lambda number: number % 2 == 0),
            ({"number": {"gte": 10, "lt": 20}}, lambda number: 10 <= number < 20),
            ({"number": [3, "4", 500]}, lambda number: number in (3, 4)),
            ({"number": {"gt": 97}, "parity": ["odd", "none"]}, lambda number: number == 99),
            ({"parity": "neither"}, lambda number: False),
        ],
    )
    def test_k_of_what_passes_is_found(self, store: Store, where: dict, keep) -> None:
        asked = unit(3, 9)
        found = ids(store, asked, 12, where=where)
        wanted = [f"d{number}" for number in range(100) if keep(number)]
        assert all(set(line) <= set(wanted) and len(line) == min(12, len(wanted)) for line in found)
        if wanted:
            assert found == expected(store, asked, 12, lambda record: record.doc_id in wanted)

    def test_deleted_records_and_later_ones_are_filtered_too(self, store: Store) -> None:
        with writing(store.path) as writer:
            writer.add([batch(100, 10, 2, colour="red")])
            writer.delete(["d100", "d2"])
        now = store.refresh()
        assert set(ids(now, unit(1), 100, where={"colour": "red"})[0]) == {f"d{n}" for n in range(101, 110)}
        assert "d2" not in ids(now, unit(1), 100, where={"parity": "even"})[0]
        assert now.fields()["colour"] == 1

    def test_an_unknown_field_is_an_error_with_a_hint(self, store: Store) -> None:
        with pytest.raises(ConfigError, match=r"no field 'partiy'.*parity.*fields: number, parity"):
            store.search(unit(1), 3, where={"partiy": "even"})


def test_texts_are_encoded_anew_for_another_model(store: Store) -> None:
    def encode(texts: list[str]) -> np.ndarray:
        vectors = np.zeros((len(texts), 128), np.float32)
        vectors[np.arange(len(texts)), [int(text.split()[1]) for text in texts]] = 1
        return vectors

    with writing(store.path) as writer:
        writer.delete(["d3"])
        writer.migrate(encode, 128, {"fingerprint": "xyz"})
    now = Store.open(store.path, model="xyz")
    assert (len(now), now.dim) == (99, 128)
    assert ids(now, encode(["text 42"]), 1) == [["d42"]]


def test_a_record_without_text_cannot_be_encoded_anew(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "s", [Batch(records=[Record(doc_id="a")], vectors=unit(1))], dim=DIM)
    with writing(store.path) as writer, pytest.raises(DataError, match="record 'a' has no text to encode"):
        writer.migrate(lambda texts: unit(len(texts)), DIM, MODEL)


def test_a_stream_is_built_in_blocks_whatever_the_limit(tmp_path: Path) -> None:
    def stream() -> Iterator[Batch]:
        for at in range(10):
            yield batch(1000 * at, 1000, at)

    found = []
    for limits in (BuildLimits(memory_mb=1), BuildLimits()):
        store = Store.create(
            tmp_path / str(limits.memory_mb), stream(), dim=DIM, settings=COMPOSED, model=MODEL, limits=limits
        )
        found.append(ids(store, unit(20, 99), 10))
        assert not list(store.path.rglob("*.raw"))
    assert found[0] == found[1] == expected(store, unit(20, 99), 10)
    assert BuildLimits(memory_mb=1).sample(384) == 1024


# -- writers that are killed, and two at once ----------------------------------------------------

GENERATIONS, RECORDS = 400, 40


def _change_for_ever(path: str) -> None:
    """Replace, delete half and compact: after each change all records, or the first half, are of one generation."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    choice = random.Random(os.getpid())
    with writing(path) as writer:
        for generation in range(1, GENERATIONS):
            now = next(writer.store.batches(1)).records[0].fields["generation"] + 1
            writer.add([batch(0, RECORDS, generation, generation=now)], replace=True)
            if choice.random() < 0.3:
                writer.compact()
            if choice.random() < 0.3:
                writer.delete([f"d{number}" for number in range(RECORDS // 2, RECORDS)])


def _one_generation(store: Store) -> int:
    records = [record for each in store.batches() for record in each.records]
    assert len(records) in (RECORDS, RECORDS // 2)
    assert sorted(record.doc_id for record in records) == sorted(f"d{number}" for number in range(len(records)))
    generations = {record.fields["generation"] for record in records}
    assert len(generations) == 1
    assert len(store.search(unit(1), RECORDS + 5)[0]) == len(records)
    return int(generations.pop())


def test_a_stream_is_held_in_blocks(tmp_path: Path) -> None:
    import tracemalloc

    n, dim = 60_000, 64

    def stream() -> Iterator[Batch]:
        for at in range(0, n, 1000):
            records = [Record(doc_id=f"d{at + number}", text="a text") for number in range(1000)]
            vectors = np.random.default_rng(at).normal(size=(1000, dim)).astype(np.float32)
            yield Batch(records=records, vectors=vectors)

    settings = IndexSettings(backend="composed", codes="rabitq", nlist=64, sample=2000)
    tracemalloc.start()
    Store.create(tmp_path / "s", stream(), dim=dim, settings=settings, limits=BuildLimits(memory_mb=2))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (2 << 20) + 90 * n + 4_000_000 < 4 * n * dim  # far from all vectors


def test_a_killed_writer_leaves_the_old_version_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "s"
    Store.create(path, [batch(0, RECORDS, 0, generation=0)], dim=DIM)
    context = multiprocessing.get_context("spawn")
    choice = random.Random(0)
    reached = 0
    for _ in range(6):
        process = context.Process(target=_change_for_ever, args=(str(path),))
        process.start()
        began = time.monotonic()
        while not (path / "LOCK").read_text() and time.monotonic() < began + 60:
            time.sleep(0.01)
        time.sleep(choice.uniform(0.01, 0.5))
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        generation = _one_generation(Store.open(path))  # every byte is checked
        assert generation >= reached
        reached = generation
    assert reached > 0
    with writing(path) as writer:  # the lock is free, and what was left behind is cleared away
        writer.compact()
        writer.compact()
    assert len(list((path / "segments").iterdir())) == 2


def test_a_reader_beside_a_busy_writer_sees_whole_versions(tmp_path: Path) -> None:
    path = tmp_path / "s"
    Store.create(path, [batch(0, RECORDS, 0, generation=0)], dim=DIM)
    process = multiprocessing.get_context("spawn").Process(target=_change_for_ever, args=(str(path),))
    process.start()
    try:
        seen = []
        while len(set(seen)) < 20 and process.is_alive():
            seen.append(_one_generation(Store.open(path, verify=len(seen) % 2 == 0)))
    finally:
        process.kill()
        process.join()
    assert len(set(seen)) >= 10
    assert seen == sorted(seen)


def test_a_second_writer_fails_at_once_and_names_the_first(store: Store) -> None:
    with (
        writing(store.path),
        pytest.raises(ConfigError, match=rf"process {os.getpid()} on .* is writing; one writer at a time"),
        writing(store.path),
    ):
        pass
    with writing(store.path):
        pass


def test_versions_are_plain_files(store: Store) -> None:
    name = (store.path / "CURRENT").read_text().split()[0]
    version = json.loads((store.path / "versions" / name).read_text())
    assert version["model"] == MODEL
    assert version["settings"] == COMPOSED.as_dict()
    assert not list(store.path.rglob("*.pkl"))
