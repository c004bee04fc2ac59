"""Answers by the hybrid: known names first, then what it ranks, with the chance that the first is right."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from honed.core.errors import ConfigError
from honed.core.protocols import PairScorer, Vectors
from honed.core.ranking import Rows
from honed.core.records import Answer
from honed.index.answers import AnswerModel, answer_evidence
from honed.index.blend import Blend
from honed.index.hybrid import DEPTH, WIDE, Candidates, HybridIndex, Ranking
from honed.search.catalogue import UNFILTERED, Catalogue, FilterMasks, ScoredTexts
from honed.search.hits import AnswerQuery, HitBuilder, HitQuery, Hits
from honed.search.scores import RankedLabels, estimated_chances, known_chances, log_total, shares


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

    @property
    def depth(self) -> int:
        """How many candidates each part brings up, and how many of the nearest are asked for."""
        return DEPTH

    def gather(
        self, text: str, vector: Vectors, near: Rows, *, depth: int = DEPTH, hidden: Sequence[int] | Rows = ()
    ) -> Candidates:
        """Return the labels that may answer a query; see `Catalogue.nearest_labels` for ``near``."""

        def cosines(numbers: Rows) -> Vectors:
            return self.catalogue.label_cosines(numbers, vector)

        return self.index.gather(text, near[near >= 0], cosines, depth=depth, hidden=hidden)

    def extend_ranking(
        self, text: str, vector: Vectors, ranking: RankedLabels, n: int, masks: FilterMasks = UNFILTERED
    ) -> RankedLabels:
        """Return a ranking with ``n`` labels or more, where there are so many: what is there, then what is deeper."""
        hidden = self.catalogue.hidden_labels(masks)
        depth, most = DEPTH, len(self.catalogue.labels) - len(hidden)
        while len(ranking.numbers) < min(n, most) and depth < most:
            depth = min(max(4 * depth, n - len(ranking.numbers)), most)
            near = self.catalogue.nearest_labels(vector[None], depth, masks)[0]
            deeper = self.index.rank(text, self.gather(text, vector, near, depth=depth, hidden=hidden))
            ranking = ranking.followed_by(RankedLabels(deeper.rows, deeper.scores))
        return ranking

    def pair_scores(self, text: str, ranking: Rows, until: float = np.inf) -> Vectors:
        """Return the cross-encoder's scores of a query with the first ranked labels, as many as fit before a time."""
        if self.reranker is None:
            raise ConfigError("E_NO_RERANKER", "nothing to rerank with: there is no cross-encoder")
        pairs = [(text, self.catalogue.label_text(int(number))) for number in ranking[: self.blend.depth]]
        from honed.encode.pair_graph import score_until  # with the engines

        return score_until(self.reranker, pairs, until)

    def answer(self, query: AnswerQuery, near: Rows) -> Answer:
        """Return the answer to a query; ``near`` are its nearest labels, see `Catalogue.nearest_labels`."""
        hidden = self.catalogue.hidden_labels(query.masks)
        gathered = self.gather(query.text, query.vector, near, hidden=hidden)
        ranked = self.index.rank(query.text, gathered)
        known = self._in_ranked_order(HitBuilder(self.catalogue).known(query), ranked.rows, query.text)
        ranking = self._judged(query, ranked)
        total = log_total(ranking.odds)
        hits = self._hits(query, known, ranking, total)
        if query.explained:
            hits = self._explained(query.text, gathered, hits)
        if self.answers is None or query.rerank_until is not None or not query.estimated:
            return Answer(hits=hits)
        chance, absent = self._chances(query.text, ranked, len(known))
        hits = known_chances(hits, len(known)) if known else estimated_chances(hits, chance)
        match = chance >= 1 - self.answers.risk if known else self.answers.gives(chance)
        candidates = (known or self._candidates(query, self.answers, total)) if query.candidates else None
        return Answer(hits=hits, chance=round(chance, 4), match=match, candidates=candidates, absent=absent)

    def _chances(self, text: str, ranked: Ranking, n_known: int) -> tuple[float, float | None]:
        """Return the chance that the first hit is right, and that there is no answer (None: not learned).

        A name of one entity is known to be right, of several each may be.
        """
        assert self.answers is not None  # the caller has looked
        if n_known:
            return 1 / n_known, 0.0
        evidence = answer_evidence(text, ranked)
        absent = self.answers.absent(evidence)
        return self.answers.chance(evidence), None if absent is None else round(absent, 4)

    def _judged(self, query: AnswerQuery, ranked: Ranking) -> RankedLabels:
        """Return a ranking, its first labels in the order of a cross-encoder where that is asked for."""
        if query.rerank_until is None:
            return RankedLabels(ranked.rows, ranked.scores)
        scores = self.pair_scores(query.text, ranked.rows, query.rerank_until)
        order, odds = self.blend.order(ranked.scores, scores), self.blend.odds(ranked.scores, scores)
        return RankedLabels(ranked.rows[order], odds)

    def _hits(self, query: AnswerQuery, known: Hits, ranking: RankedLabels, total: float) -> Hits:
        """Return ``k`` hits where there are so many: ``k`` may be large, and many labels of one group or entity.

        ``total`` is the `log_total` of the candidates that shares are of.
        """
        builder, width = HitBuilder(self.catalogue), 4 * query.k
        while True:
            ranking = self.extend_ranking(query.text, query.vector, ranking, width, query.masks)
            hits = builder.build(query, known, self._scored(query, ranking.first(width), total))
            enough = len(hits) >= query.k or len(ranking.numbers) < width
            if enough or width >= self.catalogue.most_examined(len(self.catalogue.labels)):
                return hits
            width *= 4

    def _scored(self, query: AnswerQuery, ranking: RankedLabels, total: float) -> ScoredTexts:
        """Return ranked labels as rows of texts, with the share of each in the odds of all candidates."""
        return ScoredTexts(
            rows=self.catalogue.labels[ranking.numbers],
            scores=shares(ranking.odds, total),
            cosines=self.catalogue.label_cosines(ranking.numbers, query.vector),
        )

    def _candidates(self, query: AnswerQuery, answers: AnswerModel, total: float) -> Hits:
        """Return all entities within the distance of the first that holds the truth at the chosen rate."""
        ranked = self._ranked_wide(query)
        n = answers.within(ranked)
        labels = self._scored(query, RankedLabels(ranked.rows[:n], ranked.scores[:n]), total)
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
        return self._reasons(text, self.gather(text, vector, near, hidden=self.catalogue.hidden_labels(masks)), hits)

    def _explained(self, text: str, candidates: Candidates, hits: Hits) -> Hits:
        """Return hits with what every part adds to each."""
        return [
            replace(hit, reasons=added) for hit, added in zip(hits, self._reasons(text, candidates, hits), strict=True)
        ]

    def _reasons(self, text: str, candidates: Candidates, hits: Hits) -> list[dict[str, float]]:
        parts = self.index.reasons(text, candidates)
        place = {number: at for at, number in enumerate(candidates.rows.tolist())}
        return [_added(parts, place.get(number)) for number in self.label_numbers(hits)]


def _added(parts: dict[str, Vectors], at: int | None) -> dict[str, float]:
    """Return what every part adds to the score of one candidate, the most first; empty for no candidate."""
    if at is None:
        return {}
    added = {name: round(float(column[at]), 3) for name, column in parts.items()}
    return dict(sorted(added.items(), key=lambda share: -abs(share[1])))
