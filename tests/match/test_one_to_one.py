"""No entity to two entries: the likeliest way to give them out, chances that know of it, and what is promised then."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import pytest

from honed.index.risk import DevAnswers
from honed.match import one_to_one
from honed.match.answers import KNOWN, Candidate, Found
from honed.match.decide import Decided, MatchOptions, decide
from honed.match.entry import Entry
from honed.match.one_to_one import exclusive
from honed.match.reviews import Review
from honed.match.table import Entries


def found(*chances: Mapping[str, float]) -> list[Found]:
    """What is found for entries: the chance of each candidate by its id; "absent" is that of none."""
    return [
        Found(
            candidates=[
                Candidate(id=name, name=name, chance=chance, fields={})
                for name, chance in sorted(own.items(), key=lambda item: -item[1])
                if name != "absent"
            ],
            absent=own.get("absent"),
        )
        for own in chances
    ]


def given(results: Sequence[Found]) -> list[str | None]:
    return [one.proposal.id if one.proposal else None for one in results]


def ways(rows: Sequence[Found]) -> Iterator[tuple[float, list[str | None]]]:
    """Every way to give each entry a candidate or none, no entity twice, with its weight."""
    options = [
        [
            (None, max(1 - sum(candidate.chance for candidate in one.candidates), 1e-6)),
            *((candidate.id, candidate.chance) for candidate in one.candidates),
        ]
        for one in rows
    ]
    for chosen in product(*options):
        names = [name for name, _ in chosen if name is not None]
        if len(names) == len(set(names)):
            yield float(np.prod([chance for _, chance in chosen])), [name for name, _ in chosen]


def drawn(seed: int, n: int = 5, n_entities: int = 4) -> list[Found]:
    """A few entries whose candidates are drawn from fewer entities."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        names = random.choice(n_entities, int(random.integers(1, n_entities)), replace=False)
        shares = random.dirichlet([0.7] * (len(names) + 1))[:-1]
        rows.append({f"e{name}": float(share) for name, share in zip(names, shares, strict=True)})
    return found(*rows)


def test_the_loser_gets_its_next_best() -> None:
    results = exclusive(found({"a": 0.9, "b": 0.05}, {"a": 0.8, "b": 0.15}))
    assert given(results) == ["a", "b"]
    # the odds that the other means it: 9 for a, 1 to 19 for b
    weights = {"a": 0.8 / (1 + 9), "b": 0.15 / (1 + 1 / 19)}
    assert results[1].chance == pytest.approx(weights["b"] / (sum(weights.values()) + 0.05), abs=1e-4)


def test_the_surest_gives_way_where_all_together_are_likelier_then() -> None:
    rows = found({"a": 0.6, "b": 0.39}, {"a": 0.55, "c": 0.43}, {"c": 0.99})
    assert given(exclusive(rows)) == ["b", "a", "c"]


def test_the_likeliest_way_of_all_is_taken() -> None:
    for seed in range(150):
        rows = drawn(seed)
        _, best = max(ways(rows), key=lambda way: way[0])
        results = given(exclusive(rows))
        assert len([name for name in results if name]) == len({name for name in results if name})
        for name, wanted in zip(results, best, strict=True):
            assert name == wanted or (wanted is None and name not in best)


def test_chances_beside_others_are_those_of_bayes() -> None:
    star = found({"a": 0.9}, {"a": 0.8}, {"a": 0.5, "absent": 0.4})
    total = sum(weight for weight, _ in ways(star))
    for at, one in enumerate(exclusive(star)):
        exact = sum(weight for weight, names in ways(star) if names[at] == "a") / total
        assert one.candidates[0].chance == pytest.approx(exact, abs=1e-4)
    assert exclusive(star)[2].absent > 0.4
    differences = []
    for seed in range(100):  # more than one entity is contested: close, not equal
        rows = drawn(seed)
        weighed = list(ways(rows))
        total = sum(weight for weight, _ in weighed)
        for at, one in enumerate(exclusive(rows)):
            for candidate in one.candidates:
                exact = sum(weight for weight, names in weighed if names[at] == candidate.id) / total
                differences.append(abs(exact - candidate.chance))
    assert np.mean(differences) < 0.04


def test_what_nobody_contests_stays_as_it_was() -> None:
    rows = found({"a": KNOWN}, {"b": 0.4, "absent": 0.5}, {"c": 0.9, "d": 0.85, "e": 0.7}, {})
    assert exclusive(rows) == [*rows[:3], Found(candidates=[], given=False)]


def test_a_known_name_stays_one_unless_another_is_as_sure() -> None:
    sure, other = exclusive(found({"a": KNOWN}, {"a": 0.6, "b": 0.3}))
    assert (sure.chance, given([other])) == (KNOWN, ["b"])
    both = exclusive(found({"a": KNOWN}, {"a": KNOWN}))
    assert [one.candidates[0].chance for one in both] == [0.5, 0.5]
    assert sorted(one.chance for one in both) == [0, 0.5]


@pytest.mark.parametrize("largest", [1, 3, 2000])
def test_groups_of_any_size_are_given_out_once(largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_to_one, "LARGEST", largest)
    rows = drawn(0, n=200, n_entities=150)
    names = [name for name in given(exclusive(rows)) if name]
    assert len(names) == len(set(names)) > 100


# -- decisions -------------------------------------------------------------------------------------


def decided(
    rows: Sequence[Found], reviews: Mapping[int, str], options: MatchOptions, dev: DevAnswers | None = None
) -> Decided:
    entries = Entries(
        entries=[Entry(f"n{number}") for number in range(len(rows))],
        of_rows=np.arange(len(rows), dtype=np.int32),
        ends=np.arange(1, len(rows) + 1),
        rejected=[],
    )
    said = {
        entries.keys[at]: Review(entry=entries.keys[at], answer=answer, name=f"n{at}", who="anna")
        for at, answer in reviews.items()
    }
    return decide(entries, exclusive(rows) if options.one_to_one else rows, said, options, dev)


def contested(n: int) -> list[Found]:
    """Pairs of entries that want one entity, of which one is surer and the other means its next best."""
    pairs = [({f"a{at}": 0.97}, {f"a{at}": 0.6, f"b{at}": 0.395}) for at in range(n)]
    return found(*(row for pair in pairs for row in pair))


@pytest.mark.parametrize(("single", "proved"), [(True, True), (False, False)])
def test_what_is_proved_is_what_is_given(single: bool, proved: bool) -> None:
    rows = contested(60)
    truth = {at: f"{'ab'[at % 2]}{at // 2}" for at in range(len(rows))}
    options = MatchOptions(max_error=0.1, one_to_one=single)
    made = decided(rows, truth, options).accepted
    assert (made.source == "this table" and made.rows == len(rows) and made.wrong == 0) == proved


def test_the_next_best_is_accepted_where_it_is_likely_enough() -> None:
    dev = DevAnswers(chances=np.linspace(0.5, 1, 200), right=np.ones(200), groups=np.arange(200))
    rows = contested(3)
    for single, ids in ((False, ["a", "a"]), (True, ["a", "b"])):
        made = decided(rows, {}, MatchOptions(max_error=0.05, one_to_one=single), dev)
        assert [chosen.id[0] for chosen in made.chosen if chosen] == ids * 3
    assert [made.decision(at) for at in range(6)] == ["accept"] * 6
    assert made.accepted.source == "dev"


def test_what_people_gave_is_taken_from_others() -> None:
    dev = DevAnswers(chances=np.linspace(0.5, 1, 200), right=np.ones(200), groups=np.arange(200))
    made = decided(contested(3), {1: "a0"}, MatchOptions(max_error=0.05, one_to_one=True), dev)
    assert made.decision(1) == "accept" and made.chosen[1].id == "a0" and made.by_people[1]
    assert made.decision(0) == "review" and made.chosen[0] is None
    assert made.decision(2) == "accept"
    # what is tested does not move with what people say of other rows
    before = decided(contested(3), {}, MatchOptions(max_error=0.05, one_to_one=True), dev)
    assert [one.chance for one in made.found] == [one.chance for one in before.found]
