"""Pairs to groups: greedy correlation clustering, so that one wrong pair does not chain two groups.

Bansal, Blum and Chawla 2004, "Correlation Clustering"; greedy agglomeration as in Keuper et al. 2015 (GAEC): the two
groups with the largest sum of log-odds between them are joined first, as long as the sum speaks for it. How sure a
join was (the mean of its log-odds, and never surer than a join within it) is its height; to cut at a height gives
nested groups.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
WHOLE, DRAWN = 32, 16  # rows of a component whose pairs are all compared; of a larger one, pairs that a row gets more
_PEOPLE = 1e6  # the log-odds of what people said


@dataclass(frozen=True, kw_only=True)
class Joins:
    """Groups of rows, joined two at a time: a row of each side, and the height of the join ``(n_joins,)``."""

    n: int
    pairs: Numbers
    heights: Floats

    def groups(self, height: float) -> Numbers:
        """Return the group of each row ``(n,)``, numbered by first rows, of joins of at least a height."""
        return np.unique(_first_rows(self.n, self.pairs[self.heights >= height]), return_inverse=True)[1].astype(
            np.int64
        )

    def heights_of(self, pairs: Numbers) -> Floats:
        """Return the height at which the rows of pairs come into one group ``(n_pairs,)``, -inf where never.

        Joins are a forest; a pair meets at the lowest join on its way, found by climbing, at most log n steps.
        """
        order = np.argsort(-self.heights, kind="stable")
        parent, above = np.arange(self.n), np.full(self.n, -np.inf)
        rank = np.ones(self.n, dtype=np.int64)
        for at in order.tolist():
            one, two = _top(parent, int(self.pairs[at, 0])), _top(parent, int(self.pairs[at, 1]))
            if one == two:
                continue
            if rank[one] < rank[two]:
                one, two = two, one
            parent[two], above[two] = one, self.heights[at]
            rank[one] += rank[two]
        return np.array([_meet(parent, above, one, two) for one, two in pairs.tolist()]).reshape(-1)


def _first_rows(n: int, pairs: Numbers) -> Numbers:
    """Return for each of n rows the first row ``(n,)`` of all that pairs connect it with."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first = np.unique(component, return_index=True)
    rows: Numbers = first[component].astype(np.int64)
    return rows


def _top(parent: Numbers, row: int) -> int:
    while parent[row] != row:
        row = int(parent[row])
    return row


def _meet(parent: Numbers, above: Floats, one: int, two: int) -> float:
    """Return the lowest join between two rows of a tree that was united by size; -inf for two trees."""
    lowest: dict[int, float] = {one: np.inf}
    height = np.inf
    while parent[one] != one:
        height = min(height, float(above[one]))
        one = int(parent[one])
        lowest[one] = height
    height = np.inf
    while two not in lowest:
        if parent[two] == two:
            return -np.inf
        height = min(height, float(above[two]))
        two = int(parent[two])
    return min(height, lowest[two])


def joined(
    n: int, pairs: Numbers, log_odds: Floats, *, said: Iterable[tuple[int, int, bool]] = (), sides: Sequence[int] = ()
) -> Joins:
    """Join rows into groups by the log-odds of their pairs ``(n_pairs,)``; near n log n in rows and pairs.

    ``said`` are pairs that people called the same, which are joined first, or not the same, which are never joined.
    ``sides`` gives the table of each row, where no group may hold two rows of one table.
    """
    state = _Groups(n, sides)
    for (one, two), weight in zip(pairs.tolist(), log_odds.tolist(), strict=True):
        state.connect(one, two, weight)
    for one, two, is_same in said:
        state.connect(one, two, _PEOPLE if is_same else -_PEOPLE)
    return state.joined()


class _Groups:
    """Groups by their first row: the sum of log-odds and the number of compared pairs between each two."""

    def __init__(self, n: int, sides: Sequence[int]) -> None:
        self.n, self.sides = n, [1 << side for side in sides]
        self.between: list[dict[int, tuple[float, int]]] = [{} for _ in range(n)]
        self.heights = [np.inf] * n  # the lowest join within a group
        self.gone = [False] * n

    def connect(self, one: int, two: int, weight: float) -> None:
        total, count = self.between[one].get(two, (0.0, 0))
        self.between[one][two] = self.between[two][one] = (total + weight, count + 1)

    def joined(self) -> Joins:
        heap = [
            (-total, one, two)
            for one, others in enumerate(self.between)
            for two, (total, _) in others.items()
            if one < two and total > 0
        ]
        heapq.heapify(heap)
        made: list[tuple[int, int]] = []
        heights: list[float] = []
        while heap:
            total, one, two = heapq.heappop(heap)
            if self.gone[one] or self.gone[two] or self.between[one].get(two, (0.0, 0))[0] != -total:
                continue
            if self.sides and self.sides[one] & self.sides[two]:
                continue
            count = self.between[one][two][1]
            height = min(-total / count, self.heights[one], self.heights[two])
            made.append((one, two))
            heights.append(height)
            for other, weight in self._join(one, two, height):
                heapq.heappush(heap, (-weight, *other))
        return Joins(n=self.n, pairs=np.array(made, dtype=np.int64).reshape(-1, 2), heights=np.array(heights))

    def _join(self, one: int, two: int, height: float) -> list[tuple[tuple[int, int], float]]:
        """Join two groups, the one with fewer neighbours into the other; returns the pairs that are to be looked at."""
        if len(self.between[one]) < len(self.between[two]):
            one, two = two, one
        self.gone[two] = True
        self.heights[one] = height
        if self.sides:
            self.sides[one] |= self.sides[two]
        del self.between[one][two]
        changed = []
        for other, (weight, count) in self.between[two].items():
            if other == one:
                continue
            del self.between[other][two]
            total, known = self.between[one].get(other, (0.0, 0))
            self.between[one][other] = self.between[other][one] = (total + weight, known + count)
            if total + weight > 0:
                changed.append(((min(one, other), max(one, other)), total + weight))
        self.between[two] = {}
        return changed


def pairs_to_add(n: int, pairs: Numbers, likely: npt.NDArray[np.bool_], seed: int) -> Numbers:
    """Return pairs that decide what belongs together and were not compared yet, ``(n_more, 2)``.

    Of rows that ``likely`` pairs connect: all pairs where they are up to `WHOLE`, else `DRAWN` for each row by chance.
    """
    if not likely.any():
        return np.zeros((0, 2), dtype=np.int64)
    roots = _first_rows(n, pairs[likely])
    order = np.argsort(roots, kind="stable")
    starts = np.flatnonzero(np.diff(roots[order], prepend=-1))
    draw, found = np.random.default_rng(seed), []
    for members in np.split(order, starts[1:]):
        size = len(members)
        if 2 < size <= WHOLE:
            found.append(np.stack(np.triu_indices(size, 1), axis=1))
            found[-1] = members[found[-1]]
        elif size > WHOLE:
            found.append(np.stack([np.repeat(members, DRAWN), members[draw.integers(size, size=size * DRAWN)]], axis=1))
    if not found:
        return np.zeros((0, 2), dtype=np.int64)
    more = np.sort(np.concatenate(found), axis=1)
    keys = np.unique(more[more[:, 0] != more[:, 1]] @ np.array([n, 1]))
    new = np.setdiff1d(keys, np.sort(pairs, axis=1) @ np.array([n, 1]))
    return np.stack([new // n, new % n], axis=1)
