import os
import shutil
from pathlib import Path

import pytest

from honed.bundle import note, seal
from honed.bundle.load import load_bundle
from honed.core.errors import ArtifactError
from honed.core.fingerprint import sha256_file

MODEL = Path("model") / "model.onnx"


class Hashed(list[str]):
    """The names of the files that were hashed; `again` forgets them, loads a bundle and returns the new ones."""

    def again(self, bundle: Path, *, notes: bool = True) -> list[str]:
        self.clear()
        load_bundle(bundle, notes=notes)
        return list(self)


@pytest.fixture
def hashed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hashed:
    """What is hashed, with an empty folder of notes, and files that count as old enough."""
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(note, "_SETTLED", 0)
    names = Hashed()

    def remembered(path: Path) -> str:
        names.append(path.name)
        return sha256_file(path)

    monkeypatch.setattr(seal, "sha256_file", remembered)
    return names


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "verified"


def test_a_second_start_hashes_nothing(bundle: Path, hashed: Hashed, notes: Path) -> None:
    assert "model.onnx" in hashed.again(bundle)
    assert hashed.again(bundle) == []
    assert notes.stat().st_mode & 0o777 == 0o700
    assert (notes / "key").stat().st_mode & 0o777 == 0o600


def test_a_byte_that_was_changed_is_refused_though_its_time_was_set_back(bundle: Path, hashed: Hashed) -> None:
    hashed.again(bundle)
    path = bundle / MODEL
    before, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ArtifactError, match="E_BUNDLE_CHECKSUM"):
        load_bundle(bundle)
    path.write_bytes(data)
    assert "model.onnx" in hashed.again(bundle)


def test_a_file_in_the_place_of_another_is_hashed(bundle: Path, hashed: Hashed) -> None:
    hashed.again(bundle)
    shutil.copy2(bundle / MODEL, bundle.parent / "other")
    (bundle.parent / "other").replace(bundle / MODEL)
    assert "model.onnx" in hashed.again(bundle)


def test_a_bundle_in_another_place_is_hashed(bundle: Path, hashed: Hashed, tmp_path: Path) -> None:
    hashed.again(bundle)
    bundle.rename(tmp_path / "moved")
    assert "model.onnx" in hashed.again(tmp_path / "moved")


def test_notes_can_be_switched_off(bundle: Path, hashed: Hashed, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "model.onnx" in hashed.again(bundle, notes=False)
    assert not notes.exists()
    hashed.again(bundle)
    assert "model.onnx" in hashed.again(bundle, notes=False)
    monkeypatch.setenv("HONED_NOTES", "off")
    assert "model.onnx" in hashed.again(bundle)


def test_a_note_by_another_key_does_not_count(bundle: Path, hashed: Hashed, notes: Path) -> None:
    hashed.again(bundle)
    (notes / "key").write_bytes(b"k" * 32)
    assert "model.onnx" in hashed.again(bundle)
    assert hashed.again(bundle) == []  # it was noted again


@pytest.mark.parametrize("name", ["", "key"])
def test_what_others_can_open_does_not_count(bundle: Path, hashed: Hashed, notes: Path, name: str) -> None:
    hashed.again(bundle)
    (notes / name).chmod(0o755)
    for _ in range(2):
        assert "model.onnx" in hashed.again(bundle)


def test_a_bundle_of_another_user_is_never_noted(
    bundle: Path, hashed: Hashed, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: bundle.stat().st_uid + 1)
    for _ in range(2):
        assert "model.onnx" in hashed.again(bundle)
    assert not notes.exists()


def test_a_file_that_was_just_written_is_not_noted(
    bundle: Path, hashed: Hashed, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(note, "_SETTLED", 1 << 60)
    for _ in range(2):
        assert "model.onnx" in hashed.again(bundle)
    assert not notes.exists()


@pytest.mark.parametrize("place", ["/dev/null/honed", "a-file/honed"])
def test_a_bundle_is_loaded_where_nothing_can_be_noted(
    bundle: Path, hashed: Hashed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "a-file").touch()
    monkeypatch.setenv("HONED_CACHE", str(tmp_path / place))
    for _ in range(2):
        assert "model.onnx" in hashed.again(bundle)
