"""Tables on disk as streams of rows: CSV, TSV, JSONL, JSON and Parquet, in bounded memory.

Strict by purpose: what the usual readers repair in silence (an open quote that eats the rest of a file, ``007`` read
as a number, ``NA`` read as nothing, text after a NUL) is a row with a counted reason here.
"""

import stat
from pathlib import Path

from honed.core.errors import DataError
from honed.data.csv_tables import open_csv
from honed.data.json_tables import json_kind, open_json, open_json_lines
from honed.data.lines import UTF16_MARKS
from honed.data.parquet_tables import open_parquet
from honed.data.table import Reject, Row, Table, TableFormat

__all__ = [
    "SUFFIXES",
    "Reject",
    "Row",
    "Table",
    "TableFormat",
    "json_kind",
    "open_table",
    "skipped_files",
    "table_files",
]
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def skipped_files(path: Path) -> list[str]:
    """Return what of a folder is not read: subfolders and files of other endings (hidden ones aside)."""
    if not path.is_dir():
        return []
    return sorted(
        item.name for item in path.iterdir() if item.suffix.lower() not in SUFFIXES and not item.name.startswith(".")
    )


def table_files(path: Path) -> list[Path]:
    """Return the table files that a path names: itself, or those directly in a folder, by name.

    Raises `DataError` when there is none, or when it is not a regular file (a pipe, a device).
    """
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if item.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError("E_NO_FILES", f"{path}: no table in this folder; known endings: {', '.join(SUFFIXES)}")
        return [item for file in found for item in table_files(file)]
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DataError("E_NO_FILE", f"{path}: no such file") from None
    if not stat.S_ISREG(mode):
        raise DataError("E_NOT_A_FILE", f"{path}: not a regular file (a pipe or a device cannot be imported)")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError("E_FILE_TYPE", f"{path}: unknown ending {path.suffix!r}; known: {', '.join(SUFFIXES)}")
    return [path]


def open_table(path: Path, form: TableFormat) -> Table:
    """Open one file as a table; errors of the whole file are `DataError`, errors of a row are `Reject` rows."""
    if path.stat().st_size == 0:
        raise DataError("E_EMPTY", f"{path.name}: the file is empty (0 bytes)")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return open_parquet(path)
    _check_start(path, form)
    if suffix in (".csv", ".tsv"):
        return open_csv(path, form)
    return open_json_lines(path, form) if suffix in (".jsonl", ".ndjson") else open_json(path, form)


def _check_start(path: Path, form: TableFormat) -> None:
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(UTF16_MARKS) and not form.encoding.lower().startswith("utf-16"):
        raise DataError(
            "E_ENCODING", f"{path.name}: starts with a utf-16 byte order mark; give  --encoding utf-16  to read it"
        )
    if not start.strip(b"\0"):
        raise DataError("E_NUL", f"{path.name}: holds only NUL bytes (a file cut by a crash looks like this)")
