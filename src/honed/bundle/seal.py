"""What makes a bundle trustworthy before anything in it is used: its manifest, every byte, and its signature.

Hashing begins here, in the background, while the small files are read.
"""

import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Self

from honed.bundle.manifest import FileEntry, Manifest
from honed.bundle.note import Note
from honed.core.errors import ArtifactError, ConfigError
from honed.core.fingerprint import canonical_json, sha256_file
from honed.core.json import Json, JsonObject
from honed.core.optional import require
from honed.core.plain import as_text

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
FORMAT, VERSION = "honed-bundle", 2
_MAX_MANIFEST = 16 << 20
_MAX_FILES = 64
_SMALL = 1 << 20
_PARSED = ("model/tokenizer.json", "model/reranker_tokenizer.json", "index/hybrid.json")  # at once, so checked at once
_ENDINGS = (".onnx", ".safetensors", ".json", ".parquet", ".html")
_REFUSED_KINDS = {
    ".pkl": "a pickle",
    ".pickle": "a pickle",
    ".pt": "a pickle",
    ".bin": "possibly a pickle",
    ".npy": "npy files can hold pickles, and bundles hold none",
}


class Seal:
    """A manifest that fits its folder; the big files are hashed in the background until `wait`.

    With a ``note`` nothing is hashed that this user is known to have hashed before.
    """

    def __init__(self, folder: Path, manifest: Manifest, note: Note | None = None) -> None:
        self.folder, self.manifest, self._note = folder, manifest, note
        self._threads: list[threading.Thread] = []
        self._errors: list[ArtifactError] = []

    @classmethod
    def open(cls, folder: Path, public_key: Path | None = None, *, notes: bool = False) -> Self:
        """Check the manifest, its signature, the listing and the small files, and begin to hash the others.

        With ``notes`` a bundle that was checked before, on this disk and by this user, is not hashed again. Raises
        `ArtifactError` that names the file.
        """
        manifest = _read_manifest(folder)
        files = manifest.files
        _check_signature(folder, manifest, public_key)
        statuses = _check_listing(folder, files)
        note = Note(folder, as_text(manifest.data["self"], "self"), statuses) if notes else None
        if note is not None and note.holds():
            return cls(folder, manifest)
        seal = cls(folder, manifest, note)
        halves: list[list[str]] = [[], []]
        for name in sorted(files, key=lambda name: -files[name].size):
            if files[name].size <= _SMALL or name in _PARSED:
                _check_bytes(folder, name, files[name])
            else:
                min(halves, key=lambda half: sum(files[other].size for other in half)).append(name)
        for half in halves:
            thread = threading.Thread(target=seal._hash, args=([(name, files[name]) for name in half],), daemon=True)
            thread.start()
            seal._threads.append(thread)
        return seal

    def _hash(self, entries: list[tuple[str, FileEntry]]) -> None:
        """Check the bytes of some files; what differs is kept for `wait`."""
        try:
            for name, entry in entries:
                _check_bytes(self.folder, name, entry)
        except ArtifactError as error:
            self._errors.append(error)
        except OSError as error:
            self._errors.append(ArtifactError("E_BUNDLE_INCOMPLETE", f"{error.filename}: {error.strerror}"))

    def wait(self) -> None:
        """Return when every byte is checked; `ArtifactError` names the first file that differs."""
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        if self._note is not None:
            self._note.keep()
            self._note = None


def self_hash(manifest: JsonObject) -> str:
    """Return the sha256 of a manifest without the field that holds it."""
    return sha256(canonical_json({key: value for key, value in manifest.items() if key != "self"}).encode()).hexdigest()


def manifest_bytes(manifest: JsonObject) -> bytes:
    """Return a manifest as it is written; one that is written otherwise was changed."""
    return (json.dumps(manifest, ensure_ascii=False, indent=1) + "\n").encode()


def file_entry(path: Path) -> FileEntry:
    """Return the entry of a file for a manifest."""
    return FileEntry(sha256_file(path), path.stat().st_size)


def is_bundle(path: Path) -> bool:
    """Tell whether a path claims to be a bundle: a folder with our manifest, or a zip."""
    try:
        if path.suffix == ".zip":
            import zipfile  # slow to import

            with zipfile.ZipFile(path) as archive, archive.open(MANIFEST) as file:
                return FORMAT.encode() in file.read(_MAX_MANIFEST)
        with (path / MANIFEST).open("rb") as file:
            return FORMAT.encode() in file.read(_MAX_MANIFEST)
    except Exception:  # a zip can be broken in a dozen ways
        return False


def _read_manifest(folder: Path) -> Manifest:
    """Return a manifest that is of this format and fits its own sha256; `ArtifactError` for any other."""
    path = folder / MANIFEST
    if not folder.is_dir():
        raise ArtifactError("E_NOT_A_BUNDLE", f"{folder}: no such bundle")
    if path.is_symlink() or not path.is_file():
        raise ArtifactError("E_BUNDLE_INCOMPLETE", f"{folder}: no {MANIFEST}: not a whole bundle of honed")
    if path.stat().st_size > _MAX_MANIFEST:
        raise ArtifactError("E_BUNDLE_MANIFEST", f"{path}: larger than {_MAX_MANIFEST} bytes")
    raw = path.read_bytes()
    try:
        manifest = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ArtifactError("E_BUNDLE_MANIFEST", f"{path}: cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or manifest.get("version") != VERSION:
        known = manifest if isinstance(manifest, dict) else {}
        raise ArtifactError(
            "E_BUNDLE_VERSION",
            f"{path}: format {known.get('format')!r} version {known.get('version')!r}; this honed reads {FORMAT} "
            f"version {VERSION}",
        )
    if manifest.get("self") != self_hash(manifest) or raw != manifest_bytes(manifest):
        raise ArtifactError("E_BUNDLE_MANIFEST", f"{path}: was changed: its own sha256 does not fit")
    if not _well_formed(manifest.get("files")):
        raise ArtifactError("E_BUNDLE_MANIFEST", f"{path}: the list of files is not one of ours")
    return Manifest(manifest)


def _well_formed(files: Json) -> bool:
    """Tell whether a list of files is one: names with a size and a sha256, neither none nor too many."""
    return (
        isinstance(files, dict)
        and 0 < len(files) <= _MAX_FILES
        and all(
            isinstance(entry, dict) and type(entry.get("size")) is int and isinstance(entry.get("sha256"), str)
            for entry in files.values()
        )
    )


def _check_listing(folder: Path, files: Mapping[str, FileEntry]) -> dict[str, os.stat_result]:
    """Check that the folder holds the files of the manifest with their sizes, nothing else, and no link.

    Returns the status of all that lies in it, by name.
    """
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or "\0" in name:
            raise ArtifactError("E_BUNDLE_PATH", f"{folder}: the manifest names {name!r}, outside the bundle")
    statuses, sizes = dict(_walk(folder)), {}
    for name, status in statuses.items():
        if stat.S_ISLNK(status.st_mode):
            raise ArtifactError("E_BUNDLE_LINK", f"{folder / name}: is a link; a bundle holds plain files")
        if stat.S_ISDIR(status.st_mode):
            continue
        if name not in files and name not in (MANIFEST, SIGNATURE):
            _refuse_kind(folder, name)
            raise ArtifactError("E_BUNDLE_EXTRA", f"{folder / name}: {name} is not in the manifest")
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError("E_BUNDLE_LINK", f"{folder / name}: is no plain file")
        if status.st_nlink > 1:
            raise ArtifactError("E_BUNDLE_LINK", f"{folder / name}: is a hard link; a bundle holds files of its own")
        sizes[name] = status.st_size
    for name, entry in files.items():
        _refuse_kind(folder, name)
        if name not in sizes:
            raise ArtifactError("E_BUNDLE_INCOMPLETE", f"{folder / name}: missing")
        if sizes[name] != entry.size:
            raise ArtifactError(
                "E_BUNDLE_SIZE", f"{folder / name}: size expected {entry.size}, actual {sizes[name]} bytes"
            )
    return statuses


def _refuse_kind(folder: Path, name: str) -> None:
    """Raise `ArtifactError` for a file of a kind that no bundle has, by the ending of its name."""
    ending = PurePosixPath(name).suffix
    if ending in _REFUSED_KINDS:
        raise ArtifactError("E_BUNDLE_FORMAT", f"{folder / name}: {_REFUSED_KINDS[ending]}; it is not read")
    if ending in (".faiss", ".index"):
        raise ArtifactError(
            "E_BUNDLE_INDEX_TYPE",
            f"{folder / name}: FAISS files can name files outside (OnDiskInvertedLists); bundles hold none",
        )
    if ending not in _ENDINGS and name != SIGNATURE:
        raise ArtifactError("E_BUNDLE_EXTRA", f"{folder / name}: {name} is no file of a bundle")


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield (relative name, status) of everything in a folder; links are yielded, not followed."""
    waiting = [folder]
    while waiting:
        for entry in sorted(os.scandir(waiting.pop()), key=lambda item: item.name):
            status = entry.stat(follow_symlinks=False)
            yield Path(entry.path).relative_to(folder).as_posix(), status
            if stat.S_ISDIR(status.st_mode):
                waiting.append(Path(entry.path))


def _check_bytes(folder: Path, name: str, entry: FileEntry) -> None:
    """Raise `ArtifactError` for a file whose sha256 is not that of the manifest."""
    actual = sha256_file(folder / name)
    if actual != entry.sha256:
        raise ArtifactError(
            "E_BUNDLE_CHECKSUM",
            f"{folder / name}: sha256 expected {entry.sha256[:16]}..., actual {actual[:16]}...: bytes differ from "
            "the manifest",
        )


def sign(folder: Path, private_key: bytes) -> None:
    """Sign a bundle's manifest with an Ed25519 key; the manifest must name its public half (see `signer_of`)."""
    key = _read_private_key(private_key)
    (folder / SIGNATURE).write_bytes(key.sign((folder / MANIFEST).read_bytes()))


def signer_of(private_key: bytes) -> str:
    """Return the public half of an Ed25519 private key (PEM), as hexadecimal digits."""
    return str(_read_private_key(private_key).public_key().public_bytes_raw().hex())


def _read_private_key(pem: bytes) -> "Ed25519PrivateKey":
    """Return the Ed25519 key of a PEM file; `ConfigError` for anything else."""
    require("signatures")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ConfigError("E_KEY", f"the private key cannot be read: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError("E_KEY", "the key is no Ed25519 private key")
    return key


def _check_signature(folder: Path, manifest: Manifest, public_key: Path | None) -> None:
    """Check a signature that is there or wanted; without ``public_key`` it only proves that nothing was changed."""
    path, signer = folder / SIGNATURE, manifest.signer
    if not path.exists() and not signer:
        if public_key is not None:
            raise ArtifactError("E_BUNDLE_SIGNATURE", f"{path}: a signature is required and there is none")
        return
    if not path.is_file() or path.is_symlink() or path.stat().st_size != 64 or not isinstance(signer, str):
        raise ArtifactError("E_BUNDLE_SIGNATURE", f"{path}: the signature and the manifest do not fit together")
    require("signatures")
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer)).verify(
            path.read_bytes(), (folder / MANIFEST).read_bytes()
        )
    except (InvalidSignature, ValueError):
        raise ArtifactError("E_BUNDLE_SIGNATURE", f"{path}: does not match the manifest") from None
    if public_key is not None:
        try:
            trusted = load_pem_public_key(public_key.read_bytes())
        except (ValueError, TypeError) as error:
            raise ConfigError("E_KEY", f"{public_key}: no public key in PEM") from error
        if not isinstance(trusted, Ed25519PublicKey) or trusted.public_bytes_raw().hex() != signer:
            raise ArtifactError("E_BUNDLE_SIGNATURE", f"{path}: signed by another key than {public_key}")
