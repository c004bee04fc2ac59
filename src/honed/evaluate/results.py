"""The parts of every report, typed: intervals, systems, paired comparisons, gates."""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

Slice: TypeAlias = "dict[str, int | Interval]"  # "n" queries, and an interval for each measure


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with the bounds of its interval, 95 % unless stated."""

    mean: float
    low: float
    high: float

    def rounded(self) -> "Interval":
        """Return the interval rounded to 5 decimal places, as it is reported."""
        return Interval(mean=round(self.mean, 5), low=round(self.low, 5), high=round(self.high, 5))


class SystemResult(msgspec.Struct, frozen=True, kw_only=True):
    """One system: every measure with its interval, over all queries and by slice."""

    name: str
    measures: dict[str, Interval]
    slices: dict[str, Slice]

    def in_slice(self, name: str, measure: str) -> Interval:
        """Return the interval of a measure in a slice."""
        value = self.slices[name][measure]
        assert isinstance(value, Interval)
        return value

    def slice_size(self, name: str) -> int:
        """Return the number of queries of a slice."""
        size = self.slices[name]["n"]
        assert isinstance(size, int)
        return size


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two systems on the same queries: candidate - reference, p of a paired randomisation test, wins and losses."""

    candidate: str
    reference: str
    measure: str
    difference: Interval
    p_value: float
    wins: int
    losses: int
    n: int


class QueryOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """A test query with the texts of its right documents, and the first hit that it was given.

    ``slice`` is the slice that it is a sample of, "" for none; ``found`` is None where nothing was found, ``rank`` that
    of the first right document in the same list of hits, None where it was not in there.
    """

    query: str
    slice: str
    right: list[str]
    found: str | None
    rank: int | None


class QueryOutcomes(msgspec.Struct, frozen=True, kw_only=True):
    """The queries that a system got wrong, or that it won against ``reference`` ("" for none), and samples of them.

    ``n`` of ``n_queries`` are such queries, ``by_slice`` counts them for each slice, the most first. What samples were
    given first is what ``reference`` found, or else ``system``.
    """

    system: str
    reference: str
    n: int
    n_queries: int
    by_slice: dict[str, int]
    queries: list[QueryOutcome]


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do next, and the figures that speak for it."""

    do: str
    why: str

    def sentence(self) -> str:
        """Return step and reason as one sentence."""
        return f"{self.do}: {self.why}."


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """A rule and whether it was met; ``low`` is the bound that was compared, None where the system is not there."""

    name: str
    rule: str
    value: float
    low: float | None
    passed: bool


class PublishedFigure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure from elsewhere that stands beside ours, under the same protocol."""

    name: str
    measure: str
    value: float
    protocol: str
    note: str = ""


class FusionChoice(msgspec.Struct, frozen=True, kw_only=True):
    """Why a hybrid ranks as it does: the fused ranking beside its best single part, cross-fitted on dev.

    ``part`` is the part that answers alone, "" where all are fused; ``fused`` and ``alone`` are the ``measure`` of the
    fused ranking and of the ``best_part`` over ``queries``, ``difference`` the first less the second (None without
    queries).
    """

    queries: int
    part: str
    best_part: str
    measure: str
    fused: float
    alone: float
    difference: Interval | None

    def sentence(self) -> str:
        """Return the choice in words."""
        if self.difference is None:
            return "no dev query has an answer: the hybrid's weights are those that many data sets taught"
        bounds = (
            f"{100 * self.difference.mean:+.1f} [{100 * self.difference.low:+.1f}, {100 * self.difference.high:+.1f}]"
        )
        beside = f"{self.measure} on {self.queries} dev queries {100 * self.fused:.1f}, {self.best_part} alone "
        beside += f"{100 * self.alone:.1f} ({bounds})"
        if self.part:
            return f"the hybrid ranks by {self.part} alone, as the fused parts are not surely better: {beside}"
        return f"the hybrid fuses its parts: {beside}"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the audit found: how often, and the first samples."""

    count: int
    samples: list[str]


Findings: TypeAlias = Mapping[str, Finding]
