"""No entity to two entries: who gets which, by the chances of all of them together.

Of all ways to give each entry one of its candidates or none, and no candidate twice, the likeliest is taken: the one
with the largest product of chances, where none has what the candidates of an entry leave over. That is an assignment
problem in each group of entries that shared candidates connect, and is solved for groups of up to 2,000 entries
(shortest augmenting paths: Jonker and Volgenant 1987). Of larger ones the least likely candidates are left out until
they fall apart, those of a chance of up to one in five; what is connected even then goes to the likeliest first.
Entries that got nothing then take what nobody has, the likeliest first.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.match.answers import Found, with_chances

Floats: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.int64]
LARGEST = 2_000  # entries of a group that is solved at once
_LEFT_OUT = (0.0, 0.001, 0.01, 0.05, 0.1, 0.2)  # of larger groups, candidates of up to these chances
_LEAST = 1e-6  # the chance of what is said to be impossible, as that a known name means something else


class _Pairs(NamedTuple):
    """Pairs of an entry and a candidate, in the order of the entries: numbers of both, and the chance, all ``(n,)``."""

    entries: Numbers
    entities: Numbers
    chances: Floats

    def take(self, rows: Numbers) -> "_Pairs":
        """Return some of the pairs."""
        return _Pairs(self.entries[rows], self.entities[rows], self.chances[rows])


def exclusive(found: Sequence[Found]) -> list[Found]:
    """Return what was found with the candidate first that each entry is given, and chances that know of all others.

    A candidate is so much less likely as others are likely to be the same entity: by the odds that none of them is.
    That is Bayes' rule where entries contest one entity, and close where candidates connect more of them.
    """
    pairs = _pairs_of(found)
    chances, absent = _chances_beside_others(
        pairs, np.array([np.nan if one.absent is None else one.absent for one in found])
    )
    given = _give(pairs, chances, len(found))
    starts = np.searchsorted(pairs.entries, np.arange(len(found) + 1))
    results = []
    for at, one in enumerate(found):
        own = slice(int(starts[at]), int(starts[at + 1]))
        first = one.candidates[given[at] - own.start].id if given[at] >= 0 else ""
        changed = with_chances(one, chances[own].tolist(), None if one.absent is None else float(absent[at]))
        ordered = sorted(changed.candidates, key=lambda candidate: candidate.id != first)
        changed = replace(changed, candidates=ordered, given=bool(given[at] >= 0))
        results.append(one if changed == one else changed)  # most are as they were, and kept once
    return results


def _pairs_of(found: Sequence[Found]) -> _Pairs:
    numbers: dict[str, int] = {}
    entities = [numbers.setdefault(candidate.id, len(numbers)) for one in found for candidate in one.candidates]
    return _Pairs(
        np.repeat(np.arange(len(found)), [len(one.candidates) for one in found]),
        np.array(entities, dtype=np.int64),
        np.array([candidate.chance for one in found for candidate in one.candidates], dtype=np.float64),
    )


def _chances_beside_others(pairs: _Pairs, absent: Floats) -> tuple[Floats, Floats]:
    """Return the chance of each pair, and for each entry that it has no counterpart, where no entity is meant twice.

    What are no chances, such as cosines, may sum to more than one: an entry keeps its sum.
    """
    n = len(absent)
    odds = np.clip(pairs.chances, _LEAST, 1 - _LEAST)
    odds = odds / (1 - odds)
    of_all = np.bincount(pairs.entities, odds) if len(odds) else odds
    weights = pairs.chances / (1 + np.maximum(of_all[pairs.entities] - odds, 0))
    told = np.bincount(pairs.entries, pairs.chances, minlength=n)
    rest = np.maximum(1 - told, _LEAST)
    total = np.bincount(pairs.entries, weights, minlength=n) + rest
    scale = np.maximum(told, 1) / total
    return np.minimum(weights * scale[pairs.entries], 1), np.minimum(absent, rest) / total


def _give(pairs: _Pairs, beside_others: Floats, n: int) -> Numbers:
    """Return the pair that each entry is given ``(n,)``, -1 for none; no entity is in two."""
    given = np.full(n, -1, dtype=np.int64)
    rest = np.maximum(1 - np.bincount(pairs.entries, pairs.chances, minlength=n), _LEAST)
    undecided = np.ones(n, dtype=bool)
    for chance in _LEFT_OUT:
        kept = np.flatnonzero(undecided[pairs.entries] & (pairs.chances > chance))
        for rows in _solvable(pairs.take(kept)):
            part = kept[rows]
            undecided[pairs.entries[part]] = False
            won = part[_likeliest(pairs.take(part), rest)]
            given[pairs.entries[won]] = won
    taken = np.zeros(int(pairs.entities.max(initial=-1)) + 1, dtype=bool)
    taken[pairs.entities[given[given >= 0]]] = True
    left = np.flatnonzero((given < 0)[pairs.entries] & ~taken[pairs.entities] & (pairs.chances > 0))
    left = left[np.argsort(-beside_others[left], kind="stable")]
    for pair, entry, entity in zip(left, pairs.entries[left], pairs.entities[left], strict=True):
        if given[entry] < 0 and not taken[entity]:
            given[entry], taken[entity] = pair, True
    return given


def _solvable(pairs: _Pairs) -> list[Numbers]:
    """Return the numbers of the pairs of all groups of up to `LARGEST` entries, in parts that hold few groups each."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(pairs.entries):
        return []
    n = int(pairs.entries.max()) + 1
    size = n + int(pairs.entities.max()) + 1
    links = coo_matrix((np.ones(len(pairs.entries)), (pairs.entries, n + pairs.entities)), shape=(size, size))
    groups = connected_components(links, directed=False)[1]
    sizes = np.bincount(groups[np.unique(pairs.entries)], minlength=int(groups.max()) + 1)
    sizes[sizes > LARGEST] = 0
    part_of = np.cumsum(sizes) // LARGEST  # so that no part holds more than twice as many
    of_pair = groups[pairs.entries]
    rows = np.flatnonzero(sizes[of_pair] > 0)
    rows = rows[np.argsort(part_of[of_pair[rows]], kind="stable")]
    return np.split(rows, np.flatnonzero(np.diff(part_of[of_pair[rows]])) + 1) if len(rows) else []


def _likeliest(pairs: _Pairs, rest: Floats) -> Numbers:
    """Return which pairs the likeliest assignment takes; ``rest`` are the chances that no candidate is right."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    entries, rows = np.unique(pairs.entries, return_inverse=True)
    entities, columns = np.unique(pairs.entities, return_inverse=True)
    none = np.arange(len(entries))
    costs = 1 - np.log(np.concatenate([np.minimum(pairs.chances, 1), np.minimum(rest[entries], 1)]))  # no zeros
    places = (np.concatenate([rows, none]), np.concatenate([columns, len(entities) + none]))
    matrix = csr_matrix((costs, places), shape=(len(entries), len(entities) + len(entries)))
    won = min_weight_full_bipartite_matching(matrix)[1]
    return np.flatnonzero(won[rows] == columns)
