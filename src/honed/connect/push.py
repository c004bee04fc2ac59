"""``honed push``: a catalogue into PostgreSQL with pgvector, in whole versions.

Every push makes a table of its own, indexes it, measures what the index finds, and switches the collection's view to
it, all in one transaction: whoever reads sees the old version or the new one, and a push that is killed leaves nothing.
The view keeps its name, its grants and what depends on it.
"""

from dataclasses import asdict, dataclass, field

import numpy as np
from pgvector.psycopg import register_vector
from psycopg import sql
from psycopg.types.json import Jsonb

from honed.bundle.names import NameTable
from honed.connect.database import (
    VECTOR_TYPES,
    CollectionFacts,
    CollectionRef,
    Connection,
    connect,
    read_facts,
)
from honed.connect.graph import GraphOptions, SearchWidth, build_graph, measure_width
from honed.connect.learned import learned_data, write_learned
from honed.connect.versions import (
    COLUMNS,
    describe_other_push,
    drop_old_versions,
    is_intact,
    lock_collection,
    prepare_database,
    refuse_dependents,
    refuse_foreign,
    switch_view,
)
from honed.core.errors import ConfigError, StorageError
from honed.core.fingerprint import fingerprint
from honed.core.progress import progress
from honed.core.sections import check_options, limits
from honed.core.text import fold
from honed.core.version import __version__
from honed.search.searcher import Searcher

_BLOCK = 2048  # entities that are copied at a time
_LONGEST_KEY = 2000  # bytes: an index of names takes no longer ones


@dataclass(frozen=True, kw_only=True, slots=True)
class PushOptions:
    """How vectors are kept (``vector``: 4 bytes a dimension, ``halfvec``: 2), and the graph over them.

    ``index`` "none" compares every vector. ``links`` and ``build_width`` are m and ef_construction of HNSW. ``keep``
    earlier versions stay as tables. ``force`` pushes what is there already.
    """

    type: str = field(default="vector", metadata=limits(one_of=tuple(VECTOR_TYPES)))
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
        if self.index == "hnsw" and dim > VECTOR_TYPES[self.type].most_dims:
            most = ", ".join(f"{name} {vector_type.most_dims}" for name, vector_type in VECTOR_TYPES.items())
            raise ConfigError(
                "E_OPTION", f"{dim} dimensions are too many for a graph over {self.type} ({most}): --index none"
            )
        return self


class PushResult(CollectionFacts):
    """The facts of a collection after a push; ``pushed`` is False where the same content was there already."""

    pushed: bool


def push(searcher: Searcher, ref: CollectionRef, options: PushOptions | None = None) -> PushResult:
    """Push the labels of a searcher with their vectors, aliases and fields, and its hybrid; returns what is there now.

    Raises `ConfigError` for options and for a database without pgvector, `StorageError` for what the database refuses
    and when another push is at work.
    """
    options, dim = (options or PushOptions()).check(searcher.encoder.spec.dim), searcher.encoder.spec.dim
    with connect(ref) as connection:
        prepare_database(connection, ref)
    with connect(ref) as connection:
        if not lock_collection(connection, ref):
            raise StorageError("E_LOCKED", describe_other_push(connection, ref))
        register_vector(connection)
        before = read_facts(connection, ref)
        content = content_fingerprint(searcher, options)
        if before is None:
            refuse_foreign(connection, ref)
        elif before["content"] == content and not options.force and is_intact(connection, ref, before):
            return {**before, "pushed": False}
        elif (before["type"], before["dim"]) != (options.type, dim):
            refuse_dependents(connection, ref)
        version = 1 + (before["version"] if before else 0)
        table = f"{ref.collection}_v{version}"
        connection.execute("SET LOCAL statement_timeout = 0")
        fields = _copy_entities(connection, searcher, ref, table, options.type)
        measured = _build_indexes(connection, searcher, ref, table, options)
        facts: CollectionFacts = {
            "model": fingerprint(searcher.encoder.spec.as_dict()),
            "spec": searcher.encoder.spec.as_dict(),
            "dim": dim,
            "records": searcher.names.n_entities,
            "type": options.type,
            "index": options.index,
            "honed": __version__,
            "version": version,
            "content": content,
            "tables": [*(before["tables"] if before else ()), table],
            "fields": fields,
            "search_width": measured.search_width,
            "index_recall": measured.index_recall,
            "group_by": searcher.catalogue.group_by,
            "learned": write_learned(connection, ref, searcher),
        }
        switch_view(connection, ref, table, facts)
    facts["tables"] = drop_old_versions(ref, options.keep) or facts["tables"]
    return {**facts, "pushed": True}


def content_fingerprint(searcher: Searcher, options: PushOptions) -> str:
    """Return what identifies a push: model, bundle or index of the catalogue, what was learned, how it is kept."""
    folder = searcher.source.folder
    source = searcher.manifest.get("self") or (folder.name if folder else "")
    kept = {name: value for name, value in asdict(options).items() if name not in ("keep", "force")}
    return fingerprint([searcher.encoder.spec.as_dict(), str(source), kept, learned_data(searcher)])


def _copy_entities(
    connection: Connection, searcher: Searcher, ref: CollectionRef, table: str, vector_type: str
) -> list[str]:
    """Make the table and copy all entities into it, a block at a time; returns the names of their fields, sorted."""
    fields: set[str] = set()
    names, value = searcher.names, VECTOR_TYPES[vector_type].value
    connection.execute(
        sql.SQL(
            "CREATE TABLE {} (id text PRIMARY KEY, label text NOT NULL, aliases text[] NOT NULL, keys text[] NOT NULL, "
            "fields jsonb NOT NULL, embedding {}({}) NOT NULL)"
        ).format(ref.relation(table), sql.SQL(vector_type), searcher.encoder.spec.dim)
    )
    into = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        ref.relation(table), sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    )
    with (
        progress("push", names.n_entities) as bar,
        connection.cursor() as cursor,
        cursor.copy(into) as copy,
    ):
        copy.set_types(["text", "text", "text[]", "text[]", "jsonb", vector_type])
        for start in range(0, names.n_entities, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, names.n_entities))
            for row, vector in zip(rows.tolist(), searcher.label_vectors(rows), strict=True):
                entity = names.entity(row)
                fields.update(entity.fields)
                aliases, keys = names.aliases(row), _name_keys(names, row)
                copy.write_row((entity.entity_id, entity.label, aliases, keys, Jsonb(entity.fields), value(vector)))
            bar.advance(len(rows))
    return sorted(fields)


def _name_keys(names: NameTable, row: int) -> list[str]:
    """Return the folded names of an entity that an index of names takes, the label's first."""
    folded = dict.fromkeys(map(fold, (names.entity(row).label, *names.aliases(row))))
    return [key for key in folded if len(key.encode()) <= _LONGEST_KEY]


def _build_indexes(
    connection: Connection, searcher: Searcher, ref: CollectionRef, table: str, options: PushOptions
) -> SearchWidth:
    """Build the index of names, and the graph if there is to be one; returns the width of a search and its recall."""
    connection.execute(sql.SQL("CREATE INDEX ON {} USING gin (keys)").format(ref.relation(table)))
    if options.index == "hnsw":
        graph = GraphOptions(
            vector_type=options.type,
            records=searcher.names.n_entities,
            dim=searcher.encoder.spec.dim,
            links=options.links,
            build_width=options.build_width,
        )
        build_graph(connection, ref, table, graph)
    connection.execute(sql.SQL("ANALYZE {}").format(ref.relation(table)))
    if options.index == "hnsw":
        return measure_width(connection, searcher, ref, table, options.type)
    return SearchWidth(0, 1.0)
