"""Versions of a store: small files that name the segments of a store and the deleted rows of each.

``CURRENT`` holds the name of the version that is valid, and its sha256; it is turned in one rename.
"""

import contextlib
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Self

from honed.core.errors import ArtifactError
from honed.core.fingerprint import sha256_file
from honed.core.json import Json, JsonObject, parse_object
from honed.core.plain import as_integer, as_list, as_object, as_text
from honed.core.writing import beside_file, write_text
from honed.index.segments import SegmentFacts, verify_segment
from honed.index.settings import IndexSettings

FORMAT, LAYOUT = "honed-store", 1
CURRENT, LOCK = "CURRENT", "LOCK"
VERSIONS, SEGMENTS = "versions", "segments"  # folders of a store
_CURRENT_LINE = re.compile(rb"([0-9]{8,}\.json) ([0-9a-f]{64})\n")
_OF_A_STORE = re.compile(r"[0-9]+-[0-9]+(\.npy|\.partial)?|\.?[0-9]{8,}(\.new)?\.json")  # names in its two folders
_ATTEMPTS = 5  # a writer may clear away what was current a moment ago


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedRows:
    """The file with the deleted rows of a segment, and its sha256."""

    file: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentEntry:
    """A segment of a version: the name of its folder, what is known of it, and its deleted rows."""

    name: str
    facts: SegmentFacts
    deleted: DeletedRows | None = None

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        deleted = {"file": self.deleted.file, "sha256": self.deleted.sha256} if self.deleted else None
        return {"name": self.name, **self.facts.as_dict(), "deleted": deleted}

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read it back; `KeyError` or `TypeError` for other data."""
        deleted = None
        if data["deleted"] is not None:
            entry = as_object(data["deleted"])
            deleted = DeletedRows(file=Path(as_text(entry["file"])).name, sha256=as_text(entry["sha256"]))
        return cls(name=as_text(data["name"]), facts=SegmentFacts.from_dict(data), deleted=deleted)


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreVersion:
    """All that a store is at one time: its number, the vectors' ``dim``, settings, model and segments.

    ``model`` holds the "fingerprint" of the encoder that made the vectors, and whatever tells people about it;
    ``before`` is the sha256 of the version that this one follows, empty for the first.
    """

    version: int
    dim: int
    settings: IndexSettings
    model: JsonObject
    segments: tuple[SegmentEntry, ...] = ()
    before: str = ""

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {
            "format": FORMAT,
            "layout": LAYOUT,
            "version": self.version,
            "before": self.before,
            "dim": self.dim,
            "settings": self.settings.as_dict(),
            "model": dict(self.model),
            "segments": [segment.as_dict() for segment in self.segments],
        }

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read it back; `KeyError` or `TypeError` for other data, `ArtifactError` for settings that cannot be."""
        return cls(
            version=as_integer(data["version"]),
            dim=as_integer(data["dim"]),
            settings=IndexSettings.from_dict(as_object(data["settings"])),
            model=as_object(data["model"]),
            segments=tuple(SegmentEntry.from_dict(as_object(entry)) for entry in as_list(data["segments"])),
            before=as_text(data.get("before", "")),  # versions that were written earlier name none
        )


def read_version(path: Path) -> StoreVersion:
    """Return the current version of a store; `ArtifactError` for what is no store or was changed."""
    for _ in range(_ATTEMPTS):
        try:
            current = (path / CURRENT).read_bytes()
        except OSError:
            raise ArtifactError("E_NOT_A_STORE", f"{path}: not a store of honed: no {CURRENT}") from None
        match = _CURRENT_LINE.fullmatch(current)
        if match is None:
            raise ArtifactError("E_CHECKSUM", f"{path / CURRENT}: names no version")
        name, digest = match[1].decode(), match[2].decode()
        try:
            raw = (path / VERSIONS / name).read_bytes()
        except FileNotFoundError:
            continue
        if sha256(raw).hexdigest() != digest:
            raise ArtifactError("E_CHECKSUM", f"{path / VERSIONS / name}: bytes differ from {CURRENT}")
        return _parsed(raw, path, name)
    raise ArtifactError("E_STORE", f"{path / VERSIONS / name}: missing, and {CURRENT} names it")


def _parsed(raw: bytes, path: Path, name: str) -> StoreVersion:
    try:
        data = parse_object(raw)
        if data.get("format") != FORMAT or data.get("layout") != LAYOUT:
            raise ArtifactError("E_STORE", f"{path}: not a store of this honed: {data.get('format')}")
        return StoreVersion.from_dict(data)
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError("E_STORE", f"{path}: version {name} cannot be read: {error}") from error


def commit_version(path: Path, base: StoreVersion, segments: Sequence[SegmentEntry]) -> None:
    """Write the version after ``base``, then turn to it; the rename is the moment at which the change is made."""
    before = sha256_file(_version_file(path, base.version)) if base.version else ""
    version = replace(base, version=base.version + 1, segments=tuple(segments), before=before)
    file = _version_file(path, version.version)
    text = json.dumps(version.as_dict(), ensure_ascii=False, indent=1)
    write_text(file, text)
    write_text(path / CURRENT, f"{file.name} {sha256(text.encode()).hexdigest()}\n")


def _version_file(path: Path, version: int) -> Path:
    return path / VERSIONS / f"{version:08d}.json"


def version_before(path: Path, current: StoreVersion) -> StoreVersion | None:
    """Return the version that the current one follows, which a reader may be about to open; None where it is gone.

    Raises `ArtifactError` for one that was changed.
    """
    file = _version_file(path, current.version - 1)
    if not file.is_file():
        return None
    raw = file.read_bytes()
    if current.before and sha256(raw).hexdigest() != current.before:
        raise ArtifactError("E_CHECKSUM", f"{file}: bytes differ from the version after it")
    return _parsed(raw, path, file.name)


def verify_version(path: Path, version: StoreVersion) -> None:
    """Check every file that a version holds against its hash; `ArtifactError` names the first that differs.

    A file that is gone is a `FileNotFoundError`.
    """
    for entry in version.segments:
        verify_segment(path / SEGMENTS / entry.name, entry.facts)
        if entry.deleted and sha256_file(path / VERSIONS / entry.deleted.file) != entry.deleted.sha256:
            raise ArtifactError("E_CHECKSUM", f"{path / VERSIONS / entry.deleted.file}: bytes differ from its version")


def _held(path: Path) -> set[str]:
    """Return the names of the files and folders that the current version holds, and the one before it."""
    current = read_version(path)
    held = set()
    with contextlib.suppress(ArtifactError):  # one that was changed holds nothing: no reader could open it
        if before := version_before(path, current):
            held = _names_of(path, before)
    return held | _names_of(path, current)


def _names_of(path: Path, version: StoreVersion) -> set[str]:
    deleted = {segment.deleted.file for segment in version.segments if segment.deleted}
    return {_version_file(path, version.version).name, *(segment.name for segment in version.segments), *deleted}


def unused(path: Path) -> list[Path]:
    """Return what lies in the folders of a store and is neither the current version's nor of the one before it.

    A writer that was killed leaves such files, and the next change removes them. Raises `ArtifactError` for a file that
    no writer of a store makes.
    """
    held = _held(path)
    for place in sorted(path.iterdir()):
        if place.name not in (CURRENT, beside_file(path / CURRENT).name, LOCK, VERSIONS, SEGMENTS):
            raise ArtifactError("E_EXTRA", f"{place}: is not of the store")
    places = [place for name in (VERSIONS, SEGMENTS) for place in sorted((path / name).iterdir())]
    for place in places:
        if place.name not in held and not _OF_A_STORE.fullmatch(place.name):
            raise ArtifactError("E_EXTRA", f"{place}: is not of the store")
    return [place for place in places if place.name not in held]


def remove_unused(path: Path) -> None:
    """Remove what neither the current version nor the one before it holds, such as what a killed writer left."""
    held = _held(path)
    for folder in (path / VERSIONS, path / SEGMENTS):
        for place in folder.iterdir():
            if place.name in held:
                continue
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                with contextlib.suppress(FileNotFoundError):
                    place.unlink()
