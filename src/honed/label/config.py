"""The section ``[label]`` of honed.toml; free of heavy imports."""

from dataclasses import dataclass, field

from honed.core.sections import limits

WHEN_WORSE = ("refuse", "warn")
COMBINE = ("auto", "majority", "weighted", "label-model")
LEARNERS = ("joined", "fields", "none")
THRESHOLDS = ("balance", "precision", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelConfig:
    """The section ``[label]``: how a few hand labels and rules become labels for all records.

    ``rules`` are Python files, ``lists`` TOML files or folders of text files with terms. ``learner`` reads title and
    text "joined" or as separate "fields", or is left out ("none"); it votes for a class where its confidence keeps an
    estimated precision of ``learner_precision``. ``combine`` is a way to combine votes; "auto" keeps the majority
    unless another is better on the hand labels. ``threshold`` is how the confidence is chosen from which on a label is
    used, for each class: "balance" keeps the classes' estimated shares at ``coverage``, "precision" takes all that
    keeps ``precision``, "none" takes all. Fewer than ``least_right`` of the labels right (with "precision":
    ``precision``), as hand labels say that were judged unseen, is an error, or with ``when_worse = "warn"`` a warning.
    ``time_limit`` is seconds that a rule may take for one record. ``store`` is
    the file that hand labels are added to, ``terms`` the lists that the label page writes; both need not exist.
    ``folds`` is into how many parts hand labels are cut to judge them unseen.
    """

    rules: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    learner: str = field(default="joined", metadata=limits(one_of=LEARNERS))
    learner_precision: float = field(default=0.8, metadata=limits(low=0, high=1))
    combine: str = field(default="auto", metadata=limits(one_of=COMBINE))
    threshold: str = field(default="balance", metadata=limits(one_of=THRESHOLDS))
    coverage: float = field(default=0.55, metadata=limits(low=0.01, high=1))
    precision: float = field(default=0.9, metadata=limits(low=0, high=1))
    least_right: float = field(default=0.5, metadata=limits(low=0, high=1))
    when_worse: str = field(default="refuse", metadata=limits(one_of=WHEN_WORSE))
    time_limit: float = field(default=2.0, metadata=limits(low=0.01, high=3600))
    store: str = "labels.jsonl"
    terms: str = "terms.toml"
    folds: int = field(default=5, metadata=limits(low=2, high=50))
    seed: int = field(default=0, metadata=limits(low=0))
