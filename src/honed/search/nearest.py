"""Hits by meaning alone: the nearest names of a query's vector, or of an entity's label."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from honed.core.errors import ConfigError
from honed.core.filters import Filter
from honed.core.protocols import Vectors
from honed.core.text import fold
from honed.search.catalogue import Catalogue
from honed.search.hits import HitBuilder, HitQuery, Hits
from honed.search.request import ALIAS_TO_LABEL


def nearest_hits(catalogue: Catalogue, queries: Sequence[HitQuery], vectors: Vectors) -> list[Hits]:
    """Return the hits of queries of one direction, filter and ``k``: known names first, then the nearest.

    ``vectors`` ``(n_queries, dim)`` are theirs.
    """
    first, builder = queries[0], HitBuilder(catalogue)
    index = catalogue.index(first.direction)
    if index is None:
        return [[] for _ in queries]
    known = [builder.known(query) if query.by_entity else [] for query in queries]
    hits: list[Hits] = [[] for _ in queries]
    waiting, width = list(range(len(queries))), 4 * first.k
    while waiting:  # one entity may bear many near strings: look further until k are found
        nearest = index.search(vectors[waiting], width, first.masks)
        for number, texts in zip(waiting, nearest, strict=True):
            hits[number] = builder.build(queries[number], known[number], texts)
        if width >= catalogue.most_examined(index.n_names):
            break
        waiting = [number for number in waiting if len(hits[number]) < first.k]
        width *= 4
    return hits


def similar_hits(catalogue: Catalogue, doc_id: str, k: int, where: Filter | None) -> Hits:
    """Return the ``k`` entities whose labels are nearest to that of an entity; see `Searcher.similar`."""
    names, builder = catalogue.names, HitBuilder(catalogue)
    entity = names.entity_row(doc_id)
    if entity is None:
        entity = names.entity_row(f"{doc_id}#1")  # a document that was cut: its first passage
    if entity is None:
        raise ConfigError("E_ID_UNKNOWN", f"no record {doc_id}")
    index = catalogue.index(ALIAS_TO_LABEL)
    assert index is not None  # the entity has a label
    text = names.text(int(names.label_of[entity]))
    vectors, masks = catalogue.label_vectors(np.array([entity])), catalogue.masks(where, ALIAS_TO_LABEL)
    group = builder.group_of(builder.hit(entity, text, 1.0, 1.0))
    width = 4 * (k + 1)
    while True:
        texts = index.search(vectors, min(width, index.n_names), masks)[0]
        near = builder.build(HitQuery(text=text, vector=vectors[0], k=width, masks=masks), [], texts)
        hits = [hit for hit in near if hit.doc_id != doc_id and fold(hit.text) != fold(text)]
        hits = [hit for hit in hits if not group or builder.group_of(hit) != group][:k]
        if len(hits) >= k or width >= catalogue.most_examined(index.n_names):
            return [replace(hit, rank=rank) for rank, hit in enumerate(hits, 1)]
        width *= 4
