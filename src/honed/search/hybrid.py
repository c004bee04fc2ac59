"""Answers by the hybrid: known names first, then what it ranks, with the chance that the first is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from honed.core.errors import ConfigError
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.records import Answer
from honed.encode.pair_graph import score_until
from honed.index.answers import AnswerModel, answer_evidence
from honed.index.blend import Blend
from honed.index.hybrid import DEPTH, WIDE, Candidates, HybridIndex, Ranking
from honed.search.catalogue import UNFILTERED, Catalogue, FilterMasks
from honed.search.hits import HitBuilder, HitQuery, Hits


class PairScorer(Protocol):
    """A cross-encoder."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the scores ``(n_pairs,)`` of (query, document) pairs, higher is closer."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerQuery(HitQuery):
    """A query whose answer is asked for, with what the hybrid adds to hits.

    ``candidates`` asks for a set of candidates; with ``rerank_until``, a time of ``time.perf_counter``, a cross-encoder
    judges as many of the first labels as it can begin by then; ``estimated`` asks for the chance of the first hit.
    """

    candidates: bool = False
    rerank_until: float | None = None
    estimated: bool = True


@dataclass(frozen=True, slots=True)
class HybridSearch:
    """The hybrid over a catalogue, with what was learned for it: estimates of answers, a cross-encoder and its weight.

    Labels are named by their numbers among the labels; see `honed.index.hybrid` for what is ranked and how.
    """

    catalogue: Catalogue
    index: HybridIndex
    answers: AnswerModel | None
    reranker: PairScorer | None
    blend: Blend

    def gather(
        self, text: str, vector: Vectors, near: Rows, *, depth: int = DEPTH, hidden: Sequence[int] | Rows = ()
    ) -> Candidates:
        """Return the labels that may answer a query; see `Catalogue.nearest_labels` for ``near``."""

        def cosines(numbers: Rows) -> Vectors:
            return self.catalogue.scored_labels(numbers, vector).scores

        return self.index.gather(text, near[near >= 0], cosines, depth=depth, hidden=hidden)

    def extend_ranking(
        self, text: str, vector: Vectors, ranking: Rows, n: int, masks: FilterMasks = UNFILTERED
    ) -> Rows:
        """Return a ranking of at least ``n`` labels, where there are so many: the given one, then deeper candidates."""
        hidden = self.catalogue.hidden_labels(masks)
        depth, most = DEPTH, len(self.catalogue.labels) - len(hidden)
        while len(ranking) < min(n, most) and depth < most:
            depth = min(max(4 * depth, n - len(ranking)), most)
            near = self.catalogue.nearest_labels(vector[None], depth, masks)[0]
            deeper = self.index.rank(text, self.gather(text, vector, near, depth=depth, hidden=hidden)).rows
            ranking = np.concatenate([ranking, deeper[~np.isin(deeper, ranking)]])
        return ranking

    def pair_scores(self, text: str, ranking: Rows, until: float = np.inf) -> Vectors:
        """Return the cross-encoder's scores of a query with the first ranked labels, as many as fit before a time."""
        if self.reranker is None:
            raise ConfigError("E_NO_RERANKER", "nothing to rerank with: there is no cross-encoder")
        pairs = [(text, self.catalogue.label_text(int(number))) for number in ranking[: self.blend.depth]]
        return score_until(self.reranker, pairs, until)

    def answer(self, query: AnswerQuery, near: Rows) -> Answer:
        """Return the answer to a query; ``near`` are its nearest labels, see `Catalogue.nearest_labels`."""
        hidden = self.catalogue.hidden_labels(query.masks)
        ranked = self.index.rank(query.text, self.gather(query.text, query.vector, near, hidden=hidden))
        known = self._in_ranked_order(HitBuilder(self.catalogue).known(query), ranked.rows, query.text)
        ranking = ranked.rows
        if query.rerank_until is not None:
            scores = self.pair_scores(query.text, ranking, query.rerank_until)
            ranking = ranking[self.blend.order(ranked.scores, scores)]
        hits = self._hits(query, known, ranking)
        if self.answers is None or query.rerank_until is not None or not query.estimated:
            return Answer(hits=hits)
        # a name of one entity is known to be right, of several each may be
        chance = 1 / len(known) if known else self.answers.chance(answer_evidence(query.text, ranked))
        candidates = (known or self._candidates(query, self.answers)) if query.candidates else None
        return Answer(hits=hits, chance=round(chance, 4), match=chance >= 1 - self.answers.risk, candidates=candidates)

    def _hits(self, query: AnswerQuery, known: Hits, ranking: Rows) -> Hits:
        """Return ``k`` hits where there are so many: ``k`` may be large, and many labels of one group or entity."""
        builder, width = HitBuilder(self.catalogue), 4 * query.k
        while True:
            ranking = self.extend_ranking(query.text, query.vector, ranking, width, query.masks)
            hits = builder.build(query, known, self.catalogue.scored_labels(ranking, query.vector))
            enough = len(hits) >= query.k or len(ranking) < width
            if enough or width >= self.catalogue.most_examined(len(self.catalogue.labels)):
                return hits
            width *= 4

    def _candidates(self, query: AnswerQuery, answers: AnswerModel) -> Hits:
        """Return all entities within the distance of the first that holds the truth at the chosen rate."""
        ranked = self._ranked_wide(query)
        labels = self.catalogue.scored_labels(ranked.rows[: answers.within(ranked)], query.vector)
        everything = HitQuery(text=query.text, vector=query.vector, k=self.catalogue.names.n_entities, grouped=False)
        return HitBuilder(self.catalogue).build(everything, [], labels)

    def _ranked_wide(self, query: AnswerQuery) -> Ranking:
        """Return the labels that a candidate set is cut from, best first."""
        near = self.catalogue.nearest_labels(query.vector[None], WIDE)[0]
        return self.index.rank(query.text, self.gather(query.text, query.vector, near, depth=WIDE))

    def _in_ranked_order(self, known: Hits, ranking: Rows, text: str) -> Hits:
        """Return entities of one name, those that write it like the query first, as their labels are ranked."""
        if len(known) < 2:
            return known
        place = {number: at for at, number in enumerate(ranking.tolist())}
        numbers, last = self.label_numbers(known), len(place)
        order = sorted(range(len(known)), key=lambda at: (known[at].matched != text, place.get(numbers[at], last)))
        return [known[at] for at in order]

    def label_numbers(self, hits: Hits) -> list[int]:
        """Return the numbers among the labels of the entities of some hits."""
        names = self.catalogue.names
        rows = [names.label_of[names.entity_row(hit.doc_id)] for hit in hits]
        numbers: list[int] = np.searchsorted(self.catalogue.labels, rows).tolist()
        return numbers

    def reasons(self, text: str, vector: Vectors, hits: Hits, masks: FilterMasks) -> list[dict[str, float]]:
        """Return for each hit what every part adds to its score, see `honed.search.searcher.Searcher.reasons`."""
        near = self.catalogue.nearest_labels(vector[None], DEPTH, masks)[0]
        candidates = self.gather(text, vector, near, hidden=self.catalogue.hidden_labels(masks))
        parts = self.index.reasons(text, candidates)
        place = {number: at for at, number in enumerate(candidates.rows.tolist())}
        return [_shares(parts, place.get(number)) for number in self.label_numbers(hits)]


def _shares(parts: dict[str, Vectors], at: int | None) -> dict[str, float]:
    """Return what every part adds to the score of one candidate, the most first; empty for no candidate."""
    if at is None:
        return {}
    added = {name: round(float(column[at]), 3) for name, column in parts.items()}
    return dict(sorted(added.items(), key=lambda share: -abs(share[1])))
