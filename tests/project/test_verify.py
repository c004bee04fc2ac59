"""One flipped bit or one missing byte in any file of anything that honed writes is refused by name."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.artifacts import MANIFEST, Artifact
from honed.core.errors import ArtifactError
from honed.core.stage import Inputs
from honed.index import segments
from honed.index.settings import IndexSettings
from honed.index.store import Store
from honed.index.store_records import Batch, Record
from honed.index.store_writer import writing
from honed.project.verify import verify_path

DIM = 8


def damages(path: Path, seed: int = 0) -> Iterator[str]:
    """Flip a bit of a file, then cut a byte off; the file is whole again afterwards."""
    whole = path.read_bytes()
    at, bit = np.random.default_rng(seed).integers(0, (len(whole), 8))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
    yield f"byte {at}, bit {bit}"
    path.write_bytes(whole[:-1])
    yield "one byte less"
    path.write_bytes(whole)


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size]


def problem_of(path: Path) -> str:
    try:
        (result,) = verify_path(path)
    except ArtifactError as error:  # it is not known what this is
        return str(error)
    return result.problem


@pytest.fixture(scope="module")
def copy(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project to damage; each test leaves it whole."""
    return Path(shutil.copytree(project.root, tmp_path_factory.mktemp("verify") / "p"))


def records(first: int, n: int) -> Batch:
    vectors = np.random.default_rng(first).normal(size=(n, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Batch(
        records=[Record(doc_id=f"d{at}", text=f"text {at}", fields={"n": at}) for at in range(first, first + n)],
        vectors=vectors,
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with an index, deleted rows, and a version before the current one with a part of its own."""
    monkeypatch.setattr(segments, "SMALL", 20)
    settings = IndexSettings(backend="composed", codes="rabitq", bits=4, nlist=4, nprobe=4)
    place = Store.create(tmp_path / "s", [records(0, 30)], dim=DIM, settings=settings).path
    with writing(place) as writer:
        writer.add([records(100, 5)])
        writer.delete(["d1", "d100"])
        writer.delete([f"d{number}" for number in range(100, 105) if number != 100])
    return place


def test_a_damaged_file_of_an_artifact_of_any_stage_is_refused_by_name(copy: Path) -> None:
    artifacts = [Artifact.at(path.parent) for path in sorted((copy / "work").glob(f"*/*/{MANIFEST}"))]
    assert {artifact.folder.parent.name for artifact in artifacts} >= {"import", "check", "train", "index", "evaluate"}
    for artifact in artifacts:
        assert problem_of(artifact.folder) == ""
        for file in files_of(artifact.folder):
            for damage in damages(file):
                assert str(file) in problem_of(artifact.folder), damage
                with pytest.raises(ArtifactError, match=file.name):  # whoever asks for it, before anything is read
                    Inputs({"stage": Artifact.at(artifact.folder)}).need(Artifact)
        Inputs({"stage": Artifact.at(artifact.folder)}).need(Artifact)


def test_a_damaged_file_of_a_bundle_is_refused_by_name(bundle: Path) -> None:
    assert problem_of(bundle) == ""
    for file in files_of(bundle):
        for damage in damages(file):
            assert str(file) in problem_of(bundle), damage


def test_a_damaged_member_of_a_packed_bundle_is_refused(made: Path, tmp_path: Path) -> None:
    from honed.bundle.archive import pack

    packed = pack(made, tmp_path / "b.zip")
    assert problem_of(packed) == ""
    whole = packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        members = archive.infolist()
    for member in members:
        at = member.header_offset + 30 + len(member.filename.encode()) + member.file_size // 2
        packed.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert Path(member.filename).name in problem_of(packed)
    packed.write_bytes(whole[:-1])
    assert str(packed) in problem_of(packed)


def test_a_damaged_file_of_a_store_is_refused_by_name(store: Path) -> None:
    assert problem_of(store) == ""
    seen = files_of(store)
    assert {file.suffix for file in seen} == {"", ".json", ".npy"}
    assert len(list((store / "versions").glob("*.json"))) == 2
    for file in seen:
        for damage in damages(file):
            assert str(file) in problem_of(store), damage
    assert problem_of(store) == ""


@pytest.mark.parametrize("kind", ["artifact", "store", "segment", "bundle"])
def test_missing_and_foreign_files_are_refused_by_name(kind: str, copy: Path, store: Path, bundle: Path) -> None:
    artifact = next((copy / "work" / "index").iterdir())
    whole = {"artifact": artifact, "store": store, "segment": store, "bundle": bundle}[kind]
    folder = {"segment": next((store / "segments").iterdir()), "bundle": bundle / "index"}.get(kind, whole)
    extra = folder / "extra.json"
    extra.write_text("{}")
    assert str(extra) in problem_of(whole)
    extra.unlink()
    for file in files_of(folder):
        if file.name == "00000003.json":
            continue  # the version before: a store is whole without it
        content = file.read_bytes()
        file.unlink()
        assert file.name in problem_of(whole)
        file.write_bytes(content)
    assert problem_of(whole) == ""


def test_what_a_killed_writer_of_a_store_left_is_told_and_no_damage(store: Path) -> None:
    (store / "segments" / "9-0.partial").mkdir()
    (store / "versions" / "00000009.json").write_text("{}")
    (result,) = verify_path(store)
    assert result.problem == ""
    assert result.note.startswith("2 left by a change that was broken off")


def test_a_damaged_part_of_a_store_gets_no_new_hash(store: Path) -> None:
    file = store / "segments" / "1-0" / "vectors.npy"
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with writing(store) as writer, pytest.raises(ArtifactError, match=r"vectors\.npy: bytes differ"):
        writer.compact()


def test_the_version_before_is_no_hindrance_when_it_is_damaged(store: Path) -> None:
    before = sorted((store / "versions").glob("*.json"))[0]
    before.write_text("{}")
    with writing(store) as writer:
        assert writer.delete(["d2"]).version == 5
    assert not before.exists()
    assert problem_of(store) == ""


def test_all_artifacts_of_a_project_are_verified_and_the_command_exits_with_3(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(list((copy / "work").glob(f"*/*/{MANIFEST}")))
    assert run_command(["verify", str(copy)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == count + 1  # and the file that names the last run
    assert all(line.startswith("whole") for line in lines)
    assert len(Project(copy).verify()) == count + 1
    (file,) = (copy / "work" / "index").glob("*/vectors.npy")
    for _ in damages(file):
        assert run_command(["verify", str(copy)]) == 3
        told = capsys.readouterr()
        assert sum(line.startswith("refused") for line in told.out.splitlines()) == 1
        assert f"1 of {count + 1}" in told.err.replace("\n", " ")
        assert run_command(["show", "index", "--project", str(copy), "--verify"]) == 3
        assert "vectors.npy" in capsys.readouterr().err


def test_a_last_run_that_names_what_is_not_there_is_refused(copy: Path) -> None:
    latest = copy / "work" / "latest.json"
    whole = latest.read_text()
    for text in (whole[:-4], json.dumps({**json.loads(whole), "index": "0" * 16}), "[]"):
        latest.write_text(text)
        with pytest.raises(ArtifactError, match=r"latest\.json"):
            Project(copy).verify()
    latest.write_text(whole)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    assert run_command(["verify", str(tmp_path)]) == 3
