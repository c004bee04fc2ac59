"""Decisions on the entries of a table: accept, review or none, and what is promised of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.json import Json
from honed.core.sections import limits
from honed.index.risk import DevAnswers
from honed.match.answers import KNOWN, Candidate, Found
from honed.match.promise import Borrowed, Reviewed, TablePromise, cautious_cut, promise, taking_turns
from honed.match.reviews import NONE, UNSURE, Review

if TYPE_CHECKING:
    from honed.match.table import Entries

ACCEPT: Final = "accept"
REVIEW: Final = "review"
NO_MATCH: Final = "none"
Decision: TypeAlias = Literal["accept", "review", "none"]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
_DECISIONS: tuple[Decision, ...] = (ACCEPT, REVIEW, NO_MATCH)
_FEWEST_AUDITED = 5  # rows of a random draw that are asked for whatever is proven: a table may drift


@dataclass(frozen=True, kw_only=True, slots=True)
class MatchOptions:
    """What is promised: at most ``max_error`` of the accepted rows are wrong, with ``confidence``.

    Of those decided to have no counterpart at most ``max_missed`` have one. With ``one_to_one`` no entity is given
    twice, see `honed.match.one_to_one`. ``seed`` draws the rows that are reviewed at random.
    """

    max_error: float = field(default=0.01, metadata=limits(low=0.0001, high=0.5))
    max_missed: float = field(default=0.05, metadata=limits(low=0.0001, high=0.5))
    confidence: float = field(default=0.9, metadata=limits(low=0.5, high=0.999))
    one_to_one: bool = False
    seed: int = field(default=0, metadata=limits(low=0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """The decision on every entry, with what it rests on.

    ``decisions`` ``(n_entries,)`` index `accept, review, none`; ``found`` are the candidates with the chances that it
    rests on, and ``chosen`` is the entity given, or proposed where the decision is to review, None for none.
    ``by_people`` tells which people decided. ``accepted`` and ``missed`` are the
    promises; ``queue`` are the entries to be reviewed, the most useful first, of which ``audit`` are drawn at random.
    """

    decisions: npt.NDArray[np.int8]
    found: Sequence[Found]
    chosen: Sequence[Candidate | None]
    by_people: Flags
    accepted: TablePromise
    missed: TablePromise | None
    queue: Sequence[int]
    audit: frozenset[int]

    def decision(self, entry: int) -> Decision:
        """Return the decision on an entry."""
        return _DECISIONS[int(self.decisions[entry])]


def decide(
    entries: "Entries",
    found: Sequence[Found],
    reviews: Mapping[str, Review],
    options: MatchOptions,
    dev: DevAnswers | None = None,
) -> Decided:
    """Decide every entry by its chance, by what people said of it, and by what they found in a random draw of rows.

    ``dev`` is what a promise is borrowed from; None borrows none. One to one, ``found`` is what
    `honed.match.one_to_one.exclusive` returned: what is promised and reviewed is what each entry is given beside all
    others. That follows from the chances alone, since proposals that changed with the reviews of them could not be
    tested by those. The slope is n log n in the rows.
    """
    state = _State(entries, found, [reviews.get(key) for key in entries.keys], options.seed)
    accepted = promise(
        state.reviewed(state.chances, state.wrong()),
        risk=options.max_error,
        confidence=options.confidence,
        borrowed=_borrowed(dev, options) if dev else None,
    )
    missed = None if np.isnan(state.absent).any() else _missed(state, options, borrows=dev is not None)
    decisions = np.full(len(found), _DECISIONS.index(REVIEW), dtype=np.int8)
    if missed is not None and missed.cut is not None:
        decisions[state.absent >= missed.cut] = _DECISIONS.index(NO_MATCH)
    if accepted.cut is not None:
        decisions[state.chances >= accepted.cut] = _DECISIONS.index(ACCEPT)
    chosen, by_people = state.by_people(decisions)
    if options.one_to_one:
        for at in _given_by_people(chosen, by_people):
            decisions[at], chosen[at] = _DECISIONS.index(REVIEW), None
    audit = state.audit(accepted, missed)
    return Decided(
        decisions=decisions,
        found=found,
        chosen=chosen,
        by_people=by_people,
        accepted=accepted,
        missed=missed,
        queue=state.queue(audit, decisions),
        audit=frozenset(audit),
    )


def _missed(state: "_State", options: MatchOptions, *, borrows: bool) -> TablePromise:
    """Return the promise about entries that are said to have no counterpart."""
    cut = cautious_cut(state.absent, options.max_missed)
    return promise(
        state.reviewed(state.absent, state.overlooked()),
        risk=options.max_missed,
        confidence=options.confidence,
        borrowed=Borrowed(cut, "dev") if cut is not None and borrows else None,
    )


def _borrowed(dev: DevAnswers, options: MatchOptions) -> Borrowed:
    """Return the cut that dev proves for the error; where there is none, names that one entity bears are above it."""
    cut = dev.cut(options.max_error, options.confidence)
    return Borrowed(KNOWN, "known names") if cut is None else Borrowed(cut, "dev")


class _State:
    """What is known of all entries: their rows, their chances and what people said."""

    def __init__(self, entries: "Entries", found: Sequence[Found], said: Sequence[Review | None], seed: int) -> None:
        self.found, self.said, self.counts = found, said, entries.counts()
        self.of_rows = entries.of_rows.astype(np.int64)
        self.order = np.random.default_rng(seed).permutation(len(self.of_rows))
        self.chances = np.array([one.chance for one in found])
        self.absent = np.array([np.nan if one.absent is None else one.absent for one in found])

    def reviewed(self, values: Floats, wrong: Floats) -> Reviewed:
        """Return the evidence row by row, from that of the entries."""
        return Reviewed(values=values[self.of_rows], order=self.order, wrong=wrong[self.of_rows])

    def wrong(self) -> Floats:
        """Return where people found the proposal wrong, ``(n_entries,)``; who is not sure counts as wrong."""
        return np.array(
            [
                np.nan if review is None else float(one.proposal is None or review.answer != one.proposal.id)
                for review, one in zip(self.said, self.found, strict=True)
            ]
        )

    def overlooked(self) -> Floats:
        """Return where people found an entity, or were not sure that there is none, ``(n_entries,)``."""
        return np.array([np.nan if review is None else float(review.answer != NONE) for review in self.said])

    def by_people(self, decisions: npt.NDArray[np.int8]) -> tuple[list[Candidate | None], Flags]:
        """Return the entity of each entry and which of them people chose; what they decided goes into ``decisions``."""
        chosen = [one.proposal for one in self.found]
        by_people = np.array([review is not None and review.answer != UNSURE for review in self.said], dtype=bool)
        for at, review in enumerate(self.said):
            if review is None or review.answer == UNSURE:
                continue
            answer = review.answer
            decisions[at] = _DECISIONS.index(NO_MATCH if answer == NONE else ACCEPT)
            known = {one.id: one for one in self.found[at].candidates}
            other = Candidate(id=answer, name=review.chosen, chance=1.0, fields={})
            chosen[at] = None if answer == NONE else known.get(answer, other)
        for at in np.flatnonzero(decisions == _DECISIONS.index(NO_MATCH)).tolist():
            chosen[at] = None
        return chosen, by_people

    def audit(self, accepted: TablePromise, missed: TablePromise | None) -> list[int]:
        """Return the entries of a random draw of rows that should be reviewed next, in the order of the draw."""
        drawn = self._drawn(self.chances >= accepted.asked, max(_FEWEST_AUDITED, accepted.needed))
        if missed is None:
            return drawn
        others = self._drawn(self.absent >= missed.asked, max(_FEWEST_AUDITED, missed.needed))
        return list(dict.fromkeys([*drawn, *others]))

    def _drawn(self, pool: Flags, most: int) -> list[int]:
        """Return the first entries of a pool, by the random order of its rows, that nobody has reviewed."""
        rows = self.of_rows[self.order]
        unknown = np.array([review is None for review in self.said], dtype=bool)
        return list(dict.fromkeys(rows[(pool & unknown)[rows]].tolist()))[:most]

    def queue(self, audit: Sequence[int], decisions: npt.NDArray[np.int8]) -> list[int]:
        """Return the entries to be reviewed: those of the random draw in turn with those that settle the most rows.

        What a review settles is the number of rows of the entry, times the chance that it has an answer at all.
        """
        drawn = set(audit)
        left = [
            at
            for at in np.flatnonzero(decisions == _DECISIONS.index(REVIEW)).tolist()
            if self.said[at] is None and at not in drawn
        ]
        worth = self.counts * (1 - np.nan_to_num(self.absent, nan=0.5))
        left.sort(key=lambda at: (-worth[at], at))
        return taking_turns(audit, left)


def _given_by_people(chosen: Sequence[Candidate | None], by_people: Flags) -> list[int]:
    """Return the entries whose proposal people gave to another one; what people decided stays."""
    taken = {one.id for one, decided in zip(chosen, by_people.tolist(), strict=True) if decided and one is not None}
    return [at for at in np.flatnonzero(~by_people).tolist() if (one := chosen[at]) is not None and one.id in taken]


def counted(entries: "Entries", decided: Decided) -> dict[str, Json]:
    """Return how many rows (of one name each) are accepted, to be reviewed and without a counterpart, with promises."""
    by_rows = decided.decisions[entries.of_rows]
    rows: dict[str, Json] = {str(name): int((by_rows == at).sum()) for at, name in enumerate(_DECISIONS)}
    return {
        "rows": entries.n_rows,
        "names": len(entries.of_rows),
        "distinct": len(entries.entries),
        "rejected": len(entries.rejected),
        **rows,
        "to_review": len(decided.queue),
        "by_people": int(decided.by_people.sum()),
        "promise": decided.accepted.as_dict(),
        "promise_none": decided.missed.as_dict() if decided.missed else None,
    }
