"""Text files with one text a line."""

from pathlib import Path

from honed.core.errors import DataError


def read_lines(path: Path) -> list[str]:
    """Return the lines of a UTF-8 text file, cut at line feeds only; `DataError` for other bytes."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("E_ENCODING", f"{path}: not utf-8: {error.reason} at byte {error.start}") from error
    lines = text.split("\n")
    return [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
