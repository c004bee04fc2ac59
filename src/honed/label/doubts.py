"""What is doubtful about labels before they are written: classes that little is known of, and too many wrong ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.core.errors import DataError
from honed.core.proportion import wilson
from honed.core.protocols import Mask
from honed.label.arrays import Classes, Probabilities, Votes
from honed.label.config import LabelConfig
from honed.label.report import LabelWarning

WORSE = "E_LABEL_WORSE"
_FEW = 5  # hand labels; of fewer, cross-fitting leaves less than four to learn from
_MOST_NAMED = 8


def class_warnings(
    hand: npt.NDArray[np.int64], votes: Votes, given: npt.NDArray[np.int64], names: Sequence[str]
) -> list[LabelWarning]:
    """Return warnings of classes that have no hand label, few of them, or that no record is given.

    ``hand`` and ``given`` ``(n_classes,)`` count hand labels and records above the thresholds, ``votes`` are those of
    the rules. Where there is no hand label or no weak label at all, its lack says nothing of a class.
    """
    voted = np.bincount(votes[votes >= 0].astype(np.int64), minlength=len(names)) > 0
    none, few = (hand == 0) & hand.any(), (hand > 0) & (hand < _FEW)
    unlabelled = (given == 0) & given.any()
    kinds = (
        ("W_CLASS_UNKNOWN", none & ~voted, "no hand label and no vote of a rule: nothing can be labelled as"),
        ("W_CLASS_RULES", none & voted, "no hand label: rules alone know of, and nothing says how right they are on"),
        ("W_CLASS_FEW", few, f"fewer than {_FEW} hand labels: little is learned of"),
        ("W_CLASS_UNLABELLED", unlabelled & ~(none & ~voted), "no record is sure enough to be labelled as"),
    )
    return [
        LabelWarning(code=code, message=f"{what} {_listed(members)}", classes=members)
        for code, mask, what in kinds
        if (members := [name for name, inside in zip(names, mask, strict=True) if inside])
    ]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{len(names)} of the classes: {', '.join(names[:_MOST_NAMED])}{more}"


@dataclass(frozen=True, kw_only=True)
class Rightness:
    """How many of ``n`` labels would be ``right``, of hand-labelled records that were judged unseen.

    ``coverage`` of all records would get a label. ``reachable`` is the largest coverage, 0 for none, at which the share
    that is asked for is reached.
    """

    right: int
    n: int
    coverage: float
    reachable: float

    @property
    def mean(self) -> float:
        """The share that is right; 1 where nothing was judged."""
        return self.right / self.n if self.n else 1.0


def asked_share(settings: LabelConfig) -> float:
    """Return the share of labels that must be right."""
    return settings.precision if settings.threshold == "precision" else settings.least_right


def estimate_rightness(
    probabilities: Probabilities, kept: Mask, truth: Classes, learned_from: Mask, asked: float
) -> Rightness:
    """Return how right the labels of ``kept`` records ``(n,)`` are on those with a class in ``truth``, -1 for none.

    A class with a single hand label is left out: judged unseen it is always wrong. Coverage is counted on the records
    that may be ``learned_from`` ``(n,)``.
    """
    counts = np.bincount(truth[truth >= 0], minlength=probabilities.shape[1])
    judged = np.flatnonzero((truth >= 0) & (counts[truth] > 1))
    top, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = top[judged] == truth[judged]
    order = np.argsort(-confidence[judged], kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(shares >= asked)
    lowest = confidence[judged][order[enough[-1]]] if len(enough) else np.inf
    inside = kept[judged]
    return Rightness(
        right=int(right[inside].sum()),
        n=int(inside.sum()),
        coverage=float(kept[learned_from].mean()) if learned_from.any() else 0.0,
        reachable=float((confidence[learned_from] >= lowest).mean()) if learned_from.any() else 0.0,
    )


def check_rightness(found: Rightness, settings: LabelConfig) -> list[LabelWarning]:
    """Return a warning where fewer labels are right than asked for; `DataError` where that is beyond chance.

    Beyond chance: the 95 % interval of the share that is right lies below the share asked for. With ``when_worse`` set
    to "warn" that is a warning, too.
    """
    asked = asked_share(settings)
    if found.mean >= asked:
        return []
    low, high = wilson(found.right, found.n)
    key = "precision" if settings.threshold == "precision" else "least_right"
    what = (
        f"{100 * found.mean:.1f} % of the labels would be right ({100 * low:.1f} to {100 * high:.1f} %; {found.n} hand "
        f"labels above the thresholds, judged unseen), for {100 * found.coverage:.1f} % of the records; asked for: "
        f"{100 * asked:g} % (label.{key})"
    )
    if high >= asked or settings.when_worse == "warn":
        return [LabelWarning(code="W_LABEL_WORSE", message=what)]
    better = _advice(found, settings)
    raise DataError(
        WORSE,
        f'{what}. No labels were written. {better}; or write them all the same: label.when_worse = "warn" '
        "(honed label --allow-worse)",
    )


def _advice(found: Rightness, settings: LabelConfig) -> str:
    """Return what to do about labels that are too often wrong."""
    more = "more hand labels help (honed label --serve), and lists or rules"
    if settings.threshold == "precision" or not 0.01 <= found.reachable < found.coverage:
        return f"What helps: {more}"
    coverage = int(100 * found.reachable) / 100
    balance = "" if settings.threshold == "balance" else 'label.threshold = "balance" and '
    return f"They would be as right as asked at {balance}label.coverage = {coverage:g}; {more}"
