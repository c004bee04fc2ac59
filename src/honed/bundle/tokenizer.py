"""The tokenizer file of a bundle: what is known to abort the library, or to swell a text, is refused before any use."""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject, parse_object

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MOST_GROWTH = 64  # how many times longer the normalizer may make a text


def load_tokenizer(path: Path) -> "Tokenizer":
    """Return the tokenizer of a file; `ArtifactError` for one that cannot be read or must not be used."""
    try:
        content = path.read_bytes()
        if b"charsmap" in content or b"\\u" in content:  # the latter may spell anything
            json.loads(content, object_pairs_hook=_check_charsmaps)
    except (ValueError, TypeError, RecursionError) as error:
        raise ArtifactError("E_BUNDLE_TOKENIZER", f"{path}: {error}") from error
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(content.decode())
        _check_tokenizer(tokenizer)
    except BaseException as error:  # a panic of the library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise ArtifactError("E_BUNDLE_TOKENIZER", f"{path}: {str(error)[:200]}") from None
    return tokenizer


def _check_tokenizer(tokenizer: "Tokenizer") -> None:
    """Raise `ValueError` for a tokenizer that pads, cuts, or has a normalizer that swells a text."""
    for key in ("padding", "truncation"):
        if getattr(tokenizer, key) is not None:
            raise ValueError(f"{key} is set; a bundle's tokenizer has none")
    if tokenizer.normalizer is None:
        return
    growth = 1
    for step in _steps(parse_object(tokenizer.normalizer.__getstate__())):
        if step.get("type") in ("Replace", "Prepend"):
            growth *= max(1, len(str(step.get("content", step.get("prepend", "")))))
        if growth > _MOST_GROWTH:
            raise ValueError(f"normalizer {step['type']}: would make text {growth} times longer")


def _steps(normalizer: Json) -> list[JsonObject]:
    """Return all steps of a normalizer, whose sequences may hold sequences."""
    if not isinstance(normalizer, dict):
        return []
    if normalizer.get("type") == "Sequence":
        return [step for part in normalizer["normalizers"] for step in _steps(part)]
    return [normalizer]


def _check_charsmaps(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    """Raise `ValueError` for a compiled table that is shorter than its first number, a size, says."""
    for key, value in pairs:
        if key == "precompiled_charsmap":
            raw = base64.b64decode(str(value), validate=True)
            size = int.from_bytes(raw[:4], "little")
            if not 4 <= size <= len(raw) - 4 or size % 4:
                raise ValueError("normalizer Precompiled: its table does not fit its size")
    return dict(pairs)
