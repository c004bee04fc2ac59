"""Checkpoints that can be trusted: one counts only when it was marked complete after everything was on disk."""

import shutil
from pathlib import Path

from honed.core.writing import sync, write_json

_COMPLETE = "honed_complete.json"


def mark_complete(checkpoint: Path) -> None:
    """Sync every file of a checkpoint to disk, then mark it; only marked checkpoints are resumed from."""
    for path in checkpoint.rglob("*"):
        if path.is_file():
            sync(path)
    write_json(checkpoint / _COMPLETE, {"files": sorted(path.name for path in checkpoint.iterdir())})


def is_complete(checkpoint: Path) -> bool:
    """Tell whether a checkpoint was marked complete."""
    return (checkpoint / _COMPLETE).is_file()


def latest_checkpoint(folder: Path) -> Path | None:
    """Return the complete checkpoint of the highest step in a training folder; None where there is none."""
    steps = {
        int(step): path
        for path in folder.glob("checkpoint-*")
        if (step := path.name.removeprefix("checkpoint-")).isdigit() and is_complete(path)
    }
    return steps[max(steps)] if steps else None


def remove_incomplete(folder: Path) -> None:
    """Remove the checkpoints of a training folder that are not marked complete, such as a crash leaves."""
    for path in folder.glob("checkpoint-*"):
        if not is_complete(path):
            shutil.rmtree(path)
