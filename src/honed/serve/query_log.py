"""A log of whole lines in a file of bounded size, written by a thread of its own: no answer waits for it.

A line that cannot be written (the disk is full, or slower than the answers) is lost and counted.
"""

import errno
import fcntl
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from honed.core.errors import StorageError

log = logging.getLogger("honed.server")
OLDER_FILES = 3  # FILE.1 is the newest of them
_MOST_PENDING = 8 << 20  # bytes that wait to be written
_BLOCK = 1 << 16
_BETWEEN_WARNINGS = 600.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class LogOptions:
    """Where a server writes what was asked; ``max_bytes`` bounds the file together with its older parts."""

    path: Path
    max_bytes: int = 256 << 20


class QueryLog:
    """Appends lines to a file; ``count`` is called with "written" or "lost" and a number of lines.

    The file is moved to ``FILE.1`` before it outgrows its share of ``max_bytes``, ``FILE.1`` to ``FILE.2`` and so on;
    the oldest part is dropped. One process writes to a file.
    """

    def __init__(self, options: LogOptions, count: Callable[[str, int], None]) -> None:
        """Open the file and take off a last line that a crash cut short.

        Raises `StorageError` (``E_LOG``) when the file cannot be written, or another server writes to it.
        """
        self.path, self._count = options.path, count
        self._most = options.max_bytes // (1 + OLDER_FILES)
        self._pending: deque[bytes] = deque()
        self._pending_bytes = 0
        self._changed = threading.Condition()
        self._is_closed, self._warned_at = False, -_BETWEEN_WARNINGS
        try:
            self._file: int | None = _opened(self.path)
        except OSError as error:
            busy = error.errno in (errno.EAGAIN, errno.EACCES) and not error.filename
            reason = "another server writes to it" if busy else error.strerror
            raise StorageError("E_LOG", f"{self.path}: cannot be written: {reason}") from error
        self._thread = threading.Thread(target=self._write_all, daemon=True, name="query log")
        self._thread.start()

    def add(self, lines: list[bytes]) -> None:
        """Hand lines over, each with its line end, to be written soon; never waits for the disk."""
        size = sum(map(len, lines))
        with self._changed:
            is_kept = not self._is_closed and self._pending_bytes + size <= _MOST_PENDING
            if is_kept:
                self._pending.append(b"".join(lines))
                self._pending_bytes += size
                self._changed.notify()
        if not is_kept:
            self._lost(len(lines), "lines come faster than they are written")

    def close(self, timeout: float = 5.0) -> None:
        """Write what waits, for at most ``timeout`` seconds, and take no more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending or self._is_closed)
                if not self._pending:
                    break
                block = self._pending.popleft()
            try:
                self._write(block)
            finally:
                with self._changed:
                    self._pending_bytes -= len(block)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, block: bytes) -> None:
        """Write whole lines, or none of them."""
        n_lines = block.count(b"\n")
        try:
            self._append(block)
        except OSError as error:
            self._lost(n_lines, error.strerror or type(error).__name__)
            return
        self._count("written", n_lines)

    def _append(self, block: bytes) -> None:
        file = self._file if self._file is not None else _opened(self.path)
        self._file = file
        size = os.fstat(file).st_size
        if size and size + len(block) > self._most:
            file = self._rotated(file)
            size = os.fstat(file).st_size
        if len(block) > self._most:
            raise OSError(errno.EFBIG, "a line is longer than the file may be")
        if os.write(file, block) < len(block):  # the disk became full within a line
            try:
                os.ftruncate(file, size)
            except OSError:  # opened again for the next line, it is cut after its last whole one
                self._file = None
                os.close(file)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _rotated(self, file: int) -> int:
        """Move the file and its older parts on by one, and return a new file."""
        os.close(file)
        self._file = None
        parts = [self.path, *(older_file(self.path, number) for number in range(1, OLDER_FILES + 1))]
        for older, newer in zip(reversed(parts), reversed(parts[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        self._file = _opened(self.path)
        return self._file

    def _lost(self, n_lines: int, reason: str) -> None:
        """Count lines that are not written, and say so, at most once in a while."""
        self._count("lost", n_lines)
        if time.monotonic() - self._warned_at >= _BETWEEN_WARNINGS:
            self._warned_at = time.monotonic()
            log.warning("%s: lines are lost: %s; answers go on", self.path, reason)


def older_file(path: Path, number: int) -> Path:
    """Return the place of an older part of a log, 1 for the newest of them."""
    return path.with_name(f"{path.name}.{number}")


def _opened(path: Path) -> int:
    """Return a file to append to, cut after its last whole line, that no other process holds.

    A new one can be read by its owner alone.
    """
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _cut_torn_line(file)
    except OSError:
        os.close(file)
        raise
    return file


def _cut_torn_line(file: int) -> None:
    """Cut a file after its last whole line."""
    end = os.fstat(file).st_size
    position = end
    while position:
        start = max(0, position - _BLOCK)
        block = os.pread(file, position - start, start)
        if b"\n" in block:
            position = start + block.rfind(b"\n") + 1
            break
        position = start
    if position < end:
        os.ftruncate(file, position)
