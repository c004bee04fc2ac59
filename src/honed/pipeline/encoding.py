"""``honed encode``: texts of a file to vectors in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.errors import ConfigError, DataError
from honed.core.optional import require
from honed.core.protocols import Encoder, Vectors
from honed.data.tables import Reject, Row, TableFormat, open_table, table_files
from honed.encode.config import EncoderConfig

FORMATS = (".npy", ".safetensors", ".parquet")


def encode_file(
    file: Path, out: Path, *, column: str | None, model: str | None, role: str, project: Path
) -> tuple[int, int]:
    """Write the unit vectors of a file's texts and return their shape ``(n_texts, dim)``.

    Raises `ConfigError` for an unknown ending or role, `DataError` for a row that cannot be read.
    """
    if out.suffix not in FORMATS:
        raise ConfigError("E_OUT", f"{out}: unknown ending; allowed: {', '.join(FORMATS)}")
    if role not in ("query", "document"):
        raise ConfigError("E_ROLE", f"role {role!r} is not one of query, document")
    texts = _texts(file, column)
    vectors = _encoder(model, project).encode(texts, "query" if role == "query" else "document")
    _write(out, texts, vectors)
    return len(texts), vectors.shape[1]


def _texts(file: Path, column: str | None) -> list[str]:
    if column is None:
        if file.suffix.lower() in (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet"):
            raise ConfigError("E_OPTION", f"{file} is a table: name the column with --column")
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        texts = [line for line in lines if line.strip()]
    else:
        texts = []
        for row in open_table(table_files(file)[0], TableFormat()).rows:
            if isinstance(row, Reject):
                raise DataError(row.code, str(row))
            texts.append(_text(row, column))
    if not texts:
        raise DataError("E_EMPTY", f"{file}: no texts")
    return texts


def _text(row: Row, column: str) -> str:
    value = row.values.get(column)
    if not isinstance(value, str) or not value.strip():
        raise DataError("E_TEXT_EMPTY", f"{row.file}, {row.where}, {column}: no text")
    return value


def _encoder(model: str | None, project: Path) -> Encoder:
    require("torch encoder")
    from honed.encode.torch_encoder import TorchEncoder

    if model:
        return TorchEncoder.load(EncoderConfig(base=model))
    from honed.pipeline.project import Project

    return Project(project).searcher().encoder


def _write(out: Path, texts: Sequence[str], vectors: Vectors) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.stem}.new{out.suffix}")
    if out.suffix == ".npy":
        np.save(beside, vectors, allow_pickle=False)
    elif out.suffix == ".safetensors":
        from safetensors.numpy import save_file

        save_file({"vectors": vectors}, str(beside))
    else:
        flat: Any = pa.array(vectors.reshape(-1))
        column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        pq.write_table(pa.table({"text": list(texts), "vector": column}), beside, write_page_checksum=True)
    beside.replace(out)
