"""Rules are programs, and run with the rights of whoever starts honed: those of others run when they were agreed to.

What was agreed to is kept on this machine by the hash of the rules and of all that Python may import beside them, so
that a changed file is asked about again. HONED_ALLOW_RULES=1 agrees to everything, for machines where nobody is asked.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from honed.core.errors import ConfigError
from honed.core.fingerprint import sha256_files
from honed.core.user_folder import user_file
from honed.core.writing import write_text

ALLOW_ALL = "HONED_ALLOW_RULES"
_PROGRAMS = (".py", ".pyc", ".pyd", ".so")
_NOT_ENTERED = ("__pycache__", "site-packages", "node_modules")  # the rules' process reads no __pycache__ of them


def require_consent(files: Sequence[Path]) -> None:
    """Raise `ConfigError` unless the rules of these files, as they are now, were agreed to on this machine."""
    for file in files:
        if os.environ.get(ALLOW_ALL) != "1" and not _kept(file).is_file():
            raise ConfigError(
                "E_LF_CONSENT",
                f"{file}: rules are programs that run with your rights, and nobody has agreed to these as they are: "
                f"read {_others(file)}, then  honed label allow  (Project.allow_rules), or set {ALLOW_ALL}=1 where "
                "every project is your own",
            )


def agree(files: Sequence[Path]) -> list[Path]:
    """Note that the rules of these files may run as they are now; returns all files of programs that this covers."""
    for file in files:
        place = _kept(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, f"{file.resolve()}\n")
    return sorted({path for file in files for path in programs(file)})


def programs(file: Path) -> list[Path]:
    """Return a file of rules and every program in its folder and below it, which the rules could import."""
    return sorted({file, *_programs_in(file.parent)})


def _programs_in(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".")
            and name not in _NOT_ENTERED
            and not (Path(place) / name / "pyvenv.cfg").exists()
        ]
        yield from (Path(place) / name for name in names if name.endswith(_PROGRAMS))


def _kept(file: Path) -> Path:
    """Return the file whose existence says that rules were agreed to."""
    hashed = {os.path.relpath(path, file.parent): path for path in programs(file)}
    return user_file("allowed-rules") / f"{file.name}-{sha256_files(hashed)}"


def _others(file: Path) -> str:
    count = len(programs(file)) - 1
    return f"it and the {count} other programs in its folder" if count else "it"
