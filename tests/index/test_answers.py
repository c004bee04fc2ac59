"""Chances that a first hit is right, and candidate sets: calibrated where they can be, and honest where they cannot."""

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.index.answers import AnswerEvidence, AnswerModel, answer_evidence, conformal_gap
from honed.index.hybrid import Ranking


def seen(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One number speaks for the first hit: more of it, more often right."""
    random = np.random.default_rng(seed)
    signal = random.normal(0, 1.5, n)
    right = (random.random(n) < 1 / (1 + np.exp(-2 * signal))).astype(float)
    hidden = random.normal(-2, 1.5, n)
    return signal[:, None], hidden[:, None], right, random.exponential(2.0, n)


def evidence(n: int, seed: int, unanswerable: int = 0) -> AnswerEvidence:
    """The same as a table; of the first ``unanswerable`` queries the answer truly is not there."""
    shown, hidden, right, distances = seen(n, seed)
    answerable = np.arange(n) >= unanswerable
    return AnswerEvidence(
        shown=np.where(answerable[:, None], shown, hidden),
        hidden=hidden,
        answerable=answerable,
        right=right * answerable,
        distances=np.where(answerable, distances, np.inf),
        groups=np.arange(n),
        parts=np.arange(n) % 12,
        draws=np.random.default_rng(seed).random(n),
    )


def fitted(coverage: float = 0.9, absent: float | None = 0.1, unanswerable: int = 0) -> AnswerModel:
    return AnswerModel.learn(
        evidence(2000, 0, unanswerable), absent=absent, risk=0.1, confidence=0.9, coverage=coverage
    )


def test_chances_are_calibrated() -> None:
    model, (signal, _, right, _) = fitted(absent=0.001), seen(4000, 1)
    chances = np.array([model.chance(each) for each in signal])
    for low in (0.1, 0.4, 0.7):
        some = (chances >= low) & (chances < low + 0.2)
        assert right[some].mean() == pytest.approx(chances[some].mean(), abs=0.06)
    assert fitted(absent=0.5).chance(signal[0]) < fitted(absent=0.05).chance(signal[0])


def test_the_gap_holds_what_it_promises() -> None:
    model, distances = fitted(), seen(4000, 1)[3]
    assert model.gap is not None
    assert (distances <= model.gap).mean() == pytest.approx(0.9, abs=0.02)
    ranked = Ranking(np.arange(4), np.array([9.0, 8.0, 9.0 - model.gap, 0.0]), np.zeros(1))
    assert model.within(ranked) == 3
    assert model.within(Ranking(np.arange(0), np.empty(0), np.zeros(1))) == 0


def test_a_rate_that_is_out_of_reach_has_no_gap() -> None:
    distances = np.concatenate([np.ones(70), np.full(30, np.inf)])
    assert conformal_gap(distances, 0.9) is None
    assert conformal_gap(distances, 0.5) == 1.0
    assert conformal_gap(np.ones(3), 0.9) is None  # too few to promise anything


def test_evidence_by_hand() -> None:
    found = answer_evidence("UNAM", Ranking(np.array([4, 2]), np.array([2.0, 2.0]), np.array([0.7])))
    assert found == pytest.approx([0.5, np.log(0.5), 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.1, 0.7])
    alone = answer_evidence("two words", Ranking(np.array([4]), np.array([2.0]), np.array([0.7])))
    assert alone == pytest.approx([1.0, 0.0, 10.0, 10.0, 3.0, 3.0, 0.0, 0.0, 0.2, 0.7])
    assert answer_evidence("x", Ranking(np.empty(0), np.empty(0), np.zeros(1))).tolist() == [0.0] * 10


def test_a_round_trip_and_a_forgery() -> None:
    model = AnswerModel.learn(
        AnswerEvidence(
            shown=np.ones((60, 10)),
            hidden=np.zeros((60, 10)),
            answerable=np.ones(60, dtype=bool),
            right=np.ones(60),
            distances=np.ones(60),
            groups=np.arange(60),
            parts=np.arange(60) % 12,
            draws=np.full(60, 0.99),
        ),
        absent=0.5,
        risk=0.1,
        confidence=0.9,
        coverage=0.5,
    )
    back = AnswerModel.from_dict(model.as_dict(), 1)
    assert back.chance(np.full(10, 0.3)) == model.chance(np.full(10, 0.3))
    assert back.promise == model.promise
    for change in ({"weights": [1.0]}, {"scale": [0.0] * 10}, {"gap": float("nan")}, {"risk": float("inf")}):
        with pytest.raises(ArtifactError, match=r"other evidence|no finite number|cannot be read"):
            AnswerModel.from_dict({**model.as_dict(), **change}, 1)
    with pytest.raises(ArtifactError, match="cannot be read"):
        AnswerModel.from_dict({**model.as_dict(), "promise": {"cut": 0.5}}, 1)


def test_what_was_made_before_there_was_a_promise_answers_as_it_did() -> None:
    model = fitted()
    data = {name: value for name, value in model.as_dict().items() if name not in ("promise", "absence")}
    old = AnswerModel.from_dict({**data, "centre": [0.0] * 10, "scale": [1.0] * 10, "weights": [0.0] * 11}, 1)
    assert old.promise is None
    assert (old.gives(0.91), old.gives(0.89)) == (True, False)
    assert "before" in old.promise_sentence()


@pytest.mark.parametrize("unanswerable", [0, 600])
def test_the_risk_is_that_of_the_answers_given(unanswerable: int) -> None:
    model = fitted(absent=None, unanswerable=unanswerable)
    assert model.promise is not None
    assert model.promise.absent == (0.3 if unanswerable else 0.1)
    test = evidence(20_000, 1, 10 * unanswerable)
    weight = 0.0 if unanswerable else 0.1
    shown, hidden = (
        np.array([model.gives(chance) for chance in model.chances(rows)]) for rows in (test.shown, test.hidden)
    )
    given = (1 - weight) * shown.sum() + weight * hidden.sum()
    wrong = 1 - (1 - weight) * (shown * test.right).sum() / given
    assert 0.06 < wrong <= 0.1  # the rule of old, each chance at least 0.9, has less than half of that
    assert (model.chances(test.shown) >= 0.9).sum() < 0.8 * shown.sum()


def test_queries_that_truly_have_no_answer_are_what_is_learned_from() -> None:
    other = evidence(2000, 0, 600)
    changed = AnswerEvidence(**{**vars(other), "hidden": other.hidden + 3})
    settings = {"absent": None, "risk": 0.1, "confidence": 0.9, "coverage": 0.9}
    assert AnswerModel.learn(changed, **settings).as_dict() == AnswerModel.learn(other, **settings).as_dict()
    gap = AnswerModel.learn(other, **settings).gap
    assert gap == conformal_gap(other.distances[600:], 0.9)  # a set holds an answer where there is one


def test_one_group_alone_teaches_no_chance_that_could_be_checked() -> None:
    lone = AnswerEvidence(**{**vars(evidence(100, 0)), "parts": np.zeros(100, dtype=np.int64)})
    promise = AnswerModel.learn(lone, absent=0.1, risk=0.1, confidence=0.9, coverage=0.9).promise
    assert promise is not None and promise.cut is None


def test_the_chance_that_there_is_no_answer_is_told_apart() -> None:
    model = fitted(absent=0.5)
    test = evidence(5000, 1, 0)
    shown, hidden = (np.array([model.absent(row) for row in rows[:1000]]) for rows in (test.shown, test.hidden))
    assert np.nanmean(shown[test.right[:1000] > 0]) < 0.5 < np.nanmean(hidden)
    assert fitted().as_dict()["absence"]
