"""The promise of a table: kept where the chances are right, kept where they are not, and soon made where they are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.match.promise import Borrowed, Reviewed, TablePromise, cautious_cut, promise

RISK, CONFIDENCE = 0.05, 0.9


def from_dev(cut: float | None) -> Borrowed | None:
    return None if cut is None else Borrowed(cut, "dev")


def drawn(seed: int, n: int, too_sure: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chances as they are told, which rows are right, and a random order; ``too_sure`` is added to the log-odds."""
    random = np.random.default_rng(seed)
    odds = random.normal(2.5, 3, n)
    right = random.random(n) < 1 / (1 + np.exp(-odds))
    return 1 / (1 + np.exp(-(odds + too_sure))), right, random.permutation(n)


def promised(seed: int, n: int, too_sure: float, reviews: int) -> tuple[TablePromise, float, float]:
    """The promise after so many reviews in the order that it asks for, the true share of errors, the accepted share."""
    chances, right, order = drawn(seed, n, too_sure)
    wrong = np.full(n, np.nan)
    for _ in range(4):
        made = promise(
            Reviewed(values=chances, order=order, wrong=wrong),
            risk=RISK,
            confidence=CONFIDENCE,
            borrowed=from_dev(cautious_cut(chances, RISK)),
        )
        asked = [row for row in order if chances[row] >= made.asked and np.isnan(wrong[row])][: reviews // 4]
        wrong[asked] = ~right[asked]
    made = promise(
        Reviewed(values=chances, order=order, wrong=wrong),
        risk=RISK,
        confidence=CONFIDENCE,
        borrowed=from_dev(cautious_cut(chances, RISK)),
    )
    above = chances >= made.cut if made.cut is not None else np.zeros(n, dtype=bool)
    return made, float((~right[above]).mean()) if above.any() else 0.0, float(above.mean())


@pytest.mark.parametrize("too_sure", [0.0, 1.5, 3.0])
def test_what_reviews_prove_is_true_whatever_the_chances_say(too_sure: float) -> None:
    results = [promised(seed, 1500, too_sure, 400) for seed in range(60)]
    proven = [(made, error) for made, error, _ in results if made.source == "this table"]
    assert len(proven) > 30
    broken = sum(error > RISK for _, error in proven)
    assert broken <= 60 * (1 - CONFIDENCE)


def test_right_chances_are_proved_soon_and_near_the_best_cut() -> None:
    shares, best = [], []
    for seed in range(30):
        _, _, share = promised(seed, 1500, 0.0, 400)
        chances, right, _ = drawn(seed, 1500, 0.0)
        errors = np.cumsum(~right[np.argsort(-chances)]) / np.arange(1, 1501)
        shares.append(share)
        best.append((np.flatnonzero(errors <= RISK)[-1] + 1) / 1500)
    assert np.mean(shares) > np.mean(best) - 0.15


def test_without_reviews_it_is_borrowed_and_says_so() -> None:
    chances, _, order = drawn(0, 1000, 0.0)
    made = promise(
        Reviewed(values=chances, order=order, wrong=np.full(1000, np.nan)),
        risk=0.05,
        confidence=0.9,
        borrowed=from_dev(0.8),
    )
    assert made.source == "dev"
    assert "borrowed from dev" in made.sentence()
    assert 20 < made.needed < 400


def test_reviews_that_contradict_take_the_borrowed_promise_back() -> None:
    chances, right, order = drawn(0, 3000, 4.0)
    wrong = np.full(3000, np.nan)
    first = promise(
        Reviewed(values=chances, order=order, wrong=wrong), risk=0.01, confidence=0.9, borrowed=from_dev(0.99)
    )
    asked = [row for row in order if chances[row] >= first.asked][:60]
    wrong[asked] = ~right[asked]
    made = promise(
        Reviewed(values=chances, order=order, wrong=wrong), risk=0.01, confidence=0.9, borrowed=from_dev(0.99)
    )
    assert (first.source, made.source, made.cut) == ("dev", "nothing", None)
    assert "were wrong" in made.sentence()


def test_a_table_that_was_reviewed_whole_needs_no_bet() -> None:
    chances, right, order = drawn(3, 60, 2.0)
    made = promise(
        Reviewed(values=chances, order=order, wrong=(~right).astype(float)), risk=0.1, confidence=0.99, borrowed=None
    )
    if made.cut is not None:
        assert (~right[chances >= made.cut]).mean() <= 0.1
    all_right = promise(
        Reviewed(values=chances, order=order, wrong=np.zeros(60)), risk=0.01, confidence=0.99, borrowed=None
    )
    assert all_right.source == "this table"
    assert all_right.rows == 60


@given(st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 1.0, float("nan")])), min_size=1, max_size=80))
def test_any_table_gives_a_promise_or_none(rows: list[tuple[float, float]]) -> None:
    values, wrong = (np.array(column) for column in zip(*rows, strict=True))
    made = promise(
        Reviewed(values=values, order=np.arange(len(rows)), wrong=wrong),
        risk=0.05,
        confidence=0.9,
        borrowed=from_dev(0.5),
    )
    assert made.sentence()
    if made.cut is not None:
        assert made.rows == int((values >= made.cut).sum())
