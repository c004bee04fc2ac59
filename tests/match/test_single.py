"""Rows that are matched one by one: what is decided of each depends on nothing else that is asked."""

from pathlib import Path

import pytest

from honed import Searcher
from honed.match.answers import CANDIDATES
from honed.match.single import SingleMatch, SingleMatcher, SingleRow


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


def matched(searcher: Searcher, rows: list[SingleRow], max_error: float = 0.2) -> list[SingleMatch]:
    answers = searcher.answer_many([row.name for row in rows], CANDIDATES)
    return SingleMatcher(searcher).match(rows, answers, max_error=max_error, max_missed=0.05)


def test_accepted_is_what_is_sure_enough(searcher: Searcher) -> None:
    rows = [SingleRow(name=searcher.label_text(row), evidence={}) for row in range(20)]
    rows += [SingleRow(name=f"{searcher.label_text(row)[3:]} x", evidence={}) for row in range(40)]
    rows += [SingleRow(name=f"Bakery of the Moon {row}", evidence={}) for row in range(10)]
    for max_error in (0.3, 0.05):
        matches = matched(searcher, rows, max_error)
        for match in matches:
            sure = match.found.chance >= 1 - max_error
            assert (match.decision == "accept") == sure
            assert (match.decision == "none") == (not sure and (match.found.absent or 0) >= 0.95)
    counts = [sum(match.decision == "accept" for match in matched(searcher, rows, error)) for error in (0.3, 0.0001)]
    assert counts[0] > counts[1]


def test_a_row_is_decided_by_itself(searcher: Searcher) -> None:
    rows = [SingleRow(name=searcher.label_text(row), evidence={"country": "MX"}) for row in range(20)]
    together = matched(searcher, rows)
    for row, match in zip(rows, together, strict=True):
        (alone,) = matched(searcher, [row])
        assert alone.decision == match.decision
        assert [one.id for one in alone.found.candidates] == [one.id for one in match.found.candidates]
        assert alone.found.chance == pytest.approx(match.found.chance, abs=1e-3)


def test_evidence_that_agrees_makes_a_candidate_likelier(searcher: Searcher) -> None:
    plain = matched(searcher, [SingleRow(name="University", evidence={})])[0].found
    wanted = plain.candidates[-1]
    country = searcher.entity(wanted.id)["fields"]["country"]
    weighed = matched(searcher, [SingleRow(name="University", evidence={"country": country})])[0].found
    chances = {one.id: one.chance for one in weighed.candidates}
    assert chances[wanted.id] > wanted.chance
    unknown = matched(searcher, [SingleRow(name="University", evidence={"country": ""})])[0].found
    assert [one.id for one in unknown.candidates] == [one.id for one in plain.candidates]


def test_a_catalogue_without_chances_accepts_nothing(made: Path) -> None:
    searcher = Searcher.load(made)
    matches = matched(searcher, [SingleRow(name=searcher.label_text(0), evidence={})])
    assert matches[0].decision == "review"
    assert matches[0].found.candidates
    assert SingleMatcher(searcher).sentence(0.01).startswith("nothing is accepted")
