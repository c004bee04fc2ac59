"""Notes of bundles whose every byte was checked on this disk: a second start need not read them all again.

A note is nothing but a code (HMAC-SHA256) over what the system says of the files, by a key that only this user can
read. It holds as long as no file was written to, replaced or moved: that changes a time, a size or an inode, and the
time of a change of status (ctime) cannot be set back as that of a write can.
"""

import os
import stat
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from honed.core.fingerprint import canonical_json
from honed.core.user_folder import user_file

_VERSION = 1  # of what is proven of the files
_KEY, _KEY_BYTES = "key", 32
_SETTLED = 2_000_000_000  # ns: within the grain of a clock a file may change and keep its time


class Note:
    """The note of one bundle folder with one manifest; ``statuses`` are of all that lies in it, taken before reading.

    Nothing is noted, and no note counts, where the bundle or the folder of notes is not the user's own.
    """

    def __init__(self, folder: Path, manifest: str, statuses: Mapping[str, os.stat_result]) -> None:
        self._statuses = {".": folder.lstat(), **statuses}
        files = {name: _facts(status) for name, status in statuses.items() if stat.S_ISREG(status.st_mode)}
        stated = {"version": _VERSION, "folder": str(folder), "manifest": manifest, "files": files}
        self._stated = canonical_json(stated).encode()
        self._notes = user_file("verified")
        self._file = self._notes / sha256(os.fsencode(folder)).hexdigest()[:32]

    def holds(self) -> bool:
        """Tell whether every byte of these very files was checked before."""
        try:
            key = self._key()
            if key is None or not all(map(_is_own, self._statuses.values())):
                return False
            import hmac

            return hmac.compare_digest(self._code(key), self._file.read_bytes())
        except OSError:
            return False

    def keep(self) -> None:
        """Note that every byte was checked, where that can be noted and no file is too new to tell changes by time."""
        newest = max(status.st_ctime_ns for status in self._statuses.values())
        if not all(map(_is_own, self._statuses.values())) or time.time_ns() - newest < _SETTLED:
            return
        try:
            self._notes.mkdir(mode=0o700, parents=True, exist_ok=True)
            key = self._key() or self._new_key()
            beside = self._file.with_name(f"{self._file.name}.{os.getpid()}")
            beside.write_bytes(self._code(key))
            beside.replace(self._file)
        except OSError:  # no folder to write to, or two processes at once: the next start checks again
            return

    def _code(self, key: bytes) -> bytes:
        import hmac  # not needed where there are no notes

        return hmac.digest(key, self._stated, "sha256")

    def _key(self) -> bytes | None:
        """Return the user's key; None where there is none, or anyone else could have read or made it."""
        if not self._notes.exists() or not _is_own(self._notes.lstat(), private=True):
            return None
        if not (self._notes / _KEY).exists():
            return None
        descriptor = os.open(self._notes / _KEY, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            key = file.read(_KEY_BYTES + 1) if _is_own(os.fstat(file.fileno()), private=True) else b""
        return key if len(key) == _KEY_BYTES else None

    def _new_key(self) -> bytes:
        """Make a key, once; `OSError` where there is one that does not count."""
        if not _is_own(self._notes.lstat(), private=True):
            raise PermissionError(f"{self._notes}: others can write to it")
        key = os.urandom(_KEY_BYTES)
        descriptor = os.open(self._notes / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
        return key


def _facts(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev]


def _is_own(status: os.stat_result, *, private: bool = False) -> bool:
    """Tell whether a file or folder belongs to the user of this process; ``private``: and no other may open it."""
    owned = hasattr(os, "getuid") and status.st_uid == os.getuid()
    return owned and not stat.S_ISLNK(status.st_mode) and not (private and status.st_mode & 0o077)
