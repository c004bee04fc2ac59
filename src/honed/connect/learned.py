"""What was learned for a catalogue, beside its collection: the hybrid and the estimates of answers.

SQL has no use for it: it is what `honed.connect.catalogue` needs to answer as the catalogue did that was pushed.
"""

import json
from collections.abc import Mapping
from io import BytesIO
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
from psycopg import sql

from honed.bundle.layout import HybridFiles
from honed.connect.database import LEARNED, CollectionRef, Connection
from honed.core.errors import ArtifactError
from honed.core.json import Json, parse_object
from honed.core.plain import as_list, as_object
from honed.search.searcher import Searcher

_PART = 4 << 20  # bytes of a row
_DATA = "data"  # the array that holds what is no array, as JSON


class Learned(NamedTuple):
    """The hybrid of a catalogue, with the orders that its numbers mean: of the distinct labels, and of the entities."""

    hybrid: HybridFiles
    labels: list[str]
    ids: list[str]


def learned_data(searcher: Searcher) -> Mapping[str, Json] | None:
    """Return what a searcher learned besides arrays, as plain data; None where it has no hybrid.

    The cross-encoder stays with the bundle.
    """
    if searcher.hybrid is None:
        return None
    return {**searcher.hybrid.as_dict(), "answers": searcher.answers.as_dict() if searcher.answers else None}


def write_learned(connection: Connection, ref: CollectionRef, searcher: Searcher) -> int:
    """Write what was learned in the place of what is there; returns its bytes, 0 where nothing was learned."""
    relation = ref.relation(LEARNED)
    connection.execute(sql.SQL("DELETE FROM {} WHERE name = {}").format(relation, ref.collection))
    packed = _packed(searcher)
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} (name, part, bytes) FROM STDIN (FORMAT BINARY)").format(relation)) as copy,
    ):
        copy.set_types(["text", "int4", "bytea"])
        for part, start in enumerate(range(0, len(packed), _PART)):
            copy.write_row((ref.collection, part, packed[start : start + _PART]))
    return len(packed)


def _packed(searcher: Searcher) -> bytes:
    data, names = learned_data(searcher), searcher.names
    if data is None or searcher.hybrid is None:
        return b""
    orders = {
        "labels": [searcher.label_text(number) for number in range(len(searcher.labels))],
        "ids": [names.entity(row).entity_id for row in range(names.n_entities)],
    }
    plain = np.frombuffer(json.dumps({"hybrid": data, **orders}).encode(), dtype=np.uint8)
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **{_DATA: plain}, **searcher.hybrid.tensors())
    return buffer.getvalue()


def read_learned(connection: Connection, ref: CollectionRef, size: int) -> Learned | None:
    """Return the ``size`` bytes of what was learned for a collection, None for none.

    Raises `ArtifactError` for what cannot be read.
    """
    if not size:
        return None
    query = sql.SQL("SELECT bytes FROM {} WHERE name = {} ORDER BY part").format(ref.relation(LEARNED), ref.collection)
    packed = b"".join(row[0] for row in connection.cursor(binary=True).execute(query))
    try:
        if len(packed) != size:
            raise ValueError(f"{len(packed)} bytes of {size}")
        with np.load(BytesIO(packed), allow_pickle=False) as stored:
            arrays = dict(stored)
        data = parse_object(arrays.pop(_DATA).tobytes().decode())
        labels, ids = ([str(name) for name in as_list(data[order])] for order in ("labels", "ids"))
        return Learned(HybridFiles(as_object(data["hybrid"]), arrays), labels, ids)
    except (BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            "E_HYBRID", f"what was learned for {ref.full_name} cannot be read, push it again with --force: {error}"
        ) from error
