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
from honed.core.plain import as_integer, as_number

Floats: TypeAlias = npt.NDArray[np.float64]
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
    def learn(cls, chances: Floats, right: Floats, *, risk: float, confidence: float, absent: float) -> Self:
        """Learn the cut from queries ``(n,)`` that their chances were not learned from; ``right`` holds 0 and 1."""
        n = len(chances)
        cut = learn_cut(chances, right, risk=risk, confidence=confidence) if n >= FEWEST else None
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


def learn_cut(chances: Floats, right: Floats, *, risk: float, confidence: float) -> float | None:
    """Return the laxest cut above which at most ``risk`` of the answers are wrong, with ``confidence``; None for none.

    Above a cut, the wrong among n answers are binomial; the cut is refused where so few are wrong with a probability of
    at most 1 - ``confidence`` if the share were ``risk``. Cuts stand between different chances, so their places do not
    depend on what is right. The first tested is the one that by the chances alone is furthest below the risk, in
    standard errors: the strictest cuts have too few answers to prove anything. It holds where an answer of lower chance
    is not more often right, at the cut at which the risk is reached.
    """
    from scipy.stats import binom

    order = np.argsort(-chances, kind="stable")
    ordered = chances[order]
    ends = np.flatnonzero(np.append(ordered[1:] < ordered[:-1], True))  # the last of equal chances
    given = ends + 1
    wrong, expected = np.cumsum(1 - right[order])[ends], np.cumsum(1 - ordered)[ends]
    provable = (1 - risk) ** given <= 1 - confidence
    if not provable.any():
        return None
    first = int(np.argmax(np.where(provable, (risk * given - expected) / np.sqrt(given), -np.inf)))
    refused = binom.cdf(wrong[first:], given[first:], risk) <= 1 - confidence
    n_refused = len(refused) if refused.all() else int(np.argmin(refused))
    return float(ordered[ends[first + n_refused - 1]]) if n_refused else None
