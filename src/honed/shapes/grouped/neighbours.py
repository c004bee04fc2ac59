"""What fine-tuning changed in the nearest texts of labelled queries, with the clearest cases."""

import msgspec
import numpy as np

from honed.core.ranking import Rows
from honed.shapes.grouped.texts import LabelledQueries

_SHOWN = 12


class Neighbour(msgspec.Struct, kw_only=True):
    """The nearest text of a query, with its label."""

    text: str
    label: str


class ChangedQuery(msgspec.Struct, kw_only=True):
    """A query whose nearest text became right or wrong, and the share of its label among the nearest."""

    query: str
    label: str
    share_before: float
    share_after: float
    before: Neighbour
    after: Neighbour


class NeighbourChanges(msgspec.Struct, kw_only=True):
    """How the ``top`` nearest texts changed: the share that is kept, and queries gained and lost by their first."""

    overlap: float
    top: int
    same_first: float
    gained: int
    lost: int
    right_both: int
    wrong_both: int
    gained_cases: list[ChangedQuery]
    lost_cases: list[ChangedQuery]


def neighbour_changes(queries: LabelledQueries, before: Rows, after: Rows, shown: int = _SHOWN) -> NeighbourChanges:
    """Return how the first rows ``(n, 10)`` of all queries changed, with the clearest cases."""
    rows = (before, after)
    right = [queries.corpus_classes[side[:, 0]] == queries.classes for side in rows]
    shares = [(queries.corpus_classes[side] == queries.classes[:, None]).mean(axis=1) for side in rows]
    kept = np.array([len(np.intersect1d(a, b)) / len(a) for a, b in zip(*rows, strict=True)])
    gain = shares[1] - shares[0]
    gained = np.flatnonzero(~right[0] & right[1])
    lost = np.flatnonzero(right[0] & ~right[1])

    def neighbour(row: int) -> Neighbour:
        return Neighbour(text=queries.corpus[row], label=queries.names[queries.corpus_classes[row]])

    def case(row: int) -> ChangedQuery:
        return ChangedQuery(
            query=queries.queries[row],
            label=queries.names[queries.classes[row]],
            share_before=round(float(shares[0][row]), 3),
            share_after=round(float(shares[1][row]), 3),
            before=neighbour(before[row, 0]),
            after=neighbour(after[row, 0]),
        )

    def clearest(rows: Rows, sign: int) -> list[ChangedQuery]:
        order = rows[np.argsort(-sign * gain[rows], kind="stable")]
        return [case(int(row)) for row in order[:shown]]

    return NeighbourChanges(
        overlap=round(float(kept.mean()), 5),
        top=before.shape[1],
        same_first=round(float((before[:, 0] == after[:, 0]).mean()), 5),
        gained=len(gained),
        lost=len(lost),
        right_both=int((right[0] & right[1]).sum()),
        wrong_both=int((~right[0] & ~right[1]).sum()),
        gained_cases=clearest(gained, 1),
        lost_cases=clearest(lost, -1),
    )
