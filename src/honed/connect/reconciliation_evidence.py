"""What properties and types say of the hits of a search, and when a hit is a match at the promised risk.

A property that a hit contradicts takes from it the share of its chance that the property is of all that tell hits
apart; what is left of all chances is shared out anew. A property that no hit agrees with is written in other words in
the catalogue, it may be: it does not change the scores, and nothing that contradicts it is a match.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Self, TypeAlias

from honed.core.records import Answer, Hit
from honed.core.text import fold
from honed.index.answers import AnswerModel
from honed.search.scores import KNOWN_NAME

ValuesOf: TypeAlias = Callable[[Hit, str], Sequence[str]]  # the values of a property of the entity of a hit


class Condition(NamedTuple):
    """A property and the values of which an entity should have one; with ``required``, others are left out."""

    feature: str
    property_id: str
    values: frozenset[str]
    keys: frozenset[str | float]
    required: bool = False

    @classmethod
    def of(cls, feature: str, property_id: str, values: Iterable[str], *, required: bool = False) -> Self:
        """Return the condition that a property has one of some values."""
        distinct = frozenset(values)
        return cls(feature, property_id, distinct, frozenset(map(_key, distinct)), required)

    def holds(self, values: Sequence[str]) -> bool | None:
        """Tell whether one of an entity's values is one of those wanted; None where it has no value."""
        return any(_key(value) in self.keys for value in values) if values else None


def _key(value: str) -> str | float:
    """Return what equal values share: a number, or the folded text."""
    try:
        number = float(value)
    except ValueError:
        return fold(value)
    return number if math.isfinite(number) else fold(value)


class Judged(NamedTuple):
    """A hit with its score in [0, 1], what it agrees with and contradicts, and whether it is a match."""

    hit: Hit
    score: float
    agreements: Mapping[str, bool]
    match: bool

    @property
    def is_contradicted(self) -> bool:
        """Whether the hit contradicts anything."""
        return not all(self.agreements.values())


def judge(
    answer: Answer, conditions: Sequence[Condition], values_of: ValuesOf, model: AnswerModel | None
) -> list[Judged]:
    """Return the hits of an answer, weighed by conditions, best first; at most the first is a match.

    Without conditions the score is the chance that a hit is right, or its score where no chances were learned
    (``model`` is None); then there is no match either.
    """
    agreements = [_agreements(hit, conditions, values_of) for hit in answer.hits]
    scores = _scores(answer, agreements, conditions)
    required = {condition.feature for condition in conditions if condition.required}
    judged = [
        Judged(hit, score, agreed, match=False)
        for hit, score, agreed in zip(answer.hits, scores, agreements, strict=True)
        if all(agreed.get(feature, False) for feature in required)
    ]
    judged.sort(key=lambda candidate: -candidate.score)
    if judged and model is not None and answer.chance is not None:
        judged[0] = judged[0]._replace(match=_is_match(judged[0], answer, agreements, model))
    return judged


def _agreements(hit: Hit, conditions: Sequence[Condition], values_of: ValuesOf) -> dict[str, bool]:
    """Return for each condition whether it holds, without those on which the entity has no value."""
    holding = {condition.feature: condition.holds(values_of(hit, condition.property_id)) for condition in conditions}
    return {feature: holds for feature, holds in holding.items() if holds is not None}


def _scores(answer: Answer, agreements: Sequence[Mapping[str, bool]], conditions: Sequence[Condition]) -> list[float]:
    """Return the score of each hit, in [0, 1]."""
    hits = answer.hits
    plain = [max(hit.score, 0.0) if hit.chance is None else hit.chance for hit in hits]
    telling = [
        condition.feature for condition in conditions if any(agreed.get(condition.feature) for agreed in agreements)
    ]
    if not telling:
        return plain
    kept = [1 - sum(not agreed.get(feature, True) for feature in telling) / len(telling) for agreed in agreements]
    if answer.chance is None:
        return [score * share for score, share in zip(plain, kept, strict=True)]
    masses = _masses(hits)
    left = [mass * share for mass, share in zip(masses, kept, strict=True)]
    total = sum(left) + max(0.0, 1 - sum(masses))
    return [mass / total if total else 0.0 for mass in left]


def _masses(hits: Sequence[Hit]) -> list[float]:
    """Return the chance of each hit so that they add up: entities of one estimated label share that of the label."""
    alike = [hit.score if hit.score == KNOWN_NAME else hit.text for hit in hits]
    return [
        (hit.chance or 0.0) / (1 if hit.score == KNOWN_NAME else alike.count(key))
        for hit, key in zip(hits, alike, strict=True)
    ]


def _is_match(first: Judged, answer: Answer, agreements: Sequence[Mapping[str, bool]], model: AnswerModel) -> bool:
    """Tell whether the answer is given at the promised risk, and the first is the one of its namesakes.

    Namesakes are the entities that bear the query as a known name, or those whose label is that of the first hit. They
    share the chance, but for those that a property contradicts with which the first agrees.
    """
    top, chance = answer.hits[0], answer.chance or 0.0
    known = top.score == KNOWN_NAME
    namesakes = [hit.score == KNOWN_NAME if known else hit.text == top.text for hit in answer.hits]
    is_namesake = first.hit.score == KNOWN_NAME if known else first.hit.text == top.text
    if first.is_contradicted or not is_namesake or chance <= 0:
        return False
    told_apart = {feature for feature, agrees in first.agreements.items() if agrees}
    others = sum(
        there and any(not agreed.get(feature, True) for feature in told_apart)
        for there, agreed in zip(namesakes, agreements, strict=True)
    )
    n = round(1 / chance) if known else sum(namesakes)
    shared = (1.0 if known else chance) / max(1, n - others)
    return shared >= 1 - model.risk if known else model.gives(shared)
