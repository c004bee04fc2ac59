"""Runs on disk: Parquet, one row a hit, in order."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.fingerprint import fingerprint
from honed.core.records import Run

_SCHEMA = pa.schema([("query_id", pa.string()), ("doc_id", pa.string()), ("score", pa.float64())])


def save_run(folder: Path, run: Run) -> None:
    """Write a run into a folder, under the next number; the name of the run is kept inside the file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(query_id, doc_id, score) for query_id, hits in run.hits.items() for doc_id, score in hits]
    columns = list(zip(*rows, strict=True)) if rows else [(), (), ()]
    table = pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)], schema=_SCHEMA
    )
    table = table.replace_schema_metadata({"name": run.name})
    number = len(list(folder.glob("*.parquet")))
    pq.write_table(
        table, folder / f"{number:02d}-{fingerprint(run.name)}.parquet", compression="zstd", write_page_checksum=True
    )


def load_runs(folder: Path) -> list[Run]:
    """Read the runs of a folder, in the order in which they were saved."""
    return [load_run(path) for path in sorted(folder.glob("*.parquet"))]


def load_run(path: Path) -> Run:
    """Read one run."""
    table = pq.read_table(path, page_checksum_verification=True)
    hits: dict[str, list[tuple[str, float]]] = {}
    columns = (table[name].to_pylist() for name in _SCHEMA.names)
    for query_id, doc_id, score in zip(*columns, strict=True):
        hits.setdefault(query_id, []).append((doc_id, score))
    return Run(name=table.schema.metadata[b"name"].decode(), hits=hits)
