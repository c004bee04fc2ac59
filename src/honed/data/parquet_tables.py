"""Parquet: rows by batches, page checksums verified where the file has them."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.errors import DataError
from honed.data.csv_tables import check_header
from honed.data.table import Reject, Row, Table


def open_parquet(path: Path) -> Table:
    """Open a Parquet file; `DataError` for one that is damaged, empty or names a column twice."""
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise DataError("E_PARQUET", f"{path.name}: not a readable Parquet file: {error}") from error
    if file.metadata.num_rows == 0:
        raise DataError("E_EMPTY", f"{path.name}: 0 rows")
    check_header(path.name, schema.names)
    return Table(file=path.name, columns=list(schema.names), rows=_parquet_rows(path, file))


def _parquet_rows(path: Path, file: pq.ParquetFile) -> Iterator[Row | Reject]:
    number = 0
    try:
        for batch in file.iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                yield Row(file=path.name, where=f"row {number}", values=values)
                number += 1
    except (pa.ArrowException, OSError) as error:
        raise DataError("E_PARQUET", f"{path.name}, row {number} or later: damaged: {error}") from error
