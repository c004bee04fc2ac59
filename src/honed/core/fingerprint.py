"""Names for content: what a stage's result is called depends on everything that shaped it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_BLOCK = 1 << 20


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no optional blanks; NaN is refused."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def fingerprint(value: Any) -> str:
    """Return 16 hexadecimal digits that change when any part of a JSON value changes."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def sha256_files(paths: Mapping[str, Path]) -> str:
    """Return one sha256 over named files: names and contents count, their order does not."""
    return hashlib.sha256(
        canonical_json({name: sha256_file(path) for name, path in paths.items()}).encode()
    ).hexdigest()
