"""The graph (HNSW) over a pushed table, and the width of a search in it, chosen by its index recall."""

from typing import NamedTuple

import numpy as np
from psycopg import sql

from honed.connect.database import CollectionRef, Connection, vector_literal
from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.core.ranking import RowSelection
from honed.index.exact import exact_among
from honed.search.searcher import Searcher

_N_QUERIES, _K = 200, 10
_WIDTHS, _ENOUGH = (40, 80, 160, 320, 640), 0.98
_TOLERANCE = {"vector": 1e-5, "halfvec": 2e-4}  # of a score, by the type of the vectors
_MEMORY_MB = (64, 1024)  # for building the graph, at least and at most
_MEMORY_MARGIN = 1.3


class GraphOptions(NamedTuple):
    """The graph over a table of ``records`` vectors ``(dim,)`` of a type of pgvector: m and ef_construction of HNSW."""

    vector_type: str
    records: int
    dim: int
    links: int
    build_width: int


class SearchWidth(NamedTuple):
    """The width of a search (hnsw.ef_search), and the share of the exact ten nearest that it finds."""

    search_width: int
    index_recall: float


def build_graph(connection: Connection, ref: CollectionRef, table: str, options: GraphOptions) -> None:
    """Build the graph over the vectors of a table, with the memory that it needs, within bounds."""
    needed = options.records * (4 * options.dim + 10 * options.links) / 1e6
    memory = int(min(max(_MEMORY_MB[0], _MEMORY_MARGIN * needed), _MEMORY_MB[1]))
    connection.execute(sql.SQL("SET LOCAL maintenance_work_mem = {}").format(f"{memory}MB"))
    build = sql.SQL("CREATE INDEX ON {} USING hnsw (embedding {}) WITH (m = {}, ef_construction = {})").format(
        ref.relation(table), sql.SQL(f"{options.vector_type}_ip_ops"), options.links, options.build_width
    )
    with progress("build the graph"):
        connection.execute(build)


def measure_width(
    connection: Connection, searcher: Searcher, ref: CollectionRef, table: str, vector_type: str
) -> SearchWidth:
    """Search with the vectors of some labels, wider until 98 % of their exact ten nearest are found."""
    n_entities = searcher.names.n_entities
    if n_entities <= _K:
        return SearchWidth(0, 1.0)
    rows = np.random.default_rng(0).choice(n_entities, min(_N_QUERIES, n_entities), replace=False)
    vectors = searcher.label_vectors(rows)
    lowest = kth_scores(searcher, vectors, _K).astype(np.float64) - _TOLERANCE[vector_type]
    statement = sql.SQL("SELECT -(embedding <#> {0}) FROM {1} ORDER BY embedding <#> {0} LIMIT {2}")
    queries = [statement.format(vector_literal(vector, vector_type), ref.relation(table), _K) for vector in vectors]
    connection.execute("SET LOCAL enable_seqscan = off")
    recall, width = 0.0, 0
    for width in _WIDTHS:
        connection.execute(sql.SQL("SET LOCAL hnsw.ef_search = {}").format(width))
        results = [connection.execute(query).fetchall() for query in queries]
        shares = [
            sum(row[0] >= least for row in result) / _K for result, least in zip(results, lowest.tolist(), strict=True)
        ]
        recall = float(np.mean(shares))
        if recall >= _ENOUGH:
            break
    connection.execute("SET LOCAL enable_seqscan = on")
    return SearchWidth(width, round(recall, 4))


class _LabelVectors:
    """The label vectors of all entities, numbered as the entities are."""

    def __init__(self, searcher: Searcher) -> None:
        self._searcher = searcher
        self.shape = (searcher.names.n_entities, searcher.encoder.spec.dim)

    def take(self, rows: RowSelection) -> Vectors:
        """Return the vectors ``(len(rows), dim)`` of some entities."""
        return self._searcher.label_vectors(np.arange(self.shape[0])[rows])


def kth_scores(searcher: Searcher, vectors: Vectors, k: int) -> Vectors:
    """Return the score of the ``k``-th nearest entity of each vector ``(n,)``; several may have one label."""
    labels = _LabelVectors(searcher)
    return exact_among(labels, np.arange(labels.shape[0]), vectors, k)[0][:, -1]
