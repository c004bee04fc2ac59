"""The learner of a few hand labels: its recipe, how sure it is, and that it is as right as plain regression."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from honed.label.arrays import Classes, Probabilities
from honed.label.calibration import apply_temperature, fit_temperature, spread
from honed.label.combine import LESSONS, combine
from honed.label.evidence import Evidence
from honed.label.learner import (
    USUAL,
    Recipe,
    choose_recipe,
    cross_fit_probabilities,
    fit_confidence_minimums,
    predict_probabilities,
    stratified_folds,
)
from tests.label.test_combine import world

COVERAGES = (0.2, 0.4, 0.6, 0.8, 1.0)


def crowd(n: int = 1500, n_classes: int = 40, n_hand: int = 130, *, seed: int = 0) -> tuple[Evidence, Classes]:
    """Return records of many overlapping clouds, some three hand labels of each, and their classes."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, n_classes, n)
    centres = random.normal(size=(n_classes, 48))
    vectors = centres[truth] + random.normal(0, 1.6, (n, 48)) + 3 * random.normal(size=48)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    rows = random.permutation(n)[:n_hand]
    votes = np.empty((n, 0), dtype=np.int16)
    return Evidence(n_classes=n_classes, votes=votes, rows=rows, classes=truth[rows], vectors=vectors), truth


def right_at(shares: Probabilities, truth: Classes) -> Any:
    order = np.argsort(-shares.max(axis=1), kind="stable")
    right = (shares.argmax(axis=1) == truth)[order]
    return np.array([right[: int(share * len(right))].mean() for share in COVERAGES])


@pytest.mark.parametrize("c", [1.0, 10.0, 100.0])
def test_many_classes_of_few_labels_are_as_right_as_plain_regression_at_every_coverage(c: float) -> None:
    ours, plain = [], []
    for seed in range(3):
        evidence, truth = crowd(seed=seed)
        others = np.setdiff1d(np.arange(len(truth)), evidence.rows)
        model = LogisticRegression(C=c, max_iter=1000).fit(evidence.vectors[evidence.rows], evidence.classes)
        shares = np.zeros((len(others), evidence.n_classes))
        shares[:, model.classes_] = model.predict_proba(evidence.vectors[others])
        plain.append(right_at(shares, truth[others]))
        ours.append(right_at(combine(evidence, "auto", 1).probabilities[others], truth[others]))
    assert (np.mean(ours, axis=0) >= np.mean(plain, axis=0)).all()


def test_confidence_in_many_classes_is_as_high_as_the_share_that_is_right() -> None:
    for seed in range(3):
        evidence, truth = crowd(seed=seed)
        shares = combine(evidence, "auto", 1).probabilities
        others = np.setdiff1d(np.arange(len(truth)), evidence.rows)
        right = (shares.argmax(axis=1) == truth)[others].mean()
        assert abs(shares.max(axis=1)[others].mean() - right) < 0.1


def test_the_recipe_is_likelier_on_unseen_hand_labels_than_the_usual_one() -> None:
    evidence, _ = crowd()
    recipe = choose_recipe(evidence.vectors[evidence.rows], evidence.classes, 5, 0)
    assert recipe != USUAL
    folds = stratified_folds(evidence.classes, 5, 1)  # others than it was chosen by
    records = np.arange(len(evidence.rows))

    def likelihood(recipe: Recipe) -> float:
        args = evidence.vectors, evidence.rows, evidence.classes, folds, evidence.n_classes
        shares = cross_fit_probabilities(*args, recipe)[evidence.rows]
        return float(np.log(shares[records, evidence.classes]).mean())

    assert likelihood(recipe) > likelihood(USUAL) + 0.2


def test_classes_with_one_label_tell_how_many_records_are_of_none() -> None:
    evidence, _ = crowd()
    classes = np.append(evidence.classes, [40, 41, 42])  # three more, a label each
    vectors = evidence.vectors[np.append(evidence.rows, [0, 1, 2])]
    once = (np.bincount(classes) == 1).sum()
    assert once >= 3
    recipe = choose_recipe(vectors, classes, 5, 0)
    assert recipe.unseen == pytest.approx(once / len(classes))


@pytest.mark.parametrize("classes", [[], [0], [0, 0, 0, 0], [0, 1], [0, 0, 0, 1], [0, 1, 2]])
def test_too_few_labels_to_judge_by_keep_the_usual_recipe(classes: list[int]) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(classes), 8)).astype(np.float32)
    recipe = choose_recipe(vectors, np.array(classes, dtype=np.int64), 5, 0)
    assert replace(recipe, unseen=USUAL.unseen) == USUAL


def test_a_record_near_a_centroid_is_of_its_class() -> None:
    vectors = np.eye(3, 6, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    classes = np.array([0, 1, 2])
    near = predict_probabilities(vectors, np.arange(3), classes, np.ones(3), 3, Recipe(nearness=20.0))
    far = predict_probabilities(vectors, np.arange(3), classes, np.ones(3), 3)
    assert near.argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2]
    assert near.max(axis=1).min() > 0.99 > far.max(axis=1).max()


def test_without_rules_the_labels_are_what_the_learner_says() -> None:
    evidence, _ = crowd()
    combined = combine(evidence, "auto", 1)
    assert [comparison.way for comparison in combined.comparisons] == ["majority"]
    assert combined.probabilities.max() <= 1 - combined.recipe.unseen * (1 - 1 / 40)


def test_a_second_lesson_is_left_out_where_it_makes_hand_labels_less_likely() -> None:
    evidence, _ = world(n_hand=240)
    assert combine(evidence, "majority", 5).lesson != LESSONS[0]
    lies = ((np.argmax(evidence.vectors[:, :3], axis=1) + 1) % 3).astype(np.int16)
    misled = replace(evidence, votes=np.stack([lies, lies], axis=1))
    assert combine(misled, "majority", 3).lesson == LESSONS[0]


def test_temperature_mends_what_is_too_sure() -> None:
    sure = np.full((400, 2), (0.99, 0.01))
    classes = np.array([0] * 300 + [1] * 100)
    mended = apply_temperature(sure, fit_temperature(sure, classes))
    assert mended[0, 0] == pytest.approx(0.75, abs=0.02)


def test_temperature_has_no_floor() -> None:
    random = np.random.default_rng(0)
    classes = random.integers(0, 50, 2000)
    logits = np.eye(50)[classes] * 0.01 + random.normal(0, 0.002, (2000, 50))
    raised = np.exp(logits)
    shares = raised / raised.sum(axis=1, keepdims=True)
    temperature = fit_temperature(shares, classes)
    assert temperature < 0.01
    right = (shares.argmax(axis=1) == classes).mean()
    assert apply_temperature(shares, temperature).max(axis=1).mean() == pytest.approx(right, abs=0.03)


def test_a_few_labels_that_are_all_right_make_nothing_certain() -> None:
    shares = np.full((10, 2), (0.8, 0.2))
    sure = apply_temperature(shares, fit_temperature(shares, np.zeros(10, dtype=np.int64))).max()
    assert sure == pytest.approx(11 / 12, abs=0.02)
    assert fit_temperature(shares[:0], np.zeros(0, dtype=np.int64)) == 1.0


def test_what_is_spread_keeps_the_order() -> None:
    shares = np.array([[0.9, 0.1], [0.6, 0.4]])
    assert spread(shares, 0.1) == pytest.approx(np.array([[0.86, 0.14], [0.59, 0.41]]))


def test_the_least_confidence_keeps_the_precision() -> None:
    shares = np.repeat([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.1, 0.9]], 10, axis=0)
    assert fit_confidence_minimums(shares, np.repeat([0, 0, 1, 1, 0], 10), 0.9).tolist() == [0.8, 1.01]


def test_classes_that_few_labels_tell_of_share_their_least_confidence() -> None:
    shares = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.15, 0.15, 0.7], [0.6, 0.2, 0.2]])
    minimums = fit_confidence_minimums(shares, np.array([0, 1, 0, 0]), 0.9)
    assert minimums.tolist() == [0.8, 0.8, 0.8]


def test_folds_hold_every_class_evenly() -> None:
    folds = stratified_folds(np.repeat([0, 1, 2], [10, 10, 3]), 5, 0)
    assert np.bincount(folds[:10]).tolist() == [2] * 5
    assert len(set(folds[20:])) == 3
