"""Files and folders that are there whole or not at all: written beside their place, synced, then renamed into it."""

import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from honed.core.errors import StorageError
from honed.core.fingerprint import canonical_json

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
_OF_THE_DISK = {errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# how libraries in C++ and Rust tell of a disk that failed, in errors that are no OSError or have no number
_IN_WORDS = re.compile(
    r"No space left|Input/output error|requested and \d+ written|\(os error \d+\)|StreamWriter|inline_container"
)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn errors of the disk that name no file into a `StorageError` that names ``path``."""
    try:
        yield
    except StorageError:
        raise
    except Exception as error:
        number = getattr(error, "errno", None)
        if getattr(error, "filename", None) is not None or not (number in _OF_THE_DISK or _IN_WORDS.search(str(error))):
            raise
        reason = os.strerror(number) if number else str(error)
        raise StorageError("E_IO", f"{path}: {reason}") from error


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Yield where to write a file, with the same ending; when the block ends without an error it is there, and synced.

    After an error there is what was there before. A path that is no plain file, such as a pipe, is written as it is.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    beside = beside_file(path)
    with naming(path):
        try:
            yield beside
            sync(beside)
            beside.replace(path)
            sync(path.parent)
        finally:
            beside.unlink(missing_ok=True)


def beside_file(path: Path) -> Path:
    """Return the name that a file has until it is whole."""
    return path.with_name(f".{path.stem}.new{path.suffix}")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder to write in; when the block ends without an error it is there, in the place of an old one.

    After an error there is what was there before. Raises `StorageError` while another process writes the same.
    """
    with scratch_folder(target) as beside:
        yield beside
        put_in_place(beside, target)


@contextmanager
def scratch_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside a place, to make what goes there; it is gone afterwards.

    What a killed process left in it is removed. Raises `StorageError` while another process uses it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.new")
    beside.mkdir(exist_ok=True)
    claim = os.open(beside, os.O_RDONLY)
    try:
        _lock(claim, beside, target)
        _empty(beside)
        with naming(target):
            try:
                yield beside
            finally:
                shutil.rmtree(beside, ignore_errors=True)
    finally:
        os.close(claim)


def _lock(claim: int, folder: Path, target: Path) -> None:
    """Lock a folder by its descriptor; `StorageError` where another holds it, or has just put it into its place."""
    with suppress(OSError, ImportError):  # a file system, or a system, without such locks
        import fcntl

        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError("E_LOCKED", f"{target}: another process is writing it") from None
    if not folder.is_dir() or not os.path.samestat(os.fstat(claim), folder.stat()):
        raise StorageError("E_LOCKED", f"{target}: another process was writing it")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def put_in_place(folder: Path, target: Path) -> None:
    """Sync a folder and all in it, and let it take a place, or change places with what is there and remove that.

    At every moment there is the old folder or the new one, where the file system can exchange names.
    """
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
    aside = old_folder(target)
    shutil.rmtree(aside, ignore_errors=True)
    if target.exists() and exchange(folder, target):
        folder.rename(aside)
    else:
        if target.exists():
            target.rename(aside)
        folder.rename(target)
    sync(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def old_folder(target: Path) -> Path:
    """Return the name that a folder has which was replaced, until it is removed."""
    return target.with_name(f".{target.name}.old")


def exchange(first: Path, second: Path) -> bool:
    """Let two folders change places in one step, so that both names are always there; False where that cannot be."""
    import ctypes  # for results that are made anew, alone

    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    return int(renameat2(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE)) == 0


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with new_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    with new_file(path) as beside:
        beside.write_bytes(content)


def write_json(path: Path, value: object) -> None:
    """Write plain data, with msgspec.Struct in it or not, as JSON: whole or not at all; NaN is refused."""
    import msgspec  # not needed to search

    plain = msgspec.to_builtins(value)
    canonical_json(plain)
    write_text(path, json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sync(path: Path) -> None:
    """Make the system write a file, or the names of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
