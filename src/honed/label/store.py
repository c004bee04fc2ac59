"""Hand labels as they are given: one line each, on disk before the answer, with who, when and why."""

import json
import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from honed.core.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class HandLabel:
    """A label that a person gave a record; ``label`` "" takes an earlier one back. ``at`` is a time in UTC."""

    id: str
    label: str
    who: str = ""
    at: str = ""
    why: str = ""


class LabelStore:
    """A file of labels, one JSON object a line, only ever added to; the last line of a record counts."""

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
        found = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
                found.append(HandLabel(**{str(name): str(each or "") for name, each in value.items()}))
            except (ValueError, TypeError, AttributeError) as error:
                if number == len(lines):  # no line end: it was never finished
                    break
                raise DataError("E_LABEL_STORE", f"{self.path.name}, line {number}: not a label: {error}") from None
        return found

    def latest(self) -> dict[str, HandLabel]:
        """Return the last line of each record; a label "" says that it has none, whatever the data says."""
        return {each.id: each for each in self.read()}

    def add(self, labels: Iterable[HandLabel]) -> int:
        """Write labels to the end of the file and to disk; returns how many."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [{**asdict(each), "at": each.at or now} for each in labels]
        if not rows:
            return 0
        with self._writing, self.path.open("ab+") as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # what a crash cut short
                    file.truncate(self._whole(file))
            file.write(b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())
        return len(rows)

    @staticmethod
    def _whole(file: Any) -> int:
        """Return the length of the file up to its last whole line."""
        file.seek(0)
        found = file.read()
        try:
            json.loads(found.rsplit(b"\n", 1)[-1])
        except ValueError:
            return int(found.rfind(b"\n") + 1)
        file.write(b"\n")
        return len(found) + 1


MANUAL, WEAK, CONFIDENCE = "__MANUAL", "__WEAK_SUPERVISION", "__confidence"


def labels_of(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str], who: str) -> list[HandLabel]:
    """Return the hand labels of rows of another tool; ``columns`` names the columns of ``id`` and ``label``."""
    found = []
    for row in rows:
        label, record = row.get(columns["label"]), row.get(columns["id"])
        if label not in (None, "") and record not in (None, ""):
            found.append(HandLabel(id=str(record), label=str(label), who=who, why="imported"))
    return found


def refinery_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return the label columns of an export of refinery by kind: "manual", "weak" and "confidence", or nothing."""
    kinds = {MANUAL: "manual", CONFIDENCE: "confidence", WEAK: "weak"}
    found: dict[str, str] = {}
    for column in columns:
        for ending, kind in kinds.items():
            if column.startswith("__") and column.lower().endswith(ending.lower()):
                found.setdefault(kind, column)
                break
    return found
