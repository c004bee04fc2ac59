"""What the label page is answered: the state of a session, records to read, and the effect of terms."""

from collections.abc import Mapping, Sequence

import msgspec

from honed.core.json import Json
from honed.label.lists import TermList
from honed.label.report import Interval, RuleStatistics


class ListView(msgspec.Struct, kw_only=True, frozen=True):
    """A list of terms; ``own`` tells whether the page may change it."""

    name: str
    label: str
    words: Sequence[str]
    patterns: Sequence[str]
    own: bool

    @classmethod
    def of(cls, terms: TermList, *, own: bool) -> "ListView":
        """Return a list as the page shows it."""
        return cls(name=terms.name, label=terms.label, words=terms.words, patterns=terms.patterns, own=own)


class SessionState(msgspec.Struct, kw_only=True, frozen=True):
    """What the side of the page shows.

    ``hand`` are hand labels by class, ``labelled`` counts records with a label of whatever source, ``coverage`` is the
    share that rules and learner are sure enough of; ``accuracy`` has a mean and an interval, ``matrix`` counts true
    class (rows) by guess; both are judged on the hand labels, None without any. ``learning`` tells that the learner is
    at work, ``fault`` what it failed with.
    """

    classes: Sequence[str]
    records: int
    hand: Mapping[str, int]
    labelled: int
    coverage: float
    accuracy: Interval | None
    matrix: Sequence[Sequence[int]] | None
    rules: Sequence[RuleStatistics]
    lists: Sequence[ListView]
    learning: bool
    fault: str
    who: str


class TermSpan(msgspec.Struct, kw_only=True, frozen=True):
    """Where a term of the list of a class stands in a text, in characters."""

    start: int
    end: int
    label: str


class FieldView(msgspec.Struct, kw_only=True, frozen=True):
    """A text of a record, with the terms in it, by where they start, the longest first."""

    text: str
    spans: Sequence[TermSpan]


class RecordView(msgspec.Struct, kw_only=True, frozen=True):
    """A record to read: its texts, its hand label ("": none), and what rules and learner say of it.

    Of a record of test nothing is said, so that its label is fit to measure with: ``likeliest`` is "", ``confidence``
    None.
    """

    id: str
    fields: Mapping[str, FieldView]
    label: str
    likeliest: str
    confidence: float | None
    votes: Mapping[str, str]


class LabelledRecord(RecordView, kw_only=True, frozen=True):
    """A record that was given a label; ``before`` is the one that it had, "" for none."""

    before: str


class TermEffect(msgspec.Struct, kw_only=True, frozen=True):
    """What a term would do on the list of a class.

    It speaks for ``records``, of which ``new`` had no vote of the class's lists; ``right`` of the ``judged`` hand
    labels agree, which is a share of at least ``low`` (95 %); ``agree`` is the share of records whose guess agrees.
    """

    records: int
    new: int
    judged: int
    right: int
    low: float
    agree: float | None


Suggestion = Mapping[str, Json]
