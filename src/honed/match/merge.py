"""The record that is proposed for a group of rows: the best value of each column, and which row it is from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from honed.core.text import fold

Cells = Sequence[str]


@dataclass(frozen=True, slots=True)
class Proposed:
    """The value of each column, and the place of the row that it is from; -1 where no row has a value."""

    cells: tuple[str, ...]
    sources: tuple[int, ...]


def proposed(rows: Sequence[Cells]) -> Proposed:
    """Return the record of some rows of the same columns.

    Of each column the value that most rows have, case and blanks aside; of several the one written the longest, then
    the one of the row with the most values, then the first. It is written as most of its rows write it, and the same
    rules decide between ways to write it. Empty cells count for nothing.
    """
    filled = [sum(1 for cell in row if cell) for row in rows]
    chosen = [_best([row[column] for row in rows], filled) for column in range(len(rows[0]))]
    return Proposed(
        cells=tuple("" if at < 0 else rows[at][column] for column, at in enumerate(chosen)), sources=tuple(chosen)
    )


def _best(values: Sequence[str], filled: Sequence[int]) -> int:
    """Return the place of the best value; -1 where all are empty."""
    folded = [fold(value) for value in values]
    meant, written = Counter(folded), Counter(values)
    places = [at for at, value in enumerate(values) if value]
    if not places:
        return -1
    best = max(places, key=lambda at: (meant[folded[at]], len(folded[at]), filled[at], -folded.index(folded[at])))
    same = [at for at in places if folded[at] == folded[best]]
    return max(same, key=lambda at: (written[values[at]], len(values[at]), filled[at], -at))
