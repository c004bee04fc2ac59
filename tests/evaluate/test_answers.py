"""How estimates hold, by hand and against scikit-learn."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from honed.core.absence import AbsentShare
from honed.evaluate.answers import (
    AcceptedRisk,
    CandidateSets,
    Estimates,
    auroc,
    best_cut,
    exact_interval,
    judge_answers,
)

TENTH = AcceptedRisk(risk=0.1, cut=0.9)


def estimates() -> Estimates:
    return Estimates(
        answerable=np.ones(4, dtype=bool),
        chances=np.array([0.95, 0.92, 0.5, 0.2]),
        without=np.array([0.91, 0.1, 0.1, 0.1]),
        right=np.array([1.0, 0.0, 1.0, 0.0]),
        sizes=np.array([1.0, 2.0, 3.0, 10.0]),
        held=np.array([1.0, 1.0, 1.0, 0.0]),
    )


def absent(share: float | None, n: int = 4) -> AbsentShare:
    return AbsentShare.of(np.ones(n, dtype=bool), share)


def test_answers_by_hand() -> None:
    found = judge_answers(estimates(), TENTH, share=absent(0.5), reached=True)
    assert found.auroc == pytest.approx(14 / 16)
    assert found.auroc_right == pytest.approx(7 / 8)
    answered = found.answered
    assert (answered.risk, answered.absent_answered) == (0.1, 0.25)
    assert answered.share == pytest.approx(3 / 8)
    assert answered.wrong == pytest.approx(2 / 3, abs=1e-4)
    assert found.sets == CandidateSets(reached=True, coverage=0.75, mean_size=4.0, median_size=2.5)
    assert sum(chances.share for chances in found.bins) == pytest.approx(1, abs=1e-4)


def test_the_share_without_an_answer_counts() -> None:
    few, many = (judge_answers(estimates(), TENTH, share=absent(share), reached=True) for share in (0.1, 0.9))
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


def test_the_cut_that_was_promised_is_judged() -> None:
    promised = AcceptedRisk(risk=0.1, cut=0.5, confidence=0.9, n_dev=77, sentence="kept")
    answered = judge_answers(estimates(), promised, share=absent(0.5), reached=True).answered
    assert answered.share == pytest.approx(4 / 8)
    assert answered.wrong == pytest.approx(2 / 4)
    assert (answered.confidence, answered.n_dev, answered.promise, answered.cut) == (0.9, 77, "kept", 0.5)
    assert answered.wrong_low is not None and answered.wrong_high is not None
    assert answered.wrong_low < 0.5 < answered.wrong_high
    assert answered.best is not None and (answered.best.cut, answered.best.share) == (0.95, 0.125)
    nothing = judge_answers(estimates(), AcceptedRisk(risk=0.1, cut=None), share=absent(0.5), reached=True).answered
    assert (nothing.share, nothing.wrong, nothing.wrong_low, nothing.absent_answered) == (0, None, None, 0)


def test_queries_that_truly_have_no_answer_count_as_they_are() -> None:
    mixed = replace(estimates(), answerable=np.array([True, False, True, True]), without=np.ones(4))
    found = judge_answers(mixed, TENTH, share=AbsentShare.of(mixed.answerable, None), reached=True)
    assert (found.absent, found.absent_measured) == (0.25, True)
    assert (found.answered.share, found.answered.wrong, found.answered.absent_answered) == (0.5, 0.5, 1.0)
    assert found.sets == CandidateSets(reached=True, coverage=0.66667, mean_size=4.67, median_size=3.0)
    assert found.auroc == pytest.approx(1 / 3, abs=1e-4)


def test_the_best_cut_by_hand() -> None:
    chances, right = np.array([0.9, 0.8, 0.8, 0.7, 0.6]), np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    assert best_cut(chances, right, np.ones(5), 0.25).share == 0.8  # 1 wrong of 4, though 1 of 3 is too much
    assert best_cut(chances, right, np.ones(5), 0.25).cut == 0.7
    assert best_cut(chances, right, np.array([1.0, 1, 0.1, 1, 1]), 0.1).share == pytest.approx(3.1 / 4.1, abs=1e-5)
    assert best_cut(chances, np.zeros(5), np.ones(5), 0.25).cut is None


def test_the_interval_is_that_of_scipy() -> None:
    for hits, n in ((0, 20), (3, 20), (20, 20)):
        low, high = binomtest(hits, n).proportion_ci(0.95, method="exact")
        assert exact_interval(hits / n, n) == pytest.approx((low, high), abs=1e-5)
