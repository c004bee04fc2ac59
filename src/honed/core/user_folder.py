"""The folder of the user for what can be made anew: ``~/.cache/honed``, or HONED_CACHE."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder of the user for what can be made anew; it may be missing, or not be written to."""
    if chosen := os.environ.get("HONED_CACHE"):
        return Path(chosen)
    if usual := os.environ.get("XDG_CACHE_HOME"):
        return Path(usual, "honed")
    try:
        return Path.home() / ".cache" / "honed"
    except RuntimeError:  # a user without a home
        return Path(os.devnull, "honed")  # below a file: nothing is read there, and nothing written
