"""A collection of PostgreSQL as a catalogue in memory, for work that asks it often: a whole table, a review.

It decides as the catalogue that was pushed: with its names, its vectors, its hybrid and its estimates. Every vector is
compared, and the cross-encoder is not there.
"""

from typing import NamedTuple

import numpy as np
from psycopg import sql

from honed.bundle.names import Name, NameTable
from honed.connect.database import VECTOR_TYPES, CollectionRef, Connection, connect
from honed.connect.learned import Learned, read_learned
from honed.connect.postgres import Collection
from honed.core.errors import ArtifactError
from honed.core.progress import progress
from honed.core.protocols import Encoder, Vectors
from honed.index.stored import StoredVectors
from honed.search.searcher import Searcher
from honed.search.source import Source

_BLOCK = 2048  # rows that are fetched at a time


class _Row(NamedTuple):
    """An entity as it lies in the database, but for its vector."""

    entity_id: str
    label: str
    fields: dict[str, str]
    aliases: list[str]


def read_catalogue(ref: CollectionRef, encoder: Encoder) -> Searcher:
    """Return a searcher over all that a collection holds; ``encoder`` is the model that it was pushed with.

    Aliases are known as names and have no vectors: the cosine of a hit by one is 0. Memory: the vectors in fp32, the
    names, the hybrid. Raises `honed.core.errors.ConfigError` for another model and where there is no such collection,
    `honed.core.errors.StorageError` when the database refuses.
    """
    with connect(ref) as connection:
        collection = Collection.read(connection, ref)
        collection.hold_version(connection)
        collection.check_model(encoder)
        rows, by_label = _read_rows(connection, collection)
        learned = read_learned(connection, ref, collection.facts.get("learned", 0))
    if learned is not None:
        rows = _in_order(rows, by_label, learned, ref)
    labels = learned.labels if learned is not None else list(by_label)
    texts = list(dict.fromkeys([*labels, *(alias for row in rows for alias in row.aliases)]))
    vectors = np.zeros((len(texts), collection.facts["dim"]), dtype=np.float32)
    for number, label in enumerate(labels):
        vectors[number] = by_label[label]
    return Searcher(
        encoder,
        StoredVectors(vectors),
        NameTable.build(texts, _names(rows, texts), [(row.entity_id, row.label, row.fields) for row in rows]),
        settings={"backend": "exact", "names": "labels", "group_by": collection.facts.get("group_by", "")},
        hybrid=learned.hybrid if learned is not None else None,
        source=Source(manifest={"self": collection.facts["content"]}),
    )


def _read_rows(connection: Connection, collection: Collection) -> tuple[list[_Row], dict[str, Vectors]]:
    """Return all entities in the order of their ids, and the vector ``(dim,)`` of each label."""
    vector_type = VECTOR_TYPES[collection.facts["type"]].value
    rows: list[_Row] = []
    by_label: dict[str, Vectors] = {}
    query = sql.SQL('SELECT id, label, fields, aliases, embedding FROM {} ORDER BY id COLLATE "C"')
    with (
        progress("read the catalogue", collection.facts["records"]) as bar,
        connection.cursor("catalogue", binary=True) as cursor,
    ):
        cursor.itersize = _BLOCK
        for entity_id, label, fields, aliases, vector in cursor.execute(query.format(collection.ref.view)):
            shown = {name: str(value) for name, value in fields.items()}
            rows.append(_Row(entity_id, label, shown, aliases))
            by_label.setdefault(label, vector_type.from_binary(vector).to_numpy().astype(np.float32))
            bar.advance(1)
    return rows, by_label


def _in_order(rows: list[_Row], by_label: dict[str, Vectors], learned: Learned, ref: CollectionRef) -> list[_Row]:
    """Return entities in the order that they were learned in; `ArtifactError` where they are others."""
    by_id = {row.entity_id: row for row in rows}
    if by_id.keys() != set(learned.ids) or by_label.keys() != set(learned.labels) or len(by_id) != len(learned.ids):
        raise ArtifactError("E_HYBRID", f"what was learned for {ref.full_name} is of other entities: push it again")
    return [by_id[entity_id] for entity_id in learned.ids]


def _names(rows: list[_Row], texts: list[str]) -> list[Name]:
    row_of = {text: number for number, text in enumerate(texts)}
    return [
        (row_of[name], entity, kind)
        for entity, row in enumerate(rows)
        for kind, names in (("label", [row.label]), ("alias", row.aliases))
        for name in names
    ]
