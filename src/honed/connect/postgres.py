"""A catalogue in PostgreSQL with pgvector: searched by a bundle's model, or by anyone's SQL.

A collection is a view by its name over the table of its newest version, beside one table of facts (``collections``) in
the same schema; `honed.connect.push` writes it.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import psycopg
from pgvector import HalfVector, Vector
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from honed.connect.sql_filters import as_sql
from honed.core.errors import ConfigError, StorageError
from honed.core.filters import Filter, check_fields
from honed.core.fingerprint import fingerprint
from honed.core.protocols import Encoder
from honed.core.records import Hit
from honed.core.text import fold
from honed.search.request import check_request

FACTS = "collections"
TYPES: Mapping[str, tuple[Any, int]] = {
    "vector": (Vector, 2000),
    "halfvec": (HalfVector, 4000),
}  # kind -> (its values, most dimensions of an index)
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_CONNECT_S, _STATEMENT_MS = 10, 60_000
_FILTERED = (0, 8)  # the pgvector that goes on looking where a filter leaves too few


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a collection is: a connection string (``postgresql://...``), the schema, the collection's name."""

    dsn: str = field(repr=False)
    schema: str = "honed"
    collection: str = "items"

    def check(self) -> Self:
        """Return the place itself; `ConfigError` for a name that would need quoting in SQL."""
        for what, name in (("schema", self.schema), ("collection", self.collection)):
            if not _NAME.fullmatch(name) or name == FACTS:
                raise ConfigError(
                    "E_OPTION", f"{what} {name[:60]!r}: allowed are a-z, 0-9 and _, up to 40, and not {FACTS!r}"
                )
        return self

    def named(self, name: str) -> sql.Identifier:
        """Return the quoted name of a table or view of the schema."""
        return sql.Identifier(self.schema, name)


@contextmanager
def connected(place: Place) -> Iterator["psycopg.Connection[Any]"]:
    """Connect for one transaction: all of it stands at the end, or nothing.

    What the database refuses is a `StorageError`; no message holds the connection string, which may hold a password.
    """
    place.check()
    if not _is_sound(place.dsn):
        raise ConfigError(
            "E_DATABASE",
            "not a connection string of PostgreSQL, such as postgresql://user@host:5432/name (in a password write %40 "
            "for @, or leave it to PGPASSWORD)",
        )
    try:
        with psycopg.connect(
            place.dsn, connect_timeout=_CONNECT_S, application_name="honed", client_encoding="utf8"
        ) as connection:
            yield connection
    except psycopg.Error as error:
        raise StorageError("E_DATABASE", _shown(error)) from None


def _is_sound(dsn: str) -> bool:
    """Tell whether a connection string can be read, with no part of a password in the place of host or port."""
    authority = re.split(r"[/?]", dsn.partition("://")[2])[0]
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.Error:
        return False
    return authority.count("@") <= 1 and re.fullmatch(r"[0-9,]*", str(parts.get("port", ""))) is not None


def _shown(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"the database: {'; '.join(lines) or type(error).__name__}"


class Collection:
    """What was pushed under a name: its ``facts`` (model, dimensions, fields, search width), and search."""

    def __init__(self, place: Place, facts: Mapping[str, Any], pgvector: tuple[int, ...]) -> None:
        self.place, self.facts, self.pgvector = place, facts, pgvector

    @classmethod
    def open(cls, place: Place) -> Self:
        """Read what a collection is; `ConfigError` when there is none of that name."""
        with connected(place) as connection:
            return cls.read(connection, place)

    @classmethod
    def read(cls, connection: Any, place: Place) -> Self:
        """Read what a collection is over a connection."""
        facts = facts_of(connection, place)
        if facts is None:
            raise ConfigError(
                "E_NO_COLLECTION",
                f"no collection {place.schema}.{place.collection} in the database: make it with  honed push",
            )
        return cls(place, facts, pgvector_version(connection))

    def check_model(self, encoder: Encoder) -> None:
        """Raise `ConfigError` unless the vectors are of the model of an encoder."""
        own = fingerprint(encoder.spec.as_dict())
        if self.facts["model"] != own:
            raise ConfigError(
                "E_MODEL",
                f"{self.place.schema}.{self.place.collection}: its vectors are of model {self.facts['model']}, this is "
                f"{own}: search with the bundle that was pushed, or push this one with  honed push",
            )

    def search(
        self, encoder: Encoder, texts: Sequence[str], k: int = 10, *, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return up to ``k`` hits for each text: entities that bear it as a known name, then the nearest labels.

        ``where`` is a filter on the fields of entities, see `honed.core.filters`. Raises `ConfigError` for another
        model, `StorageError` when the database refuses.
        """
        check_request(texts, k, "alias-to-label")
        self.check_model(encoder)
        vectors = encoder.encode(list(texts), "query")
        with connected(self.place) as connection:
            self._hold(connection)
            self.check_model(encoder)
            check_fields(where or {}, self.facts["fields"])
            self._prepare(connection, k, filtered=bool(where))
            return [
                self._found(connection, encoder, text, vector, k, where or {})
                for text, vector in zip(texts, vectors, strict=True)
            ]

    def _hold(self, connection: Any) -> None:
        """Keep the version that is there now to the end of the transaction, and read what it is."""
        view = self.place.named(self.place.collection)
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(view))
        self.facts = type(self).read(connection, self.place).facts

    def _prepare(self, connection: Any, k: int, *, filtered: bool) -> None:
        register_vector(connection)
        connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(_STATEMENT_MS))
        if self.facts["index"] == "hnsw":
            width = min(max(int(self.facts["search_width"]), 2 * k), 1000)
            connection.execute(sql.SQL("SET LOCAL hnsw.ef_search = {}").format(width))
            if filtered and self.pgvector >= _FILTERED:
                connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")

    def _found(self, connection: Any, encoder: Encoder, text: str, vector: Any, k: int, where: Filter) -> list[Hit]:
        asked, view, passes = self.value(vector), self.place.named(self.place.collection), as_sql(where)
        columns = sql.SQL("id, label, fields, aliases, -(embedding <#> {}) AS score").format(asked)
        key = sql.SQL(
            "SELECT {} FROM {} WHERE keys @> ARRAY[{}] AND {} "
            "ORDER BY (label = {} OR {} = ANY(aliases)) DESC, embedding <#> {}, id LIMIT {}"
        )
        known = connection.execute(key.format(columns, view, fold(text), passes, text, text, asked, k)).fetchall()
        near = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY embedding <#> {}, id LIMIT {}")
        nearest = self._enough(connection, near.format(columns, view, passes, asked, k + len(known)), k + len(known))
        first = [(row, _borne(text, row)) for row in known]
        first.sort(key=lambda each: (each[1] != text, -each[0][4], each[0][0]))
        hits = [_hit(row, name, _name_score(encoder, vector, name)) for row, name in first]
        there = {row[0] for row in known}
        hits += [_hit(row, row[1], row[4]) for row in nearest if row[0] not in there]
        return [replace(hit, rank=rank) for rank, hit in enumerate(hits[:k], 1)]

    def _enough(self, connection: Any, query: Any, n: int) -> list[Any]:
        """Return the rows of a query; where a graph gave fewer than ``n``, those of comparing every vector."""
        rows: list[Any] = connection.execute(query).fetchall()
        if len(rows) < min(n, int(self.facts["records"])) and self.facts["index"] == "hnsw":
            connection.execute("SET LOCAL enable_indexscan = off")
            rows = connection.execute(query).fetchall()
            connection.execute("SET LOCAL enable_indexscan = on")
        return rows

    def value(self, vector: Any) -> Any:
        """Return a vector as a value of the collection's type."""
        kind = self.facts["type"]
        shown = TYPES[kind][0](np.asarray(vector, dtype=np.float32)).to_text()
        return sql.SQL("{}::{}").format(sql.Literal(shown), sql.SQL(kind))


def facts_of(connection: Any, place: Place) -> dict[str, Any] | None:
    """Return the facts of a collection, or None where there is none."""
    if not is_there(connection, place, FACTS):
        return None
    asked = sql.SQL("SELECT facts FROM {} WHERE name = {}").format(place.named(FACTS), place.collection)
    row = connection.execute(asked).fetchone()
    return None if row is None else dict(row[0])


def is_there(connection: Any, place: Place, name: str) -> bool:
    """Tell whether the schema has a table or view of a name."""
    return bool(connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{place.schema}.{name}"]).fetchone()[0])


def pgvector_version(connection: Any) -> tuple[int, ...]:
    """Return the version of pgvector in the database; () where it is not installed."""
    row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    return tuple(int(part) for part in re.findall(r"\d+", row[0])) if row else ()


def _borne(text: str, row: Sequence[Any]) -> str:
    """Return the name of an entity that counts as the same as a text, the one that is written like it if there is."""
    names = [str(name) for name in (row[1], *row[3]) if fold(name) == fold(text)]
    return min(names, key=lambda name: name != text, default=str(row[1]))


def _name_score(encoder: Encoder, vector: Any, name: str) -> float:
    return float(encoder.encode([name], "document")[0] @ vector)


def _hit(row: Sequence[Any], matched: str, score: float) -> Hit:
    fields = {name: str(value) for name, value in row[2].items()}
    score = round(max(-1.0, min(float(score), 1.0)), 6)
    return Hit(doc_id=row[0], text=row[1], score=score, matched=matched, rank=0, fields=fields)
