"""Chances that a first hit is right, and candidate sets: calibrated where they can be, and honest where they cannot."""

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.index.answers import AnswerModel, answer_evidence, conformal_gap
from honed.index.hybrid import Ranking


def seen(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """One number speaks for the first hit: more of it, more often right."""
    random = np.random.default_rng(seed)
    signal = random.normal(0, 1.5, n)
    right = (random.random(n) < 1 / (1 + np.exp(-2 * signal))).astype(float)
    hidden = random.normal(-2, 1.5, n)
    return signal[:, None], hidden[:, None], right, random.exponential(2.0, n)


def fitted(coverage: float = 0.9, absent: float = 0.1) -> AnswerModel:
    return AnswerModel.fit(*seen(2000, 0), absent=absent, risk=0.1, coverage=coverage)


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
    model = AnswerModel.fit(
        np.ones((9, 10)), np.zeros((9, 10)), np.ones(9), np.ones(9), absent=0.5, risk=0.1, coverage=0.5
    )
    back = AnswerModel.from_dict(model.as_dict(), 1)
    assert back.chance(np.full(10, 0.3)) == model.chance(np.full(10, 0.3))
    for change in ({"weights": [1.0]}, {"scale": [0.0] * 10}, {"gap": float("nan")}, {"risk": float("inf")}):
        with pytest.raises(ArtifactError, match="other evidence"):
            AnswerModel.from_dict({**model.as_dict(), **change}, 1)
