"""The folder for what belongs to a user of this machine and to no project: ``~/.cache/honed``, or HONED_CACHE."""

import os
from pathlib import Path


def _folder() -> Path:
    if chosen := os.environ.get("HONED_CACHE"):
        return Path(chosen)
    if usual := os.environ.get("XDG_CACHE_HOME"):
        return Path(usual, "honed")
    try:
        return Path.home() / ".cache" / "honed"
    except RuntimeError:  # a user without a home
        return Path(os.devnull, "honed")  # below a file: nothing is read there, and nothing written


def user_file(name: str) -> Path:
    """Return the path of a name in that folder; it may be missing, or not be written to."""
    return _folder() / name
