"""All names of a catalogue with their vectors: an index over them for each direction, and masks for filters."""

from functools import cached_property
from typing import NamedTuple, TypedDict

import numpy as np

from honed.bundle.layout import Arrays
from honed.bundle.names import ALIAS, LABEL, NameTable, TextRows
from honed.core.filters import Column, Filter, allowed_rows
from honed.core.json import JsonObject
from honed.core.protocols import Mask, VectorIndex, Vectors
from honed.core.ranking import Rows
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors
from honed.search.request import ALIAS_TO_LABEL

_MOST_OF_GROUPS = 4000


class EntityRecord(TypedDict):
    """An entity with its fields and all its aliases."""

    id: str
    label: str
    fields: dict[str, str]
    aliases: list[str]


class FilterMasks(NamedTuple):
    """Masks chosen by a filter, of entities ``(n_entities,)`` and of texts ``(n_texts,)``; None means unfiltered."""

    entities: Mask | None = None
    texts: Mask | None = None

    def allows(self, entity: int) -> bool:
        """Tell whether an entity passes the filter."""
        return self.entities is None or bool(self.entities[entity])


UNFILTERED = FilterMasks()


class ScoredTexts(NamedTuple):
    """Rows of texts ``(n,)``, best first; a row is -1 where there was no more.

    ``scores`` are the numbers by which they are ranked, see `honed.search.scores`, ``cosines`` those to the query.
    """

    rows: Rows
    scores: Vectors
    cosines: Vectors


class NameIndex:
    """A vector index over labels, aliases or both; its hits are rows of the name table."""

    def __init__(self, index: VectorIndex, rows: TextRows, n_names: int) -> None:
        self.vectors, self.n_names = index, n_names
        self._rows = rows

    def search(self, vectors: Vectors, k: int, masks: FilterMasks = UNFILTERED) -> list[ScoredTexts]:
        """Return for each query vector up to ``k`` names that pass the filter, the nearest first."""
        allowed = None if masks.texts is None else masks.texts[self._rows]
        scores, places = self.vectors.search(vectors, k, allowed=allowed)
        rows = places if isinstance(self._rows, slice) else np.where(places < 0, -1, self._rows[places])
        return [ScoredTexts(line, values, values) for line, values in zip(rows, scores, strict=True)]


class Catalogue:
    """Names, their vectors, and the settings of the index over them; an index is built or restored when first searched.

    ``settings`` are those of the index with ``names`` ("labels" or "all", which names are searched) and ``group_by``, a
    field of entities of which only one is to be seen for each value.
    """

    def __init__(
        self,
        vectors: StoredVectors,
        names: NameTable,
        settings: JsonObject,
        *,
        index_cache: Arrays | None = None,
        without_faiss: bool = False,
    ) -> None:
        """Take an index that was built before (``index_cache``); ``without_faiss`` compares every vector by numpy."""
        self.vectors, self.names = vectors, names
        self.settings = IndexSettings.from_manifest(settings)
        self.searched_kinds = LABEL if settings.get("names", "labels") == "labels" else LABEL | ALIAS
        self.group_by = str(settings.get("group_by", ""))
        self._index_cache, self._without_faiss = index_cache, without_faiss
        self._indexes: dict[str, NameIndex | None] = {}

    @cached_property
    def labels(self) -> Rows:
        """The rows of the texts that are labels ``(n_labels,)``, in their order."""
        rows = self.names.rows_of(LABEL)
        return np.arange(rows.stop) if isinstance(rows, slice) else rows

    def label_text(self, number: int) -> str:
        """Return a label by its number among the labels."""
        return self.names.text(int(self.labels[number]))

    def label_vectors(self, entities: Rows) -> Vectors:
        """Return the vectors ``(len(entities), dim)`` of the labels of some entities, by their rows."""
        return self.vectors.take(self.names.label_of[entities])

    def searched_rows(self) -> TextRows:
        """Return the rows of the names that a search from alias to label is over."""
        return self.names.rows_of(self.searched_kinds)

    def kinds(self, direction: str) -> int:
        """Return the kinds of names that are searched in a direction: `LABEL`, `ALIAS` or their sum."""
        return self.searched_kinds if direction == ALIAS_TO_LABEL else ALIAS

    def index(self, direction: str) -> NameIndex | None:
        """Return the index for a direction, or None where there is no name to find."""
        if direction not in self._indexes:
            rows = self.names.rows_of(self.kinds(direction))
            n_names = rows.stop if isinstance(rows, slice) else len(rows)
            index = NameIndex(self._vector_index(rows, direction), rows, n_names) if n_names else None
            self._indexes[direction] = index
        return self._indexes[direction]

    def exact_index(self) -> NameIndex | None:
        """Return exact search over the names that are searched from alias to label; None where there are none."""
        approximate = self.index(ALIAS_TO_LABEL)
        rows = self.searched_rows()
        return None if approximate is None else NameIndex(self.vectors.exact(rows), rows, approximate.n_names)

    def _vector_index(self, rows: TextRows, direction: str) -> VectorIndex:
        """Return the index that the settings ask for over some rows; exact search for the aliases."""
        exact = self._without_faiss and self.settings.backend == "flat"
        if exact or self.settings.backend == "exact" or direction != ALIAS_TO_LABEL:
            return self.vectors.exact(rows)
        from honed.index.backends import build_index, restore_index

        source = self.vectors.subset(rows)
        if self._index_cache is not None:
            return restore_index(source, self.settings, self._index_cache)
        return build_index(source, self.settings)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The fields of the entities, to filter by."""
        entities = [self.names.entity(row).fields for row in range(self.names.n_entities)]
        return {
            name: Column.of(fields.get(name) for fields in entities)
            for name in sorted({name for fields in entities for name in fields})
        }

    def masks(self, where: Filter | None, direction: str) -> FilterMasks:
        """Return the masks of a filter on fields; `honed.core.errors.ConfigError` for a field that no entity has."""
        if not where:
            return UNFILTERED
        entities = allowed_rows(where, self.columns, self.names.n_entities)
        return FilterMasks(entities, self.names.rows_of_entities(entities, self.kinds(direction)))

    def nearest_labels(self, vectors: Vectors, k: int, masks: FilterMasks = UNFILTERED) -> Rows:
        """Return the numbers among the labels of the ``k`` nearest, ``(n_queries, k)``, best first."""
        index = self.index(ALIAS_TO_LABEL)
        if index is None:
            return np.empty((len(vectors), 0), np.int64)
        allowed = None if masks.texts is None else masks.texts[self.labels]
        return index.vectors.search(vectors, k, allowed=allowed)[1]

    def hidden_labels(self, masks: FilterMasks) -> Rows:
        """Return the numbers of the labels that do not pass a filter."""
        return np.empty(0, np.int64) if masks.texts is None else np.flatnonzero(~masks.texts[self.labels])

    def label_cosines(self, numbers: Rows, vector: Vectors) -> Vectors:
        """Return the cosines ``(n,)`` of labels, by their numbers, to a query vector ``(dim,)``."""
        cosines: Vectors = self.vectors.take(self.labels[numbers]) @ vector
        return cosines

    def most_examined(self, n_names: int) -> int:
        """Return how many of ``n_names`` a search may examine: all, or a few thousand where one of a group counts."""
        return min(n_names, _MOST_OF_GROUPS) if self.group_by else n_names
