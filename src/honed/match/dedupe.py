"""A table without its duplicates, or the rows of two tables that mean the same: pairs, chances, groups, a promise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.progress import progress
from honed.core.protocols import Encoder, Vectors
from honed.core.sections import limits
from honed.match.clusters import Joins, joined, pairs_to_add
from honed.match.comparisons import Comparer, Evidence, Levels
from honed.match.linkage import MOST_SURE, Linkage, learn_linkage
from honed.match.neighbours import NameTable, Seekers, candidate_pairs
from honed.match.promise import Borrowed, Reviewed, TablePromise, cautious_cut, promise, taking_turns
from honed.match.rows import ComparedRows
from honed.match.slips import with_slips

Numbers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Said: TypeAlias = Mapping[tuple[int, int], bool]  # of two rows, the smaller first: whether people call them the same
_SLIPS = 1000  # names from which it is learned what slips look like
_RANDOM = 5000  # random pairs
_ENCODED = 2048  # names at once
_FEWEST_AUDITED = 5
_MOST_ASKED = 2000  # pairs to review beside those drawn at random


@dataclass(frozen=True, kw_only=True, slots=True)
class DedupeOptions:
    """What is promised: at most ``max_error`` of the merged pairs are wrong, with ``confidence``; ``seed`` draws."""

    max_error: float = field(default=0.01, metadata=limits(low=0.0001, high=0.5))
    confidence: float = field(default=0.9, metadata=limits(low=0.5, high=0.999))
    seed: int = field(default=0, metadata=limits(low=0))


@dataclass(frozen=True, kw_only=True)
class Deduped:
    """What is decided: the group of each row ``(n_rows,)``, what is promised of the pairs within, and what to review.

    ``values`` ``(n_pairs,)`` are the chances at which pairs come into one group, 0 for pairs that never do; ``queue``
    are pairs to be reviewed, the most useful first, of which ``audit`` are drawn at random.
    """

    groups: Numbers
    values: Floats
    promise: TablePromise
    queue: Sequence[int]
    audit: frozenset[int]

    @property
    def sizes(self) -> Numbers:
        """The number of rows of each group."""
        return np.bincount(self.groups).astype(np.int64)

    def sentence(self) -> str:
        """Return in words what is promised of the merged pairs."""
        made = self.promise
        share, sure = f"{100 * made.risk:g} %", f"{100 * made.confidence:g} %"
        if made.source == "this table":
            return (
                f"of the merged pairs at most {share} are wrong, with {sure} confidence from {made.reviewed} reviewed "
                "pairs"
            )
        more = f"; about {made.needed} random reviews would prove it" if made.needed else ""
        if made.source == "estimated":
            return f"estimated, not promised: of the merged pairs at most {share} are wrong{more}"
        if made.reviewed:
            return (
                f"nothing is merged but what people said: {made.wrong} of {made.reviewed} reviewed pairs were wrong, "
                f"and no cut keeps {share}"
            )
        return f"nothing is merged but what people said: by the estimated chances no cut keeps {share}"


class TableDedupe:
    """Rows that are compared with each other, or with those of the other table; names are encoded where asked."""

    def __init__(self, rows: ComparedRows, encoder: Encoder | None = None, *, seed: int = 0) -> None:
        self.rows, self.encoder, self.seed = rows, encoder, seed

    @cached_property
    def comparer(self) -> Comparer:
        """What compares forms: rows that are equal in all that is compared are one."""
        rows = self.rows
        of_forms = rows.of_forms().tolist()
        names = [rows.names[row] for row in of_forms]
        columns = list(zip(*(rows.values[row] for row in of_forms), strict=True))
        vectors = None if self.encoder is None else _encoded(self.encoder, names)
        return Comparer(NameTable.of(names), [Evidence(column) for column in columns], vectors)

    @cached_property
    def _candidates(self) -> tuple[Numbers, Numbers]:
        firsts = self.rows.firsts
        every = np.arange(firsts.shape[1])
        seekers = [Seekers(ask=every, hold=every)]
        if self.rows.is_two:
            left, right = np.flatnonzero(firsts[0] >= 0), np.flatnonzero(firsts[1] >= 0)
            seekers = [Seekers(ask=left, hold=right), Seekers(ask=right, hold=left)]
        comparer = self.comparer
        codes = np.stack([one.codes for one in comparer.evidence], axis=1) if comparer.evidence else None
        values = np.zeros((len(every), 0), np.int32) if codes is None else codes
        pairs, ranks = candidate_pairs(comparer.table, values, seekers, comparer.vectors)
        if self.rows.is_two:
            present = firsts >= 0
            one, two = pairs.T
            kept = (present[0][one] & present[1][two]) | (present[0][two] & present[1][one])
            pairs, ranks = pairs[kept], ranks[kept]
        return pairs, ranks

    @cached_property
    def _compared(self) -> tuple[Linkage, Numbers, Floats]:
        """What was learned, and all pairs of forms that were compared, with their log-odds."""
        pairs, ranks = self._candidates
        levels = self.comparer.levels(pairs[:, 0], pairs[:, 1])
        draw = np.random.default_rng(self.seed)
        n = self.rows.firsts.shape[1]
        random = draw.integers(n, size=(_RANDOM, 2))
        random = random[random[:, 0] != random[:, 1]]
        model = learn_linkage(
            levels,
            ranks,
            self._slip_levels(draw),
            self.comparer.levels(random[:, 0], random[:, 1]),
            self.comparer.sizes,
        )
        log_odds = self._log_odds(model, pairs, levels)
        if not self.rows.is_two:
            more = pairs_to_add(n, pairs, log_odds > 0, self.seed)
            added = self._log_odds(model, more, self.comparer.levels(more[:, 0], more[:, 1]))
            pairs, log_odds = np.concatenate([pairs, more]), np.concatenate([log_odds, added])
        return model, pairs, log_odds

    @property
    def model(self) -> Linkage:
        """What levels of agreement say."""
        return self._compared[0]

    def _log_odds(self, model: Linkage, pairs: Numbers, levels: Levels) -> Floats:
        return model.log_odds(levels, self.comparer.rarity(pairs[:, 0], levels))

    def _slip_levels(self, draw: np.random.Generator) -> npt.NDArray[np.int16]:
        """Return the levels of names of the table with what slips made of them ``(n_slips,)``."""
        names = self.comparer.table.names
        chosen = draw.permutation(len(names))[:_SLIPS]
        return self.comparer.slip_levels(
            chosen, with_slips([names[at] for at in chosen.tolist()], draw), self._encode_or_none
        )

    def _encode_or_none(self, names: Sequence[str]) -> Vectors | None:
        return None if self.encoder is None else _encoded(self.encoder, names)

    @cached_property
    def _scored(self) -> tuple[Numbers, Floats]:
        model, forms, log_odds = self._compared
        one, two = forms.T
        firsts = self.rows.firsts
        if self.rows.is_two:
            ways = [(firsts[0][one], firsts[1][two], log_odds), (firsts[0][two], firsts[1][one], log_odds)]
            equal = np.flatnonzero((firsts >= 0).all(axis=0))
            ways.append((firsts[0][equal], firsts[1][equal], self._equal_log_odds(model, equal)))
        else:
            before, repeated, is_copy = _repeated(self.rows)
            of_equal = self._equal_log_odds(model, self.rows.forms[repeated])
            ways = [
                (firsts[0][one], firsts[0][two], log_odds),
                (before, repeated, np.where(is_copy, MOST_SURE, of_equal)),
            ]
        left, right, scores = (np.concatenate(parts) for parts in zip(*ways, strict=True))
        kept = (left >= 0) & (right >= 0)
        pairs = np.sort(np.stack([left[kept], right[kept]], axis=1), axis=1)
        return pairs, scores[kept]

    def _equal_log_odds(self, model: Linkage, forms: Numbers) -> Floats:
        """Return the log-odds of two rows of one form, for each of some forms."""
        pairs = np.stack([forms, forms], axis=1)
        return self._log_odds(model, pairs, self.comparer.levels(forms, forms))

    @property
    def pairs(self) -> Numbers:
        """The pairs of rows that were compared ``(n_pairs, 2)``, the smaller row first."""
        return self._scored[0]

    @property
    def log_odds(self) -> Floats:
        """The log-odds of each pair to be of one entity ``(n_pairs,)``."""
        return self._scored[1]

    @property
    def chances(self) -> Floats:
        """The chance of each pair to be of one entity ``(n_pairs,)``."""
        return 1 / (1 + np.exp(-self.log_odds))

    @cached_property
    def joins(self) -> Joins:
        """The groups by what was learned alone: what people said has no part in what is promised of them."""
        return self._joined({})

    def _joined(self, said: Said) -> Joins:
        rows = self.rows
        sides = [rows.table_of(row) for row in range(len(rows))] if rows.is_two else ()
        words = [(one, two, is_same) for (one, two), is_same in said.items()]
        with progress("join groups"):
            return joined(len(rows), self.pairs, self.log_odds, said=words, sides=sides)

    def decided(self, options: DedupeOptions, said: Said | None = None) -> Deduped:
        """Return the groups at the laxest cut that is proved by what people said of pairs, or else is estimated.

        What people called the same is joined and what they called different is parted, whatever the cut.
        """
        said = said or {}
        heights = self.joins.heights_of(self.pairs)
        values = np.where(np.isfinite(heights), 1 / (1 + np.exp(-np.clip(heights, -30, 30))), 0.0)
        order = np.random.default_rng(options.seed).permutation(len(self.pairs))
        known = [said.get((one, two)) for one, two in self.pairs.tolist()] if said else [None] * len(self.pairs)
        wrong = np.array([np.nan if word is None else float(not word) for word in known])
        cut = cautious_cut(values, options.max_error)
        made = promise(
            Reviewed(values=values, order=order, wrong=wrong),
            risk=options.max_error,
            confidence=options.confidence,
            borrowed=None if cut is None else Borrowed(cut, "estimated"),
        )
        height = np.inf if made.cut is None else np.log(made.cut / max(1 - made.cut, 1e-12)) - 1e-9
        joins = self._joined(said) if said else self.joins
        groups = joins.groups(min(height, 1e3))  # what people said is surer than any cut
        pool = (values >= made.asked) & (values > 0) & np.isnan(wrong)
        audit = [at for at in order.tolist() if pool[at]][: max(_FEWEST_AUDITED, made.needed)]
        queue = self._queue(groups, audit, np.isnan(wrong))
        return Deduped(groups=groups, values=values, promise=made, queue=queue, audit=frozenset(audit))

    def _queue(self, groups: Numbers, audit: Sequence[int], is_new: Flags) -> list[int]:
        """Return the pairs to review: those of the random draw in turn with those that settle the most.

        What a pair settles is how many pairs lie between its two groups, times the chance to be wrong about them; of
        each two groups the likeliest pair is asked.
        """
        sides = np.sort(groups[self.pairs], axis=1)
        sizes = np.bincount(groups)
        chances = self.chances
        worth = np.minimum(chances, 1 - chances) * sizes[sides[:, 0]] * sizes[sides[:, 1]]
        worth[(sides[:, 0] == sides[:, 1]) | ~is_new | (chances < 0.02)] = 0.0
        if self.rows.is_two:
            worth[(sizes[sides] > 1).any(axis=1)] = 0.0  # one of them has its counterpart
        order = np.lexsort((-self.log_odds, sides[:, 1], sides[:, 0]))
        is_best = np.ones(len(order), dtype=bool)
        is_best[1:] = (np.diff(sides[order], axis=0) != 0).any(axis=1)
        best = order[is_best]
        drawn = set(audit)
        ranked = best[np.argsort(-worth[best], kind="stable")][:_MOST_ASKED]
        others = [at for at in ranked.tolist() if worth[at] > 0 and at not in drawn]
        return taking_turns(audit, others)


def _repeated(rows: ComparedRows) -> tuple[Numbers, Numbers, Flags]:
    """Return an earlier row of its form for each row that is not the first, that row, and whether all cells are equal.

    All three are ``(n_repeated,)``; a copy of a row is paired with the first that it is a copy of.
    """
    known: dict[tuple[str, ...], int] = {}
    found = []
    firsts, forms = rows.firsts[0].tolist(), rows.forms.tolist()
    for row, form in enumerate(forms):
        if form < 0:
            continue
        before = known.setdefault(rows.cells[row], row)
        if before != row:
            found.append((before, row, 1))
        elif firsts[form] != row:
            found.append((firsts[form], row, 0))
    one, two, is_copy = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return one, two, is_copy == 1


def _encoded(encoder: Encoder, names: Sequence[str]) -> Vectors:
    """Return the vectors of names ``(n_names, dim)``."""
    parts = []
    with progress("encode names", len(names)) as bar:
        for start in range(0, len(names), _ENCODED):
            block = list(names[start : start + _ENCODED])
            parts.append(encoder.encode(block, "document"))
            bar.advance(len(block))
    return np.concatenate(parts).astype(np.float32)
