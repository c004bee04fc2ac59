"""Queries to look at: those that went wrong, and those that one system won against another."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from honed.core.records import JudgedTask, Run
from honed.evaluate.results import QueryOutcome, QueryOutcomes

N_SHOWN = 20
_MOST_RIGHT = 3  # right documents that are named
_MOST_CHARS = 200  # of a text


@dataclass(frozen=True)
class OutcomeFinder:
    """Picks queries of a judged task to look at, the same ones every time."""

    task: JudgedTask

    def wrong(self, run: Run) -> QueryOutcomes:
        """Return the queries whose first hit in a run is not right, with what that hit is."""
        run = run.by_parent(self.task.parents)
        wrong = [query_id for query_id in self._judged if not self._is_right(run, query_id)]
        return self._outcomes(run.name, "", wrong, run)

    def won(self, run: Run, reference: Run) -> QueryOutcomes:
        """Return the queries whose first hit is right in a run and not in another, with what the other found first."""
        run, reference = run.by_parent(self.task.parents), reference.by_parent(self.task.parents)
        won = [
            query_id
            for query_id in self._judged
            if self._is_right(run, query_id) and not self._is_right(reference, query_id)
        ]
        return self._outcomes(run.name, reference.name, won, reference)

    @cached_property
    def _judged(self) -> list[str]:
        """The ids of the queries that have a right document."""
        return [query.query_id for query in self.task.queries if self.task.qrels.relevant(query.query_id)]

    def _is_right(self, run: Run, query_id: str) -> bool:
        hits = run.hits.get(query_id) or ()
        return bool(hits) and hits[0][0] in self.task.qrels.relevant(query_id)

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        """The text of every document by its id; of a document in passages, that of the first."""
        texts: dict[str, str] = {}
        for document in self.task.corpus:
            texts.setdefault(self.task.judged_as(document.doc_id), document.encoder_text())
        return texts

    def _text(self, doc_id: str) -> str:
        text = self._texts.get(doc_id, doc_id)
        return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…"

    @cached_property
    def _slices(self) -> Mapping[str, list[str]]:
        """The names of the slices of every query, in alphabetical order."""
        slices: dict[str, list[str]] = defaultdict(list)
        for name in sorted(self.task.slices):
            for query_id in self.task.slices[name]:
                slices[query_id].append(name)
        return slices

    def _outcomes(self, system: str, reference: str, query_ids: Sequence[str], shown: Run) -> QueryOutcomes:
        """Return a sample of some queries, with the first hits that a run gave them."""
        text_of = {query.query_id: query.text for query in self.task.queries}
        by_slice = Counter(name for query_id in query_ids for name in self._slices.get(query_id, ()))
        chosen = sample_by_slice(query_ids, self._slices, by_slice)
        return QueryOutcomes(
            system=system,
            reference=reference,
            n=len(query_ids),
            n_queries=len(self._judged),
            by_slice=dict(sorted(by_slice.items(), key=lambda pair: (-pair[1], pair[0]))),
            queries=[self._outcome(text_of[query_id], query_id, name, shown) for query_id, name in chosen],
        )

    def _outcome(self, text: str, query_id: str, slice_name: str, run: Run) -> QueryOutcome:
        right = self.task.qrels.relevant(query_id)
        grades = self.task.qrels.grades[query_id]
        hits = [doc_id for doc_id, _ in run.hits.get(query_id) or ()]
        best_first = sorted(right, key=lambda doc_id: (-grades[doc_id], doc_id))
        return QueryOutcome(
            query=text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}…",
            slice=slice_name,
            right=[self._text(doc_id) for doc_id in best_first[:_MOST_RIGHT]],
            found=self._text(hits[0]) if hits else None,
            rank=next((rank for rank, doc_id in enumerate(hits, 1) if doc_id in right), None),
        )


def sample_by_slice(
    query_ids: Sequence[str], slices: Mapping[str, Sequence[str]], sizes: Mapping[str, int], n: int = N_SHOWN
) -> list[tuple[str, str]]:
    """Return up to ``n`` queries, each with the slice that it stands for ("" for none), slice after slice.

    Slices take turns, the small ones first, so that the large ones do not hide them; a query stands for one slice.
    Which queries of a slice are taken hangs on their ids alone.
    """
    order = sorted(query_ids, key=lambda query_id: sha256(query_id.encode()).digest())
    waiting: dict[str, list[str]] = {name: [] for name in sorted(sizes, key=lambda name: (sizes[name], name))}
    waiting[""] = []
    for query_id in order:
        for name in slices.get(query_id) or ("",):
            waiting[name].append(query_id)
    chosen: dict[str, str] = {}
    while len(chosen) < min(n, len(order)):
        for name, members in waiting.items():
            while members and members[0] in chosen:
                members.pop(0)
            if members and len(chosen) < n:
                chosen[members.pop(0)] = name
    return sorted(chosen.items(), key=lambda pair: (pair[1] == "", -sizes.get(pair[1], 0), pair[1]))
