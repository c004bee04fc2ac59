"""What people said of entries: who, when and what, in a journal beside the table that is only ever added to."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.core.journal import Journal
from honed.core.json import Json

NONE, UNSURE, UNDO = "", "?", "undo"  # besides the id of an entity


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """A decision on an entry: ``answer`` is the id of an entity, "" for none, "?" for not sure, "undo" takes it back.

    ``entry`` is its key, ``name`` as it stands in the table, ``first`` the id that was proposed first, ``chosen`` the
    name of the entity of ``answer``.
    """

    entry: str
    answer: str
    name: str = ""
    first: str = ""
    chosen: str = ""
    who: str = ""
    at: str = ""


def review_journal(path: Path) -> Journal[Review]:
    """Return the journal of a file, which need not be there yet."""
    return Journal(path, _read, what="review", code="E_REVIEWS")


def _read(row: dict[str, Json]) -> Review:
    return Review(**{name: str(value or "") for name, value in row.items()})


def latest_by_person(reviews: Iterable[Review]) -> dict[str, dict[str, Review]]:
    """Return for each entry the last word of each person who said one."""
    said: dict[str, dict[str, Review]] = defaultdict(dict)
    for review in reviews:
        if review.answer == UNDO:
            said[review.entry].pop(review.who, None)
        else:
            said[review.entry][review.who] = review
    return {entry: by_person for entry, by_person in said.items() if by_person}


def settled(reviews: Iterable[Review]) -> dict[str, Review]:
    """Return the decision on each entry: what all who were sure agree on; those who differ leave it not sure."""
    decisions = {}
    for entry, by_person in latest_by_person(reviews).items():
        words = list(by_person.values())
        sure = [review for review in words if review.answer != UNSURE]
        if sure and len({review.answer for review in sure}) == 1:
            decisions[entry] = sure[-1]
        else:
            last = words[-1]
            decisions[entry] = Review(
                entry=entry, answer=UNSURE, name=last.name, first=last.first, who=last.who, at=last.at
            )
    return decisions


def agreement(reviews: Iterable[Review]) -> float | None:
    """Return Krippendorff's alpha of the people who reviewed, for nominal answers; None where no two said of one entry.

    Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability". 1 is perfect agreement, 0 that of chance.
    """
    units = [
        [review.answer for review in by_person.values()]
        for by_person in latest_by_person(reviews).values()
        if len(by_person) > 1
    ]
    return alpha(units) if units else None


def alpha(units: Sequence[Sequence[str]]) -> float:
    """Return Krippendorff's alpha of units, each with two answers or more; 1 where all answers are the same."""
    totals: dict[str, int] = defaultdict(int)
    observed = n = 0.0
    for answers in units:
        m = len(answers)
        n += m
        counts: dict[str, int] = defaultdict(int)
        for answer in answers:
            counts[answer] += 1
            totals[answer] += 1
        observed += (m * m - sum(count * count for count in counts.values())) / (m - 1)
    expected = (n * n - sum(count * count for count in totals.values())) / (n - 1)
    return 1 - observed / expected if expected else 1.0
