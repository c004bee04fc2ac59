"""Where a catalogue was loaded from."""

from dataclasses import dataclass, field
from pathlib import Path

from honed.bundle.layout import Arrays
from honed.core.json import JsonObject


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a catalogue was loaded from: its folder; of a bundle also the manifest and the report page (HTML).

    ``index_cache`` holds the arrays of an index that was built before; ``unpacked`` is the folder that a zip was
    unpacked into, which goes with the last who keeps it.
    """

    folder: Path | None = None
    manifest: JsonObject = field(default_factory=dict)
    report: bytes = b""
    index_cache: Arrays | None = None
    unpacked: object = None
