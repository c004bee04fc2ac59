"""Rows of names to hits: an entity once, one of a group, those that bear the query as a known name first."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

import numpy as np

from honed.bundle.names import ALIAS, LABEL
from honed.core.protocols import Vectors
from honed.core.records import Hit
from honed.search.catalogue import UNFILTERED, Catalogue, FilterMasks, ScoredTexts
from honed.search.request import ALIAS_TO_LABEL
from honed.search.scores import KNOWN_NAME, rounded

Hits: TypeAlias = list[Hit]


class HitList(list[Hit]):
    """Hits, best first; a notebook shows them as a table."""

    def _repr_html_(self) -> str:
        from honed.core.html import html_table  # for notebooks alone

        chances = any(hit.chance is not None for hit in self)
        head = ["", "name", "matched", "score", *(["chance"] if chances else []), "cosine", "id"]
        rows = [
            [hit.rank, hit.text, hit.matched if hit.matched != hit.text else "", f"{hit.score:.3f}"]
            + ([f"{100 * (hit.chance or 0):.0f} %"] if chances else [])
            + [f"{hit.cosine:.3f}", hit.doc_id]
            for hit in self
        ]
        return html_table(head, rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class HitQuery:
    """What hits are made for: the query's text and its vector ``(dim,)``, up to ``k`` of what passes ``masks``.

    ``grouped`` keeps one hit of each group where the index has groups.
    """

    text: str
    vector: Vectors
    k: int
    direction: str = ALIAS_TO_LABEL
    masks: FilterMasks = UNFILTERED
    grouped: bool = True

    @property
    def by_entity(self) -> bool:
        """Whether a hit is an entity; an alias otherwise."""
        return self.direction == ALIAS_TO_LABEL


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerQuery(HitQuery):
    """A query whose answer is asked for, with what the hybrid adds to hits.

    ``candidates`` asks for a set of candidates; with ``rerank_until``, a time of ``time.perf_counter``, a cross-encoder
    judges as many of the first labels as it can begin by then; ``estimated`` asks for the chances of hits,
    ``explained`` for what every part adds to them.
    """

    candidates: bool = False
    rerank_until: float | None = None
    estimated: bool = True
    explained: bool = False


class _Bearer(NamedTuple):
    """An entity that bears a text, by their rows."""

    entity: int
    text: int


class HitBuilder:
    """Builds hits from rows of a catalogue's names."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._names, self._vectors = catalogue.names, catalogue.vectors

    def known(self, query: HitQuery) -> Hits:
        """Return the entities that bear the query as a known name, by the name as it is written there.

        Those that write it like the query come before those that write it in other case; their ranks are 0.
        """
        rows = sorted(self._names.rows_named(query.text), key=lambda row: self._names.text(row) != query.text)
        bearers: dict[int, int] = {}
        for row in rows:
            for entity in self._names.bearers(row, LABEL | ALIAS):
                if query.masks.allows(entity):
                    bearers.setdefault(entity, row)
        hits = []
        for bearer in self._nearest_first([_Bearer(*pair) for pair in bearers.items()], query.vector):
            cosine = float(self._vectors.take(np.array([bearer.text]))[0] @ query.vector)
            hits.append(self.hit(bearer.entity, self._names.text(bearer.text), KNOWN_NAME, cosine))
        return sorted(hits, key=lambda hit: hit.matched != query.text)

    def build(self, query: HitQuery, known: Hits, ranked: ScoredTexts) -> Hits:
        """Return up to ``k`` hits: the ``known`` ones, then those of the ``ranked`` texts, each entity (alias) once."""
        grouped = query.grouped and query.by_entity and bool(self._catalogue.group_by)
        if grouped:
            known = self._first_of_groups(known)
        hits = [replace(hit, rank=rank) for rank, hit in enumerate(known[: query.k], 1)]
        taken = {key for hit in hits for key in self._keys(hit, "", grouped=grouped)}
        for row, score, cosine in zip(*(column.tolist() for column in ranked), strict=True):
            if len(hits) >= query.k:
                break
            if row < 0:  # an approximate index may find fewer
                continue
            text = self._names.text(row)
            for entity in self._bearers(query, row):
                hit = self.hit(entity, text, score, cosine, by_entity=query.by_entity, rank=len(hits) + 1)
                keys = self._keys(hit, "" if query.by_entity else text, grouped=grouped)
                if not keys & taken and len(hits) < query.k:
                    taken |= keys
                    hits.append(hit)
        return hits

    def _bearers(self, query: HitQuery, row: int) -> list[int]:
        """Return the entities that bear a text and pass the filter, those with the nearest labels first."""
        kinds = self._catalogue.kinds(query.direction)
        bearers = [_Bearer(entity, row) for entity in self._names.bearers(row, kinds) if query.masks.allows(entity)]
        return [bearer.entity for bearer in self._nearest_first(bearers, query.vector)]

    def _nearest_first(self, bearers: Sequence[_Bearer], vector: Vectors) -> list[_Bearer]:
        """Return bearers of one name by how near the entity's label is to the query, ties by id."""
        if len(bearers) < 2:
            return list(bearers)
        entities = np.array([bearer.entity for bearer in bearers])
        cosines = self._catalogue.label_vectors(entities) @ vector
        keys = [
            (-float(cosine), self._names.entity(bearer.entity).entity_id)
            for cosine, bearer in zip(cosines, bearers, strict=True)
        ]
        return [bearer for _, bearer in sorted(zip(keys, bearers, strict=True))]

    def _first_of_groups(self, hits: Hits) -> Hits:
        """Return the first hit of each group, and those of no group."""
        firsts = {self.group_of(hit) or (hit.doc_id,): hit for hit in reversed(hits)}
        return [hit for hit in hits if firsts[self.group_of(hit) or (hit.doc_id,)] is hit]

    def _keys(self, hit: Hit, alias: str, *, grouped: bool) -> set[tuple[str, ...]]:
        """Return what no second hit may share: the entity (with the alias, where that is the hit), and its group."""
        keys: set[tuple[str, ...]] = {(hit.doc_id, alias)}
        group = self.group_of(hit) if grouped else ""
        return keys | {("", group, "group")} if group else keys

    def group_of(self, hit: Hit) -> str:
        """Return what a hit shares with others of which only one is to be seen; empty where nothing."""
        return str(hit.fields.get(self._catalogue.group_by, "")) if self._catalogue.group_by else ""

    def hit(
        self, entity: int, matched: str, score: float, cosine: float, *, by_entity: bool = True, rank: int = 0
    ) -> Hit:
        """Return an entity that was found by one of its names, or that name with the entity's label among the fields.

        The rank 0 is to be set by whoever puts hits in order.
        """
        entity_id, label, fields = self._names.entity(entity)
        return Hit(
            doc_id=entity_id,
            text=label if by_entity else matched,
            score=rounded(max(-1.0, min(score, 1.0))),
            cosine=rounded(max(-1.0, min(cosine, 1.0))),
            matched=matched,
            rank=rank,
            fields=fields if by_entity else {**fields, "label": label},
        )
