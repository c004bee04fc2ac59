"""How much likelier a hit is looked at the higher it stands, from hits that one query showed at several positions.

In the position-based model (Craswell et al. 2008, WSDM) a hit is clicked with the probability
examination(position) x attractiveness(query, hit). A hit that always stood at one position tells nothing of
examination: a model that is fitted to such hits splits clicks into the two as it was initialised. So only hits that a
query showed at several positions count (intervention harvesting: Agarwal et al. 2019, WSDM, arXiv 1812.05161), and of
these how their clicks fall on the positions, given how many there are: the share of position k is
n_k e_k / sum_j n_j e_j, in which attractiveness cancels. Its score has the expectation 0 under the model, however
few impressions a hit has. The likelihood is concave in log e, and is maximised by Newton's method.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.core.errors import DataError
from honed.feedback.ubi_log import Flags, Impressions, Ints

Floats = npt.NDArray[np.float64]
LEAST_CLICKS = 20  # of a position, on hits that were shown at others too
_BLOCK = 1 << 13  # pairs
_STEPS, _HALVINGS, _CLOSE, _NOISE = 50, 30, 1e-8, 1e-12
_Z95 = 1.959964


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Pairs of a query and a hit, ordered by query, with their impressions by position.

    Of a pair: ``query`` and ``doc`` ``(n_pairs,)``. Of a pair at a position ``(n_cells,)``: ``pair``, ``position``,
    how often it was ``shown`` and ``clicked``.
    """

    query: Ints
    doc: Ints
    pair: Ints
    position: Ints
    shown: Floats
    clicked: Floats

    @classmethod
    def of(cls, impressions: Impressions) -> "Pairs":
        """Count the impressions of each pair at each position."""
        n_docs = max(1, len(impressions.doc_ids))
        keys, pair = np.unique(impressions.query * n_docs + impressions.doc, return_inverse=True)
        n_positions = int(impressions.position.max(initial=0)) + 1
        cells, cell = np.unique(pair * n_positions + impressions.position, return_inverse=True)
        clicked = np.bincount(cell, impressions.is_clicked, len(cells))
        return cls(
            query=keys // n_docs,
            doc=keys % n_docs,
            pair=cells // n_positions,
            position=cells % n_positions,
            shown=np.bincount(cell, minlength=len(cells)).astype(np.float64),
            clicked=clicked.astype(np.float64),
        )

    @property
    def n_positions(self) -> int:
        """How many positions there are."""
        return int(self.position.max(initial=-1)) + 1

    def blocks(self) -> Iterator[tuple[slice, Floats, Floats]]:
        """Yield blocks of whole queries: which pairs, and their impressions and clicks ``(n, n_positions)``."""
        n_pairs, start = len(self.query), 0
        starts = np.searchsorted(self.pair, np.arange(n_pairs + 1))
        while start < n_pairs:
            last = self.query[min(start + _BLOCK, n_pairs) - 1]
            end = int(np.searchsorted(self.query, last, side="right"))
            cells = slice(int(starts[start]), int(starts[end]))
            shown = np.zeros((end - start, self.n_positions))
            clicked = np.zeros_like(shown)
            places = self.pair[cells] - start, self.position[cells]
            shown[places], clicked[places] = self.shown[cells], self.clicked[cells]
            yield slice(start, end), shown, clicked
            start = end


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The chance that a hit is looked at by position ``(n_positions,)``, 1 at the first known one, NaN where unknown.

    ``covariance`` is that of its logarithm, 0 where unknown. ``n_pairs`` and ``n_clicks`` are those that it was
    learned from; 0 for a curve that was given.
    """

    values: Floats
    covariance: Floats
    n_pairs: int
    n_clicks: int

    @property
    def known(self) -> Flags:
        """At which positions it is known ``(n_positions,)``."""
        return np.isfinite(self.values)

    def interval(self) -> tuple[Floats, Floats]:
        """Return the ends of a 95 % interval for each position ``(n_positions,)``."""
        spread = np.exp(_Z95 * np.sqrt(np.diag(self.covariance)))
        return self.values / spread, self.values * spread

    @classmethod
    def given(cls, values: Sequence[float], n_positions: int) -> "Examination":
        """Return a curve that is known from elsewhere; `DataError` for values that are no chances."""
        if not values or any(not 0 < value <= 1 for value in values):
            raise DataError("E_EXAMINATION", "the chances of examination are to be above 0 and at most 1")
        padded = np.full(n_positions, np.nan)
        padded[: len(values)] = values[:n_positions]
        return cls(values=padded, covariance=np.zeros((n_positions, n_positions)), n_pairs=0, n_clicks=0)


def estimate_examination(pairs: Pairs, least_clicks: int = LEAST_CLICKS) -> Examination:
    """Return the curve of a log, with a covariance that takes the pairs of one query as dependent (sandwich).

    Positions are known that have ``least_clicks`` on hits shown elsewhere too, and that such hits connect to each
    other. Raises `DataError` where that is not even two.
    """
    known, n_pairs, n_clicks = _connected(pairs, least_clicks)
    if known.sum() < 2:
        raise DataError(
            "E_FIXED_ORDER",
            "too few hits were clicked that one query showed at several positions: what position does to clicks cannot "
            "be told from what the hits are; gather more searches, show near ties in turns, or give a curve that is "
            "known (--examination 1,0.6,0.4)",
        )
    logs, at = np.zeros(pairs.n_positions), _Fit.at(pairs, np.zeros(pairs.n_positions), known)
    free = np.flatnonzero(known)[1:]  # the first is 1
    for _ in range(_STEPS):
        step = np.zeros_like(logs)
        step[free] = np.linalg.solve(at.information[np.ix_(free, free)], at.score[free])
        for _ in range(_HALVINGS):
            tried = _Fit.at(pairs, logs + step, known)
            if tried.likelihood >= at.likelihood - _NOISE * abs(at.likelihood):
                break
            step /= 2
        logs, at = logs + step, tried
        if np.abs(step).max() < _CLOSE:
            break
    bread = np.linalg.inv(at.information[np.ix_(free, free)])
    covariance = np.zeros((len(logs), len(logs)))
    covariance[np.ix_(free, free)] = bread @ at.meat[np.ix_(free, free)] @ bread
    return Examination(
        values=np.where(known, np.exp(logs), np.nan), covariance=covariance, n_pairs=n_pairs, n_clicks=n_clicks
    )


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """The log-likelihood at a curve, its gradient, the information, and the squares of the scores of queries."""

    likelihood: float
    score: Floats
    information: Floats
    meat: Floats

    @classmethod
    def at(cls, pairs: Pairs, logs: Floats, known: Flags) -> "_Fit":
        size = len(logs)
        likelihood, score, information, meat = 0.0, np.zeros(size), np.zeros((size, size)), np.zeros((size, size))
        weight = np.where(known, np.exp(logs), 0.0)
        for place, shown, clicked in pairs.blocks():
            clicked = clicked * known
            expected = shown * weight
            total = expected.sum(axis=1, keepdims=True)
            share = np.divide(expected, total, out=np.zeros_like(expected), where=total > 0)
            n_clicks = clicked.sum(axis=1, keepdims=True)
            likelihood += float((clicked * np.log(np.where(clicked > 0, share, 1.0))).sum())
            scores = clicked - n_clicks * share
            score += scores.sum(axis=0)
            information += np.diag((n_clicks * share).sum(axis=0)) - (n_clicks * share).T @ share
            query = pairs.query[place]
            by_query = np.add.reduceat(scores, np.flatnonzero(np.diff(query, prepend=-1)))
            meat += by_query.T @ by_query
        return cls(likelihood=likelihood, score=score, information=information, meat=meat)


def _connected(pairs: Pairs, least_clicks: int) -> tuple[Flags, int, int]:
    """Return the positions that can be compared, and the pairs and clicks that compare them.

    The likelihood has a maximum where from every position to every other leads a way over pairs that were clicked at
    the one and shown at the other (Hunter 2004, Annals of Statistics 32). Of several such sets the one with most
    impressions is taken.
    """
    size = pairs.n_positions
    known = np.ones(size, dtype=bool)
    while True:
        links, clicks = np.zeros((size, size)), np.zeros(size)
        impressions, n_pairs = np.zeros(size), 0
        for _, shown, clicked in pairs.blocks():
            shown, clicked = shown * known, clicked * known
            harvested = ((shown > 0).sum(axis=1) > 1) & (clicked.sum(axis=1) > 0)
            n_pairs += int(harvested.sum())
            clicks += clicked[harvested].sum(axis=0)
            impressions += shown[harvested].sum(axis=0)
            links += (clicked[harvested] > 0).T.astype(float) @ (shown[harvested] > 0)
        enough = known & (clicks >= least_clicks)
        kept = _largest_circle(links > 0, enough, impressions)
        if (kept == known).all() or kept.sum() < 2:
            return kept, n_pairs, int(clicks.sum())
        known = kept


def _largest_circle(links: Flags, allowed: Flags, weight: Floats) -> Flags:
    """Return the strongly connected set of allowed nodes that weighs most."""
    reached = (links & allowed[:, None] & allowed) | np.diag(allowed)
    for _ in range(len(links).bit_length() + 1):
        reached = (reached.astype(float) @ reached) > 0
    sets = reached & reached.T
    best = int(np.argmax(sets @ weight)) if len(weight) else 0
    return sets[best] if len(weight) else allowed
