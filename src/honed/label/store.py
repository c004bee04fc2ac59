"""Hand labels as people give them: a line of JSON for each, on disk before the answer, with who, when and why."""

import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from honed.core.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class HandLabel:
    """A label that a person gave a record; "" takes an earlier one back. ``at`` is a time in UTC, in ISO 8601."""

    id: str
    label: str
    who: str = ""
    at: str = ""
    why: str = ""


class LabelStore:
    """A file of labels, one JSON object a line, only ever added to; the last line of a record counts.

    Several threads may write to one store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writing = threading.Lock()

    def read(self) -> list[HandLabel]:
        """Return every line, oldest first; a last line that a crash cut short is left out.

        Raises `DataError` for any other line that is not a label.
        """
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        lines = raw.split(b"\n")
        labels = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                labels.append(HandLabel(**{str(name): str(value or "") for name, value in entry.items()}))
            except (ValueError, TypeError, AttributeError) as error:
                if number == len(lines):  # no line end: it was never finished
                    break
                raise DataError("E_LABEL_STORE", f"{self.path.name}, line {number}: not a label: {error}") from None
        return labels

    def latest(self) -> dict[str, HandLabel]:
        """Return the last line of each record by its id; a label "" says that it has none, whatever the data says."""
        return {label.id: label for label in self.read()}

    def add(self, labels: Iterable[HandLabel]) -> int:
        """Write labels to the end of the file and to disk; return how many. Those without a time get this moment's."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [{**asdict(label), "at": label.at or now} for label in labels]
        if not rows:
            return 0
        with self._writing, self.path.open("ab+") as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # what a crash cut short
                    file.truncate(_end_whole_lines(file))
            file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
        return len(rows)


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


_REFINERY_KINDS = {"__manual": "manual", "__confidence": "confidence", "__weak_supervision": "weak"}


def refinery_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return the label columns of an export of refinery by kind, "manual", "weak" or "confidence", as far as there."""
    by_kind: dict[str, str] = {}
    for column in columns:
        ending = next((ending for ending in _REFINERY_KINDS if column.lower().endswith(ending)), None)
        if ending is not None and column.startswith("__"):
            by_kind.setdefault(_REFINERY_KINDS[ending], column)
    return by_kind
