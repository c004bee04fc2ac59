"""Batches of reconciliation queries to candidates: one search for all names, then what properties and types say."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from honed.connect.reconciliation_catalogue import ALIASES, LABEL, ReconciliationCatalogue
from honed.connect.reconciliation_evidence import Condition, Judged, judge
from honed.connect.reconciliation_messages import Candidate, Candidates, Feature, ReconciliationQuery
from honed.core.fingerprint import canonical_json
from honed.core.json import JsonObject
from honed.core.records import Answer, Hit
from honed.search.request import ALIAS_TO_LABEL
from honed.search.scores import KNOWN_NAME
from honed.serve.batching import SearchWork
from honed.serve.errors import RequestError

if TYPE_CHECKING:
    from honed.serve.waiting import Waiting

_LEAST_DEPTH, _DEPTH = 10, 50  # hits that are looked at: of a name alone, and where conditions choose among them
_TYPE = "type_match"


class ReconciliationSearch:
    """Answers queries over a catalogue, with up to ``max_k`` candidates each."""

    def __init__(self, catalogue: ReconciliationCatalogue, max_k: int) -> None:
        self._catalogue, self._max_k = catalogue, max_k
        self._searcher = catalogue.searcher

    async def results(self, queries: Mapping[str, ReconciliationQuery], waiting: "Waiting") -> dict[str, Candidates]:
        """Return the candidates of each query, by its key; none for a query without a name or property."""
        conditions = await asyncio.to_thread(lambda: {key: self._conditions(query) for key, query in queries.items()})
        named = [key for key, query in queries.items() if query.query.strip()]
        depth = max((self._depth(queries[key], conditions[key]) for key in named), default=1)
        work = SearchWork(ALIAS_TO_LABEL, explain=self._searcher.hybrid is not None)
        texts = [queries[key].query for key in named]
        found = await waiting.result(work, texts, depth) if texts else []
        answers = dict(zip(named, found, strict=True))
        results = {}
        for key, query in queries.items():
            if key in answers:
                judged = self._judged(answers[key], conditions[key])
                if len(judged) < self._limit(query) and any(condition.required for condition in conditions[key]):
                    judged += await self._more(query, conditions[key], judged, waiting)
            else:
                judged = await asyncio.to_thread(self._with_properties, conditions[key])
            results[key] = Candidates(result=[self._candidate(one) for one in judged[: self._limit(query)]])
        return results

    # -- what is asked -----------------------------------------------------------------------------

    def _limit(self, query: ReconciliationQuery) -> int:
        return max(1, min(query.limit, self._max_k))

    def _depth(self, query: ReconciliationQuery, conditions: Sequence[Condition]) -> int:
        return min(max(self._limit(query), _DEPTH if conditions else _LEAST_DEPTH), self._max_k)

    def _conditions(self, query: ReconciliationQuery) -> list[Condition]:
        """Return the conditions of a query; `RequestError` for a type or property that the catalogue does not have."""
        conditions = []
        for given in query.properties:
            if self._catalogue.property(given.pid) is None:
                raise RequestError(422, "E_FIELD", f"no property {given.pid[:50]!a}")
            if given.values:
                conditions.append(Condition.of(f"property:{given.pid}", given.pid, given.values))
        types = [name for name in query.types if not self._catalogue.is_any_type(name)]
        if types:
            known = {kind.id for kind in self._catalogue.types()}
            unknown = [name for name in types if name not in known]
            if unknown:
                raise RequestError(422, "E_FIELD", f"no type {unknown[0][:50]!a}")
            every = query.type_strict == "all" and len(set(types)) > 1  # an entity has one type
            wanted = [] if every else types
            required = query.type_strict != "should"
            conditions.append(Condition.of(_TYPE, self._catalogue.type_field, wanted, required=required))
        return conditions

    # -- what is answered --------------------------------------------------------------------------

    def _judged(self, answer: Answer, conditions: Sequence[Condition]) -> list[Judged]:
        return judge(answer, conditions, self._catalogue.values_of, self._searcher.answers)

    async def _more(
        self, query: ReconciliationQuery, conditions: Sequence[Condition], before: Sequence[Judged], waiting: "Waiting"
    ) -> list[Judged]:
        """Return more hits of the types that are asked for, too deep for a search in all: they score no better."""
        where: JsonObject = {
            condition.property_id: sorted(condition.values) for condition in conditions if condition.required
        }
        work = SearchWork(ALIAS_TO_LABEL, canonical_json(where))
        (answer,) = await waiting.result(work, [query.query], self._limit(query))
        taken = {judged.hit.doc_id for judged in before}
        most = 0.0 if self._searcher.answers is not None else min((judged.score for judged in before), default=1.0)
        hits = [replace(hit, chance=None) for hit in answer.hits if hit.doc_id not in taken]
        judged = judge(Answer(hits=hits), conditions, self._catalogue.values_of, None)
        return [one._replace(score=min(one.score, most)) for one in judged]

    def _with_properties(self, conditions: Sequence[Condition]) -> list[Judged]:
        """Return the first entities that meet all conditions on fields; each is as likely as the others."""
        fields = [condition for condition in conditions if condition.property_id not in (LABEL.id, ALIASES.id)]
        if not fields or len(fields) < len(conditions):
            return []
        allowed = np.ones(self._searcher.names.n_entities, dtype=np.bool_)
        for condition in fields:
            column = self._catalogue.columns[condition.property_id]
            codes = [code for code, value in enumerate(column.values) if condition.holds([str(value)])]
            allowed &= np.isin(column.codes, codes)
        rows = np.flatnonzero(allowed)
        agreements = {condition.feature: True for condition in fields}
        hits = [self._hit_of(int(row), rank) for rank, row in enumerate(rows[: self._max_k], 1)]
        return [Judged(hit, 1 / len(rows), agreements, match=False) for hit in hits]

    def _hit_of(self, row: int, rank: int) -> Hit:
        entity = self._searcher.names.entity(row)
        return Hit(
            doc_id=entity.entity_id,
            text=entity.label,
            score=0.0,
            cosine=0.0,
            matched="",
            rank=rank,
            fields=entity.fields,
        )

    def _candidate(self, judged: Judged) -> Candidate:
        hit = judged.hit
        return Candidate(
            id=hit.doc_id,
            name=hit.text,
            description=self._catalogue.description(hit.fields),
            score=round(100 * judged.score, 4),
            match=judged.match,
            type=self._catalogue.types_of(hit.fields),
            features=_features(judged),
        )


def _features(judged: Judged) -> list[Feature]:
    """Return what speaks for a candidate: how its name fits, what each part of the hybrid adds, what agrees."""
    hit = judged.hit
    agreed = [Feature(id=name, value=agrees) for name, agrees in judged.agreements.items()]
    if not hit.matched:  # found by its properties alone
        return agreed
    of_name = [
        Feature(id="known_name", value=hit.score == KNOWN_NAME),
        Feature(id="cosine", value=hit.cosine),
        Feature(id="score", value=hit.score),
    ]
    chance = [] if hit.chance is None else [Feature(id="chance", value=hit.chance)]
    parts = [Feature(id=f"part:{name}", value=value) for name, value in (hit.reasons or {}).items()]
    return [*of_name, *chance, *parts, *agreed]
