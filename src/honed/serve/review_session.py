"""The review of a table by several people at once: who has which row, what they say, and what follows from it."""

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from honed.core.errors import ConfigError
from honed.data.split import unit_interval
from honed.match.answers import Candidate
from honed.match.decide import Decided, MatchOptions
from honed.match.output import write_matches
from honed.match.reviews import NONE, UNDO, UNSURE, Review, alpha, latest_by_person
from honed.match.run import TableMatch
from honed.serve.background import BackgroundWork
from honed.serve.review_answers import (
    CandidateView,
    EvidenceValue,
    NextRow,
    PromiseView,
    ReviewState,
    RowView,
    Said,
    Written,
    candidate_view,
)

_OPEN_SECONDS = 600.0  # that a row is kept for the person who has it open
_MOST_FOUND, _MOST_DIFFER = 8, 20
_PAUSE = 4.0  # the cut rests this many times as long as it took to work out: a fifth of one core at most


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewOptions:
    """How a table is reviewed: the cut moves after ``batch`` reviews, and a share ``twice`` of rows is given to two."""

    batch: int = 10
    twice: float = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class _Open:
    """A row that a person has open, until a time of the monotonic clock."""

    entry: int
    until: float


class ReviewSession:
    """The review of one table; every method may be called from several threads.

    A decision is on disk when its method returns. The cut moves in the background after each batch of reviews: `state`
    tells whether it is at work.
    """

    def __init__(
        self, match: TableMatch, options: MatchOptions, out: Path, review: ReviewOptions | None = None
    ) -> None:
        """Take up the reviews that are in the table's folder; ``out`` is the file that `write` writes."""
        self.match, self.options, self.out, self.review = match, options, out, review or ReviewOptions()
        self.reviews = match.journal.read()
        self._take(match.decided(options, self.reviews), len(self.reviews))
        self._lock = threading.RLock()
        self._searching, self._writing = threading.Lock(), threading.Lock()
        self._said = latest_by_person(self.reviews)
        self._open: dict[str, _Open] = {}
        self._seconds = [key for key in self._said if self._wants_second(key)]
        self._cut = BackgroundWork(self._decide, rest=_PAUSE)

    def close(self) -> None:
        """Stop the work in the background."""
        self._cut.close()

    # -- the cut ----------------------------------------------------------------------------------

    def _take(self, decided: Decided, n_reviews: int) -> None:
        """Take decisions that rest on the first ``n_reviews`` reviews."""
        self.decided, self._summary = decided, self.match.summary(decided)
        self._counted = n_reviews
        self._at = 0  # in the queue

    def _decide(self) -> None:
        """Work the decisions out again from all reviews so far."""
        with self._lock:
            reviews = list(self.reviews)
        decided = self.match.decided(self.options, reviews)
        with self._lock:
            self._take(decided, len(reviews))

    def move_cut(self) -> None:
        """Ask for the cut to be worked out by all reviews so far; returns at once."""
        self._cut.ask()

    # -- rows -------------------------------------------------------------------------------------

    def next(self, who: str, entry: str = "") -> NextRow:
        """Return the row that a person should review: the one that they have open, or the next that nobody has.

        ``entry`` asks for one row by its key, such as one that people differ on; `ConfigError` for one that is not
        there.
        """
        with self._lock:
            number = self._entry(entry) if entry else self._choose(who)
            if number is None:
                if self._counted < len(self.reviews) and not self._cut.working:
                    self.move_cut()
                return NextRow(row=None, working=self._cut.working)
            self._open[who] = _Open(entry=number, until=time.monotonic() + _OPEN_SECONDS)
        return NextRow(row=self._row(number, who), working=self._cut.working)

    def _entry(self, key: str) -> int:
        number = self.match.entries.by_key.get(key)
        if number is None:
            raise ConfigError("E_ID_UNKNOWN", f"no row {key} to review")
        return number

    def _choose(self, who: str) -> int | None:
        """Return the entry for a person: what they have open, what wants a second opinion, what is first in line."""
        taken, own = self._taken(who), self._open.get(who)
        if own is not None and self.match.entries.keys[own.entry] not in {*self._said, *taken}:
            return own.entry
        return next(self._second_opinions(who, taken), None) or next(self._in_line(taken), None)

    def _taken(self, who: str) -> set[str]:
        """Return the keys of the rows that others have open."""
        now = time.monotonic()
        return {
            self.match.entries.keys[row.entry] for other, row in self._open.items() if other != who and row.until > now
        }

    def _second_opinions(self, who: str, taken: set[str]) -> Iterator[int]:
        """Yield the entries that one other person alone has reviewed and that are among those given to two."""
        self._seconds = [key for key in self._seconds if len(self._said.get(key, {})) == 1]
        for key in self._seconds:
            if who not in self._said[key] and key not in taken and key in self.match.entries.by_key:
                yield self.match.entries.by_key[key]

    def _wants_second(self, key: str) -> bool:
        """Tell whether an entry is given to two people: a draw by its key, whatever it is in the queue for."""
        return unit_interval(self.options.seed, f"twice {key}") < self.review.twice

    def _in_line(self, taken: set[str]) -> Iterator[int]:
        """Yield the entries of the queue that nobody has reviewed or has open."""
        queue, keys = self.decided.queue, self.match.entries.keys
        while self._at < len(queue) and keys[queue[self._at]] in self._said:
            self._at += 1
        for number in queue[self._at :]:
            if keys[number] not in self._said and keys[number] not in taken:
                yield number

    def _row(self, number: int, who: str) -> RowView:
        entry, columns = self.match.entries.entries[number], self.match.columns.evidence
        said = self._said.get(self.match.entries.keys[number], {}).get(who)
        return RowView(
            entry=self.match.entries.keys[number],
            name=entry.name,
            count=int(self.match.counts[number]),
            evidence=[
                EvidenceValue(column=name, value=value) for name, value in zip(columns, entry.values, strict=True)
            ],
            candidates=self._views(number, self.match.found[number].candidates),
            answer=None if said is None else said.answer,
        )

    def _views(self, number: int, candidates: Sequence[Candidate]) -> list[CandidateView]:
        entry, evidence = self.match.entries.entries[number], self.match.columns.evidence
        return [candidate_view(self.match.searcher, entry, one, evidence) for one in candidates]

    def search(self, text: str, entry: str) -> list[CandidateView]:
        """Return entities that a text finds, compared with a row; `ConfigError` for a row that is not there."""
        number = self._entry(entry)
        with self._searching:
            hits = self.match.searcher.search(text, _MOST_FOUND)
        found = [Candidate(id=hit.doc_id, name=hit.text, chance=0.0, fields=hit.fields) for hit in hits]
        return self._views(number, found)

    # -- decisions --------------------------------------------------------------------------------

    def decide(self, who: str, entry: str, answer: str) -> None:
        """Keep what a person says of a row: the id of an entity, "" for none, "?" for not sure; it is on disk then.

        Raises `ConfigError` for a row or an entity that is not there.
        """
        number = self._entry(entry)
        chosen = "" if answer in (NONE, UNSURE) else self.match.searcher.entity(answer)["label"]
        candidates = self.match.found[number].candidates
        self._keep(
            Review(
                entry=entry,
                answer=answer,
                name=self.match.entries.entries[number].name,
                first=candidates[0].id if candidates else "",
                chosen=chosen,
                who=who,
            )
        )

    def undo(self, who: str) -> NextRow:
        """Take back the last decision of a person that stands, and return its row; None where there is none."""
        with self._lock:
            known = self.match.entries.by_key
            stands = [key for key, by_person in self._said.items() if who in by_person and key in known]
            own = {review.entry: place for place, review in enumerate(self.reviews) if review.who == who}
            last = max(stands, key=lambda key: own[key], default="")
            if not last:
                return NextRow(row=None, working=self._cut.working)
            before = self._said[last][who]
            self._keep(replace(before, answer=UNDO, chosen="", at=""))
            found = self.next(who, last)
        row = None if found.row is None else msgspec.structs.replace(found.row, answer=before.answer)
        return NextRow(row=row, working=found.working)

    def _keep(self, review: Review) -> None:
        """Write a review to disk, then count it."""
        review = replace(review, at=datetime.now(UTC).isoformat(timespec="seconds"))
        with self._lock:
            self.match.journal.add([review])
            self.reviews.append(review)
            said = self._said.setdefault(review.entry, {})
            said.pop(review.who, None)
            if review.answer != UNDO:
                said[review.who] = review
            if not said:
                del self._said[review.entry]
            elif len(said) == 1 and review.entry not in self._seconds and self._wants_second(review.entry):
                self._seconds.append(review.entry)
            self._open.pop(review.who, None)
            due = len(self.reviews) - self._counted >= self.review.batch
        if due and not self._cut.working:
            self.move_cut()

    # -- what the page tells ----------------------------------------------------------------------

    def state(self) -> ReviewState:
        """Return how far the review is."""
        with self._lock:
            decided, counts = self.decided, self._summary
            known = self.match.entries.by_key
            said = {key: list(by_person.values()) for key, by_person in self._said.items() if key in known}
            fresh = {review.entry for review in self.reviews[self._counted :] if len(said.get(review.entry, ())) == 1}
        drawn = sum(known[key] in decided.audit for key in fresh)
        twice = [reviews for reviews in said.values() if len(reviews) > 1]
        missed = decided.missed
        return ReviewState(
            table=self.match.table.name,
            names=int(str(counts["names"])),
            distinct=int(str(counts["distinct"])),
            accept=int(str(counts["accept"])),
            review=int(str(counts["review"])),
            none=int(str(counts["none"])),
            promise=PromiseView.of(decided.accepted, "accepted", drawn),
            promise_none=None if missed is None else PromiseView.of(missed, "said to have no counterpart", drawn),
            reviewed=len(said),
            queue=max(0, len(decided.queue) - len(fresh)),
            audit=len(decided.audit) - drawn,
            people=Counter(review.who for reviews in said.values() for review in reviews),
            alpha=alpha([[review.answer for review in reviews] for reviews in twice]) if twice else None,
            twice=len(twice),
            differ=[Said.of(reviews) for reviews in twice if len({review.answer for review in reviews}) > 1][
                -_MOST_DIFFER:
            ],
            working=self._cut.working,
            fault=self._cut.fault,
            out=self.out.name,
        )

    def write(self) -> Written:
        """Decide by all reviews so far and write the table; returns the file and its rows."""
        with self._writing:
            with self._lock:
                reviews = list(self.reviews)
            decided = self.match.decided(self.options, reviews)
            with self._lock:
                self._take(decided, len(reviews))
            return Written(file=str(self.out), rows=write_matches(self.match, decided, self.out))
