"""Which rows of a table are accepted, so that at most a stated share of them is wrong.

Each cut on the estimated chance is a hypothesis "of the rows above it more than ``risk`` are wrong". Rows of this table
that people reviewed in a random order are bets against it: testing by betting without replacement (Waudby-Smith and
Ramdas 2023, "Estimating means of bounded random variables by betting"). The bets may use whatever was known before,
here the chances that dev taught, so that a right model is proved soon and a wrong one proves nothing; and they may be
looked at after every review. Cuts are tested in a fixed order (learn then test: Angelopoulos et al. 2021), so that all
of them share one error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.json import Json
from honed.core.proportion import wilson

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Numbers: TypeAlias = npt.NDArray[np.int64]
# of the rows of this table; from dev alone, so that it holds where the table is like dev; of names that the catalogue
# bears, where dev promises nothing of the estimates; by the estimates alone, which promises nothing; none at all
Source: TypeAlias = Literal["this table", "dev", "known names", "estimated", "nothing"]
CUTS = 64  # that are tested
_BOLDNESS = 0.9  # of what a bet may lose at most, so that one error is not the end
# where chains of tests start, as shares of the rows above the cut that the chances favour; their shares of the error
_STARTS = ((1.0, 0.5), (0.8, 0.125), (0.6, 0.125), (0.4, 0.125), (0.2, 0.125))
_PRIOR_ROWS = 20.0  # what the chances count beside reviewed rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Reviewed:
    """Rows in an order that was drawn before any was reviewed.

    ``values`` ``(n_rows,)`` are the estimated chances to be right, ``order`` ``(n_rows,)`` is a random order of the
    rows, and ``wrong`` ``(n_rows,)`` tells where a review found an error: 1, or 0, or NaN where nobody looked yet.
    """

    values: Floats
    order: Numbers
    wrong: Floats

    def drawn(self) -> tuple[Floats, Floats]:
        """Return values and errors in the order of the draw, both ``(n_rows,)``."""
        return self.values[self.order], self.wrong[self.order]


class Borrowed(NamedTuple):
    """A cut that does not come from reviews of this table, and what it rests on."""

    cut: float
    source: Source


@dataclass(frozen=True, kw_only=True, slots=True)
class TablePromise:
    """The least chance ``cut`` of a row that is accepted (None: none is), and what is known of those above it.

    ``source`` tells on what it rests, ``rows`` how many are above the cut, ``reviewed`` and ``wrong`` how many of a
    random draw of them were looked at and found wrong, ``needed`` an estimate of how many more reviews prove it. A
    random draw of the rows from ``asked`` on is what should be reviewed next.
    """

    risk: float
    confidence: float
    source: Source
    cut: float | None
    rows: int
    reviewed: int
    wrong: int
    needed: int = 0
    asked: float = 0.0

    def sentence(self, what: str = "accepted") -> str:
        """Return in words what is promised of the rows above the cut."""
        share, sure = f"{100 * self.risk:g} %", f"{100 * self.confidence:g} %"
        if self.source == "this table":
            return (
                f"of those {what} at most {share} are wrong, with {sure} confidence from {self.reviewed} reviewed rows"
            )
        if self.source == "known names":
            return (
                f"{what} are names that one entity of the catalogue bears, and no others: no cut on the estimated "
                f"chances kept {share} on dev; about {self.needed} random reviews prove more"
            )
        if self.source == "dev":
            more = f"; about {self.needed} random reviews prove it" if self.needed else ""
            return f"of those {what} at most {share} are wrong if this table is like dev: borrowed from dev{more}"
        if self.reviewed:
            low, high = (100 * bound for bound in wilson(self.wrong, self.reviewed))
            return (
                f"nothing is {what}: {self.wrong} of {self.reviewed} reviewed rows were wrong ({low:.1f} to {high:.1f} "
                f"%), and no cut keeps {share}"
            )
        return f"nothing is {what}: by the estimated chances no cut keeps {share}"

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def promise(rows: Reviewed, *, risk: float, confidence: float, borrowed: Borrowed | None) -> TablePromise:
    """Return the laxest cut that reviews of this table prove; else the ``borrowed`` one, if nothing refutes it.

    None borrows nothing. The slope is n log n in the rows.
    """
    cuts = _cuts(rows.values)
    expected = _expected_errors(rows.values, cuts)
    drawn = rows.drawn()
    tests = [_test(*drawn, cut, risk, 1 - confidence, error) for cut, error in zip(cuts, expected, strict=True)]
    n_kept = 0 if borrowed is None else int((cuts >= borrowed.cut).sum())
    held = n_kept - 1 if n_kept else None  # the laxest that is borrowed
    favoured = _favoured(tests, expected, risk)
    proven = _laxest_proven(tests, favoured, 1 - confidence)
    if proven is not None:
        made = _made(tests[proven], "this table", cuts[proven], risk, confidence)
        more = held if held is not None and held > proven and not tests[held].refuted else proven
        return replace(made, needed=tests[more].needed if more > proven else 0, asked=float(cuts[more]))
    if borrowed is not None and held is not None and not any(test.refuted for test in tests[: held + 1]):
        made = _made(tests[held], borrowed.source, cuts[held], risk, confidence)
        return replace(made, needed=tests[favoured].needed, asked=float(cuts[favoured]))
    stricter = np.flatnonzero(expected <= risk / 4)
    at = int(stricter[-1]) if len(stricter) else 0
    known = tests[held] if held is not None else None
    return TablePromise(
        risk=risk,
        confidence=confidence,
        source="nothing",
        cut=None,
        rows=0,
        reviewed=known.reviewed if known else 0,
        wrong=known.wrong if known else 0,
        needed=tests[at].needed if tests else 0,
        asked=float(cuts[at]) if tests else 0.0,
    )


def taking_turns(drawn: Sequence[int], others: Sequence[int]) -> list[int]:
    """Return what is to be reviewed: the rows of the random draw in turn with the others, then what is left."""
    both = [at for pair in zip(drawn, others, strict=False) for at in pair]
    rest = min(len(drawn), len(others))
    return [*both, *drawn[rest:], *others[rest:]]


def cautious_cut(values: Floats, risk: float) -> float | None:
    """Return the laxest cut above which by the chances alone half of the risk is taken; None for none."""
    cuts = _cuts(values)
    kept = cuts[_expected_errors(values, cuts) <= risk / 2] if len(cuts) else cuts
    return float(kept[-1]) if len(kept) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tested:
    """One hypothesis after the reviews: ``won`` is the logarithm of the largest wealth that bets against it reached."""

    rows: int
    reviewed: int
    wrong: int
    won: float
    refuted: bool
    needed: int


def _made(test: _Tested, source: Source, cut: float, risk: float, confidence: float) -> TablePromise:
    return TablePromise(
        risk=risk,
        confidence=confidence,
        source=source,
        cut=float(cut),
        rows=test.rows,
        reviewed=test.reviewed,
        wrong=test.wrong,
        needed=test.needed,
        asked=float(cut),
    )


def _cuts(values: Floats) -> Floats:
    """Return the cuts that are tested, strict ones first: of each value above 0, or spread evenly over the rows."""
    distinct = np.unique(values[values > 0])[::-1]
    if len(distinct) <= CUTS:
        return distinct
    ordered = np.sort(values[values > 0])[::-1]
    places = np.linspace(0, len(ordered) - 1, CUTS).round().astype(np.int64)
    return np.unique(ordered[places])[::-1]


def _expected_errors(values: Floats, cuts: Floats) -> Floats:
    """Return the mean of one minus the chance over the rows above each cut."""
    ordered = np.sort(values)[::-1]
    counts = np.searchsorted(-ordered, -cuts, side="right")
    errors: Floats = np.cumsum(1 - ordered)[np.maximum(counts, 1) - 1] / np.maximum(counts, 1)
    return errors


def _favoured(tests: Sequence[_Tested], expected: Floats, risk: float) -> int:
    """Return the cut that by the chances alone is furthest below the risk, in standard errors; 0 without any."""
    counts = np.array([test.rows for test in tests], dtype=float)
    return int(np.argmax((risk - expected) * np.sqrt(counts))) if tests else 0


def _laxest_proven(tests: Sequence[_Tested], favoured: int, error: float) -> int | None:
    """Return the laxest cut that a chain of tests reaches without one that is not refused; None for none.

    The first chain starts at the ``favoured`` cut; others start at stricter ones, for a table on which the model is
    too sure of itself. Each has its share of the error.
    """
    if not tests:
        return None
    counts = np.array([test.rows for test in tests], dtype=float)
    reached = []
    for rows, share in _STARTS:
        start = int(np.argmin(np.abs(counts - rows * counts[favoured])))
        refused = [test.won >= -np.log(error * share) for test in tests[start:]]
        reached.append(start + (refused.index(False) if False in refused else len(refused)) - 1)
        if not refused[0]:
            reached.pop()
    return max(reached, default=None)


def _test(values: Floats, errors: Floats, cut: float, risk: float, error: float, expected: float) -> _Tested:
    """Return what reviews say of the rows at or above a cut, taken in their drawn order up to the first not reviewed.

    ``values`` and ``errors`` are those of `Reviewed.drawn`.
    """
    wrong = errors[values >= cut]
    unknown = np.flatnonzero(np.isnan(wrong))
    seen = wrong[: unknown[0]] if len(unknown) else wrong
    n, drawn = len(wrong), len(seen)
    wealth = _log_wealth(seen, n, risk, expected)
    against = _log_wealth(1 - seen, n, 1 - risk, 1 - max(expected, risk))  # that no more than the risk are wrong
    return _Tested(
        rows=n,
        reviewed=drawn,
        wrong=int(seen.sum()),
        won=float(wealth.max(initial=0.0)),
        refuted=float(against.max(initial=0.0)) >= -np.log(error),
        needed=_needed(n - drawn, risk, error, expected, float(wealth[-1]) if drawn else 0.0),
    )


def _log_wealth(wrong: Floats, n: int, risk: float, expected: float) -> Floats:
    """Return the logarithm of the wealth after each bet that less than ``risk`` of ``n`` rows are wrong, from 0 on.

    ``wrong`` ``(n_drawn,)`` are rows in the order in which they were drawn. Under the hypothesis that ``risk`` of all
    or more are wrong, the rest holds what the drawn ones lack: a bet is fair, so that the wealth reaches 1 / error with
    at most the probability ``error`` (Ville).
    """
    if not len(wrong):
        return np.zeros(0)
    before = np.arange(len(wrong), dtype=float)
    found = np.cumsum(wrong) - wrong
    rest = (n * risk - found) / np.maximum(n - before, 1)
    guess = (found + _PRIOR_ROWS * np.clip(expected, risk / 20, risk)) / (before + _PRIOR_ROWS)
    fair = np.clip(rest, 1e-9, 1 - 1e-9)
    stakes = np.clip((fair - guess) / (fair * (1 - fair)), 0, _BOLDNESS / (1 - fair))
    gains = 1 + stakes * (fair - wrong)
    wealth: Floats = np.cumsum(np.log(gains))
    impossible = rest > 1 + 1e-12  # the rest cannot hold so many
    wealth[np.maximum.accumulate(impossible)] = np.inf
    left = n - len(wrong)
    if found[-1] + wrong[-1] + left < n * risk:
        wealth[-1] = np.inf
    wealth[~np.logical_and.accumulate(rest > 0)] = -np.inf  # as many are wrong already
    return wealth


def _needed(left: int, risk: float, error: float, expected: float, wealth: float) -> int:
    """Return about how many more reviews refuse the hypothesis, if as many are wrong as is expected."""
    guess = float(np.clip(expected, risk / 20, risk * 0.95))
    stake = min((risk - guess) / (risk * (1 - risk)), _BOLDNESS / (1 - risk))
    growth = (1 - guess) * np.log1p(stake * risk) + guess * np.log1p(stake * (risk - 1))
    missing = -np.log(error * _STARTS[0][1]) - max(wealth, -50.0)
    return int(min(left, max(0, np.ceil(missing / max(growth, 1e-12)))))
