"""The highest of many scores, in an order that does not depend on chance."""

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Number = TypeVar("Number", bound=np.number[Any])
RowSelection: TypeAlias = npt.NDArray[np.integer] | slice  # row numbers, or a slice of them


def distinct(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return the distinct values ``(n,)``, ascending."""
    found: npt.NDArray[Number] = np.unique(values, return_counts=True)[0]  # without counts numpy.ma would be imported
    return found


def top_rows(scores: npt.NDArray[Any], k: int) -> Rows:
    """Return the rows of the ``k`` highest scores, best first, ties by row number, also where the cut is."""
    if k < len(scores):
        edge = np.partition(scores, -k)[-k]
        above = np.flatnonzero(scores > edge)
        level = np.flatnonzero(scores == edge)[: k - len(above)]
        chosen = np.concatenate([above, level])
    else:
        chosen = np.arange(len(scores))
    order: Rows = chosen[np.lexsort((chosen, -scores[chosen]))].astype(np.int64)
    return order
