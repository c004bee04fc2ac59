"""``honed push``: a catalogue into PostgreSQL with pgvector, in whole versions.

Every push makes a table of its own, indexes it, measures what the index finds, and turns the collection's view to it,
all in one transaction: whoever reads sees the old version or the new one, and a push that is killed leaves nothing. The
view keeps its name, its grants and what depends on it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from honed.core.config import check_options, limits
from honed.core.errors import ConfigError, StorageError
from honed.core.fingerprint import fingerprint
from honed.core.progress import progress
from honed.core.text import fold
from honed.ship.postgres import FACTS, TYPES, Collection, Place, connected, facts_of, pgvector_version
from honed.ship.searcher import Searcher

_BLOCK, _ASKED, _K = 2048, 200, 10
_WIDTHS, _ENOUGH = (40, 80, 160, 320, 640), 0.98
_LOCK_S = 10
_MEMORY_MB = (64, 1024)  # for building the graph, at least and at most
_COLUMNS = ("id", "label", "aliases", "keys", "fields", "embedding")


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOptions:
    """How vectors are kept (``vector``: 4 bytes a dimension, ``halfvec``: 2), and the graph over them.

    ``index`` "none" compares every vector. ``links`` and ``build_width`` are m and ef_construction of HNSW. ``keep``
    earlier versions stay as tables. ``force`` pushes what is there already.
    """

    type: str = field(default="vector", metadata=limits(one_of=tuple(TYPES)))
    index: str = field(default="hnsw", metadata=limits(one_of=("hnsw", "none")))
    links: int = field(default=16, metadata=limits(low=2, high=100))
    build_width: int = field(default=100, metadata=limits(low=4, high=1000))
    keep: int = field(default=0, metadata=limits(low=0, high=100))
    force: bool = False

    def check(self, dim: int) -> "PushOptions":
        """Return the options themselves; `ConfigError` for what cannot be."""
        check_options(self)
        if self.build_width < 2 * self.links:
            raise ConfigError("E_OPTION", f"--build-width {self.build_width}: at least twice the links, {self.links}")
        if self.index == "hnsw" and dim > TYPES[self.type][1]:
            most = ", ".join(f"{kind} {most}" for kind, (_, most) in TYPES.items())
            raise ConfigError(
                "E_OPTION", f"{dim} dimensions are too many for a graph over {self.type} ({most}): --index none"
            )
        return self


def push(searcher: Searcher, place: Place, options: PushOptions | None = None) -> dict[str, Any]:
    """Push the labels of a searcher with their vectors, aliases and fields; returns what is there now, as plain data.

    ``pushed`` is False where the same content is there already. Raises `ConfigError` for options and for a database
    without pgvector, `StorageError` for what the database refuses and when another push is at work.
    """
    options = (options or PushOptions()).check(searcher.encoder.spec.dim)
    with connected(place) as connection:
        _extension(connection)
        _locked(connection, place)
        register_vector(connection)
        connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(place.schema)))
        connection.execute(
            sql.SQL(
                "CREATE TABLE IF NOT EXISTS {} (name text PRIMARY KEY, facts jsonb NOT NULL, "
                "pushed_at timestamptz NOT NULL DEFAULT now())"
            ).format(place.named(FACTS))
        )
        before = facts_of(connection, place)
        content = _content(searcher, options)
        if before is not None and before["content"] == content and not options.force:
            return {**before, "pushed": False}
        if before is None:
            _free(connection, place)
        version = 1 + (before["version"] if before else 0)
        table = f"{place.collection}_v{version}"
        connection.execute("SET LOCAL statement_timeout = 0")
        facts = _facts(searcher, options) | {"version": version, "content": content}
        facts["tables"] = [*(before["tables"] if before else ()), table]
        facts["fields"] = _filled(connection, searcher, place, table, options)
        facts |= _indexed(connection, searcher, place, table, facts, options)
        _turned(connection, place, table, facts)
    facts["tables"] = _cleared(place, facts, options.keep)
    return {**facts, "pushed": True}


def _extension(connection: Any) -> None:
    if pgvector_version(connection):
        return
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except psycopg.Error:
        raise ConfigError(
            "E_DATABASE",
            "the database has no pgvector and this user cannot add it: let an administrator install it and run "
            "CREATE EXTENSION vector",
        ) from None


def _free(connection: Any, place: Place) -> None:
    """Raise `ConfigError` when something of that name is there that honed did not make."""
    name = f"{place.schema}.{place.collection}"
    if connection.execute("SELECT to_regclass(%s)", [name]).fetchone()[0] is not None:
        raise ConfigError("E_DATABASE", f"{name} is there and no collection of honed: name another with --collection")


def _locked(connection: Any, place: Place) -> None:
    """Take the collection's lock to the end of the transaction; `StorageError` names who has it."""
    name = f"honed {place.schema}.{place.collection}"
    if connection.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name]).fetchone()[0]:
        return
    first = connection.execute(
        "SELECT pid, coalesce(host(client_addr), 'this machine'), to_char(xact_start, 'HH24:MI:SS') FROM pg_locks "
        "JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() "
        "AND (classid::bigint << 32) | objid::bigint = hashtextextended(%s, 0)",
        [name],
    ).fetchone()
    who = "" if first is None else f": process {first[0]} of {first[1]}, since {first[2]}"
    raise StorageError("E_LOCKED", f"another push to {place.schema}.{place.collection} is at work{who}")


def _content(searcher: Searcher, options: PushOptions) -> str:
    """Return what identifies a push: the model, the bundle or index that the catalogue is of, how it is kept."""
    source = searcher.manifest.get("self") or (searcher.folder.name if searcher.folder else "")
    own = {name: value for name, value in asdict(options).items() if name not in ("keep", "force")}
    return fingerprint([searcher.encoder.spec.as_dict(), str(source), own])


def _facts(searcher: Searcher, options: PushOptions) -> dict[str, Any]:
    from honed import __version__

    return {
        "model": fingerprint(searcher.encoder.spec.as_dict()),
        "spec": searcher.encoder.spec.as_dict(),
        "dim": searcher.encoder.spec.dim,
        "records": searcher.names.n_entities,
        "type": options.type,
        "index": options.index,
        "honed": __version__,
    }


def _filled(connection: Any, searcher: Searcher, place: Place, table: str, options: PushOptions) -> list[str]:
    """Make the table and copy all entities into it, a block at a time; returns the names of their fields."""
    known: set[str] = set()
    dim, names, kind = searcher.encoder.spec.dim, searcher.names, options.type
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} (id text PRIMARY KEY, label text NOT NULL, aliases text[] NOT NULL, keys text[] NOT NULL, "
            "fields jsonb NOT NULL, embedding {}({}) NOT NULL)"
        ).format(place.named(table), sql.SQL(kind), dim)
    )
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        place.named(table), sql.SQL(", ").join(map(sql.Identifier, _COLUMNS))
    )
    with (
        progress("push", names.n_entities) as bar,
        connection.cursor() as cursor,
        cursor.copy(into) as copy,
    ):
        copy.set_types(["text", "text", "text[]", "text[]", "jsonb", kind])
        for start in range(0, names.n_entities, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, names.n_entities))
            for row, vector in zip(rows.tolist(), searcher.label_vectors(rows), strict=True):
                values = _row(names, row)
                known.update(values[-1].obj)
                copy.write_row((*values, TYPES[kind][0](vector)))
            bar.advance(len(rows))
    return sorted(known)


def _row(names: Any, row: int) -> tuple[Any, ...]:
    key, label, fields = names.entity(row)
    aliases = names.aliases(row)
    keys = list(dict.fromkeys(fold(name) for name in (label, *aliases)))
    return key, label, aliases, keys, Jsonb(fields)


def _indexed(
    connection: Any, searcher: Searcher, place: Place, table: str, facts: Mapping[str, Any], options: PushOptions
) -> dict[str, Any]:
    """Build the indexes, and choose the width of a search by what it finds: its index recall, measured."""
    made = place.named(table)
    connection.execute(sql.SQL("CREATE INDEX ON {} USING gin (keys)").format(made))
    found: dict[str, Any] = {"search_width": 0, "index_recall": 1.0}
    if options.index == "hnsw":
        needed = facts["records"] * (4 * facts["dim"] + 10 * options.links) / 1e6
        memory = int(min(max(_MEMORY_MB[0], 1.3 * needed), _MEMORY_MB[1]))
        connection.execute(sql.SQL("SET LOCAL maintenance_work_mem = {}").format(f"{memory}MB"))
        build = sql.SQL("CREATE INDEX ON {} USING hnsw (embedding {}) WITH (m = {}, ef_construction = {})").format(
            made, sql.SQL(f"{options.type}_ip_ops"), options.links, options.build_width
        )
        with progress("build the graph"):
            connection.execute(build)
    connection.execute(sql.SQL("ANALYZE {}").format(made))
    if options.index == "hnsw" and facts["records"] > _K:
        found = _measured(connection, searcher, place, table, facts)
    return found


def _measured(
    connection: Any, searcher: Searcher, place: Place, table: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Ask with the vectors of some labels, wider until 98 % of their exact ten nearest are found."""
    view = Collection(place, facts, ())
    rows = np.random.default_rng(0).choice(facts["records"], min(_ASKED, facts["records"]), replace=False)
    vectors = searcher.label_vectors(rows)
    edges = searcher.search_labels(vectors, _K)[0][:, -1]
    asked = sql.SQL("SELECT -(embedding <#> {0}) FROM {1} ORDER BY embedding <#> {0} LIMIT {2}")
    near = 1e-3 if facts["type"] == "halfvec" else 1e-5
    connection.execute("SET LOCAL enable_seqscan = off")
    recall, width = 0.0, 0
    for width in _WIDTHS:
        connection.execute(sql.SQL("SET LOCAL hnsw.ef_search = {}").format(width))
        shares = []
        for vector, edge in zip(vectors, edges.tolist(), strict=True):
            query = asked.format(view.value(vector), place.named(table), _K)
            scores = [row[0] for row in connection.execute(query).fetchall()]
            shares.append(sum(score >= edge - near for score in scores) / _K)
        recall = float(np.mean(shares))
        if recall >= _ENOUGH:
            break
    connection.execute("SET LOCAL enable_seqscan = on")
    return {"search_width": width, "index_recall": round(recall, 4)}


def _turned(connection: Any, place: Place, table: str, facts: Mapping[str, Any]) -> None:
    """Let the view show the new table, and write down what it is."""
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_S}s"))
    view = place.named(place.collection)
    shown = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)), place.named(table))
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS {}").format(view, shown))
    except psycopg.errors.InvalidTableDefinition:  # vectors of another length or type
        connection.execute(sql.SQL("DROP VIEW {}").format(view))
        connection.execute(sql.SQL("CREATE VIEW {} AS {}").format(view, shown))
    _written(connection, place, facts)


def _written(connection: Any, place: Place, facts: Mapping[str, Any]) -> None:
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (name, facts) VALUES ({}, {}::jsonb) "
            "ON CONFLICT (name) DO UPDATE SET facts = EXCLUDED.facts, pushed_at = now()"
        ).format(place.named(FACTS), place.collection, json.dumps(facts))
    )


def _cleared(place: Place, facts: Mapping[str, Any], keep: int) -> list[str]:
    """Drop the tables of earlier versions that nobody reads, the others after the next push; returns what is left."""
    *earlier, newest = facts["tables"]
    with connected(place) as connection:
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format("2s"))
        old = earlier[: len(earlier) - keep] if keep < len(earlier) else []
        left = [table for table in old if not _dropped(connection, place, table)]
        kept = [*left, *earlier[len(old) :], newest]
        if old:
            _written(connection, place, {**facts, "tables": kept})
    return kept


def _dropped(connection: Any, place: Place, table: str) -> bool:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(place.named(table)))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist):
        return False
    return True
