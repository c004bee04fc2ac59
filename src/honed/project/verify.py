"""Is everything as it was written? Artifacts, projects, bundles and stores, byte by byte; nothing in them is used."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from honed.bundle import layout
from honed.bundle.archive import Unpacked
from honed.bundle.seal import Seal, is_bundle
from honed.config.config import FILE
from honed.core.artifacts import MANIFEST, PARTIAL, Artifact
from honed.core.errors import ArtifactError, HonedError
from honed.core.json import parse_object
from honed.index.store_version import CURRENT, VERSIONS, read_version, unused, verify_version, version_before
from honed.pipeline.runner import LATEST, Runner
from honed.project.workspace import Workspace


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was found of one thing: the number of files that were compared, or what is wrong, which names the file."""

    path: Path
    kind: str
    n_files: int = 0
    note: str = ""
    problem: str = ""


def verify_path(path: Path, public_key: Path | None = None) -> list[Verified]:
    """Compare every file of an artifact, a bundle (folder or zip), a store or all artifacts of a project with its hash.

    With ``public_key`` (Ed25519, PEM) a bundle must be signed by its private half. Raises `ArtifactError` for a path
    that is none of these.
    """
    if (path / FILE).is_file():
        return verify_project(Workspace(path).runner)
    if (path / CURRENT).is_file() or (path / VERSIONS).is_dir():
        return [_checked(path, "store", _verify_store)]
    if path.is_file() or is_bundle(path) or (path / layout.MODEL).is_file():
        return [_checked(path, "bundle", lambda folder: _verify_bundle(folder, public_key))]
    if not (path / MANIFEST).exists():
        raise ArtifactError(
            "E_NO_MANIFEST", f"{path}: no {FILE}, {CURRENT} or {MANIFEST}: no project, store, bundle or artifact"
        )
    return [_checked(path, "artifact", _verify_artifact)]


def verify_project(runner: Runner) -> list[Verified]:
    """Compare every file of every artifact of a project, and look for those that its last run names."""
    results = []
    for stage in runner.all:
        for folder in sorted(path for path in (runner.output / stage.name).glob("*") if path.is_dir()):
            if folder.name.endswith((PARTIAL, ".old")):
                results.append(Verified(path=folder, kind="artifact", note="unfinished: honed run goes on from there"))
            else:
                results.append(_checked(folder, "artifact", _verify_in_place))
    if (runner.output / LATEST).exists():
        results.append(_checked(runner.output / LATEST, "last run", _verify_latest))
    return results


def refuse_damaged(results: list[Verified]) -> list[Verified]:
    """Return outcomes; raises `ArtifactError` that names the first file that is not as it was written, if any is."""
    damaged = [result for result in results if result.problem]
    if damaged:
        raise ArtifactError(
            "E_DAMAGED", f"{len(damaged)} of {len(results)} are not as they were written: {damaged[0].problem}"
        )
    return results


def _checked(path: Path, kind: str, verify: Callable[[Path], tuple[int, str]]) -> Verified:
    """Return the outcome of a check, which returns the number of files and what else there is to tell."""
    try:
        n_files, note = verify(path)
    except (HonedError, OSError) as error:
        return Verified(path=path, kind=kind, problem=str(error))
    return Verified(path=path, kind=kind, n_files=n_files, note=note)


def _verify_artifact(folder: Path) -> tuple[int, str]:
    artifact = Artifact.at(folder)
    artifact.verify()
    return len(artifact.manifest.files), ""


def _verify_in_place(folder: Path) -> tuple[int, str]:
    """Verify an artifact that lies where its stage put it, under its key."""
    n_files, note = _verify_artifact(folder)
    key = Artifact.at(folder).key
    if key != folder.name:
        raise ArtifactError("E_MANIFEST", f"{folder / MANIFEST}: is of {key}")
    return n_files, note


def _verify_latest(file: Path) -> tuple[int, str]:
    """Verify that the artifacts that the last run names are there."""
    try:
        keys = parse_object(file.read_text(encoding="utf-8"))
    except (ValueError, TypeError) as error:
        raise ArtifactError("E_LATEST", f"{file}: cannot be read: {error}") from error
    for stage, key in keys.items():
        if not (file.parent / stage / str(key) / MANIFEST).is_file():
            raise ArtifactError("E_ARTIFACT_FILE", f"{file.parent / stage / str(key)}: missing, and {file} names it")
    return 1, ""


def _verify_bundle(path: Path, public_key: Path | None) -> tuple[int, str]:
    unpacked = Unpacked(path) if path.is_file() else None
    try:
        seal = Seal.open(unpacked.folder if unpacked else path, public_key)
        seal.wait()
    except ArtifactError as error:
        shown = error.message.replace(f"{unpacked.folder}", f"{path}") if unpacked else error.message
        raise ArtifactError(error.code, shown) from None
    signer = seal.manifest.signer
    return len(seal.manifest.files), f"signed by {signer}" if signer else ""


def _verify_store(path: Path) -> tuple[int, str]:
    versions = [current := read_version(path)]
    if before := version_before(path, current):
        versions.append(before)
    for version in versions:
        verify_version(path, version)
    left = len(unused(path))
    files = {f"{entry.name}/{name}" for version in versions for entry in version.segments for name in entry.facts.files}
    deleted = {entry.deleted for version in versions for entry in version.segments if entry.deleted}
    note = f"{left} left by a change that was broken off, which the next one removes" if left else ""
    return len(files) + len(deleted) + len(versions) + 1, note
