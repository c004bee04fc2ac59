import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from honed import Project, Searcher
from honed.core.errors import ArtifactError, ConfigError
from honed.pipeline.export import export_bundle
from honed.ship.bundle import load_bundle
from tests.conftest import write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Project:
    base = f'{tiny_model.as_posix()}"\nprecision = "fp32'  # so that answers can be compared exactly
    folder = write_project(tmp_path_factory.mktemp("ship"), institutions, base, n_entities=150)
    found = Project(folder)
    found.run(until="evaluate")
    return found


@pytest.fixture(scope="module")
def made(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bundle(project, tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "b"))


@pytest.mark.parametrize("direction", ["alias-to-label", "label-to-alias"])
def test_a_bundle_answers_as_the_trained_model_does(project: Project, made: Path, direction: str) -> None:
    ours, trained = Searcher.load(made), project.searcher()
    queries = ["university", "college of x", "UM", "politecnico", "an unknown name"]
    for left, right in zip(
        ours.search_many(queries, 10, direction=direction),
        trained.search_many(queries, 10, direction=direction),
        strict=True,
    ):
        assert len({(hit.doc_id, hit.text) for hit in left} & {(hit.doc_id, hit.text) for hit in right}) >= 9
        assert abs(left[0].score - right[0].score) < 1e-4
        assert left[0].fields == right[0].fields or left[0].text != right[0].text


def test_a_bundle_knows_its_entities(project: Project, made: Path) -> None:
    key = project.searcher().search("university", k=1)[0].doc_id
    assert Searcher.load(made).entity(key) == project.searcher().entity(key)


def test_answering_from_a_bundle_imports_nothing_heavy(made: Path) -> None:
    code = (
        "import sys; from honed import Searcher; hits = Searcher.load(sys.argv[1]).search('university', k=2); "
        "assert len(hits) == 2; heavy = ('torch', 'transformers', 'sentence_transformers', 'pandas', 'pyarrow', "
        "'scipy', 'sklearn', 'faiss'); print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_manifest_says_what_is_inside(made: Path) -> None:
    manifest = json.loads((made / "bundle.json").read_text())
    assert manifest["format"] == "honed-bundle"
    assert set(manifest["files"]) == {
        "encoder/model.safetensors",
        "encoder/config.json",
        "encoder/tokenizer.json",
        "vectors.npy",
        "golden.npy",
        "names.json",
        "records.jsonl",
    }
    assert manifest["measures"]["protocol"] == "held-out"
    assert {"import", "check", "train", "index", "evaluate"} == set(manifest["fingerprints"])


def test_every_changed_byte_is_refused_by_file_name(bundle: Path) -> None:
    random = np.random.default_rng(0)
    for name in json.loads((bundle / "bundle.json").read_text())["files"]:
        path = bundle / name
        whole = path.read_bytes()
        for at in random.integers(0, len(whole), 3):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(ArtifactError, match=path.name):
                load_bundle(bundle)
        path.write_bytes(whole[:-1])
        with pytest.raises(ArtifactError, match=path.name):
            load_bundle(bundle)
        path.write_bytes(whole)
    load_bundle(bundle)


def test_files_that_are_missing_or_foreign_are_refused(bundle: Path) -> None:
    (bundle / "extra.py").write_text("raise SystemExit")
    with pytest.raises(ArtifactError, match=r"extra.py: not in the manifest"):
        load_bundle(bundle)
    (bundle / "extra.py").unlink()
    (bundle / "vectors.npy").unlink()
    with pytest.raises(ArtifactError, match=r"vectors.npy: missing"):
        load_bundle(bundle)


def test_links_are_not_followed(bundle: Path, tmp_path: Path) -> None:
    shutil.move(bundle / "names.json", tmp_path / "outside.json")
    (bundle / "names.json").symlink_to(tmp_path / "outside.json")
    with pytest.raises(ArtifactError, match="is a link"):
        load_bundle(bundle)
    (bundle / "names.json").unlink()
    os.link(tmp_path / "outside.json", bundle / "names.json")
    with pytest.raises(ArtifactError, match="hard link"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "reads honed-bundle version 1"),
        ({"format": "other"}, "reads honed-bundle version 1"),
        ({"files": {"../../etc/passwd": {"sha256": "", "size": 1}}}, "outside the bundle"),
        ({"files": {"/etc/passwd": {"sha256": "", "size": 1}}}, "outside the bundle"),
        ({"files": []}, "reads honed-bundle version 1"),
        ({"spec": {}}, "missing or unknown fields"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(bundle: Path, change: dict[str, object], message: str) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(ArtifactError, match=message):
        load_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="neither a bundle nor an index"):
        Searcher.load(tmp_path)


def test_an_encoder_that_answers_otherwise_here_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.encode.numpy_encoder._gelu", lambda values: np.maximum(values, 0))
    with pytest.raises(ArtifactError, match="gives other vectors here"):
        load_bundle(bundle)


def test_an_old_bundle_is_replaced_and_anything_else_is_not(project: Project, bundle: Path, tmp_path: Path) -> None:
    export_bundle(project, bundle)
    load_bundle(bundle)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ArtifactError, match="is no bundle; it is not replaced"):
        export_bundle(project, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    with pytest.raises(ConfigError, match="name a new folder"):
        export_bundle(project, tmp_path / "mine" / "thesis.txt")
