"""Records of a store: what a document is there, and how it is written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from honed.core.errors import DataError
from honed.core.filters import Value
from honed.core.protocols import Vectors


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A document of a store: its id, the text that was encoded, and fields to show and to filter by."""

    doc_id: str
    text: str = ""
    fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some records with their vectors ``(len(records), dim)``."""

    records: Sequence[Record]
    vectors: Vectors


def unit_vectors(batch: Batch, dim: int) -> Vectors:
    """Return the vectors of a batch as unit vectors in fp32; `DataError` names the first record that has none."""
    vectors = np.asarray(batch.vectors, dtype=np.float32)
    if vectors.shape != (len(batch.records), dim):
        raise DataError(
            "E_VECTORS",
            f"{len(batch.records)} records need vectors of shape ({len(batch.records)}, {dim}), not {vectors.shape}",
        )
    lengths = np.linalg.norm(vectors, axis=1)
    unfit = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(unfit):
        doc_id = batch.records[int(unfit[0])].doc_id
        raise DataError("E_VECTORS", f"record {doc_id!r}: its vector is zero or not finite")
    return np.ascontiguousarray(vectors / lengths[:, None])


def key_of(doc_id: str) -> int:
    """Return the 64 bits under which an id is looked up (BLAKE2b)."""
    return int.from_bytes(blake2b(doc_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def record_bytes(record: Record) -> bytes:
    """Return a record as it is written to a file: a list of id, text and fields in JSON."""
    return json.dumps([record.doc_id, record.text, dict(record.fields)], ensure_ascii=False).encode()


def record_of_bytes(data: bytes) -> Record:
    """Return the record that `record_bytes` wrote; `ValueError` for other bytes."""
    doc_id, text, fields = json.loads(data)
    return Record(doc_id=doc_id, text=text, fields=fields)
