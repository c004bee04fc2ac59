"""Which files ``honed init`` looks at: tables in folders of folders, tables of several kinds, files without names."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from honed.core.errors import DataError
from honed.core.text import fold
from honed.data.source import is_hidden
from honed.data.split_names import split_named
from honed.data.table import Row
from honed.data.tables import folder_files, open_tables
from honed.shapes.init_columns import names_without_header
from honed.shapes.proposal import COLUMN_NAMES, InitFiles

_USUAL = ("data", "default", "plain_text", "main")  # folders of tables in what the Hub holds
_JUDGED = ("corpus", "queries", "qrels")  # folders that the shape of judged search opens itself
_LOOK = 200
_CELLS = ".cells"
_DELIMITED = (".csv", ".tsv", ".tab")


def opened_folders(paths: Sequence[Path]) -> list[Path]:
    """Return paths; in the place of a folder without tables the folders below it that hold them."""
    return [opened for path in paths for opened in (_opened(path) if path.is_dir() else [path])]


def _opened(folder: Path, depth: int = 3) -> list[Path]:
    """Return a folder, or where it holds no table the ones in it: the usual one, the only one, or those of splits.

    Raises `DataError` where several hold tables and nothing tells which are meant.
    """
    inner = sorted(item for item in folder.iterdir() if item.is_dir() and not is_hidden(item.name))
    if folder_files(folder) or not depth or any(item.name.startswith(_JUDGED) for item in inner):
        return [folder]
    holding = {item: below for item in inner if (below := _holding(item, depth - 1))}
    usual = next((item for name in _USUAL for item in holding if item.name == name), None)
    if usual is not None:
        return holding[usual]
    if len(holding) > 1 and not all(split_named(item.name) for item in holding):
        listed = ", ".join(item.name for item in holding)
        raise DataError("E_NO_FILES", f"{folder}: tables in several folders ({listed}); name those that are meant")
    return [path for below in holding.values() for path in below] or [folder]


def _holding(folder: Path, depth: int) -> list[Path]:
    opened = _opened(folder, depth)
    return opened if all(folder_files(path) for path in opened) else []


def views(files: InitFiles) -> list[InitFiles]:
    """Return the files once for each kind of table among them, with the tables of that kind first.

    Kinds with more columns of known names come first. Files without a line of names get one.
    """
    files = replace(files, roots=files.paths)
    try:
        everything = files.files
    except DataError:
        return [files]  # no tables but in folders of one part each: the shape of judged search opens them
    kinds: dict[tuple[str, ...], list[Path]] = {}
    for file in everything:
        columns = _columns(files, file)
        if columns is not None:
            kinds.setdefault(tuple(columns), []).append(file)
    if len(kinds) < 2:
        return [_with_header(files)]
    known = {name for names in COLUMN_NAMES.values() for name in names}
    ranked = sorted(kinds, key=lambda columns: -len(known.intersection(map(_folded, columns))))
    several = []
    for kind in ranked:
        order = [*kinds[kind], *(file for other in kinds for file in kinds[other] if other != kind)]
        several.append(replace(files, paths=order, named=files.paths if order == everything else order))
    return [_with_header(view) for view in several]


def _columns(files: InitFiles, file: Path) -> list[str] | None:
    """Return the columns of a file's first table, without order; None for a part of a folder that is empty."""
    try:
        return sorted(next(open_tables(file, files.format)).columns)
    except DataError as error:
        if error.code != "E_EMPTY" or file in files.paths:
            raise
        return None


def _folded(column: str) -> str:
    return fold(column).replace(" ", "_")


def _with_header(files: InitFiles) -> InitFiles:
    """Return the files with names for their columns where the first of them is a delimited file without any."""
    first = files.files[0]
    if first.suffix.lower() not in _DELIMITED:
        return files
    columns = next(open_tables(first, files.format)).columns
    known = {name for names in COLUMN_NAMES.values() for name in names}
    if known.intersection(map(_folded, columns)):
        return files
    numbered = replace(files, header=[f"{_CELLS}{place}" for place in range(len(columns))])
    table = next(open_tables(first, numbered.format))
    cells = [[str(value) for value in row.values.values()] for row in islice(table.rows, _LOOK) if isinstance(row, Row)]
    return replace(files, header=names_without_header(columns, cells[1:]))
