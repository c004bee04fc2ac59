"""Artifacts: folders named by a fingerprint, written beside their place, manifest last, then renamed.

A folder without a manifest does not exist for honed: a crash leaves at most a ``*.partial`` folder, which the next
run of the same stage resumes or clears.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self, TypeVar

from honed.core.errors import ArtifactError
from honed.core.fingerprint import canonical_json, fingerprint, sha256_file
from honed.core.json import Json, JsonObject, parse, parse_object
from honed.core.writing import beside_file, naming, put_in_place, write_text

MANIFEST = "manifest.json"
PARTIAL = ".partial"
T = TypeVar("T")
_OWN_HASH = "sha256"
_verified: set[tuple[Path, str]] = set()  # folders and the hashes of their manifests


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """The manifest of an artifact: stage, key, settings and inputs it was made from, and the hash of every file."""

    stage: str
    key: str
    config: JsonObject
    inputs: Mapping[str, str]
    files: Mapping[str, str]
    facts: JsonObject

    def as_dict(self) -> dict[str, Json]:
        """Return the manifest as plain data for JSON, with the sha256 of all the rest."""
        plain: dict[str, Json] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {**plain, _OWN_HASH: sha256(canonical_json(plain).encode()).hexdigest()}

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a folder; `ArtifactError` when it is absent, cannot be read or was changed."""
        try:
            data = dict(parse_object((folder / MANIFEST).read_text(encoding="utf-8")))
            stated = data.pop(_OWN_HASH, None)  # there is none in what older versions wrote
            manifest = cls(**data)  # type: ignore[arg-type]  # a wrong key is a TypeError, told below
        except FileNotFoundError:
            raise ArtifactError("E_NO_MANIFEST", f"{folder}: no {MANIFEST}: not an artifact of honed") from None
        except (ValueError, TypeError) as error:
            raise ArtifactError("E_MANIFEST", f"{folder / MANIFEST}: cannot be read: {error}") from error
        if stated is not None and stated != manifest.as_dict()[_OWN_HASH]:
            raise ArtifactError("E_MANIFEST", f"{folder / MANIFEST}: was changed: its own sha256 does not fit")
        return manifest


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished result on disk; the artifacts of stages are subclasses that read their files."""

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

    @classmethod
    def at(cls, folder: Path) -> Self:
        """Return the artifact in a folder; `ArtifactError` when there is none."""
        return cls(folder=folder, manifest=Manifest.read(folder))

    def has(self, name: str) -> bool:
        """Tell whether the artifact holds a file."""
        return name in self.manifest.files

    def read_json(self, name: str) -> Json:
        """Return the content of a JSON file of the artifact."""
        return parse(self.path(name).read_text(encoding="utf-8"))

    def read(self, name: str, kind: type[T]) -> T:
        """Return the content of a JSON file as a type; `ArtifactError` when it is not of that type."""
        import msgspec  # not needed to search

        try:
            return msgspec.json.decode(self.path(name).read_bytes(), type=kind)
        except msgspec.MsgspecError as error:
            raise ArtifactError("E_ARTIFACT_FILE", f"{self.path(name)}: {error}") from error

    def verify(self) -> None:
        """Check that the files are those of the manifest, byte by byte; `ArtifactError` names the first that is not."""
        for name, expected in self.manifest.files.items():
            path = self.folder / name
            if not path.is_file():
                raise ArtifactError("E_ARTIFACT_FILE", f"{path}: missing")
            if sha256_file(path) != expected:
                raise ArtifactError("E_CHECKSUM", f"{path}: bytes differ from the manifest")
        refuse_others(self.folder, {MANIFEST, *self.manifest.files})

    def verify_once(self) -> None:
        """Do what `verify` does, once in a process for what one manifest says."""
        seen = (self.folder.resolve(), str(self.manifest.as_dict()[_OWN_HASH]))
        if seen not in _verified:
            self.verify()
            _verified.add(seen)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageKey:
    """The identity of a stage's result: stage with its version, settings, and the keys of its inputs."""

    stage: str
    version: int
    config: JsonObject
    inputs: Mapping[str, str]

    @property
    def key(self) -> str:
        """The fingerprint of all of it."""
        return fingerprint({"stage": f"{self.stage}.v{self.version}", "config": self.config, "inputs": self.inputs})


A = TypeVar("A", bound=Artifact)


def _weights_in(value: Json) -> Iterator[str]:
    """Yield the values of all keys ``weights`` in plain data."""
    if isinstance(value, Mapping):
        if isinstance(weights := value.get("weights"), str):
            yield weights
        for inner in value.values():
            yield from _weights_in(inner)


class ArtifactStore:
    """The folder of all artifacts of a workspace: ``root/<stage>/<key>``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: StageKey) -> Path:
        """Return where the artifact of a key lives, whether or not it exists."""
        return self.root / key.stage / key.key

    def find(self, key: StageKey, kind: type[A]) -> A | None:
        """Return the finished artifact of a key, or None."""
        folder = self.folder(key)
        return kind.at(folder) if (folder / MANIFEST).is_file() else None

    def weights(self) -> set[str]:
        """Return the fingerprints of all models that the manifests of the artifacts speak of."""
        weights: set[str] = set()
        for file in self.root.glob(f"*/*/{MANIFEST}"):
            try:
                manifest = Manifest.read(file.parent)
            except ArtifactError:  # not an artifact
                continue
            weights.update(_weights_in(manifest.config), _weights_in(manifest.facts))
        return weights

    @contextmanager
    def staging(self, key: StageKey) -> Iterator[Path]:
        """Give a ``.partial`` folder to write in; it stays on an exception, so that work can be resumed."""
        partial = self.folder(key).with_name(key.key + PARTIAL)
        partial.mkdir(parents=True, exist_ok=True)
        with naming(partial):
            yield partial

    def commit(self, key: StageKey, partial: Path, facts: JsonObject, kind: type[A]) -> A:
        """Turn a staging folder into an artifact: hash, manifest last, sync all, rename."""
        files = {
            path.relative_to(partial).as_posix(): sha256_file(path)
            for path in sorted(partial.rglob("*"))
            if path.is_file() and path not in (partial / MANIFEST, beside_file(partial / MANIFEST))
        }
        manifest = Manifest(
            stage=f"{key.stage}.v{key.version}",
            key=key.key,
            config=dict(key.config),
            inputs=dict(key.inputs),
            files=files,
            facts=dict(facts),
        )
        write_text(partial / MANIFEST, json.dumps(manifest.as_dict(), indent=1, ensure_ascii=False, allow_nan=False))
        put_in_place(partial, self.folder(key))
        return kind(folder=self.folder(key), manifest=manifest)


def refuse_others(folder: Path, names: Collection[str]) -> None:
    """Raise `ArtifactError` for a file in a folder, at any depth, that is none of some by their relative names.

    Hidden files are let be: systems leave them, and nobody reads them.
    """
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        if (
            inside.as_posix() not in names
            and not path.is_dir()
            and not any(part.startswith(".") for part in inside.parts)
        ):
            raise ArtifactError("E_EXTRA", f"{path}: is not in the manifest")
