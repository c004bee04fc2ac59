"""Versions of a store: small files that name the segments of a store and the deleted rows of each.

``CURRENT`` holds the name of the version that is valid, and its sha256; it is turned in one rename.
"""

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Self

from honed.core.artifacts import write_text
from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject, parse_object
from honed.core.plain import as_integer, as_list, as_object, as_text
from honed.index.segments import SegmentFacts
from honed.index.settings import IndexSettings

FORMAT, LAYOUT = "honed-store", 1
CURRENT = "CURRENT"
VERSIONS, SEGMENTS = "versions", "segments"  # folders of a store
_KEPT = 2  # versions whose files are there: the current one, and the one that a reader may be about to open
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

    ``model`` holds the "fingerprint" of the encoder that made the vectors, and whatever tells people about it.
    """

    version: int
    dim: int
    settings: IndexSettings
    model: JsonObject
    segments: tuple[SegmentEntry, ...] = ()

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {
            "format": FORMAT,
            "layout": LAYOUT,
            "version": self.version,
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
        )


def read_version(path: Path) -> StoreVersion:
    """Return the current version of a store; `ArtifactError` for what is no store or was changed."""
    for _ in range(_ATTEMPTS):
        try:
            name, _, digest = (path / CURRENT).read_text("utf-8").strip().partition(" ")
        except OSError:
            raise ArtifactError("E_NOT_A_STORE", f"{path}: not a store of honed") from None
        try:
            raw = (path / VERSIONS / Path(name).name).read_bytes()
        except FileNotFoundError:
            continue
        if sha256(raw).hexdigest() != digest:
            raise ArtifactError("E_CHECKSUM", f"{path}: version {name}: bytes differ from {CURRENT}")
        return _parsed(raw, path, name)
    raise ArtifactError("E_STORE", f"{path}: the version that is current is missing")


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
    version = replace(base, version=base.version + 1, segments=tuple(segments))
    name = f"{version.version:08d}.json"
    text = json.dumps(version.as_dict(), ensure_ascii=False, indent=1)
    write_text(path / VERSIONS / name, text)
    write_text(path / CURRENT, f"{name} {sha256(text.encode()).hexdigest()}\n")


def remove_unused(path: Path) -> None:
    """Remove what neither the current version nor the one before it holds, such as what a killed writer left."""
    current = read_version(path)
    files = sorted((path / VERSIONS).glob("*.json"))
    kept = [file for file in files if int(file.stem) <= current.version][-_KEPT:]
    held = {file.name for file in kept}
    for file in kept:
        for segment in _parsed(file.read_bytes(), path, file.name).segments:
            held |= {segment.name, segment.deleted.file if segment.deleted else ""}
    for folder in (path / VERSIONS, path / SEGMENTS):
        for place in folder.iterdir():
            if place.name in held:
                continue
            if place.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            else:
                with contextlib.suppress(FileNotFoundError):
                    place.unlink()
