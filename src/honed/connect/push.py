"""``honed push``: a catalogue into PostgreSQL with pgvector, in whole versions.

Every push makes a table of its own, indexes it, measures what the index finds, and turns the collection's view to it,
all in one transaction: whoever reads sees the old version or the new one, and a push that is killed leaves nothing. The
view keeps its name, its grants and what depends on it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import psycopg
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from honed.connect.postgres import FACTS, TYPES, Collection, Place, connected, facts_of, is_there, pgvector_version
from honed.core.errors import ConfigError, StorageError
from honed.core.fingerprint import fingerprint
from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.core.sections import check_options, limits
from honed.core.text import fold
from honed.index.exact import exact_among
from honed.search.searcher import Searcher

_BLOCK, _ASKED, _K = 2048, 200, 10
_WIDTHS, _ENOUGH = (40, 80, 160, 320, 640), 0.98
_TURN_MS, _PATIENCE_S = 500, 300
_LONGEST_KEY = 2000  # bytes: an index of names takes no longer ones
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
        _prepared(connection, place)
    with connected(place) as connection:
        if not _is_locked(connection, place):
            raise StorageError("E_LOCKED", _who_pushes(connection, place))
        register_vector(connection)
        before = facts_of(connection, place)
        content = _content(searcher, options)
        if before is None:
            _free(connection, place)
        elif before["content"] == content and not options.force and _stands(connection, place, before):
            return {**before, "pushed": False}
        elif (before["type"], before["dim"]) != (options.type, searcher.encoder.spec.dim):
            _independent(connection, place)
        version = 1 + (before["version"] if before else 0)
        table = f"{place.collection}_v{version}"
        connection.execute("SET LOCAL statement_timeout = 0")
        facts = _facts(searcher, options) | {"version": version, "content": content}
        facts["tables"] = [*(before["tables"] if before else ()), table]
        facts["fields"] = _filled(connection, searcher, place, table, options)
        facts |= _indexed(connection, searcher, place, table, facts, options)
        _turned(connection, place, table, facts)
    facts["tables"] = _cleared(place, options.keep) or facts["tables"]
    return {**facts, "pushed": True}


def _prepared(connection: Any, place: Place) -> None:
    """Make the extension, the schema and the table of facts where they are not there; one push at a time."""
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('honed', 0))")
    if not pgvector_version(connection):
        try:
            connection.execute("CREATE EXTENSION vector")
        except (
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.UndefinedFile,
            psycopg.errors.FeatureNotSupported,
        ):
            raise ConfigError(
                "E_DATABASE",
                "the database has no pgvector and this user cannot add it: let an administrator install it and run "
                "CREATE EXTENSION vector",
            ) from None
    if not connection.execute("SELECT to_regnamespace(%s) IS NOT NULL", [place.schema]).fetchone()[0]:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(place.schema)))
    if not is_there(connection, place, FACTS):
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} (name text PRIMARY KEY, facts jsonb NOT NULL, "
                "pushed_at timestamptz NOT NULL DEFAULT now())"
            ).format(place.named(FACTS))
        )


def _stands(connection: Any, place: Place, facts: Mapping[str, Any]) -> bool:
    """Tell whether the view and the newest table are there, which somebody may have dropped."""
    return all(is_there(connection, place, name) for name in (place.collection, facts["tables"][-1]))


def _independent(connection: Any, place: Place) -> None:
    """Raise `ConfigError` when something depends on the view, which is made anew for vectors of another kind."""
    name = f"{place.schema}.{place.collection}"
    found = connection.execute(
        "SELECT DISTINCT r.ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid "
        "WHERE d.refobjid = to_regclass(%s) AND r.ev_class <> d.refobjid ORDER BY 1",
        [name],
    ).fetchall()
    if found:
        shown = ", ".join(row[0] for row in found)
        raise ConfigError(
            "E_DATABASE",
            f"{name} is made anew for vectors of another length or type, but {shown} depends on it: drop that",
        )


def _free(connection: Any, place: Place) -> None:
    """Raise `ConfigError` when something of that name is there that honed did not make."""
    name = f"{place.schema}.{place.collection}"
    if is_there(connection, place, place.collection):
        raise ConfigError("E_DATABASE", f"{name} is there and no collection of honed: name another with --collection")


def _is_locked(connection: Any, place: Place) -> bool:
    """Take the collection's lock to the end of the transaction, and tell whether it was free."""
    asked = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
    return bool(connection.execute(asked, [_lock(place)]).fetchone()[0])


def _lock(place: Place) -> str:
    return f"honed {place.schema}.{place.collection}"


def _who_pushes(connection: Any, place: Place) -> str:
    first = connection.execute(
        "SELECT pid, coalesce(host(client_addr), 'this machine'), to_char(xact_start, 'HH24:MI:SS') FROM pg_locks "
        "JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() "
        "AND (classid::bigint << 32) | objid::bigint = hashtextextended(%s, 0)",
        [_lock(place)],
    ).fetchone()
    who = "" if first is None else f": process {first[0]} of {first[1]}, since {first[2]}"
    return f"another push to {place.schema}.{place.collection} is at work{who}"


def _content(searcher: Searcher, options: PushOptions) -> str:
    """Return what identifies a push: the model, the bundle or index that the catalogue is of, how it is kept."""
    source = searcher.manifest.get("self") or (searcher.source.folder.name if searcher.source.folder else "")
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
    doc_id, label, fields = names.entity(row)
    aliases = names.aliases(row)
    keys = [key for key in dict.fromkeys(map(fold, (label, *aliases))) if len(key.encode()) <= _LONGEST_KEY]
    return doc_id, label, aliases, keys, Jsonb(fields)


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


class _Labels:
    """The label vectors of all entities."""

    def __init__(self, searcher: Searcher) -> None:
        self.take = searcher.label_vectors
        self.shape = (searcher.names.n_entities, searcher.encoder.spec.dim)


def exact_edges(searcher: Searcher, vectors: Vectors, k: int) -> Vectors:
    """Return the score of the ``k``-th nearest entity of each vector ``(n,)``; several may have one label."""
    labels: Any = _Labels(searcher)
    edges: Vectors = exact_among(labels, np.arange(labels.shape[0]), vectors, k)[0][:, -1]
    return edges


def _measured(
    connection: Any, searcher: Searcher, place: Place, table: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Ask with the vectors of some labels, wider until 98 % of their exact ten nearest are found."""
    view = Collection(place, facts, ())
    rows = np.random.default_rng(0).choice(facts["records"], min(_ASKED, facts["records"]), replace=False)
    vectors = searcher.label_vectors(rows)
    edges = exact_edges(searcher, vectors, _K)
    asked = sql.SQL("SELECT -(embedding <#> {0}) FROM {1} ORDER BY embedding <#> {0} LIMIT {2}")
    near = 2e-4 if facts["type"] == "halfvec" else 1e-5
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
    """Let the view show the new table, and write down what it is.

    Turning waits for whoever reads the view, and everybody else would wait behind it: so it is tried for a moment,
    again and again.
    """
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_TURN_MS}ms"))
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with connection.transaction():
                _shown_by(connection, place, table)
            break
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > until:
                name = f"{place.schema}.{place.collection}"
                raise StorageError(
                    "E_LOCKED", f"{name} is held by a transaction that does not end; nothing was changed"
                ) from None
            time.sleep(1)
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (name, facts) VALUES ({}, {}::jsonb) "
            "ON CONFLICT (name) DO UPDATE SET facts = EXCLUDED.facts, pushed_at = now()"
        ).format(place.named(FACTS), place.collection, json.dumps(facts))
    )


def _shown_by(connection: Any, place: Place, table: str) -> None:
    view = place.named(place.collection)
    shown = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(map(sql.Identifier, _COLUMNS)), place.named(table))
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS {}").format(view, shown))
    except psycopg.errors.InvalidTableDefinition:  # vectors of another length or type
        connection.execute(sql.SQL("DROP VIEW {}").format(view))
        connection.execute(sql.SQL("CREATE VIEW {} AS {}").format(view, shown))


def _cleared(place: Place, keep: int) -> list[str]:
    """Drop the tables of earlier versions that nobody reads, the others after the next push; returns what is left.

    Of a collection that is being pushed again nothing is dropped: that push will.
    """
    with connected(place) as connection:
        facts = facts_of(connection, place) if _is_locked(connection, place) else None
        if facts is None:
            return []
        *earlier, newest = facts["tables"]
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_TURN_MS}ms"))
        old = earlier[: len(earlier) - keep] if keep < len(earlier) else []
        left = [table for table in old if not _dropped(connection, place, table)]
        kept = [*left, *earlier[len(old) :], newest]
        connection.execute(
            sql.SQL("UPDATE {} SET facts = jsonb_set(facts, '{{tables}}', {}::jsonb) WHERE name = {}").format(
                place.named(FACTS), json.dumps(kept), place.collection
            )
        )
    return kept


def _dropped(connection: Any, place: Place, table: str) -> bool:
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(place.named(table)))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist):
        return False
    return True
