"""Checkpoints that can be trusted: one counts only when it was marked complete after everything was on disk."""

import os
import shutil
from pathlib import Path

from honed.core.artifacts import write_json

_COMPLETE = "honed_complete.json"


def mark_complete(folder: Path) -> None:
    """Sync every file of a checkpoint, then mark it; only marked checkpoints are resumed from."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    write_json(folder / _COMPLETE, {"files": sorted(p.name for p in folder.iterdir())})


def is_complete(folder: Path) -> bool:
    """Tell whether a checkpoint was finished."""
    return (folder / _COMPLETE).is_file()


def last_complete(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of a training folder."""
    found = [
        (int(step), path)
        for path in folder.glob("checkpoint-*")
        if (step := path.name.removeprefix("checkpoint-")).isdigit() and is_complete(path)
    ]
    return max(found)[1] if found else None


def clear_incomplete(folder: Path) -> None:
    """Remove the checkpoints of a training folder that a crash left half-made."""
    for path in folder.glob("checkpoint-*"):
        if not is_complete(path):
            shutil.rmtree(path)
