"""What the review page is answered: rows with their candidates side by side, and how far the promise is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from honed.match.answers import Candidate
from honed.match.differences import Span, differences
from honed.match.entry import Entry
from honed.match.evidence import agreement
from honed.match.promise import TablePromise
from honed.match.reviews import NONE, UNSURE, Review

if TYPE_CHECKING:
    from honed.search.searcher import Searcher

_MOST_ALIASES, _MOST_FIELDS, _MOST_CHARS = 6, 8, 2_000


class FieldPair(msgspec.Struct, kw_only=True, frozen=True):
    """A field of a candidate beside what the row says.

    ``kind`` is "same", "part", "other", or "" where one of both is missing or the row has no such column.
    """

    field: str
    value: str
    row: str
    kind: str


class CandidateView(msgspec.Struct, kw_only=True, frozen=True):
    """A candidate: its names and fields, the spans of its name that the row lacks, and those of the row's it lacks."""

    id: str
    name: str
    spans: Sequence[Span]
    row_spans: Sequence[Span]
    aliases: Sequence[str]
    fields: Sequence[FieldPair]


class EvidenceValue(msgspec.Struct, kw_only=True, frozen=True):
    """A value of a row and its column."""

    column: str
    value: str


class RowView(msgspec.Struct, kw_only=True, frozen=True):
    """A distinct row to be reviewed: its name, how often it stands in the table, its evidence, its candidates.

    ``answer`` is what the person who asks has said of it before, None for nothing.
    """

    entry: str
    name: str
    count: int
    evidence: Sequence[EvidenceValue]
    candidates: Sequence[CandidateView]
    answer: str | None = None


class Said(msgspec.Struct, kw_only=True, frozen=True):
    """A row that people differ on: the name of what each chose, by person."""

    entry: str
    name: str
    answers: Mapping[str, str]

    @classmethod
    def of(cls, reviews: Sequence[Review]) -> "Said":
        """Return what people said of one row, in words."""
        words = {NONE: "none", UNSURE: "not sure"}
        answers = {review.who: words.get(review.answer, review.chosen or review.answer) for review in reviews}
        return cls(entry=reviews[0].entry, name=reviews[0].name, answers=answers)


class PromiseView(msgspec.Struct, kw_only=True, frozen=True):
    """A promise in words, and about how many reviews still prove it.

    It rests on "this table", "dev", "known names" or "nothing", see `honed.match.promise`. Of a random draw of rows
    ``reviewed`` were looked at, and ``wrong`` of them found wrong.
    """

    sentence: str
    source: str
    reviewed: int
    wrong: int
    needed: int

    @classmethod
    def of(cls, promise: TablePromise, what: str, since: int) -> "PromiseView":
        """Return a promise about rows that are ``what``; ``since`` drawn rows were reviewed after it was made."""
        return cls(
            sentence=promise.sentence(what),
            source=promise.source,
            reviewed=promise.reviewed,
            wrong=promise.wrong,
            needed=max(0, promise.needed - since),
        )


class ReviewState(msgspec.Struct, kw_only=True, frozen=True):
    """How far the review of a table is.

    ``accept``, ``review`` and ``none`` count the names of the table by decision. ``reviewed`` entries have been seen by
    ``people`` (reviews by person), ``queue`` are to be reviewed, ``audit`` of them drawn at random. ``alpha`` is
    Krippendorff's, of the ``twice`` entries that two people or more have reviewed. ``working`` tells that the cut is
    being worked out, ``fault`` what that failed with, ``out`` is the file that is written.
    """

    table: str
    names: int
    distinct: int
    accept: int
    review: int
    none: int
    promise: PromiseView
    promise_none: PromiseView | None
    reviewed: int
    queue: int
    audit: int
    people: Mapping[str, int]
    alpha: float | None
    twice: int
    differ: Sequence[Said]
    working: bool
    fault: str
    out: str


class NextRow(msgspec.Struct, kw_only=True, frozen=True):
    """The row to review, None where none is left for this person now; ``working`` tells that more may follow soon."""

    row: RowView | None
    working: bool


class Written(msgspec.Struct, kw_only=True, frozen=True):
    """The file that was written with the decisions, and its number of rows."""

    file: str
    rows: int


def candidate_view(
    searcher: "Searcher", entry: Entry, candidate: Candidate, evidence: Mapping[str, str]
) -> CandidateView:
    """Return a candidate of an entry as the page shows it; ``evidence`` maps columns to fields of the catalogue."""
    name = candidate.name[:_MOST_CHARS]
    differ = differences(entry.name, name)
    row = searcher.names.entity_row(candidate.id)
    fields = searcher.names.entity(row).fields if row is not None else candidate.fields
    aliases = searcher.names.aliases(row) if row is not None else []
    of_row = dict(zip(evidence.values(), entry.values, strict=True))
    shown = [*of_row, *(field for field in fields if field not in of_row and fields[field])][:_MOST_FIELDS]
    return CandidateView(
        id=candidate.id,
        name=name,
        spans=differ.right,
        row_spans=differ.left,
        aliases=_nearest(entry.name, aliases),
        fields=[_pair(field, fields.get(field, ""), of_row.get(field, "")) for field in shown],
    )


def _pair(field: str, value: str, row: str) -> FieldPair:
    return FieldPair(field=field, value=value[:_MOST_CHARS], row=row[:_MOST_CHARS], kind=agreement(row, value))


def _nearest(name: str, aliases: Sequence[str]) -> list[str]:
    """Return the aliases that share most with a name, those that are it first."""
    shown = [alias[:200] for alias in list(dict.fromkeys(aliases))[:50]]
    return sorted(shown, key=lambda alias: _lacking(name, alias))[:_MOST_ALIASES]


def _lacking(name: str, alias: str) -> int:
    differ = differences(name, alias)
    return sum(end - start for start, end in [*differ.left, *differ.right])
