"""Triplets from sentences with two entities: what is said stays together, whoever it is said of.

The positive of a sentence says the same of others; its negatives say something else of the same, so that the names can
no longer be what makes two texts alike.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honed.core.errors import ConfigError, DataError
from honed.core.progress import progress
from honed.core.records import Example
from honed.core.sections import limits
from honed.core.text import bare, fold
from honed.data.split import unit_interval
from honed.shapes.grouped.parts import TripletReport, TripletSample
from honed.shapes.relations.sentences import Sentence

POSITIVES = ("swap", "sentence", "swapped-sentence")
NEGATIVES = ("same-entities", "same-relation")
_TRIES = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class TripletConfig:
    """The section ``[triplets]``.

    ``positive`` is "swap" (the sentence with the entities of another one of its relation), "sentence" (another one of
    its relation as it is) or "swapped-sentence" (another one with a third one's entities). ``negatives`` lists
    "same-entities" (a sentence of another relation with this one's entities) and "same-relation" (another sentence of
    the relation with this one's entities, as published; it then counts as wrong). ``per_relation`` takes so many
    sentences of a relation at most (0: all). ``types`` swaps entities of one type only. ``near_copy`` is the share of
    common words around the entities from which two sentences count as one.
    """

    positive: str = field(default="swap", metadata=limits(one_of=POSITIVES))
    negatives: tuple[str, ...] = ("same-entities",)
    per_relation: int = field(default=0, metadata=limits(low=0))
    types: bool = True
    near_copy: float = field(default=0.8, metadata=limits(low=0.01, high=1))
    seed: int = field(default=0, metadata=limits(low=0))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for unknown kinds of negatives."""
        for kind in self.negatives:
            if kind not in NEGATIVES:
                raise ConfigError(
                    "E_CONFIG_RANGE", f"{file}: triplets.negatives: {kind} is not one of {', '.join(NEGATIVES)}"
                )


class TripletBuilder:
    """Builds one example for each sentence; the same sentences, configuration and seed give the same examples."""

    def __init__(self, sentences: Sequence[Sentence], config: TripletConfig) -> None:
        self.config = config
        self.dropped: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.sentences = self._distinct(sentences)
        self.frames = [sentence.frame() for sentence in self.sentences]
        self.kinds = [(sentence.kind("head"), sentence.kind("tail")) for sentence in self.sentences]
        self.by_relation: dict[str, list[int]] = defaultdict(list)
        self.by_kinds: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for row, sentence in enumerate(self.sentences):
            self.by_relation[sentence.relation].append(row)
            self.by_kinds[self.kinds[row]][sentence.relation].append(row)
        if len(self.by_relation) < 2:
            raise DataError("E_RELATIONS", "the train split has fewer than two relations: nothing to tell apart")

    def _distinct(self, sentences: Sequence[Sentence]) -> list[Sentence]:
        """Return the sentences that can be swapped, each frame once, at most so many of a relation as are wanted."""
        chosen: list[Sentence] = []
        seen: set[tuple[str, frozenset[str]]] = set()
        taken: Counter[str] = Counter()
        order = sorted(sentences, key=lambda sentence: unit_interval(self.config.seed, sentence.sentence_id))
        for sentence in order if self.config.per_relation else sentences:
            if self.config.per_relation and taken[sentence.relation] >= self.config.per_relation:
                continue
            clear = sentence.without_overlap()
            if clear is None:
                self.dropped["the entities lie in each other"] += 1
                continue
            key = (sentence.relation, clear.frame())
            if key in seen:
                self.dropped["a copy of another sentence of its relation"] += 1
                continue
            seen.add(key)
            taken[sentence.relation] += 1
            chosen.append(clear)
        return chosen

    def build(self) -> list[Example]:
        """Return the examples; what could not be built is counted in ``dropped``."""
        examples = []
        with progress("triplets", len(self.sentences)) as bar:
            for row in range(len(self.sentences)):
                bar.advance()
                if (example := self._example(row)) is not None:
                    examples.append(example)
        return examples

    def _example(self, row: int) -> Example | None:
        sentence = self.sentences[row]
        rng = random.Random(f"{self.config.seed} {sentence.sentence_id} {sentence.text}")  # noqa: S311
        positive = self._positive(row, rng)
        if positive is None:
            self.dropped["no other sentence of its relation with other entities of their types"] += 1
            return None
        negatives = [self._negative(row, kind, rng) for kind in self.config.negatives]
        group_of_text = {text: group for text, group in negatives if text and fold(text) != fold(positive)}
        if self.config.negatives and not group_of_text:
            self.dropped["no sentence for a negative"] += 1
            return None
        published = self.config.negatives == ("same-relation",)
        return Example(
            anchor=sentence.text,
            positive=positive,
            negatives=tuple(group_of_text),
            source=sentence.relation,
            group="" if published else sentence.relation,
            negative_groups=tuple(group_of_text.values()),
        )

    def _positive(self, row: int, rng: random.Random) -> str | None:
        sentence = self.sentences[row]
        peers = self._alike(sentence.relation, row)
        if self.config.positive == "swap":
            donor = self._drawn(peers, rng, lambda other: self._other_entities(row, other))
            return None if donor is None else self._with_entities(row, donor)
        every = self.by_relation[sentence.relation]
        other = self._drawn(every, rng, lambda other: other != row and not self._near(row, other))
        if other is None or self.config.positive == "sentence":
            return None if other is None else self.sentences[other].text
        donor = self._drawn(
            self._alike(sentence.relation, other),
            rng,
            lambda third: third != row and self._other_entities(other, third) and self._other_entities(row, third),
        )
        return None if donor is None else self._with_entities(other, donor)

    def _negative(self, row: int, kind: str, rng: random.Random) -> tuple[str, str]:
        """Return a negative and its group, which is none where it is of the relation itself; empty where none is."""
        sentence = self.sentences[row]
        if kind == "same-relation":
            pool = self._alike(sentence.relation, row)
            other = self._drawn(pool, rng, lambda other: other != row and not self._near(row, other))
        else:
            other = self._of_another_relation(row, rng)
        if other is None:
            return "", ""
        group = self.sentences[other].relation
        return self._with_entities(other, row), "" if group == sentence.relation else group

    def _of_another_relation(self, row: int, rng: random.Random) -> int | None:
        relation = self.sentences[row].relation
        pools: Mapping[str, list[int]] = self.by_kinds[self.kinds[row]] if self.config.types else self.by_relation
        names = [name for name in pools if name != relation]
        if not names:
            self.notes["negatives of other types, for want of any of their own"] += 1
            pools, names = self.by_relation, [name for name in self.by_relation if name != relation]
        for _ in range(_TRIES):
            donor = rng.choice(pools[rng.choice(names)])
            if not self._near(row, donor):
                return donor
        return None

    def _alike(self, relation: str, row: int) -> list[int]:
        return self.by_kinds[self.kinds[row]][relation] if self.config.types else self.by_relation[relation]

    def _drawn(self, pool: Sequence[int], rng: random.Random, fits: Any) -> int | None:
        for _ in range(_TRIES):
            donor = rng.choice(pool)
            if fits(donor):
                return donor
        return None

    def _other_entities(self, row: int, other: int) -> bool:
        left, right = self.sentences[row], self.sentences[other]
        return all(bare(left.entity(side)) != bare(right.entity(side)) for side in ("head", "tail"))

    def _near(self, row: int, other: int) -> bool:
        left, right = self.frames[row], self.frames[other]
        return len(left & right) >= self.config.near_copy * len(left | right)

    def _with_entities(self, row: int, donor: int) -> str:
        source = self.sentences[donor]
        return self.sentences[row].swapped(source.entity("head"), source.entity("tail"))

    def report(self, examples: Sequence[Example], samples: int = 12) -> TripletReport:
        """Return what was built, with some examples spread over all."""
        step = max(1, len(examples) // samples)
        return TripletReport(
            triplets=len(examples),
            sentences=len(self.sentences),
            relations=len(self.by_relation),
            dropped=dict(self.dropped),
            notes=dict(self.notes),
            samples=[
                TripletSample(
                    relation=example.source,
                    anchor=example.anchor,
                    positive=example.positive,
                    negatives=list(example.negatives),
                )
                for example in examples[::step][:samples]
            ],
        )
