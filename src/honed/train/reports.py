"""What mining and distillation tell of their work: the content of ``mining.json`` and ``student.json``."""

import msgspec

from honed.core.records import EncoderSpec
from honed.encode.vocabulary import VocabularyFacts
from honed.train.history import TrainingHistory
from honed.train.targets import TargetFacts


class FalseNegativeShares(msgspec.Struct, frozen=True, kw_only=True):
    """The estimated share of right documents among the nearest candidates and among the chosen negatives, in [0, 1].

    None without an estimate: too few known pairs, or no candidates.
    """

    top: float | None
    chosen: float | None


class ChancePoint(msgspec.Struct, frozen=True, kw_only=True):
    """The estimated chance, in [0, 1], that a candidate of a score is right."""

    score: float
    chance: float


class MinedPair(msgspec.Struct, frozen=True, kw_only=True):
    """An anchor and a document that was chosen, or not, as its negative, with their similarity."""

    anchor: str
    document: str
    score: float


class MiningReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How hard negatives were mined, the content of ``mining.json``.

    ``candidates`` and ``chosen`` count (anchor, document) pairs, ``anchors_without`` the anchors that got no negative;
    ``rejected`` counts by reason what was not taken. ``threshold`` is the highest score of a chosen negative that is
    allowed (None: any), ``calibrated`` whether it was fitted, on what ``calibrated_on`` says; otherwise it is a low
    quantile of the known pairs. ``hidden_for_each_known`` is the upper bound of `Posterior.hidden`. ``curve`` is the
    chance by score, ``samples`` are pairs to look at: "chosen" ones, and those passed over as likely right.
    """

    anchors: int
    candidates: int
    chosen: int
    anchors_without: int
    rejected: dict[str, int]
    threshold: float | None
    calibrated: bool
    calibrated_on: str
    hidden_for_each_known: float | None
    estimated_false_negatives: FalseNegativeShares
    curve: list[ChancePoint]
    samples: dict[str, list[MinedPair]] | None = None


class TeacherFigures(msgspec.Struct, frozen=True, kw_only=True):
    """The teacher beside its students: MB of weights in int8, median ms of one query, score on dev."""

    mb: float
    ms: float
    dev: float


class StudentFigures(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One student that was tried, and the history of its training.

    ``mb`` and ``ms`` are those of the untrained student: MB of weights in int8, median ms of one query. One that is
    over the budget was not trained and has no more than these. ``chosen`` is None where there was one student alone;
    ``folder`` is the name of the folder in which it was trained beside others; ``vocabulary`` is what is left of the
    teacher's or base model's, where it was cut, ``targets`` whose vectors it learned, and how they were made to fit.
    """

    name: str
    mb: float
    ms: float
    method: str | None = None
    dev: float | None = None
    spec: EncoderSpec | None = None
    history: TrainingHistory | None = None
    chosen: bool | None = None
    folder: str | None = None
    over_budget: bool | None = None
    vocabulary: VocabularyFacts | None = None
    targets: TargetFacts | None = None


class StudentReport(msgspec.Struct, frozen=True, kw_only=True):
    """How a student came about, the content of ``student.json``: the teacher, the student and all that were tried."""

    teacher: TeacherFigures
    student: StudentFigures
    tried: list[StudentFigures]
