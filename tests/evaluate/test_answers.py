"""How estimates hold, by hand and against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from honed.evaluate.answers import CandidateSets, Estimates, auroc, judge_answers


def estimates() -> Estimates:
    return Estimates(
        chances=np.array([0.95, 0.92, 0.5, 0.2]),
        without=np.array([0.91, 0.1, 0.1, 0.1]),
        right=np.array([1.0, 0.0, 1.0, 0.0]),
        sizes=np.array([1.0, 2.0, 3.0, 10.0]),
        held=np.array([1.0, 1.0, 1.0, 0.0]),
    )


def test_answers_by_hand() -> None:
    found = judge_answers(estimates(), absent=0.5, risk=0.1, reached=True)
    assert found.auroc == pytest.approx(14 / 16)
    assert found.auroc_right == pytest.approx(7 / 8)
    answered = found.answered
    assert (answered.risk, answered.absent_answered) == (0.1, 0.25)
    assert answered.share == pytest.approx(3 / 8)
    assert answered.wrong == pytest.approx(2 / 3, abs=1e-4)
    assert found.sets == CandidateSets(reached=True, coverage=0.75, mean_size=4.0, median_size=2.5)
    assert sum(chances.share for chances in found.bins) == pytest.approx(1, abs=1e-4)


def test_the_share_without_an_answer_counts() -> None:
    few, many = (judge_answers(estimates(), absent=share, risk=0.1, reached=True) for share in (0.1, 0.9))
    assert few.answered.wrong < many.answered.wrong
    assert few.auroc_mixed != many.auroc_mixed


def test_auroc_is_that_of_sklearn_ties_and_weights_included() -> None:
    random = np.random.default_rng(0)
    above, below = random.integers(0, 6, 80).astype(float), random.integers(0, 5, 50).astype(float)
    weights = random.random(50)
    truth, values = [1] * 80 + [0] * 50, np.concatenate([above, below])
    assert auroc(above, below) == pytest.approx(roc_auc_score(truth, values))
    wanted = roc_auc_score(truth, values, sample_weight=np.concatenate([np.ones(80), weights]))
    assert auroc(above, below, weights) == pytest.approx(wanted)
