"""Collections in PostgreSQL with pgvector: where one is, what the database says of it, and a connection to it.

A collection is a view by its name over the table of its newest version. Two tables of the same schema serve all
collections: one of facts (``collections``), one of what was learned for a catalogue (``learned``). `honed.connect.push`
writes them, `honed.connect.postgres` searches a collection, `honed.connect.catalogue` reads it whole.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, NotRequired, Self, TypeAlias, TypedDict, cast

import numpy as np
import psycopg
from pgvector import HalfVector, Vector
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from honed.core.errors import ConfigError, StorageError
from honed.core.json import JsonObject
from honed.core.protocols import Vectors

FACTS, LEARNED = "collections", "learned"
Connection: TypeAlias = "psycopg.Connection[TupleRow]"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_CONNECT_S = 10


class VectorType(NamedTuple):
    """A type of pgvector: the Python class of its values, and the most dimensions that an index takes."""

    value: type[Vector] | type[HalfVector]
    most_dims: int


VECTOR_TYPES: Mapping[str, VectorType] = {"vector": VectorType(Vector, 2000), "halfvec": VectorType(HalfVector, 4000)}


class CollectionFacts(TypedDict):
    """What is written down of a collection: its model, its vectors, its index, and the tables of its versions.

    ``model`` is the fingerprint of the encoder's ``spec``; ``type`` is one of `VECTOR_TYPES`; ``search_width`` is
    hnsw.ef_search and ``index_recall`` the share of the exact neighbours that it finds; ``content`` identifies what was
    pushed; ``tables`` are the earlier versions that are still there, and the newest. ``group_by`` is the field of which
    a hit shows each value once, "" for none; ``learned`` counts the bytes of what was learned, 0 where nothing was.
    Neither is there in what was pushed before they were kept.
    """

    model: str
    spec: JsonObject
    dim: int
    records: int
    type: str
    index: str
    honed: str
    version: int
    content: str
    tables: list[str]
    fields: list[str]
    search_width: int
    index_recall: float
    group_by: NotRequired[str]
    learned: NotRequired[int]


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionRef:
    """Where a collection is: a connection string (``postgresql://...``), the schema, the collection's name."""

    dsn: str = field(repr=False)
    schema: str = "honed"
    collection: str = "items"

    def check(self) -> Self:
        """Return the reference itself; `ConfigError` for a name that would need quoting in SQL."""
        for what, name in (("schema", self.schema), ("collection", self.collection)):
            if not _NAME.fullmatch(name) or name in (FACTS, LEARNED):
                raise ConfigError(
                    "E_OPTION",
                    f"{what} {name[:60]!r}: allowed are a-z, 0-9 and _, up to 40, not {FACTS!r} and not {LEARNED!r}",
                )
        return self

    @property
    def full_name(self) -> str:
        """The schema and the collection's name, as a person writes them."""
        return f"{self.schema}.{self.collection}"

    @property
    def view(self) -> sql.Identifier:
        """The quoted name of the collection's view."""
        return self.relation(self.collection)

    def relation(self, name: str) -> sql.Identifier:
        """Return the quoted name of a table or view of the schema."""
        return sql.Identifier(self.schema, name)


@contextmanager
def connect(ref: CollectionRef) -> Iterator[Connection]:
    """Connect for one transaction: all of it stands at the end, or nothing.

    What the database refuses is a `StorageError`; no message holds the connection string, which may hold a password.
    """
    ref.check()
    if not _is_sound(ref.dsn):
        raise ConfigError(
            "E_DATABASE",
            "not a connection string of PostgreSQL, such as postgresql://user@host:5432/name (in a password write %40 "
            "for @, or leave it to PGPASSWORD)",
        )
    try:
        with psycopg.connect(
            ref.dsn, connect_timeout=_CONNECT_S, application_name="honed", client_encoding="utf8"
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise StorageError("E_DATABASE", _one_line(error)) from None


def _is_sound(dsn: str) -> bool:
    """Tell whether a connection string can be read, with no part of a password in the place of host or port."""
    authority = re.split(r"[/?]", dsn.partition("://")[2])[0]
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        return False
    return authority.count("@") <= 1 and re.fullmatch(r"[0-9,]*", str(parts.get("port", ""))) is not None


def _one_line(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"the database: {'; '.join(lines) or type(error).__name__}"


def is_true(connection: Connection, query: str | sql.Composed, parameters: Sequence[str] = ()) -> bool:
    """Return the truth value that a query of one row and one column returns."""
    row = connection.execute(query, parameters).fetchone()
    return row is not None and bool(row[0])


def has_relation(connection: Connection, ref: CollectionRef, name: str) -> bool:
    """Tell whether the schema has a table or view of a name."""
    return is_true(connection, "SELECT to_regclass(%s) IS NOT NULL", [f"{ref.schema}.{name}"])


def read_facts(connection: Connection, ref: CollectionRef) -> CollectionFacts | None:
    """Return the facts of a collection, or None where there is none of that name."""
    if not has_relation(connection, ref, FACTS):
        return None
    query = sql.SQL("SELECT facts FROM {} WHERE name = {}").format(ref.relation(FACTS), ref.collection)
    row = connection.execute(query).fetchone()
    return None if row is None else cast(CollectionFacts, dict(row[0]))


def pgvector_version(connection: Connection) -> tuple[int, ...]:
    """Return the version of pgvector in the database; () where it is not installed."""
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    return tuple(int(part) for part in re.findall(r"\d+", row[0])) if row else ()


def vector_literal(vector: Vectors, vector_type: str) -> sql.Composed:
    """Return a vector ``(dim,)`` as a literal of SQL, of one of `VECTOR_TYPES`."""
    text = VECTOR_TYPES[vector_type].value(np.asarray(vector, dtype=np.float32)).to_text()
    return sql.SQL("{}::{}").format(sql.Literal(text), sql.SQL(vector_type))
