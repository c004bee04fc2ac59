"""Index codes and backends of another package: built, searched, saved, and refused as honed's own are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from honed.core.errors import ArtifactError, ConfigError
from honed.index.backends import backend_of, build_index
from honed.index.settings import BACKENDS, BackendFacts, IndexSettings
from honed.index.stored import StoredVectors

BEGIN = """
import numpy as np
from honed.core.errors import ConfigError
from honed.core.sections import read_section
from honed.index.backends import build_index, restore_index, tensors_of
from honed.index.exact import ExactIndex
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors

vectors = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
source, queries = StoredVectors(vectors), vectors[:20]
"""


def test_a_code_of_another_package_is_one_of_a_composed_index(with_plugins: Callable[[str], str]) -> None:
    code = """
settings = read_section(IndexSettings, {"backend": "composed", "codes": "halves", "rescore": 0}, "index", "honed.toml")
index = build_index(source, settings)
assert index.settings.bits == 16
for allowed in (None, np.arange(300) % 2 == 0):
    rows = index.search(queries, 10, allowed=allowed)[1]
    assert (rows == ExactIndex(vectors).search(queries, 10, allowed=allowed)[1]).all()
assert tensors_of(index)["codes"].shape == (300, 32)
again = restore_index(source, IndexSettings.from_dict(settings.as_dict()), tensors_of(index))
assert np.array_equal(again.search(queries, 10)[1], index.search(queries, 10)[1])
try:
    IndexSettings(backend="composed", codes="halves", bits=4).check()
except ConfigError as error:
    print(error)
"""
    assert with_plugins(BEGIN + code) == "E_INDEX: index.bits: 4; halves codes can have 16"


def test_a_backend_of_another_package_is_built_and_saved(with_plugins: Callable[[str], str], tmp_path: Path) -> None:
    code = f"""
settings = IndexSettings(backend="backwards", seed=3)
index = build_index(source, settings)
assert (index.search(queries, 1)[1][:, 0] == 299 - np.arange(20)).all()
assert settings.as_dict() == {{"backend": "backwards", "seed": 3}}
again = restore_index(source, IndexSettings.from_dict(settings.as_dict()), tensors_of(index))
assert (again.search(queries, 1)[1] == index.search(queries, 1)[1]).all()

from honed.index import segments
from honed.index.store import Store
from honed.index.store_records import Batch, Record
segments.SMALL = 20
records = [Record(doc_id=str(row)) for row in range(300)]
store = Store.create({str(tmp_path / "s")!r}, [Batch(records=records, vectors=vectors)], dim=16, settings=settings)
assert [hits[0].record.doc_id for hits in store.search(queries, 1)] == [str(299 - row) for row in range(20)]
try:
    IndexSettings(backend="backwards", nlist=4).check()
except ConfigError as error:
    print(error)
"""
    wanted = "E_INDEX: index.nlist: backend 'backwards' does not take it; it takes seed"
    assert with_plugins(BEGIN + code) == wanted


def test_what_is_not_installed_is_refused() -> None:
    with pytest.raises(ArtifactError, match="backend = 'backwards'"):
        IndexSettings.from_dict({"backend": "backwards"})
    with pytest.raises(ConfigError, match=r"index backend: 'backwards' is not one of exact, flat, .*composed"):
        build_index(StoredVectors(np.eye(4, dtype=np.float32)), IndexSettings(backend="backwards"))
    with pytest.raises(ConfigError, match=r"index code: 'rabbit' is not one of .*; did you mean rabitq\?"):
        IndexSettings(backend="composed", codes="rabbit", bits=1).check()


def test_a_backend_that_cannot_be_built_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKENDS._entries, "odd", BackendFacts())
    with pytest.raises(ConfigError, match=r"index backend 'odd': its package names no .*IndexBackend"):
        backend_of(IndexSettings(backend="odd"))


def test_a_flat_index_looks_at_no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: str) -> None:
        raise AssertionError("looked at the installed packages")

    monkeypatch.setattr("importlib.metadata.entry_points", refuse)
    stored = StoredVectors(np.eye(8, dtype=np.float32))
    for backend in BACKENDS.built_in:
        settings = IndexSettings.from_dict({"backend": backend}).check()
        if backend in ("flat", "exact", "sign", "composed", "hnsw"):
            assert build_index(stored, settings).search(np.eye(8, dtype=np.float32), 1)[1].shape == (8, 1)
