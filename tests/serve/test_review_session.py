"""The session behind the review page: whose row it is, what a decision costs, and what happens when something fails."""

import csv
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from honed import Searcher
from honed.core.errors import ConfigError
from honed.match.decide import Decided, MatchOptions
from honed.match.run import TableMatch
from honed.match.table import TableColumns
from honed.serve import review_session
from honed.serve.review_session import ReviewOptions, ReviewSession


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


@pytest.fixture
def match(tmp_path: Path, searcher: Searcher) -> TableMatch:
    table = tmp_path / "rows.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        names = [f"{searcher.label_text(row)[2:]} x" for row in range(40)]
        csv.writer(file).writerows([["name"], *([name] for name in names)])
    return TableMatch.start(table, TableColumns(name="name"), searcher)


@pytest.fixture
def begin(match: TableMatch) -> Iterator[Callable[..., ReviewSession]]:
    """Begin sessions that are closed after the test."""
    begun: list[ReviewSession] = []

    def begin(**options: Any) -> ReviewSession:
        options = {"twice": 0.0, **options}
        begun.append(ReviewSession(match, MatchOptions(), match.folder / "out.csv", ReviewOptions(**options)))
        return begun[-1]

    yield begin
    for session in begun:
        session.close()


def entry_of(session: ReviewSession, who: str) -> str:
    row = session.next(who).row
    assert row is not None
    return row.entry


def test_a_row_that_was_left_open_too_long_goes_to_the_next_person(
    begin: Callable[..., ReviewSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin()
    assert entry_of(session, "anna") != entry_of(session, "ben")
    monkeypatch.setattr(review_session, "_OPEN_SECONDS", 0.0)
    left = entry_of(session, "anna")
    assert entry_of(session, "cleo") == left
    session.decide("cleo", left, "")
    assert entry_of(session, "anna") != left  # somebody did it meanwhile


def test_everybody_together_sees_every_row_once(begin: Callable[..., ReviewSession]) -> None:
    session = begin(batch=1000)
    seen: list[str] = []
    while (row := session.next(who := f"person {len(seen) % 4}").row) is not None:
        seen.append(row.entry)
        session.decide(who, row.entry, "?")
    first = {session.match.entries.keys[number] for number in session.decided.queue}
    assert len(seen) == len(set(seen))
    assert first <= set(seen)


def test_the_cut_rests_for_longer_than_it_takes(
    begin: Callable[..., ReviewSession], match: TableMatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin(batch=1)
    calls: list[float] = []
    decided = match.decided

    def slow(*arguments: Any) -> Decided:
        calls.append(time.monotonic())
        time.sleep(0.05)
        return decided(*arguments)

    monkeypatch.setattr(match, "decided", slow)
    end = time.monotonic() + 1.5
    entry = entry_of(session, "anna")
    while time.monotonic() < end:
        session.decide("anna", entry, "?")
        time.sleep(0.01)
    assert len(calls) >= 2
    assert all(later - sooner >= 0.05 * 5 for sooner, later in itertools.pairwise(calls))


def test_a_cut_that_cannot_be_worked_out_is_told_and_reviews_go_on(
    begin: Callable[..., ReviewSession], match: TableMatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin()

    def broken(*_: Any) -> Decided:
        raise ValueError("no memory left")

    monkeypatch.setattr(match, "decided", broken)
    session.move_cut()
    end = time.monotonic() + 10
    while not session.state().fault:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert session.state().fault == "no memory left"
    session.decide("anna", entry_of(session, "anna"), "")
    assert session.state().reviewed == 1


def test_what_is_not_on_disk_is_not_counted(
    begin: Callable[..., ReviewSession], match: TableMatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = begin()
    entry = entry_of(session, "anna")

    def full(_: Any) -> int:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(match.journal, "add", full)
        with pytest.raises(OSError, match="No space left"):
            session.decide("anna", entry, "")
    assert session.state().reviewed == 0
    assert entry_of(session, "anna") == entry
    session.decide("anna", entry, "")
    assert session.state().reviewed == len(match.journal.read()) == 1


def test_reviews_of_other_tables_and_entities_that_are_gone_do_no_harm(
    begin: Callable[..., ReviewSession], match: TableMatch
) -> None:
    from honed.match.reviews import Review

    match.journal.add([Review(entry="of another table", answer="n1", who="anna", at="2020-01-01T00:00:00+00:00")])
    session = begin()
    assert session.state().reviewed == 0
    entry = entry_of(session, "anna")
    with pytest.raises(ConfigError, match="no entity 'gone'"):
        session.decide("anna", entry, "gone")
    session.decide("anna", entry, "")
    undone = session.undo("anna").row
    assert undone is not None
    assert (undone.entry, undone.answer) == (entry, "")
    assert session.undo("anna").row is None  # what was said of another table stays
    assert len(match.journal.read()) == 3
