"""``honed encode``: texts of a file to vectors in a file."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.lines import read_lines
from honed.core.protocols import Encoder, Vectors
from honed.core.text import is_blank
from honed.core.writing import new_file
from honed.data.tables import Reject, Table, TableFormat, is_table_file, open_tables, table_files
from honed.encode.config import EncoderConfig
from honed.encode.models import encoder_source
from honed.encode.vector_store import VectorStore
from honed.project.workspace import Workspace

FORMATS = (".npy", ".safetensors", ".parquet")


def encode_file(
    file: Path,
    out: Path,
    *,
    column: str | None,
    model: str | None,
    role: str,
    project: Workspace | None,
    form: TableFormat | None = None,
) -> tuple[int, int]:
    """Write the unit vectors of a file's texts and return their shape ``(n_texts, dim)``.

    They are kept in a hidden folder beside ``out``, shard by shard, until all are there: one that was killed goes on.

    Raises `ConfigError` for an unknown ending or role, `DataError` for a row that cannot be read.
    """
    if out.suffix not in FORMATS:
        raise ConfigError("E_OUT", f"{out}: unknown ending; allowed: {', '.join(FORMATS)}")
    if role not in ("query", "document"):
        raise ConfigError("E_ROLE", f"role {role!r} is not one of query, document")
    texts = _texts(file, column, form or TableFormat())
    kept = VectorStore(out.with_name(f".{out.name}.shards"))
    encoder = kept.encoder(_encoder(model, project), {"model": model or ""})
    vectors = encoder.encode(texts, "query" if role == "query" else "document")
    _write(out, texts, vectors)
    shutil.rmtree(kept.root)
    return len(texts), vectors.shape[1]


def _texts(file: Path, column: str | None, form: TableFormat) -> list[str]:
    """Return the texts in the order of lines or rows; one that is empty is an error, so that vectors keep their row."""
    if column is None:
        if is_table_file(file) or file.is_dir():
            raise ConfigError("E_OPTION", f"{file} holds tables: name the column with --column")
        texts = read_lines(file)
    else:
        tables = (table for path in table_files(file) for table in open_tables(path, form))
        texts = [text for table in tables for text in _column(table, column)]
    for number, text in enumerate(texts, 1):
        if is_blank(text):
            raise DataError("E_TEXT_EMPTY", f"{file}, text {number}: empty; its vector would mean nothing")
    if not texts:
        raise DataError("E_EMPTY", f"{file}: no texts")
    return texts


def _column(table: Table, column: str) -> list[str]:
    if column not in table.columns:
        raise DataError(
            "E_HEADER_MISSING",
            f"{table.file}: no column {column}; found: {', '.join(table.columns)}{did_you_mean(column, table.columns)}",
        )
    texts = []
    for row in table.rows:
        if isinstance(row, Reject):
            raise DataError(row.code, str(row))
        value = row.values.get(column)
        if not isinstance(value, str):
            raise DataError("E_TEXT_EMPTY", f"{row.file}, {row.where}, {column}: no text")
        texts.append(value)
    return texts


def _encoder(model: str | None, project: Workspace | None) -> Encoder:
    if model:
        return encoder_source(EncoderConfig(base=model)).load()
    if project is None:
        raise ConfigError("E_OPTION", "name a model, or a project")
    return project.searcher().encoder


def _write(out: Path, texts: Sequence[str], vectors: Vectors) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_file(out) as beside:
        _write_vectors(beside, texts, vectors)


def _write_vectors(out: Path, texts: Sequence[str], vectors: Vectors) -> None:
    if out.suffix == ".npy":
        np.save(out, vectors, allow_pickle=False)
    elif out.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"vectors": vectors}, str(out))
    else:
        flat: Any = pa.array(vectors.reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        pq.write_table(pa.table({"text": list(texts), "vector": column}), out, write_page_checksum=True)
