"""Artifacts: folders named by a fingerprint, written beside their place, manifest last, then renamed.

A folder without a manifest does not exist for honed: a crash leaves at most a ``*.partial`` folder, which the next
run of the same stage resumes or clears.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from honed.core.errors import ArtifactError
from honed.core.fingerprint import canonical_json, fingerprint, sha256_file

MANIFEST = "manifest.json"
PARTIAL = ".partial"


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What an artifact is: its stage, the key that names it, what it was made from and the hash of every file."""

    stage: str
    key: str
    config: Mapping[str, Any]
    inputs: Mapping[str, str]
    files: Mapping[str, str]
    facts: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Return the manifest as plain data for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a folder; `ArtifactError` when it is absent or cannot be read."""
        try:
            data = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            return cls(**data)
        except FileNotFoundError:
            raise ArtifactError("E_NO_MANIFEST", f"{folder}: no {MANIFEST}: not an artifact of honed") from None
        except (ValueError, TypeError) as error:
            raise ArtifactError("E_MANIFEST", f"{folder / MANIFEST}: cannot be read: {error}") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """A finished result on disk."""

    folder: Path
    manifest: Manifest

    @property
    def key(self) -> str:
        """The fingerprint that names the artifact."""
        return self.manifest.key

    def path(self, name: str) -> Path:
        """Return the path of one of its files; `ArtifactError` when the manifest does not list it."""
        if name not in self.manifest.files:
            raise ArtifactError("E_ARTIFACT_FILE", f"{self.folder}: holds no file {name}")
        return self.folder / name

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file of the artifact."""
        return json.loads(self.path(name).read_text(encoding="utf-8"))

    def verify(self) -> None:
        """Check every file against its hash; `ArtifactError` names the first that differs."""
        for name, expected in self.manifest.files.items():
            path = self.folder / name
            if not path.is_file():
                raise ArtifactError("E_ARTIFACT_FILE", f"{path}: missing")
            if sha256_file(path) != expected:
                raise ArtifactError("E_CHECKSUM", f"{path}: bytes differ from the manifest")


@dataclass(frozen=True, kw_only=True, slots=True)
class StageKey:
    """What names a stage's result: stage with its version, configuration, and the keys of its inputs."""

    stage: str
    version: int
    config: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """The fingerprint of all of it."""
        return fingerprint({"stage": f"{self.stage}.v{self.version}", "config": self.config, "inputs": self.inputs})


class ArtifactStore:
    """The folder of all artifacts of a workspace: ``root/<stage>/<key>``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: StageKey) -> Path:
        """Return where the artifact of a key lives, whether or not it exists."""
        return self.root / key.stage / key.key

    def find(self, key: StageKey) -> Artifact | None:
        """Return the finished artifact of a key, or None."""
        folder = self.folder(key)
        if not (folder / MANIFEST).is_file():
            return None
        return Artifact(folder=folder, manifest=Manifest.read(folder))

    @contextmanager
    def staging(self, key: StageKey) -> Iterator[Path]:
        """Give a ``.partial`` folder to write in; it stays on an exception, so that work can be resumed."""
        partial = self.folder(key).with_name(key.key + PARTIAL)
        partial.mkdir(parents=True, exist_ok=True)
        yield partial

    def commit(self, key: StageKey, partial: Path, facts: Mapping[str, Any]) -> Artifact:
        """Turn a staging folder into an artifact: hash, manifest last, sync, rename."""
        files = {
            path.relative_to(partial).as_posix(): sha256_file(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file() and path.parent / path.name not in (partial / MANIFEST, partial / f"{MANIFEST}.new")
        }
        manifest = Manifest(
            stage=f"{key.stage}.v{key.version}",
            key=key.key,
            config=dict(key.config),
            inputs=dict(key.inputs),
            files=files,
            facts=dict(facts),
        )
        for name in files:
            sync(partial / name)
        write_text(partial / MANIFEST, json.dumps(manifest.as_dict(), indent=1, ensure_ascii=False, allow_nan=False))
        final = self.folder(key)
        aside = final.with_name(final.name + ".old")
        shutil.rmtree(aside, ignore_errors=True)
        if final.exists():  # made anew, or left without a manifest by something else
            final.rename(aside)
        partial.rename(final)
        shutil.rmtree(aside, ignore_errors=True)
        sync(final.parent)
        return Artifact(folder=final, manifest=manifest)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all: beside it, synced, then renamed."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, encoding="utf-8")
    sync(beside)
    beside.replace(path)
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; NaN is refused."""
    canonical_json(value)
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sync(path: Path) -> None:
    """Make the system write a file, or the names of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
