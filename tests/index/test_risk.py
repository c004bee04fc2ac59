"""The promise about answers that are given: kept as often as it says, and not made where it cannot be."""

import numpy as np
import pytest

from honed.index.risk import FEWEST, Promise, learn_cut

RISK, SURE, DRAWS = 0.1, 0.9, 300


def drawn(n: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimated chances, whether each is right, and how likely that truly was: a little less than estimated."""
    chances = 1 / (1 + np.exp(-random.normal(1.5, 2.5, n)))
    truly = 0.97 * chances
    return chances, (random.random(n) < truly).astype(float), truly


def kept(n: int, seed: int = 0) -> tuple[float, float]:
    """The share of draws whose cut lets too many wrong answers through, and the share that is answered on average."""
    population, _, truly = drawn(100_000, np.random.default_rng(99))
    broken, answered = 0, 0.0
    for draw in range(DRAWS):
        chances, right, _ = drawn(n, np.random.default_rng([seed, draw]))
        cut = learn_cut(chances, right, risk=RISK, confidence=SURE)
        if cut is not None:
            given = population >= cut
            broken += bool((1 - truly[given]).mean() > RISK)
            answered += float(given.mean()) / DRAWS
    return broken / DRAWS, answered


@pytest.mark.parametrize("n", [60, 300, 1000])
def test_the_promise_is_broken_no_more_often_than_it_says(n: int) -> None:
    broken, _ = kept(n)
    assert broken <= 1 - SURE + 2 * np.sqrt(SURE * (1 - SURE) / DRAWS)


def test_more_queries_answer_more_up_to_the_best_cut() -> None:
    population, _, truly = drawn(100_000, np.random.default_rng(99))
    order = np.argsort(-population)
    rates = np.cumsum(1 - truly[order]) / np.arange(1, len(order) + 1)
    best = float(np.flatnonzero(rates <= RISK).max() / len(order))
    shares = [kept(n)[1] for n in (60, 300, 1000, 4000)]
    assert shares == sorted(shares)
    assert shares[0] < 0.6 * best
    assert best - 0.05 < shares[-1] <= best + 0.01


def test_a_cut_by_hand() -> None:
    chances, right = np.arange(100, 0, -1) / 100, np.ones(100)
    assert learn_cut(chances[:21], right[:21], risk=0.1, confidence=0.9) is None  # 0.9 ** 21 > 0.1
    assert learn_cut(chances[:22], right[:22], risk=0.1, confidence=0.9) == chances[21]
    right[60:] = 0  # from here on all are wrong: the cut stops where no binomial of a tenth has so few
    cut = learn_cut(chances, right, risk=0.1, confidence=0.9)
    assert cut == chances[61]  # 2 wrong of 62 are few enough (P 0.046), 3 of 63 are not (0.114)
    assert learn_cut(chances, np.zeros(100), risk=0.1, confidence=0.9) is None


def test_equal_chances_are_answered_together() -> None:
    chances, right = np.repeat([0.99, 0.9], [40, 40]), np.concatenate([np.ones(44), np.zeros(36)])
    assert learn_cut(chances, right, risk=0.1, confidence=0.9) == 0.99
    assert learn_cut(np.full(80, 0.9), right, risk=0.1, confidence=0.9) is None


def test_fewer_than_fifty_queries_promise_nothing() -> None:
    for n, made in ((FEWEST - 1, False), (FEWEST, True)):
        promise = Promise.learn(np.full(n, 0.8), np.ones(n), risk=RISK, confidence=SURE, absent=0.1)
        assert promise.made is made
        assert promise.cut == (0.8 if made else None)
        assert promise.gives(0.85) is made  # without a promise the chance itself has to be enough
        assert promise.gives(0.95)
        assert ("no promise" in promise.sentence()) is not made


def test_where_no_cut_keeps_the_risk_nothing_is_answered() -> None:
    promise = Promise.learn(np.full(80, 0.99), np.zeros(80), risk=RISK, confidence=SURE, absent=0.1)
    assert promise.made and not promise.gives(1.0)
    assert "nothing is answered" in promise.sentence()


def test_a_round_trip_and_what_is_no_promise() -> None:
    promise = Promise.learn(np.linspace(0.2, 1, 80), np.ones(80), risk=RISK, confidence=SURE, absent=0.1)
    assert Promise.from_dict(promise.as_dict(), RISK) == promise
    for change in ({"cut": 2.0}, {"confidence": float("nan")}, {"n": -1}, {"n": 1.5}, {"absent": None}):
        with pytest.raises((TypeError, ValueError)):
            Promise.from_dict({**promise.as_dict(), **change}, RISK)
