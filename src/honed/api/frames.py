"""Data as Python has it, to Parquet files: data frames of any library, lists of rows, columns by name."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.errors import DataError
from honed.core.writing import new_file

# paths, a data frame (pandas, polars, pyarrow or another with the Arrow or interchange protocol), rows, or columns
Data: TypeAlias = object
_INDEX = re.compile(r"__index_level_\d+__|__null_dask_index__")


def paths_of(data: Data) -> list[Path] | None:
    """Return the paths that data names, or None where it is the data itself."""
    if isinstance(data, str | Path):
        return [Path(data)]
    if isinstance(data, Sequence) and data and all(isinstance(item, Path) for item in data):
        return [Path(item) for item in data]
    if isinstance(data, Sequence) and data and all(isinstance(item, str) for item in data):
        if all(Path(item).exists() for item in data):
            return [Path(item) for item in data]
        raise DataError("E_DATA", f"{data[0]!r}: neither a file nor a row; give paths, rows as tuples, or a data frame")
    return None


def pairs_of_columns(columns: Mapping[str, str] | Sequence[str]) -> Mapping[str, str]:
    """Return what each column is called elsewhere; columns in a list have the same name there."""
    return columns if isinstance(columns, Mapping) else {name: name for name in columns}


def write_parquet(data: Data, file: Path, names: Sequence[str]) -> Path:
    """Write data as a Parquet file, the same bytes for the same data; returns its path.

    ``names`` are the columns of rows that are tuples. Raises `DataError` for what is no table, and for a column whose
    values are of several types.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with new_file(file) as beside:
        pq.write_table(table_of(data, names).replace_schema_metadata(None), beside)
    return file


def table_of(data: Data, names: Sequence[str]) -> pa.Table:
    """Return data as an Arrow table, without the index of a data frame."""
    try:
        table = _arrow_table(data, names)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError("E_DATA", f"a column is no table's: {str(error).splitlines()[0]}") from error
    return table.select([name for name in table.column_names if not _INDEX.fullmatch(name)])


def _arrow_table(data: Data, names: Sequence[str]) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)
    if hasattr(data, "__dataframe__"):
        from pyarrow.interchange import from_dataframe

        return from_dataframe(data)
    if isinstance(data, Mapping):
        return pa.table({str(name): list(_column(values)) for name, values in data.items()})
    if isinstance(data, Iterable):
        return _rows_table(list(data), names)
    raise DataError("E_DATA", f"{type(data).__name__}: no data frame, no rows, no columns and no path")


def _column(values: object) -> Iterable[object]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise DataError("E_DATA", "a mapping is taken as columns: each name needs a list of values")
    return values


def _rows_table(rows: list[object], names: Sequence[str]) -> pa.Table:
    if not rows:
        raise DataError("E_EMPTY", "no rows")
    if all(isinstance(row, Mapping) for row in rows):
        return pa.Table.from_pylist(rows)
    width = len(rows[0]) if isinstance(rows[0], tuple | list) else 0
    for number, row in enumerate(rows):
        if not isinstance(row, tuple | list) or len(row) != width or not 0 < width <= len(names):
            raise DataError(
                "E_DATA", f"row {number}: {row!r:.80} is no row of up to {len(names)} values ({', '.join(names)})"
            )
    columns: list[list[object]] = [list(values) for values in zip(*rows, strict=True)]
    return pa.table(dict(zip(names, columns, strict=False)))
