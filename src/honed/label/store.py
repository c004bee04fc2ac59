"""Hand labels as people give them: a line of JSON for each, on disk before the answer, with who, when and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from honed.core.journal import Journal
from honed.core.json import Json


@dataclass(frozen=True, kw_only=True, slots=True)
class HandLabel:
    """A label that a person gave a record; "" takes an earlier one back. ``at`` is a time in UTC, in ISO 8601."""

    id: str
    label: str
    who: str = ""
    at: str = ""
    why: str = ""


class LabelStore(Journal[HandLabel]):
    """A file of labels, one JSON object a line, only ever added to; the last line of a record counts."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _read_label, what="label", code="E_LABEL_STORE")

    def latest(self) -> dict[str, HandLabel]:
        """Return the last line of each record by its id; a label "" says that it has none, whatever the data says."""
        return {label.id: label for label in self.read()}


def _read_label(entry: dict[str, Json]) -> HandLabel:
    return HandLabel(**{str(name): str(value or "") for name, value in entry.items()})


_REFINERY_KINDS = {"__manual": "manual", "__confidence": "confidence", "__weak_supervision": "weak"}


def refinery_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return the label columns of an export of refinery by kind, "manual", "weak" or "confidence", as far as there."""
    by_kind: dict[str, str] = {}
    for column in columns:
        ending = next((ending for ending in _REFINERY_KINDS if column.lower().endswith(ending)), None)
        if ending is not None and column.startswith("__"):
            by_kind.setdefault(_REFINERY_KINDS[ending], column)
    return by_kind
