"""What was measured on this machine, kept for the user: small JSON files in ``~/.cache/honed`` or HONED_CACHE."""

import contextlib
import os
from pathlib import Path

from honed.core.cpus import cpu_count
from honed.core.fingerprint import fingerprint
from honed.core.json import Json
from honed.core.user_folder import user_file
from honed.core.writing import write_json
from honed.encode import hardware

# what a user may have told the libraries that multiply matrices: other settings, other speeds
_SETTINGS = ("OMP_NUM_THREADS", "HONED_BF16", "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE")


def machine() -> dict[str, Json]:
    """Return what tells this machine, as this process may use it, from others."""
    settings: dict[str, Json] = {name: os.environ[name] for name in _SETTINGS if os.environ.get(name)}
    return {"cpu": hardware.cpu_name(), "cores": cpu_count(), "settings": settings}


def machine_file(model: Json, kind: str) -> Path:
    """Return where a measurement of this machine with one model is kept."""
    return user_file(kind) / f"{fingerprint({**machine(), 'model': model})}.json"


def can_keep(file: Path) -> bool:
    """Tell whether a file can be written, in a folder that may have to be made first."""
    there = next((folder for folder in file.parents if folder.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def keep(file: Path, value: object) -> None:
    """Keep a measurement, where the user's folder can be written to."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, value)
