"""Chances that a first hit is right, and candidate sets: calibrated where they can be, and honest where they cannot."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from honed.evaluate.answers import AnswerModel, auroc, features, judge_answers, without_right

Lists = list[tuple[list[tuple[str, float]], dict[str, int]]]


def lists(n: int, seed: int, missing: float = 0.0) -> Lists:
    """Right documents score higher than others, more or less; some are not in the list at all."""
    random = np.random.default_rng(seed)
    found: Lists = []
    for _ in range(n):
        others = [(f"w{at}", float(score)) for at, score in enumerate(random.normal(0.3, 0.1, 30))]
        right = [] if random.random() < missing else [("right", float(random.normal(0.55, 0.12)))]
        found.append((sorted([*others, *right], key=lambda hit: -hit[1]), {"right": 1}))
    return found


def test_estimates_hold_on_other_lists() -> None:
    model = AnswerModel.fit(lists(1500, 0), absent=0.1, coverage=0.9)
    found = judge_answers(model, lists(1500, 1), risk=0.2)
    assert found["auroc"] > 0.75
    assert found["sets"]["reached"]
    assert found["sets"]["coverage"] == pytest.approx(0.9, abs=0.025)
    assert 1 < found["sets"]["mean_size"] < 30
    assert 0.1 < found["answered"]["share"] < 1
    assert found["answered"]["wrong"] < 0.2
    assert sum(each["share"] for each in found["bins"]) == pytest.approx(1, abs=1e-3)
    assert all(abs(each["chance"] - each["right"]) < 0.1 for each in found["bins"] if each["share"] > 0.05)
    other = judge_answers(model, lists(1500, 1), absent=0.5, risk=0.2)  # more without an answer than was expected
    assert other["answered"]["wrong"] > found["answered"]["wrong"]


def test_a_rate_that_is_out_of_reach_is_said() -> None:
    model = AnswerModel.fit(lists(500, 0, missing=0.3), coverage=0.9)
    found = judge_answers(model, lists(500, 1, missing=0.3))
    assert model.gap is None
    assert not found["sets"]["reached"]
    assert found["sets"]["coverage"] < 0.8
    assert AnswerModel.fit(lists(500, 0, missing=0.3), coverage=0.5).gap is not None


def test_auroc_is_that_of_sklearn_ties_included() -> None:
    random = np.random.default_rng(0)
    above, below = random.integers(0, 6, 80).astype(float), random.integers(0, 5, 50).astype(float)
    wanted = roc_auc_score([1] * 80 + [0] * 50, np.concatenate([above, below]))
    assert auroc(above, below) == pytest.approx(wanted)


def test_lists_short_and_empty() -> None:
    assert features([("a", 0.5)]).tolist() == [0.5, 1.0, 1.0, 0.0]
    assert without_right([("a", 2.0), ("b", 1.0)], {"a": 1, "b": 0}) == [("b", 1.0)]
    model = AnswerModel.fit(lists(100, 0))
    assert model.chance([]) == 0.0
    assert model.candidates([]) == []
    assert AnswerModel.fit(lists(100, 0)).weights.tolist() == model.weights.tolist()
