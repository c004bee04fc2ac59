"""The bundle: one folder with everything that answers a query, checked byte by byte before it is used.

Loading it runs no code of the bundle, follows no links, reads nothing outside the folder, and needs numpy and
tokenizers only; a fast engine is loaded when it pays.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from honed.bundle.encoder import BundleEncoder, EncoderFiles, GoldenVectors
from honed.bundle.layout import (
    GOLDEN,
    HYBRID_ARRAYS,
    HYBRID_DATA,
    INDEX_CACHE,
    NAMES,
    RECORDS,
    REPORT_PAGE,
    RERANKER,
    VECTORS,
    Arrays,
    HybridFiles,
)
from honed.bundle.manifest import Manifest
from honed.bundle.names import NameTable
from honed.bundle.reranker import MAX_LENGTH, BundleReranker
from honed.bundle.seal import MANIFEST, Seal
from honed.core.errors import ArtifactError, HonedError
from honed.core.json import Json, JsonObject, parse_object
from honed.core.plain import as_text
from honed.core.records import EncoderSpec
from honed.core.tensors import map_safetensors
from honed.encode.onnx_file import PRECISIONS
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors

if TYPE_CHECKING:
    from honed.bundle.archive import Unpacked


class Bundle(NamedTuple):
    """A bundle that was checked and read.

    ``index_cache`` holds the arrays of an index that was built when the bundle was written, or None; ``unpacked`` is
    the folder that a zip was unpacked into, which goes with the last who keeps it.
    """

    manifest: JsonObject
    folder: Path
    encoder: BundleEncoder
    vectors: StoredVectors
    names: NameTable
    index_cache: Arrays | None
    report: bytes = b""
    unpacked: "Unpacked | None" = None
    hybrid: HybridFiles | None = None
    reranker: BundleReranker | None = None


def load_bundle(
    path: Path, *, engine: str = "auto", threads: int = 0, public_key: Path | None = None, notes: bool = True
) -> Bundle:
    """Check and read a bundle (a folder or a zip); `ArtifactError` names the file that is missing, foreign or changed.

    ``engine`` "auto" answers first from numpy over mapped weights and loads the fastest engine when there is more to
    do: as it was measured on this machine, see `honed.bundle.fastest`.
    With ``public_key`` (Ed25519, PEM) the bundle must be signed by its private half. Without ``notes``, or with
    HONED_NOTES=off, every byte is hashed, though it was before: see `honed.bundle.note`.
    """
    folder, unpacked = path, None
    seal: Seal | None = None
    try:
        if path.is_file():
            from honed.bundle.archive import Unpacked  # slow to import

            unpacked = Unpacked(path)
            folder = unpacked.folder
        folder = folder.resolve()
        notes = notes and unpacked is None and os.environ.get("HONED_NOTES", "").lower() != "off"
        seal = Seal.open(folder, public_key, notes=notes)
        return _read(seal, unpacked, engine, threads)
    except (HonedError, OSError):
        if seal is not None:
            seal.wait()  # a changed byte is the better explanation
        raise
    except BaseException as error:  # whatever a forged file provokes, panics of a library included
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        if seal is not None:
            seal.wait()
        shown = f"{type(error).__name__}: {str(error)[:200]}"
        raise ArtifactError("E_BUNDLE_FORMAT", f"{path}: cannot be read: {shown}") from error


def _read(seal: Seal, unpacked: "Unpacked | None", engine: str, threads: int) -> Bundle:
    """Read what the seal guards; the big files are still being hashed, so no native code sees them before the end."""
    folder, manifest = seal.folder, seal.manifest
    spec, present = manifest.spec, manifest.files
    _check_settings(manifest, spec)
    files = EncoderFiles.read(folder, manifest)
    vectors = StoredVectors.from_tensors(map_safetensors(folder / VECTORS))
    names = NameTable(map_safetensors(folder / NAMES))
    _check_together(seal, spec, vectors, names)
    golden = GoldenVectors.read(map_safetensors(folder / GOLDEN), names)
    encoder = BundleEncoder(files, golden, engine=engine, threads=threads)
    cache = map_safetensors(folder / INDEX_CACHE) if _cache_fits(manifest) else None
    hybrid = None
    if HYBRID_DATA in present:
        data = parse_object((folder / HYBRID_DATA).read_text("utf-8"))
        hybrid = HybridFiles(data, map_safetensors(folder / HYBRID_ARRAYS))
    reranker = BundleReranker.read(folder, manifest, threads) if RERANKER in present else None
    report = (folder / REPORT_PAGE).read_bytes() if REPORT_PAGE in present else b""
    seal.wait()
    encoder.start()
    return Bundle(
        manifest=manifest.data,
        folder=folder,
        encoder=encoder,
        vectors=vectors,
        names=names,
        index_cache=cache,
        report=report,
        unpacked=unpacked,
        hybrid=hybrid,
        reranker=reranker,
    )


def _check_settings(manifest: Manifest, spec: EncoderSpec) -> None:
    """Raise for settings that no bundle has, or that would take more memory than a query is worth."""
    IndexSettings.from_manifest(manifest.index)  # raises for those that no index has
    names = manifest.index["names"]
    if names not in ("labels", "all"):
        raise ValueError(f"index: names {names!r} is not for bundles")
    if manifest.precision not in PRECISIONS or not 1 <= spec.max_length <= MAX_LENGTH or spec.dim < 1:
        raise ValueError("precision, max_length or dim is out of range")
    if not all(0 < width < spec.dim for width in manifest.matryoshka):
        raise ValueError("matryoshka: a width is out of range")


def read_manifest(path: Path) -> Manifest:
    """Return the manifest of a bundle (folder or zip) that is trusted already; nothing else is checked."""
    if path.is_file():
        import zipfile  # slow to import

        with zipfile.ZipFile(path) as archive:
            return Manifest(parse_object(archive.read(MANIFEST)))
    return Manifest(parse_object((path / MANIFEST).read_text(encoding="utf-8")))


def _check_together(seal: Seal, spec: EncoderSpec, vectors: StoredVectors, names: NameTable) -> None:
    """Check what no single file shows: shapes, the order of the records, and numbers that are finite."""
    if vectors.shape != (names.n_texts, spec.dim):
        raise ArtifactError(
            "E_BUNDLE_MISMATCH",
            f"{seal.folder / VECTORS}: {vectors.shape} vectors for {names.n_texts} texts of {spec.dim}",
        )
    if seal.manifest.index["records"] != seal.manifest.files[RECORDS].sha256:
        raise ArtifactError(
            "E_BUNDLE_MISMATCH", f"{seal.folder / RECORDS}: record id order: the names and vectors are of other records"
        )
    lengths = vectors.values if vectors.scales is None else vectors.scales
    sums = lengths @ np.ones(lengths.shape[1], np.float32) if lengths.ndim == 2 else lengths
    if not np.isfinite(sums).all():
        row = int(np.flatnonzero(~np.isfinite(sums))[0])
        raise ArtifactError("E_BUNDLE_NONFINITE", f"{seal.folder / VECTORS}: row {row} is not finite")


def _cache_fits(manifest: Manifest) -> bool:
    """Tell whether the index cache was made over these vectors with these parameters; otherwise it is made anew."""
    index, files = manifest.index, manifest.files
    return INDEX_CACHE in files and index.get("cache") == cache_key(index, files[VECTORS].sha256)


def cache_key(index: JsonObject, vectors: str) -> dict[str, Json]:
    """Return what an index cache depends on: its settings, which names it holds, the sha256 of the vectors."""
    settings = IndexSettings.from_manifest(index).as_dict()
    return {**settings, "names": as_text(index["names"], "names"), "vectors": vectors, "layout": 2}
