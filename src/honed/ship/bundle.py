"""The bundle: one folder with everything that answers a query, checked byte by byte before it is used.

Loading it runs no code of the bundle, follows no links, reads nothing outside the folder, and needs numpy and
tokenizers only.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from honed.core.artifacts import write_json
from honed.core.errors import ArtifactError
from honed.core.fingerprint import sha256_file
from honed.core.protocols import Encoder, Vectors
from honed.core.records import EncoderSpec

MANIFEST, FORMAT, VERSION = "bundle.json", "honed-bundle", 1
ENCODER_FILES = ("model.safetensors", "config.json", "tokenizer.json")
GOLDEN_TOLERANCE = 1e-4
_MAX_MANIFEST = 16 << 20
_N_GOLDEN = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleContent:
    """What goes into a bundle: the trained encoder's folder, the document vectors, and all names.

    ``names`` are (row of ``texts``, row of ``entities``, "label" or "alias"); ``entities`` are (id, label, fields).
    """

    encoder_folder: Path
    spec: EncoderSpec
    vectors: Vectors
    texts: Sequence[str]
    names: Sequence[tuple[int, int, str]]
    entities: Sequence[tuple[str, str, Mapping[str, str]]]
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A bundle that was checked and read."""

    manifest: Mapping[str, Any]
    encoder: Encoder
    vectors: Vectors
    texts: list[str]
    names: list[tuple[int, int, str]]
    entities: list[tuple[str, str, dict[str, str]]]


def write_bundle(target: Path, content: BundleContent) -> Path:
    """Write a bundle beside its place, then put it there; an existing bundle is replaced only when all is written.

    The vectors are taken over with their encoder's agreement: 32 golden texts are encoded as the bundle will encode
    them and must give the stored vectors. Raises `ArtifactError` otherwise.
    """
    beside = target.with_name(f".{target.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    (beside / "encoder").mkdir(parents=True)
    for name in ENCODER_FILES:
        shutil.copyfile(content.encoder_folder / name, beside / "encoder" / name)
    encoder = _load_encoder(beside, content.spec)
    step = max(1, len(content.texts) // _N_GOLDEN)
    golden = list(range(0, len(content.texts), step))[:_N_GOLDEN]
    _check_golden(encoder, content.texts, content.vectors, golden, tolerance=0.02)  # stored vectors may be bf16's
    fresh = encoder.encode([content.texts[row] for row in golden], "document")
    np.save(beside / "golden.npy", fresh, allow_pickle=False)
    np.save(beside / "vectors.npy", content.vectors.astype(np.float32), allow_pickle=False)
    names = {"texts": list(content.texts), "names": list(content.names), "golden": golden}
    (beside / "names.json").write_text(json.dumps(names, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    with (beside / "records.jsonl").open("w", encoding="utf-8") as file:
        for entity_id, label, fields in content.entities:
            file.write(json.dumps([entity_id, label, dict(fields)], ensure_ascii=False) + "\n")
    files = {path.relative_to(beside).as_posix(): _entry(path) for path in sorted(beside.rglob("*")) if path.is_file()}
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "spec": content.spec.as_dict(),
        "index": dict(content.settings),
        **content.facts,
        "files": files,
    }
    write_json(beside / MANIFEST, manifest)
    if target.exists():
        if not (target / MANIFEST).is_file():
            raise ArtifactError("E_NOT_A_BUNDLE", f"{target}: exists and is no bundle; it is not replaced")
        shutil.rmtree(target)
    beside.rename(target)
    return target


def _entry(path: Path) -> dict[str, Any]:
    return {"sha256": sha256_file(path), "size": path.stat().st_size}


def is_bundle(folder: Path) -> bool:
    """Tell whether a folder claims to be a bundle."""
    return (folder / MANIFEST).is_file()


def load_bundle(folder: Path) -> Bundle:
    """Check and read a bundle; `ArtifactError` names the file that is missing, foreign or changed."""
    manifest = _read_manifest(folder)
    _check_files(folder, manifest["files"])
    try:
        spec = EncoderSpec.from_dict(manifest["spec"])
        encoder = _load_encoder(folder, spec)
        vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False)
        golden = np.load(folder / "golden.npy", allow_pickle=False)
        names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
        with (folder / "records.jsonl").open(encoding="utf-8") as file:
            entities = [(row[0], row[1], row[2]) for row in map(json.loads, file)]
        texts, rows = names["texts"], names["golden"]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ArtifactError("E_BUNDLE", f"{folder}: cannot be read: {type(error).__name__}: {error}") from error
    if vectors.shape != (len(texts), spec.dim):
        raise ArtifactError("E_BUNDLE", f"{folder}: {vectors.shape} vectors for {len(texts)} texts of {spec.dim}")
    stored = np.zeros((max(rows, default=-1) + 1, spec.dim), dtype=np.float32)
    stored[rows] = golden
    _check_golden(encoder, texts, stored, rows, tolerance=GOLDEN_TOLERANCE)
    found = [(int(text), int(entity), str(kind)) for text, entity, kind in names["names"]]
    return Bundle(manifest=manifest, encoder=encoder, vectors=vectors, texts=texts, names=found, entities=entities)


def _load_encoder(folder: Path, spec: EncoderSpec) -> Encoder:
    from honed.encode.numpy_encoder import NumpyEncoder

    return NumpyEncoder.load(folder / "encoder", spec)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if path.is_symlink() or not path.is_file():
        raise ArtifactError("E_NOT_A_BUNDLE", f"{folder}: no {MANIFEST}: not a bundle of honed")
    if path.stat().st_size > _MAX_MANIFEST:
        raise ArtifactError("E_BUNDLE", f"{path}: larger than {_MAX_MANIFEST} bytes")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and isinstance(manifest["files"], dict)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError("E_BUNDLE", f"{path}: cannot be read: {error}") from error
    if not known or manifest.get("version") != VERSION:
        raise ArtifactError(
            "E_BUNDLE_VERSION",
            f"{path}: format {manifest['format']!r} version {manifest.get('version')!r}; this honed "
            f"reads {FORMAT} version {VERSION}",
        )
    return dict(manifest)


def _check_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Check that the folder holds the files of the manifest, all of them, nothing else, and no link."""
    for name, entry in files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise ArtifactError("E_BUNDLE_PATH", f"{folder}: the manifest names {name!r}, outside the bundle")
        path = folder / name
        if any(each.is_symlink() for each in (path, *path.parents) if folder in each.parents):
            raise ArtifactError("E_BUNDLE_LINK", f"{path}: is a link; a bundle holds plain files")
        if not path.is_file():
            raise ArtifactError("E_BUNDLE_FILE", f"{path}: missing")
        if path.stat().st_nlink > 1:
            raise ArtifactError("E_BUNDLE_LINK", f"{path}: is a hard link; a bundle holds files of its own")
        if path.stat().st_size != entry.get("size") or sha256_file(path) != entry.get("sha256"):
            raise ArtifactError("E_CHECKSUM", f"{path}: bytes differ from the manifest")
    for root, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(root) / name
            inside = path.relative_to(folder).as_posix()
            if path.is_symlink() or (path.is_file() and inside != MANIFEST and inside not in files):
                raise ArtifactError("E_BUNDLE_FILE", f"{path}: not in the manifest")


def _check_golden(
    encoder: Encoder, texts: Sequence[str], vectors: Vectors, rows: Sequence[int], *, tolerance: float
) -> None:
    """Encode golden texts on this machine and compare with their stored vectors."""
    if not rows:
        return
    found = encoder.encode([texts[row] for row in rows], "document")
    worst = float(np.abs(found - vectors[list(rows)]).max())
    if not worst <= tolerance:
        raise ArtifactError(
            "E_GOLDEN",
            f"the encoder gives other vectors here than where the bundle was made (off by {worst:.2g}, "
            f"allowed {tolerance:g})",
        )
