"""Other columns as evidence: whether the city, the country or the number of a row are those of a candidate.

Fellegi and Sunter 1969, "A Theory for Record Linkage": what an agreement says is how much likelier it is of a row and
its entity than of a row and any other. The first is estimated on the rows of this table whose names are sure, the
second on the catalogue: to agree on a rare value says more. Nothing is labelled for it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from honed.core.text import fold_accents

_PRIOR = 5.0  # rows that a guess counts for, before any is seen
_GUESS = {"same": 0.85, "part": 0.08, "other": 0.07}  # of sure rows
_SURE = 0.95


def agreement(value: str, other: str) -> str:
    """Return how a row's value agrees with one of the catalogue: "same", "part", "other"; "" where one is missing."""
    left, right = fold_accents(value), fold_accents(other)
    if not left or not right:
        return ""
    if left == right:
        return "same"
    one, two = set(left.split()), set(right.split())
    return "part" if one & two or left in right or right in left else "other"


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldEvidence:
    """What agreements on one field say: the share of each among rows and their entities, and among any others.

    ``frequent`` is how often a value stands in the catalogue, as a share.
    """

    of_right: Mapping[str, float]
    of_others: Mapping[str, float]
    frequent: Mapping[str, float]

    def factor(self, value: str, other: str) -> float:
        """Return how much likelier an agreement is of a row and its entity than of any other; 1: it says nothing."""
        kind = agreement(value, other)
        if not kind:
            return 1.0
        of_others = self.of_others[kind]
        if kind == "same":
            of_others = max(self.frequent.get(fold_accents(other), 0.0), 1e-6)
        return self.of_right[kind] / of_others


def learn_field(
    rows: Sequence[str], entities: Sequence[str], catalogue: Sequence[str], *, seed: int = 0
) -> FieldEvidence:
    """Learn one field from sure rows ``(n,)``, the values of their entities ``(n,)``, and a sample of the catalogue.

    The values of the catalogue that rows are compared with as others are drawn with ``seed``.
    """
    seen = Counter(kind for pair in zip(rows, entities, strict=True) if (kind := agreement(*pair)))
    total = sum(seen.values()) + _PRIOR
    filled = [value for value in catalogue if value]
    frequent = Counter(fold_accents(value) for value in filled)
    others = Counter[str]()
    if filled and rows:
        draw = np.random.default_rng(seed)
        drawn = draw.integers(len(filled), size=2000)
        asked = draw.integers(len(rows), size=2000)
        others = Counter(
            kind for row, at in zip(asked, drawn, strict=True) if (kind := agreement(rows[row], filled[at]))
        )
    n_others = sum(others.values()) + 3
    return FieldEvidence(
        of_right={kind: (seen[kind] + _PRIOR * share) / total for kind, share in _GUESS.items()},
        of_others={kind: (others[kind] + 1) / n_others for kind in _GUESS},
        frequent={value: count / max(1, len(filled)) for value, count in frequent.items()},
    )


def is_sure(chance: float) -> bool:
    """Tell whether a row's name alone makes it one to learn from."""
    return chance >= _SURE
