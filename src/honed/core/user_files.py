"""Where honed keeps what belongs to a user of this machine and to no project."""

import os
from pathlib import Path


def user_file(name: str) -> Path:
    """Return the path of a name in ``~/.cache/honed``, or in the folder HONED_CACHE."""
    usual = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "honed"
    return Path(os.environ.get("HONED_CACHE") or usual) / name
