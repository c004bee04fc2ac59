"""Fusion: learned weights find out what to trust, apart for acronyms."""

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.index.fusion import KINDS, FusionLearner, JudgedCandidates, LearnedFusion, kind_of_query
from honed.index.prior import prior_weights

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
        found.append(JudgedCandidates(features, np.eye(5, dtype=np.float32)[right], int(acronym)))
    return found


def right_first(learned: LearnedFusion, asked: list[JudgedCandidates]) -> float:
    firsts = [int(learned.scores(each.features, kind=each.kind).argmax()) for each in asked]
    return float(np.mean([each.grades[first] > 0 for each, first in zip(asked, firsts, strict=True)]))


def test_the_weights_say_what_to_trust() -> None:
    asked = questions(60, acronym=False)
    assert right_first(FusionLearner(names=NAMES, penalty=1.0).fit(asked), asked) == 1.0
    mixed = [*asked, *questions(60, acronym=True)]
    both = FusionLearner(names=NAMES, penalty=1.0).fit(mixed)
    assert right_first(both, mixed) == 1.0
    assert both.weights[0, 0] > both.weights[0, 1]
    assert both.weights[1, 1] > both.weights[1, 0]


def test_it_is_deterministic_and_survives_a_round_trip() -> None:
    first, again = (FusionLearner(names=NAMES).fit(questions(20, acronym=False)) for _ in range(2))
    assert first.as_dict() == again.as_dict()
    back = LearnedFusion.from_dict(first.as_dict())
    assert back.weights.tolist() == first.weights.tolist()
    for weights in ([[1.0] * 5] * 3, [[float("nan")] * 2] * 3):
        with pytest.raises(ArtifactError, match="do not fit"):
            LearnedFusion.from_dict({"names": list(NAMES), "weights": weights})


def test_without_anything_to_learn_from_the_first_feature_is_the_score() -> None:
    nothing = [JudgedCandidates(np.ones((3, 2), np.float32), np.zeros(3, np.float32), False)]
    learned = FusionLearner(names=NAMES).fit(nothing)
    assert learned.scores(np.array([[0.5, 9.0]], np.float32), kind=1).tolist() == [0.5]


def test_better_grades_weigh_more() -> None:
    features = np.eye(2, dtype=np.float32)
    asked = [JudgedCandidates(features, np.array([3, 1], np.float32), 0)] * 20
    learned = FusionLearner(names=NAMES, penalty=1.0).fit(asked)
    scores = learned.scores(features)
    assert scores[0] - scores[1] == pytest.approx(np.log(3), abs=0.3)


@pytest.mark.parametrize("older", [[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
def test_weights_of_fewer_kinds_of_queries_serve_the_later_kinds_as_any(older: list[list[float]]) -> None:
    read = LearnedFusion.from_dict({"names": list(NAMES), "weights": older})
    assert read.weights.tolist() == [*older, *[[1.0, 2.0]] * (len(KINDS) - len(older))]


@pytest.mark.parametrize(
    ("text", "names", "kind"),
    [
        ("UNAM", True, "acronym"),
        ("Universidad de Guadalajara", True, "general"),
        ("Dept. of Physics, University of Guadalajara, Av. Vallarta 2602, Guadalajara, Mexico", True, "long"),
        ("which university of Mexico was founded in the year 1791 by a king", False, "general"),
    ],
)
def test_kinds_of_queries(text: str, names: bool, kind: str) -> None:
    assert KINDS[kind_of_query(text, names=names)] == kind
    assert KINDS[kind_of_query(text, names=names, other_scripts=True)] == kind


@pytest.mark.parametrize(
    "text", ["МГУ", "京都大学", "Институт истории и археологии имени такого-то при академии наук страны"]
)
def test_queries_in_other_scripts_are_a_kind_where_scripts_are_bridged(text: str) -> None:
    assert KINDS[kind_of_query(text, names=True, other_scripts=True)] == "other script"
    assert KINDS[kind_of_query(text, names=True)] != "other script"


def test_few_queries_leave_the_weights_near_the_prior() -> None:
    prior = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]])
    untaught = FusionLearner(names=NAMES, prior=prior).fit([])
    assert untaught.weights.tolist() == [[1.0, 0.0], [1.0, 2.0], [1.0, 0.0], [1.0, 0.0]]
    away = []
    for n in (2, 200):
        learned = FusionLearner(names=NAMES, prior=prior).fit(questions(n, acronym=False))
        away.append(float(np.abs(learned.weights[0] - prior[0]).sum()))
    assert away[0] < away[1]


def test_one_part_alone_ranks_by_its_feature() -> None:
    learner = FusionLearner(names=NAMES, penalty=1.0, only="initials")
    learned = learner.fit(questions(60, acronym=True))
    assert (learned.weights[:, 0] == 0).all()
    assert (learned.weights[:, 1] > 0).all()
    assert learner.fit([]).weights[0].tolist() == [0.0, 1.0]


def test_a_feature_that_is_the_same_for_all_candidates_gets_no_weight() -> None:
    asked = [
        query._replace(features=np.column_stack([query.features, np.ones(5, np.float32)]))
        for query in questions(60, acronym=False)
    ]
    learned = FusionLearner(names=(*NAMES, "constant"), penalty=1.0).fit(asked)
    assert np.abs(learned.weights[:, 2]).max() < 1e-3
    prior = np.array([[0.0, 0.0, 0.7], *[[0.0] * 3] * (len(KINDS) - 1)])
    learned = FusionLearner(names=(*NAMES, "constant"), penalty=1.0, prior=prior).fit(asked)
    assert learned.weights[0, 2] == pytest.approx(0.7, abs=1e-3)


def test_queries_in_other_scripts_teach_their_own_weights_alone() -> None:
    latin = questions(60, acronym=False)
    other = [query._replace(kind=KINDS.index("other script")) for query in questions(60, acronym=True)]
    learner = FusionLearner(names=NAMES, penalty=1.0)
    without, together = learner.fit(latin), learner.fit([*other, *latin])
    assert together.weights[:-1].tolist() == without.weights[:-1].tolist()
    assert without.weights[-1].tolist() == without.weights[0].tolist()
    assert right_first(without, other) < right_first(together, other) == 1.0
    assert right_first(learner.fit(other), other) == 1.0


def test_the_prior_knows_queries_in_other_scripts() -> None:
    names = ("sounds: cosine", "translated: cosine", "romanised: cosine", "city, letters: cosine", "unheard of")
    prior = prior_weights(names, of_names=True)
    assert prior is not None
    assert prior.shape == (len(KINDS), len(names))
    apart = KINDS.index("other script")
    assert (prior[apart, :3] > 0).all()
    assert (prior[:apart, :3] == 0).all()  # no other query has met these parts
    assert prior[0, 3] != 0
    assert (prior[:, 4] == 0).all()
