"""Search in a catalogue that was pushed to PostgreSQL: known names first, then the nearest labels.

The database answers by a bundle's model, with its own index and filters; `honed.connect.database` says what is there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.rows import TupleRow

from honed.connect.database import (
    CollectionFacts,
    CollectionRef,
    Connection,
    connect,
    is_true,
    pgvector_version,
    read_facts,
    vector_literal,
)
from honed.connect.sql_filters import as_sql, has_numbers, texts_without_a_number
from honed.core.errors import ConfigError
from honed.core.filters import Filter, check_fields, is_range_of_numbers, refuse_odd_numbers, texts_out_of_place
from honed.core.fingerprint import fingerprint
from honed.core.protocols import Encoder, Vectors
from honed.core.records import Hit
from honed.core.text import fold
from honed.search.request import ALIAS_TO_LABEL, check_request
from honed.search.scores import KNOWN_NAME, rounded

_STATEMENT_MS = 60_000
_MOST_WIDTH = 1000  # of hnsw.ef_search
_ITERATIVE_SCAN = (0, 8)  # the pgvector that goes on looking where a filter leaves too few
_COLUMNS = "id, label, fields, aliases, -(embedding <#> {}) AS cosine"


@dataclass(frozen=True, slots=True)
class _Query:
    """A query for the database: its text, its vector ``(dim,)`` and that as a literal, the filter as a condition."""

    text: str
    vector: Vectors
    literal: sql.Composable
    condition: sql.Composable
    k: int


class Collection:
    """What was pushed under a name, and search in it."""

    def __init__(self, ref: CollectionRef, facts: CollectionFacts, pgvector: tuple[int, ...]) -> None:
        self.ref, self.facts, self.pgvector = ref, facts, pgvector

    @classmethod
    def open(cls, ref: CollectionRef) -> Self:
        """Read what a collection is; `ConfigError` when there is none of that name."""
        with connect(ref) as connection:
            return cls.read(connection, ref)

    @classmethod
    def read(cls, connection: Connection, ref: CollectionRef) -> Self:
        """Read what a collection is over a connection; `ConfigError` when there is none of that name."""
        facts = read_facts(connection, ref)
        if facts is None:
            raise ConfigError(
                "E_NO_COLLECTION", f"no collection {ref.full_name} in the database: make it with  honed push"
            )
        return cls(ref, facts, pgvector_version(connection))

    def check_model(self, encoder: Encoder) -> None:
        """Raise `ConfigError` unless the vectors are of the model of an encoder."""
        model = fingerprint(encoder.spec.as_dict())
        if self.facts["model"] != model:
            raise ConfigError(
                "E_MODEL",
                f"{self.ref.full_name}: its vectors are of model {self.facts['model']}, this is {model}: search with "
                "the bundle that was pushed, or push this one with  honed push",
            )

    def search(
        self, encoder: Encoder, texts: Sequence[str], k: int = 10, *, where: Filter | None = None
    ) -> list[list[Hit]]:
        """Return up to ``k`` hits for each text: entities that bear it as a known name, then the nearest labels.

        ``where`` is a filter on the fields of entities, see `honed.core.filters`. Raises `ConfigError` for another
        model, `honed.core.errors.StorageError` when the database refuses.
        """
        check_request(texts, k, ALIAS_TO_LABEL)
        self.check_model(encoder)
        vectors = encoder.encode(list(texts), "query")
        with connect(self.ref) as connection:
            self.hold_version(connection)
            self.check_model(encoder)
            check_fields(where or {}, self.facts["fields"])
            self._check_ranges(connection, where or {})
            self._prepare(connection, k, filtered=bool(where))
            condition = as_sql(where or {})
            queries = [
                _Query(text, vector, self.literal(vector), condition, k)
                for text, vector in zip(texts, vectors, strict=True)
            ]
            return [self._hits(connection, encoder, query) for query in queries]

    def hold_version(self, connection: Connection) -> None:
        """Keep the version that is there now to the end of the transaction, and read what it is."""
        connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(self.ref.view))
        self.facts = type(self).read(connection, self.ref).facts

    def _check_ranges(self, connection: Connection, where: Filter) -> None:
        """Raise `ConfigError` for a range of numbers over a field with texts that the database cannot place in it."""
        for name, condition in where.items():
            if is_range_of_numbers(condition):
                texts = [row[0] for row in connection.execute(texts_without_a_number(name, self.ref.view)).fetchall()]
                has_any = bool(texts) and is_true(connection, has_numbers(name, self.ref.view))
                refuse_odd_numbers(name, texts_out_of_place(texts, has_numbers=has_any))

    def _prepare(self, connection: Connection, k: int, *, filtered: bool) -> None:
        """Set time limit and search width for the transaction."""
        register_vector(connection)
        connection.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(_STATEMENT_MS))
        if self.facts["index"] == "hnsw":
            width = min(max(self.facts["search_width"], 2 * k), _MOST_WIDTH)
            connection.execute(sql.SQL("SET LOCAL hnsw.ef_search = {}").format(width))
            if filtered and self.pgvector >= _ITERATIVE_SCAN:
                connection.execute("SET LOCAL hnsw.iterative_scan = strict_order")

    def _hits(self, connection: Connection, encoder: Encoder, query: _Query) -> list[Hit]:
        """Return up to ``k`` hits for a query, ranked from 1."""
        known = self._known_rows(connection, query)
        nearest = self._nearest_rows(connection, query, query.k + len(known))
        named = [(row, _name_borne(query.text, row)) for row in known]
        named.sort(key=lambda pair: (pair[1] != query.text, -pair[0][4], pair[0][0]))
        hits = [_hit(row, name, KNOWN_NAME, _name_cosine(encoder, query.vector, name)) for row, name in named]
        ids = {row[0] for row in known}
        hits += [_hit(row, row[1], row[4], row[4]) for row in nearest if row[0] not in ids]
        return [replace(hit, rank=rank) for rank, hit in enumerate(hits[: query.k], 1)]

    def _known_rows(self, connection: Connection, query: _Query) -> list[TupleRow]:
        """Return the rows of entities that bear the text as a known name, those that write it so first."""
        statement = sql.SQL(
            "SELECT {} FROM {} WHERE keys @> ARRAY[{}] AND {} "
            "ORDER BY (label = {} OR {} = ANY(aliases)) DESC, embedding <#> {}, id LIMIT {}"
        ).format(
            sql.SQL(_COLUMNS).format(query.literal),
            self.ref.view,
            fold(query.text),
            query.condition,
            query.text,
            query.text,
            query.literal,
            query.k,
        )
        return connection.execute(statement).fetchall()

    def _nearest_rows(self, connection: Connection, query: _Query, n: int) -> list[TupleRow]:
        """Return the rows of the nearest labels; where a graph gives fewer than ``n``, every vector is compared."""
        statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY embedding <#> {}, id LIMIT {}").format(
            sql.SQL(_COLUMNS).format(query.literal), self.ref.view, query.condition, query.literal, n
        )
        rows = connection.execute(statement).fetchall()
        if len(rows) < min(n, self.facts["records"]) and self.facts["index"] == "hnsw":
            connection.execute("SET LOCAL enable_indexscan = off")
            rows = connection.execute(statement).fetchall()
            connection.execute("SET LOCAL enable_indexscan = on")
        return rows

    def literal(self, vector: Vectors) -> sql.Composed:
        """Return a vector ``(dim,)`` as a literal of the collection's type."""
        return vector_literal(vector, self.facts["type"])


def _name_borne(text: str, row: TupleRow) -> str:
    """Return the name of an entity that counts as the same as a text, the one that is written like it if there is."""
    names = [str(name) for name in (row[1], *row[3]) if fold(name) == fold(text)]
    return min(names, key=lambda name: name != text, default=str(row[1]))


def _name_cosine(encoder: Encoder, vector: Vectors, name: str) -> float:
    """Return the cosine of a query vector with a name, read as a document."""
    return float(encoder.encode([name], "document")[0] @ vector)


def _hit(row: TupleRow, matched: str, score: float, cosine: float) -> Hit:
    """Return the hit of a row (id, label, fields, ...); its rank is 0."""
    score, cosine = (rounded(max(-1.0, min(float(value), 1.0))) for value in (score, cosine))
    fields = {name: str(value) for name, value in row[2].items()}
    return Hit(doc_id=row[0], text=row[1], score=score, cosine=cosine, matched=matched, rank=0, fields=fields)
