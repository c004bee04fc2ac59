"""Parquet, Arrow and Feather: rows by batches, page checksums verified where a Parquet file has them."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.errors import DataError
from honed.data.csv_tables import check_header
from honed.data.source import Source
from honed.data.table import Reject, Row, Table
from honed.data.values import plain_value

PARQUET_MARK, ARROW_MARK, FEATHER_MARK = b"PAR1", b"ARROW1", b"FEA1"
_BATCH = 1024


def open_parquet(source: Source) -> Table:
    """Open a Parquet file; `DataError` for one that is damaged, empty or names a column twice."""
    try:
        file = pq.ParquetFile(source.path or source.seekable(), page_checksum_verification=True)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise DataError("E_PARQUET", f"{source.name}: not a readable Parquet file: {error}") from error
    if file.metadata.num_rows == 0:
        raise DataError("E_EMPTY", f"{source.name}: 0 rows")
    return _table(source, schema, file.iter_batches(batch_size=_BATCH), "E_PARQUET")


def open_arrow(source: Source) -> Table:
    """Open an Arrow file or stream, or a Feather file; `DataError` for one that is damaged or empty."""
    start = source.start()
    try:
        if start.startswith(FEATHER_MARK):
            from pyarrow import feather

            table = feather.read_table(source.seekable())
            return _table(source, table.schema, table.to_batches(_BATCH), "E_ARROW")
        if start.startswith(ARROW_MARK):
            opened = pa.ipc.open_file(source.seekable())
            batches: Iterable[pa.RecordBatch] = (opened.get_batch(at) for at in range(opened.num_record_batches))
        else:
            opened = pa.ipc.open_stream(source.seekable())
            batches = opened
    except (pa.ArrowException, OSError) as error:
        raise DataError("E_ARROW", f"{source.name}: not a readable Arrow file: {error}") from error
    return _table(source, opened.schema, batches, "E_ARROW")


def _table(source: Source, schema: pa.Schema, batches: Iterable[pa.RecordBatch], code: str) -> Table:
    check_header(source.name, schema.names)
    typed = [field.name for field in schema if not _is_plain(field.type)]
    rows = _rows(source.name, batches, code, typed, _classes(schema))
    return Table(file=source.name, columns=list(schema.names), rows=rows)


def _is_plain(kind: pa.DataType) -> bool:
    """Tell whether values of a type are texts, whole numbers or booleans already."""
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_boolean)
    return any(test(kind) for test in tests)


def _classes(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of classes by column, where the library datasets wrote numbers for them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        named = {name: kind["names"] for name, kind in features.items() if kind.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return {name: [str(text) for text in names] for name, names in named.items()}


def _rows(
    name: str,
    batches: Iterable[pa.RecordBatch],
    code: str,
    typed: Sequence[str],
    classes: Mapping[str, Sequence[str]],
) -> Iterator[Row | Reject]:
    number = 0
    try:
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH):
                for values in batch.slice(start, _BATCH).to_pylist():
                    for column in typed:
                        values[column] = plain_value(values[column])
                    for column, names in classes.items():
                        values[column] = _class_name(values.get(column), names)
                    yield Row(file=name, where=f"row {number}", values=values)
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise DataError(code, f"{name}, row {number} or later: damaged: {error}") from error


def _class_name(value: object, names: Sequence[str]) -> object:
    """Return the name of a class by its number, None for -1 (no class); what is no number stays."""
    if not isinstance(value, int) or value >= len(names):
        return value
    return names[value] if value >= 0 else None
