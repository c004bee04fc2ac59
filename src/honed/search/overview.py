"""What a catalogue offers before anything is typed: fields to filter by, and names to try."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from honed.core.filters import Column, Value
from honed.core.ranking import Rows
from honed.core.text import fold
from honed.search.catalogue import Catalogue

_MOST_ENTITIES = 200_000  # whose fields are read for it; filters work on any number
_N_FACETS, _N_VALUES, _N_EXAMPLES = 8, 12, 6
_LONGEST = 60  # characters of a value or an example
_N_LOOKED_AT = 60  # entities of which examples are taken


@dataclass(frozen=True, kw_only=True, slots=True)
class FacetValue:
    """A value of a field, and how many entities have it."""

    value: Value
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facet:
    """A field that tells entities apart by few values: the most frequent ones, and how many there are in all."""

    field: str
    values: list[FacetValue]
    n_values: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogueOverview:
    """Fields to filter by, and names to try as queries."""

    facets: list[Facet]
    examples: list[str]


def catalogue_overview(catalogue: Catalogue) -> CatalogueOverview:
    """Return what a page over a catalogue offers; reads the fields of all entities, if there are not too many."""
    return CatalogueOverview(facets=facets(catalogue), examples=examples(catalogue))


def facets(catalogue: Catalogue) -> list[Facet]:
    """Return the fields whose values are borne by two entities or more on average, those of most entities first.

    Empty for a catalogue of more than 200,000 entities, whose fields would all have to be read.
    """
    if catalogue.names.n_entities > _MOST_ENTITIES:
        return []
    counted = [(name, column, _counts(column)) for name, column in catalogue.columns.items()]
    useful = [
        (name, column, counts)
        for name, column, counts in counted
        if 2 <= len(column.values) <= counts.sum() / 2 and max(len(str(value)) for value in column.values) <= _LONGEST
    ]
    useful.sort(key=lambda entry: (-int(entry[2].sum()), entry[0]))
    return [_facet(*entry) for entry in useful[:_N_FACETS]]


def _counts(column: Column) -> Rows:
    """Return how many entities have each value of a field ``(n_values,)``."""
    counts: Rows = np.bincount(column.codes[column.codes >= 0], minlength=len(column.values)).astype(np.int64)
    return counts


def _facet(name: str, column: Column, counts: Rows) -> Facet:
    order = sorted(range(len(counts)), key=lambda code: (-int(counts[code]), str(column.values[code])))
    values = [FacetValue(value=column.values[code], count=int(counts[code])) for code in order[:_N_VALUES]]
    return Facet(field=name, values=values, n_values=len(column.values))


def examples(catalogue: Catalogue) -> list[str]:
    """Return up to six names to try as queries, from all over the catalogue: aliases, or labels where there are none.

    The same for a catalogue every time.
    """
    names, n = catalogue.names, catalogue.names.n_entities
    rows = np.unique(np.linspace(0, max(n - 1, 0), min(n, _N_LOOKED_AT)).astype(int)).tolist() if n else []
    aliases, labels = list(_short_aliases(catalogue, rows)), [names.entity(row).label for row in rows]
    texts = list(dict.fromkeys(aliases or [label for label in labels if 0 < len(label) <= _LONGEST]))
    return [texts[at] for at in np.unique(np.linspace(0, len(texts) - 1, _N_EXAMPLES).astype(int))] if texts else []


def _short_aliases(catalogue: Catalogue, rows: list[int]) -> Iterator[str]:
    """Yield the shortest alias of each entity that is not its label, where it has one of two characters or more."""
    for row in rows:
        label = fold(catalogue.names.entity(row).label)
        aliases = [alias for alias in catalogue.names.aliases(row) if fold(alias) != label]
        fitting = [alias for alias in aliases if 2 <= len(alias.strip()) <= _LONGEST]
        if fitting:
            yield min(fitting, key=len)
