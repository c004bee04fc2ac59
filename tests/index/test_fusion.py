"""Fusion: ranks by hand, and learned weights that find out whom to trust, also apart for acronyms."""

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.index.fusion import LearnedFusion, reciprocal_ranks


def test_reciprocal_ranks_by_hand() -> None:
    found = reciprocal_ranks([[("a", 9.0), ("b", 1.0)], [("b", 0.2), ("c", 0.1)]], 2)
    assert found == [("b", pytest.approx(1 / 62 + 1 / 61)), ("a", pytest.approx(1 / 61))]
    assert reciprocal_ranks([[("b", 1.0)], [("a", 1.0)]], 5)[0][0] == "a"  # of equal ones by name
    assert reciprocal_ranks([], 5) == []


def questions(n: int, *, acronym: bool) -> list[tuple[str, list[list[tuple[str, float]]], dict[str, int]]]:
    """Two systems; the first is right for words, the second for acronyms, the other one of them is misled."""
    found = []
    for at in range(n):
        right, wrong = f"r{at}", f"w{at}"
        good, bad = [(right, 2.0), (wrong, 1.0)], [(wrong, 0.9), (right, 0.1)]
        found.append(("UNAM" if acronym else "some words", [bad, good] if acronym else [good, bad], {right: 1}))
    return found


def test_the_weights_say_whom_to_trust() -> None:
    asked = questions(60, acronym=False)
    learned = LearnedFusion.fit(["words", "initials"], asked)
    assert all(learned.fuse(text, rankings, 1)[0][0] in grades for text, rankings, grades in asked)
    both = LearnedFusion.fit(["words", "initials"], [*asked, *questions(60, acronym=True)])
    for text, rankings, grades in [*asked, *questions(60, acronym=True)]:
        assert both.fuse(text, rankings, 1)[0][0] in grades
    assert not (both.weights[0] == both.weights[1]).all()


def test_it_is_deterministic_and_survives_a_round_trip() -> None:
    asked = questions(20, acronym=False)
    first, again = (LearnedFusion.fit(["a", "b"], asked) for _ in range(2))
    assert first.as_dict() == again.as_dict()
    back = LearnedFusion.from_dict(first.as_dict())
    assert back.fuse("x", asked[0][1], 5)[0][0] == first.fuse("x", asked[0][1], 5)[0][0]
    for weights in ([[1.0] * 5] * 2, [[float("nan")] * 6] * 2):
        with pytest.raises(ArtifactError):
            LearnedFusion.from_dict({"systems": ["a", "b"], "weights": weights})


def test_scale_and_missing_systems_do_not_matter() -> None:
    learned = LearnedFusion(systems=("a", "b"), weights=np.array([[1.0, 0, 0, 1.0, 0, 0]] * 2))
    small = learned.fuse("x", [[("p", 0.2), ("q", 0.1)], []], 5)
    large = learned.fuse("x", [[("p", 2000.0), ("q", 1000.0)], []], 5)
    assert small == large
    assert learned.fuse("x", [[], []], 5) == []
    nothing = LearnedFusion.fit(["a", "b"], [("x", [[("p", 1.0)], []], {"q": 1})])  # no answer was ever found
    assert nothing.fuse("x", [[("p", 0.2), ("q", 0.1)], []], 1)[0][0] == "p"
