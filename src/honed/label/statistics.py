"""What each rule is worth: how often it speaks, with whom, against whom, and how often it is right."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from honed.core.proportion import wilson
from honed.label.combine import agreeing, counted
from honed.label.learner import Classes, Rows
from honed.label.run import Voted


def rule_statistics(voted: Voted, rows: Rows, classes: Classes, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return for each rule its coverage, overlap, conflict (shares of all records) and precision with interval.

    Precision is counted on the hand labels ``classes`` of ``rows``; overlap counts records where another rule speaks
    too, conflict where another says something else.
    """
    votes = voted.votes
    counts = counted(votes, len(names))
    total = counts.sum(axis=1)
    found = []
    for column, name in enumerate(voted.names):
        own = votes[:, column]
        speaks = own >= 0
        same = counts[np.arange(len(own)), np.where(speaks, own, 0)]
        hand = own[rows]
        right, said = int((hand == classes)[hand >= 0].sum()), int((hand >= 0).sum())
        low, high = wilson(right, said)
        found.append(
            {
                "rule": name,
                "classes": [names[each] for each in np.unique(own[speaks])],
                "records": int(speaks.sum()),
                "coverage": _mean(speaks),
                "overlap": _mean(speaks & (total > 1)),
                "conflict": _mean(speaks & (total > same)),
                "judged": said,
                "precision": {"mean": round(right / said, 4) if said else None, "low": low, "high": high},
            }
        )
    return found


def _mean(values: Any) -> float:
    return round(float(values.mean()), 5) if len(values) else 0.0


def warnings_of(voted: Voted) -> list[dict[str, str]]:
    """Return what is odd about the rules: one that never speaks, several that always say the same."""
    silent = [name for column, name in enumerate(voted.names) if not (voted.votes[:, column] >= 0).any()]
    broken = {problem.rule for problem in voted.problems}
    found = [{"code": "W_LF_COVERAGE", "message": f"{name} speaks for 0 rows"} for name in silent if name not in broken]
    return found + [
        {
            "code": "W_LF_DUPLICATE",
            "message": f"{', '.join(group)} say the same of every record; they count as one voice too many",
        }
        for group in agreeing(voted.votes, voted.names)
    ]


def fights(voted: Voted, n: int, n_classes: int) -> Rows:
    """Return the records where most rules disagree, at most ``n``, the fiercest first."""
    counts = counted(voted.votes, n_classes)
    against = counts.sum(axis=1) - counts.max(axis=1)
    order = np.argsort(-against, kind="stable")[:n]
    return np.asarray(order[against[order] > 0])
