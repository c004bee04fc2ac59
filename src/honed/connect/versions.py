"""The versions of a collection: one push at a time, a view that is switched to the newest table, old tables dropped."""

import json
import time

import psycopg
from psycopg import sql

from honed.connect.database import (
    FACTS,
    LEARNED,
    CollectionFacts,
    CollectionRef,
    Connection,
    connect,
    has_relation,
    is_true,
    pgvector_version,
    read_facts,
)
from honed.core.errors import ConfigError, StorageError

COLUMNS = ("id", "label", "aliases", "keys", "fields", "embedding")
_LOCK_MS, _PATIENCE_S = 500, 300  # of one attempt to switch the view, and of all together


def prepare_database(connection: Connection, ref: CollectionRef) -> None:
    """Make the extension, the schema and the tables of all collections where they are not there; one push at a time.

    Raises `ConfigError` where the database has no pgvector and this user cannot add it.
    """
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
    if not is_true(connection, "SELECT to_regnamespace(%s) IS NOT NULL", [ref.schema]):
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(ref.schema)))
    if not has_relation(connection, ref, FACTS):
        connection.execute(
            sql.SQL(
                "CREATE TABLE {} (name text PRIMARY KEY, facts jsonb NOT NULL, "
                "pushed_at timestamptz NOT NULL DEFAULT now())"
            ).format(ref.relation(FACTS))
        )
    if not has_relation(connection, ref, LEARNED):
        connection.execute(
            sql.SQL("CREATE TABLE {} (name text, part int, bytes bytea NOT NULL, PRIMARY KEY (name, part))").format(
                ref.relation(LEARNED)
            )
        )


def is_intact(connection: Connection, ref: CollectionRef, facts: CollectionFacts) -> bool:
    """Tell whether the view and the newest table are there, which somebody may have dropped."""
    return all(has_relation(connection, ref, name) for name in (ref.collection, facts["tables"][-1]))


def refuse_foreign(connection: Connection, ref: CollectionRef) -> None:
    """Raise `ConfigError` when something of the collection's name is there that honed did not make."""
    if has_relation(connection, ref, ref.collection):
        raise ConfigError(
            "E_DATABASE", f"{ref.full_name} is there and no collection of honed: name another with --collection"
        )


def refuse_dependents(connection: Connection, ref: CollectionRef) -> None:
    """Raise `ConfigError` when something depends on the view, which is made anew for vectors of another kind."""
    rows = connection.execute(
        "SELECT DISTINCT r.ev_class::regclass::text FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid "
        "WHERE d.refobjid = to_regclass(%s) AND r.ev_class <> d.refobjid ORDER BY 1",
        [ref.full_name],
    ).fetchall()
    if rows:
        names = ", ".join(row[0] for row in rows)
        raise ConfigError(
            "E_DATABASE",
            f"{ref.full_name} is made anew for vectors of another length or type, but {names} depends on it: drop that",
        )


# -- locks ---------------------------------------------------------------------------------------


def lock_collection(connection: Connection, ref: CollectionRef) -> bool:
    """Take the collection's lock to the end of the transaction, and tell whether it was free."""
    return is_true(connection, "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [_lock_name(ref)])


def describe_other_push(connection: Connection, ref: CollectionRef) -> str:
    """Return one line about the push that holds the collection's lock: its process, from where, since when."""
    holder = connection.execute(
        "SELECT pid, coalesce(host(client_addr), 'this machine'), to_char(xact_start, 'HH24:MI:SS') FROM pg_locks "
        "JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid() "
        "AND (classid::bigint << 32) | objid::bigint = hashtextextended(%s, 0)",
        [_lock_name(ref)],
    ).fetchone()
    who = "" if holder is None else f": process {holder[0]} of {holder[1]}, since {holder[2]}"
    return f"another push to {ref.full_name} is at work{who}"


def _lock_name(ref: CollectionRef) -> str:
    return f"honed {ref.full_name}"


# -- switching -----------------------------------------------------------------------------------


def switch_view(connection: Connection, ref: CollectionRef, table: str, facts: CollectionFacts) -> None:
    """Let the view show a new table, and write down what it is.

    The switch waits for whoever reads the view, and everybody else would wait behind it: so it is tried for a moment,
    again and again. `StorageError` when a reader does not end.
    """
    connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_MS}ms"))
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            with connection.transaction():
                _replace_view(connection, ref, table)
            break
        except psycopg.errors.LockNotAvailable:
            if time.monotonic() > until:
                raise StorageError(
                    "E_LOCKED", f"{ref.full_name} is held by a transaction that does not end; nothing was changed"
                ) from None
            time.sleep(1)
    connection.execute(
        sql.SQL(
            "INSERT INTO {} (name, facts) VALUES ({}, {}::jsonb) "
            "ON CONFLICT (name) DO UPDATE SET facts = EXCLUDED.facts, pushed_at = now()"
        ).format(ref.relation(FACTS), ref.collection, json.dumps(facts))
    )


def _replace_view(connection: Connection, ref: CollectionRef, table: str) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    select = sql.SQL("SELECT {} FROM {}").format(columns, ref.relation(table))
    try:
        with connection.transaction():
            connection.execute(sql.SQL("CREATE OR REPLACE VIEW {} AS {}").format(ref.view, select))
    except psycopg.errors.InvalidTableDefinition:  # vectors of another length or type
        connection.execute(sql.SQL("DROP VIEW {}").format(ref.view))
        connection.execute(sql.SQL("CREATE VIEW {} AS {}").format(ref.view, select))


def drop_old_versions(ref: CollectionRef, keep: int) -> list[str]:
    """Drop all but ``keep`` tables of earlier versions; returns the tables that are left, the newest last.

    A table that somebody reads stays until after the next push. Of a collection that is being pushed again nothing is
    dropped, and [] is returned: that push will do it.
    """
    with connect(ref) as connection:
        facts = read_facts(connection, ref) if lock_collection(connection, ref) else None
        if facts is None:
            return []
        *earlier, newest = facts["tables"]
        connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(f"{_LOCK_MS}ms"))
        old = earlier[: len(earlier) - keep] if keep < len(earlier) else []
        held = [table for table in old if not _drop_table(connection, ref, table)]
        tables = [*held, *earlier[len(old) :], newest]
        connection.execute(
            sql.SQL("UPDATE {} SET facts = jsonb_set(facts, '{{tables}}', {}::jsonb) WHERE name = {}").format(
                ref.relation(FACTS), json.dumps(tables), ref.collection
            )
        )
    return tables


def _drop_table(connection: Connection, ref: CollectionRef, table: str) -> bool:
    """Drop a table unless somebody reads it or something depends on it; tells whether it is gone."""
    try:
        with connection.transaction():
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(ref.relation(table)))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DependentObjectsStillExist):
        return False
    return True
