"""Tables on disk as streams of rows: CSV, TSV, JSON, Parquet, Arrow, spreadsheets, packed or not, in bounded memory.

Strict by purpose: what the usual readers repair in silence (an open quote that eats the rest of a file, ``007`` read
as a number, ``NA`` read as nothing, text after a NUL) is a row with a counted reason here.
"""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from honed.core.errors import ConfigError, DataError
from honed.data.cell_tables import open_sheet
from honed.data.columnar_tables import ARROW_MARK, FEATHER_MARK, PARQUET_MARK, open_arrow, open_parquet
from honed.data.csv_tables import open_csv
from honed.data.encodings import unmarked_utf16
from honed.data.json_tables import json_kind, open_json
from honed.data.lines import UTF16_MARKS, codec_name
from honed.data.markup_tables import is_marked_up, open_marked_up
from honed.data.semeval_tables import is_semeval, open_semeval
from honed.data.source import PACKED_ENDINGS, START_BYTES, ZIP_MARK, Source, ending_of, file_source, is_hidden, unpacked
from honed.data.split_names import SPLIT_NAMES
from honed.data.sqlite_tables import SQLITE_MARK, open_sqlite
from honed.data.table import QUOTING, Reject, Row, Table, TableFormat, with_column

__all__ = [
    "SUFFIXES",
    "Reject",
    "Row",
    "Table",
    "TableFormat",
    "checked_format",
    "file_of",
    "folder_files",
    "is_table_file",
    "json_kind",
    "open_table",
    "open_tables",
    "skipped_files",
    "table_files",
]
_DELIMITED, _JSON = (".csv", ".tsv", ".tab"), (".jsonl", ".ndjson", ".json")
_COLUMNAR = {".parquet": open_parquet, ".arrow": open_arrow, ".feather": open_arrow}
_BOOKS, _DATABASES = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), (".db", ".sqlite", ".sqlite3")
SUFFIXES = (*_DELIMITED, *_JSON, *_COLUMNAR, *_BOOKS, *_DATABASES)
_OLD_BOOK = b"\xd0\xcf\x11\xe0"
_HUB_SHARD = re.compile(r"(?P<split>[\w.]+?)-\d{5}-of-\d{5}\.\w+")
_SAVED_SPLITS, _SAVED = "dataset_dict.json", "dataset_info.json"  # what `datasets` writes beside Arrow files


def checked_format(form: TableFormat) -> TableFormat:
    """Return a format; `ConfigError` for an unknown encoding or way of quoting, and a delimiter that is no one sign."""
    if form.quoting not in QUOTING:
        raise ConfigError("E_OPTION", f"quoting {form.quoting!r} is not one of {', '.join(QUOTING)}")
    if len(form.delimiter) > 1:
        raise ConfigError("E_OPTION", f"delimiter {form.delimiter!r} is not one character")
    codec_name(form.encoding)
    return form


def is_table_file(path: Path) -> bool:
    """Tell whether a file has the ending of a table, packed or not, or TREC's form, and is not hidden."""
    return not is_hidden(path.name) and (ending_of(path.name) in (*SUFFIXES, ".zip") or _is_marked_up_file(path))


def _is_marked_up_file(path: Path) -> bool:
    """Tell whether a file holds records as TREC or SMART wrote them, whatever its ending; packed ones too."""
    if not path.is_file() or path.stat().st_size == 0:
        return False
    try:
        return all(is_marked_up(source.start()) for source in unpacked(file_source(path)))
    except (DataError, ConfigError):
        return False


def skipped_files(path: Path) -> list[str]:
    """Return what of a folder is not read: subfolders and files of other endings (hidden ones aside)."""
    if not path.is_dir() or (path / _SAVED_SPLITS).is_file() or (path / _SAVED).is_file():
        return []
    return sorted(item.name for item in path.iterdir() if not is_table_file(item) and not is_hidden(item.name))


def file_of(path: Path) -> Path:
    """Return the file that a path names: itself, or ``book.xlsx`` of ``book.xlsx#sheet``."""
    file, _, part = path.name.partition("#")
    return path.with_name(file) if file and part and not path.exists() else path


def table_files(path: Path) -> list[Path]:
    """Return the table files that a path names: itself, or those directly in a folder, by name; hidden ones are none.

    A path may name a sheet or a table of a file (``book.xlsx#sheet``); of a folder that the library datasets saved its
    Arrow files are read, those of each split. Raises `DataError` when there is none, or when it is not a regular file
    (a pipe, a device).
    """
    known = ", ".join((*SUFFIXES, ".zip"))
    if path.is_dir():
        files = folder_files(path)
        if not files:
            raise DataError("E_NO_FILES", f"{path}: no table in this folder; known endings: {known}")
        return [item for file in files for item in table_files(file)]
    file = file_of(path)
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        raise DataError("E_NO_FILE", f"{path}: no such file") from None
    if not stat.S_ISREG(mode):
        raise DataError("E_NOT_A_FILE", f"{path}: not a regular file (a pipe or a device cannot be imported)")
    if ending_of(file.name) not in (*SUFFIXES, ".zip") and not (_is_semeval_file(file) or _is_marked_up_file(file)):
        packed = f", each also as {', '.join(PACKED_ENDINGS)}"
        raise DataError("E_FILE_TYPE", f"{path}: unknown ending {file.suffix!r}; known: {known}{packed}")
    return [path]


def _is_semeval_file(file: Path) -> bool:
    with file.open("rb") as opened:
        return file.suffix.lower() == ".txt" and is_semeval(opened.read(START_BYTES))


def folder_files(folder: Path) -> list[Path]:
    """Return the table files of a folder, by name; none is no error."""
    return _saved_files(folder) or sorted(item for item in folder.iterdir() if is_table_file(item))


def _saved_files(folder: Path) -> list[Path]:
    """Return the Arrow files of a folder that the library datasets saved, those of its splits too; else none."""
    if (folder / _SAVED_SPLITS).is_file():
        return [file for split in sorted(folder.iterdir()) if split.is_dir() for file in _saved_files(split)]
    return sorted(folder.glob("*.arrow")) if (folder / _SAVED).is_file() else []


def _split_of(path: Path) -> str:
    """Return the split that the names of a file or of its folder tell, as the Hub and the library datasets name them.

    Empty where they tell none.
    """
    name = path.parent.name if (path.parent.parent / _SAVED_SPLITS).is_file() else ""
    shard = _HUB_SHARD.fullmatch(path.name)
    name = name or (shard["split"] if shard else "")
    return name if name in SPLIT_NAMES else ""


def open_table(path: Path, form: TableFormat) -> Table:
    """Open a file that is one table; see `open_tables`. `DataError` for a file of several."""
    sources = list(_sources(path))
    if len(sources) > 1:
        names = ", ".join(source.name for source in sources)
        raise DataError("E_SEVERAL_TABLES", f"{path.name}: holds {len(sources)} tables ({names}); expected one")
    return _open(sources[0], form)


def open_tables(path: Path, form: TableFormat) -> Iterator[Table]:
    """Open the tables of a file, one but in archives.

    Files that the Hub or the library datasets named after a split have it as a column. Errors of the whole file are
    `DataError`, errors of a row are `Reject` rows.
    """
    split = _split_of(path)
    return (_with_split(_open(source, form), split) for source in _sources(path))


def _with_split(table: Table, split: str) -> Table:
    return with_column(table, "split", split) if split and "split" not in table.columns else table


def _sources(path: Path) -> Iterator[Source]:
    file = file_of(path)
    if file.stat().st_size == 0:
        raise DataError("E_EMPTY", f"{path.name}: the file is empty (0 bytes)")
    return unpacked(file_source(file, path.name[len(file.name) + 1 :]))


def _open(source: Source, form: TableFormat) -> Table:
    start = source.start()
    if not start:
        raise DataError("E_EMPTY", f"{source.name}: the file is empty (0 bytes)")
    if start.startswith((ZIP_MARK, _OLD_BOOK)):
        return open_sheet(source)
    if start.startswith(SQLITE_MARK):
        return open_sqlite(source)
    if source.ending in (*_BOOKS, *_DATABASES):
        raise DataError("E_FILE_TYPE", f"{source.name}: its content is no {source.ending[1:]} file")
    if source.ending in _COLUMNAR:
        return _COLUMNAR[source.ending](source)
    if start.startswith(PARQUET_MARK):
        return open_parquet(source)
    if start.startswith((ARROW_MARK, FEATHER_MARK)):
        return open_arrow(source)
    _check_start(source, start, form)
    if source.ending not in (*_DELIMITED, *_JSON) and is_marked_up(start):
        return open_marked_up(source, form)
    if source.ending == ".txt":
        return open_semeval(source, form)
    return open_json(source, form) if source.ending in _JSON else open_csv(source, form)


def _check_start(source: Source, start: bytes, form: TableFormat) -> None:
    if start.startswith(b"%PDF"):
        raise DataError("E_FILE_TYPE", f"{source.name}: is a PDF; export its table")
    wide = re.sub(r"\W", "", codec_name(form.encoding)).startswith(("utf16", "utf32"))
    if start.startswith(UTF16_MARKS) and not wide:
        raise DataError(
            "E_ENCODING", f"{source.name}: starts with a utf-16 byte order mark; give  --encoding utf-16  to read it"
        )
    if not start.strip(b"\0"):
        raise DataError("E_NUL", f"{source.name}: holds only NUL bytes (a file cut by a crash looks like this)")
    if not wide and (looks := unmarked_utf16(start)):
        raise DataError("E_ENCODING", f"{source.name}: looks like {looks}; give  --encoding {looks}  to read it")
