"""What labelling tells of its work: the content of ``label.json``."""

import msgspec


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its 95 % interval; the mean is None where nothing was counted."""

    mean: float | None
    low: float
    high: float


class RuleStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule is worth: the ``classes`` and the number of ``records`` that it votes for, and how often it is right.

    ``coverage``, ``overlap`` (with another rule's vote) and ``conflict`` (with another rule's other vote) are shares of
    all records. ``precision`` is counted on the ``judged`` votes for hand-labelled records.
    """

    rule: str
    classes: list[str]
    records: int
    coverage: float
    overlap: float
    conflict: float
    judged: int
    precision: Interval


class LabelWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something odd that labelling goes on with; ``code`` is ``W_...``, ``classes`` are all that it is about."""

    code: str
    message: str
    classes: list[str] = []


class ClassQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How right the labels of a class are: ``n`` records are given it, it has ``share`` of them all.

    ``true_share`` is its share of the records whose class is known.
    """

    n: int
    precision: Interval
    recall: Interval
    share: float
    true_share: float


class LabelQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How right labels are on ``n`` records of known class; ``coverage`` is the share of them that got a label."""

    n: int
    coverage: float
    accuracy: Interval
    classes: dict[str, ClassQuality]


class CoveragePoint(msgspec.Struct, frozen=True, kw_only=True):
    """The `LabelQuality` at thresholds for the coverage ``asked`` for; ``coverage`` is what they came to."""

    asked: float
    n: int
    coverage: float
    accuracy: Interval
    classes: dict[str, ClassQuality]


class LabelEvaluation(msgspec.Struct, frozen=True, kw_only=True):
    """How right labels are: those above the thresholds, ``all_records`` without thresholds, by class, by coverage.

    ``confusion`` ``(n_classes, n_classes + 1)`` counts true class by given class, no label last.
    """

    kept: LabelQuality
    all_records: LabelQuality = msgspec.field(name="all")
    confusion: list[list[int]]
    curve: list[CoveragePoint]


class HandLabelCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many hand labels there are in each split."""

    train: int
    dev: int
    test: int


class CombineReport(msgspec.Struct, frozen=True, kw_only=True):
    """Which way to combine votes was taken and why; ``compared`` has an entry of `WayComparison` for each that was."""

    way: str
    reason: str
    compared: list[dict[str, str | float | Interval | None]]


class LearnerReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the learner was fitted, as was best on hand labels that it did not see.

    ``c`` is the inverse strength of its L2 penalty, ``nearness`` the weight of the similarity to the centroid of each
    class, ``lesson`` what it learned from. ``unseen`` is the estimated share of records whose class has no hand label.
    """

    c: float
    nearness: float
    lesson: str
    unseen: float


class DisputedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record on which rules disagree: the start of its text, and the class that each rule votes for."""

    id: str
    text: str
    votes: dict[str, str]


class LabelReport(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``label.json``: how labels came about and how right they are.

    By class: ``learner_minimum`` is the confidence from which on the learner votes, ``thresholds`` that from which on a
    label is used (one for all classes where hand labels are too few ``by_class``), ``class_shares`` the estimated share
    of all records. ``learner`` is None without one. ``labelled`` counts records with a label, by
    hand or not, ``coverage`` is the share of records, those of test left out, that are above the thresholds.
    ``on_hand_labels`` judges hand-labelled records as if they had no label, ``on_test`` those of test; None without
    any. ``fights`` are the records on which most rules disagree.
    """

    classes: list[str]
    records: int
    hand: HandLabelCounts
    rules: list[RuleStatistics]
    warnings: list[LabelWarning]
    combine: CombineReport
    learner_minimum: dict[str, float]
    thresholds: dict[str, float]
    by_class: bool
    learner: LearnerReport | None
    temperature: float
    class_shares: dict[str, float]
    labelled: int
    coverage: float
    on_hand_labels: LabelEvaluation | None
    on_test: LabelEvaluation | None
    fights: list[DisputedRecord]
