"""A file that is only ever added to: a line of JSON for each thing that people did, on disk before the answer."""

import json
import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Generic, Protocol, TypeVar

from honed.core.errors import DataError
from honed.core.json import Json
from honed.core.writing import naming


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Entry = TypeVar("Entry", bound=_Dataclass)


class Journal(Generic[Entry]):
    """A file of dataclasses with a time ``at`` (UTC, ISO 8601), one JSON object a line.

    ``read_entry`` makes one of an object, and raises a `ValueError`, `TypeError` or `KeyError` for what is none.
    ``what`` and ``code`` are how a line that is none is named. Several threads may write to one journal.
    """

    def __init__(self, path: Path, read_entry: Callable[[dict[str, Json]], Entry], *, what: str, code: str) -> None:
        self.path, self.read_entry, self.what, self.code = path, read_entry, what, code
        self._writing = threading.Lock()

    def read(self) -> list[Entry]:
        """Return every entry, oldest first; a last line that a crash cut short is left out.

        Raises `DataError` for any other line that is no entry.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        lines = raw.split(b"\n")
        entries = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entries.append(self.read_entry(json.loads(line)))
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                if number == len(lines):  # no line end: it was never finished
                    break
                raise DataError(self.code, f"{self.path.name}, line {number}: not a {self.what}: {error}") from None
        return entries

    def add(self, entries: Iterable[Entry]) -> int:
        """Write entries to the end of the file and to disk; returns how many. Those without a time get the present."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [asdict(entry) for entry in entries]
        lines = [json.dumps({**row, "at": row.get("at") or now}, ensure_ascii=False).encode() + b"\n" for row in rows]
        if not lines:
            return 0
        with self._writing, naming(self.path), self.path.open("ab+") as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # what a crash cut short
                    file.truncate(_end_whole_lines(file))
            file.write(b"".join(lines))
            file.flush()
            os.fsync(file.fileno())
        return len(lines)


def _end_whole_lines(file: BinaryIO) -> int:
    """Return the length of a file up to the end of its last whole line, which gets a line end where it has none."""
    file.seek(0)
    content = file.read()
    try:
        json.loads(content.rsplit(b"\n", 1)[-1])
    except ValueError:
        return content.rfind(b"\n") + 1
    file.write(b"\n")
    return len(content) + 1
