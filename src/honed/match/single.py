"""Rows that are matched one by one, each by itself: what is decided does not depend on what else is asked."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from honed.core.records import Answer
from honed.match.answers import Found, found_of, sampled_fields, weighed
from honed.match.decide import ACCEPT, NO_MATCH, REVIEW, Decision
from honed.match.entry import Entry
from honed.match.evidence import FieldEvidence, learn_field
from honed.search.searcher import Searcher


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleRow:
    """A row to be matched: its name, and values of fields of the catalogue that are evidence."""

    name: str
    evidence: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class SingleMatch:
    """What is found for a row, and the decision; where the catalogue estimates no chances it is to review."""

    found: Found
    decision: Decision


class SingleMatcher:
    """Matches rows against a catalogue by what dev and the catalogue teach; no row of a table is looked at.

    Each accepted row's estimated chance to be wrong is within the error, so that their share is too, where rows are
    like dev. That is stricter than for a whole table, whose mean may use the error up (see `honed.match.promise`).
    """

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self._fields: dict[str, FieldEvidence] | None = None
        self._learning = threading.Lock()

    def sentence(self, max_error: float) -> str:
        """Return in words what is promised of accepted rows."""
        if self.searcher.answers is None:
            return "nothing is accepted: this catalogue estimates no chances"
        return (
            f"each accepted row is wrong with an estimated chance of at most {100 * max_error:g} %, if rows are like "
            "dev: borrowed from dev"
        )

    def match(
        self, rows: Sequence[SingleRow], answers: Sequence[Answer], *, max_error: float, max_missed: float
    ) -> list[SingleMatch]:
        """Return what is decided of each row by the catalogue's answer to its name."""
        matches = []
        for row, answer in zip(rows, answers, strict=True):
            found = self._weighed(row, found_of(answer, list(row.evidence)))
            matches.append(SingleMatch(found=found, decision=_decision(answer, found, max_error, max_missed)))
        return matches

    def _weighed(self, row: SingleRow, found: Found) -> Found:
        if not row.evidence:
            return found
        learned, fields = self._learned(), list(row.evidence)
        return weighed(Entry(row.name, tuple(row.evidence.values())), found, fields, [learned[name] for name in fields])

    def _learned(self) -> dict[str, FieldEvidence]:
        """Return what agreements on each field say: a guess of those of right pairs, and the catalogue's of others."""
        with self._learning:
            if self._fields is None:
                sample = sampled_fields(self.searcher)
                values = {name: [entity.get(name, "") for entity in sample] for name in self.searcher.columns}
                self._fields = {name: learn_field(of, [""] * len(of), of) for name, of in values.items()}
            return self._fields


def _decision(answer: Answer, found: Found, max_error: float, max_missed: float) -> Decision:
    if answer.chance is not None and found.candidates and found.chance >= 1 - max_error:
        return ACCEPT
    return NO_MATCH if found.absent is not None and found.absent >= 1 - max_missed else REVIEW
