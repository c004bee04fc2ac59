"""Fusion: learned weights find out what to trust, apart for acronyms."""

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.index.fusion import JudgedCandidates, LearnedFusion

NAMES = ("words", "initials")


def questions(n: int, *, acronym: bool) -> list[JudgedCandidates]:
    """Two features; the first knows the right one of words, the second that of acronyms; the other misleads."""
    random = np.random.default_rng(int(acronym))
    found = []
    for _ in range(n):
        features = random.normal(0, 0.1, (5, 2)).astype(np.float32)
        right = int(random.integers(5))
        features[right, int(acronym)] += 1
        features[(right + 1) % 5, 1 - int(acronym)] += 0.7
        found.append(JudgedCandidates(features, np.eye(5, dtype=np.float32)[right], acronym))
    return found


def right_first(learned: LearnedFusion, asked: list[JudgedCandidates]) -> float:
    firsts = [int(learned.scores(each.features, acronym=each.acronym).argmax()) for each in asked]
    return float(np.mean([each.grades[first] > 0 for each, first in zip(asked, firsts, strict=True)]))


def test_the_weights_say_what_to_trust() -> None:
    asked = questions(60, acronym=False)
    assert right_first(LearnedFusion.fit(NAMES, asked, penalty=1.0), asked) == 1.0
    mixed = [*asked, *questions(60, acronym=True)]
    both = LearnedFusion.fit(NAMES, mixed, penalty=1.0)
    assert right_first(both, mixed) == 1.0
    assert both.weights[0, 0] > both.weights[0, 1]
    assert both.weights[1, 1] > both.weights[1, 0]


def test_it_is_deterministic_and_survives_a_round_trip() -> None:
    first, again = (LearnedFusion.fit(NAMES, questions(20, acronym=False)) for _ in range(2))
    assert first.as_dict() == again.as_dict()
    back = LearnedFusion.from_dict(first.as_dict())
    assert back.weights.tolist() == first.weights.tolist()
    for weights in ([[1.0] * 5] * 2, [[float("nan")] * 2] * 2):
        with pytest.raises(ArtifactError, match="do not fit"):
            LearnedFusion.from_dict({"names": list(NAMES), "weights": weights})


def test_without_anything_to_learn_from_the_first_feature_is_the_score() -> None:
    nothing = [JudgedCandidates(np.ones((3, 2), np.float32), np.zeros(3, np.float32), False)]
    learned = LearnedFusion.fit(NAMES, nothing)
    assert learned.scores(np.array([[0.5, 9.0]], np.float32), acronym=True).tolist() == [0.5]


def test_better_grades_weigh_more() -> None:
    features = np.eye(2, dtype=np.float32)
    learned = LearnedFusion.fit(
        NAMES, [JudgedCandidates(features, np.array([3, 1], np.float32), False)] * 20, penalty=1.0
    )
    scores = learned.scores(features, acronym=False)
    assert scores[0] - scores[1] == pytest.approx(np.log(3), abs=0.3)
