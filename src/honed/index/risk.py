"""The promise about answers that are given: few of them are wrong, with a stated confidence.

Learn-then-test (Angelopoulos, Bates, Candes, Jordan, Lei 2021): every cut on the estimated chance is a hypothesis "of
the answers above it more than ``risk`` are wrong", refused by an exact binomial test. The cuts are tested one after the
other, from a strict one to laxer ones, until the first that is not refused, so that all of them share one error.
"""

from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.json import Json, JsonObject
from honed.core.plain import as_floats, as_integer, as_number

Floats: TypeAlias = npt.NDArray[np.float64]
Groups: TypeAlias = npt.NDArray[np.int64]
FEWEST = 50  # dev queries, for a promise


@dataclass(frozen=True, kw_only=True)
class Promise:
    """The least chance ``cut`` of an answer that is given, so that at most ``risk`` of those given are wrong.

    True with ``confidence`` over draws of the ``n`` dev queries that it was learned from, of which ``absent`` have no
    answer. ``cut`` is None where no cut keeps the risk, or where there are too few queries for a promise.
    """

    risk: float
    confidence: float
    n: int
    absent: float
    cut: float | None

    @property
    def made(self) -> bool:
        """Whether there were queries enough for a promise."""
        return self.n >= FEWEST

    def gives(self, chance: float) -> bool:
        """Tell whether an answer of that chance is given; without a promise where it is at least 1 - ``risk``."""
        if not self.made:
            return chance >= 1 - self.risk
        return self.cut is not None and chance >= self.cut

    def sentence(self) -> str:
        """Return what is promised, or why nothing is."""
        if not self.made:
            return f"no promise about the risk: {self.n} dev queries, and it takes {FEWEST}"
        risk, terms = f"{100 * self.risk:g} %", f"with {100 * self.confidence:g} % confidence from {self.n} dev queries"
        if self.cut is None:
            return f"nothing is answered: no cut keeps the risk of {risk} {terms}"
        return f"of the answers given at most {risk} are wrong, promised {terms}"

    @classmethod
    def learn(
        cls, chances: Floats, right: Floats, groups: Groups, *, risk: float, confidence: float, absent: float
    ) -> Self:
        """Learn the cut from queries ``(n,)`` that their chances were not learned from, see `learn_cut`."""
        n = len(chances)
        cut = learn_cut(chances, right, groups, risk=risk, confidence=confidence) if n >= FEWEST else None
        return cls(risk=risk, confidence=confidence, n=n, absent=round(absent, 5), cut=cut)

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {"confidence": self.confidence, "n": self.n, "absent": self.absent, "cut": self.cut}

    @classmethod
    def from_dict(cls, data: JsonObject, risk: float) -> Self:
        """Read it back; a `KeyError`, `TypeError` or `ValueError` where it is none."""
        cut = None if data["cut"] is None else as_number(data["cut"])
        confidence, absent, n = as_number(data["confidence"]), as_number(data["absent"]), as_integer(data["n"])
        if not all(0 <= share <= 1 for share in (confidence, absent, cut or 0.0)) or n < 0:
            raise ValueError("a share is not in [0, 1], or a number below 0")
        return cls(risk=risk, confidence=confidence, n=n, absent=absent, cut=cut)


_KEPT = 2000  # dev queries that are kept, for promises of another risk


@dataclass(frozen=True, kw_only=True)
class DevAnswers:
    """What cuts are learned from: the chances of dev queries, by weights that they did not teach, and what was right.

    All arrays are ``(n,)``; ``groups`` number the queries that belong together.
    """

    chances: Floats
    right: Floats
    groups: Groups

    def cut(self, risk: float, confidence: float) -> float | None:
        """Return the laxest cut for a risk, see `learn_cut`; None for none, and with too few queries for a promise."""
        if len(self.chances) < FEWEST:
            return None
        return learn_cut(self.chances, self.right, self.groups, risk=risk, confidence=confidence)

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data; of more than 2,000 queries evenly spread ones."""
        rows = np.linspace(0, len(self.chances) - 1, min(len(self.chances), _KEPT)).round().astype(np.int64)
        groups = np.unique(self.groups[rows], return_inverse=True)[1]
        return {
            "chances": self.chances[rows].round(5).tolist(),
            "right": self.right[rows].astype(int).tolist(),
            "groups": groups.tolist(),
        }

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read it back; a `KeyError`, `TypeError` or `ValueError` where it is none."""
        chances, right, groups = (as_floats(data[name]) for name in ("chances", "right", "groups"))
        if not chances.shape == right.shape == groups.shape or not ((chances >= 0) & (chances <= 1)).all():
            raise ValueError("dev answers that do not fit")
        return cls(chances=chances, right=right, groups=groups.astype(np.int64))


def learn_cut(chances: Floats, right: Floats, groups: Groups, *, risk: float, confidence: float) -> float | None:
    """Return the laxest cut above which at most ``risk`` of the answers are wrong, with ``confidence``; None for none.

    All arrays are ``(n,)``; ``right`` holds 0 and 1, ``groups`` numbers what belongs together. Above a cut, the wrong
    among n answers are binomial; the cut is refused where so few are wrong with a probability of at most
    1 - ``confidence`` if the share were ``risk``. Answers of one group are often wrong together: they count as fewer,
    by their `design_effects`. Cuts stand between different chances, so their places do not depend on what is right. The
    first tested is the one that by the chances alone is furthest below the risk, in standard errors: the strictest cuts
    have too few answers to prove anything. The promise holds where answers just below the cut at which the risk is
    reached are wrong at least as often as those above it.
    """
    from scipy.special import betainc

    order = np.argsort(-chances, kind="stable")
    ordered = chances[order]
    ends = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))  # the last of equal chances
    given = ends + 1
    wrong, expected = np.cumsum(1 - right[order])[ends], np.cumsum(1 - ordered)[ends]
    provable = (1 - risk) ** given <= 1 - confidence
    if not provable.any():
        return None
    first = int(np.argmax(np.where(provable, (risk * given - expected) / np.sqrt(given), -np.inf)))
    effects = design_effects(1 - right[order], groups[order])[ends]
    # the distribution function of a binomial, which need not be of whole numbers
    so_few = betainc(np.maximum(given - wrong, 1e-12) / effects, wrong / effects + 1, 1 - risk)
    refused = so_few[first:] <= 1 - confidence
    n_refused = len(refused) if refused.all() else int(np.argmin(refused))
    return float(ordered[ends[first + n_refused - 1]]) if n_refused else None


def design_effects(wrong: Floats, groups: Groups) -> Floats:
    """Return for the first 1, 2, ... n answers how much more the number of wrong ones varies by groups, 1 or more.

    ``wrong`` ``(n,)`` holds 0 and 1. The variance of a sum over groups against that over single answers (Kish 1965), as
    Korn and Graubard (1998) use it for exact intervals: n answers count as n divided by it. Where each group has one
    answer, or nothing is wrong, it is 1.
    """
    by_group = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(groups[by_group]) != 0))
    sizes = np.diff(np.append(starts, len(groups)))

    def before(values: Floats) -> Floats:
        """Return the sum of the values of a group that come before each of its answers ``(n,)``."""
        sums = np.cumsum(values[by_group]) - values[by_group]
        result = np.empty(len(values))
        result[by_group] = sums - np.repeat(sums[starts], sizes)
        return result

    wrong_before, there_before = before(wrong), before(np.ones(len(wrong)))
    rate = np.cumsum(wrong) / np.arange(1, len(wrong) + 1)
    pairs = np.cumsum(wrong_before * wrong)  # sum of (a - rate) (b - rate) over all pairs of one group
    pairs += -rate * np.cumsum(wrong_before + there_before * wrong) + rate**2 * np.cumsum(there_before)
    alone = np.cumsum(wrong) * (1 - rate)
    effects: Floats = np.maximum(1, 1 + 2 * pairs / np.maximum(alone, 1e-9))
    return np.where(alone > 0, effects, 1.0)
