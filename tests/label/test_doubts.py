"""What is doubtful about labels: classes that little is known of, and too many wrong ones."""

import numpy as np
import pytest

from honed.core.errors import DataError
from honed.label.config import LabelConfig
from honed.label.doubts import Rightness, check_rightness, class_warnings, estimate_rightness

NAMES = ["a", "b", "c", "d", "e"]


def warned(hand: list[int], votes: list[int], given: list[int]) -> dict[str, list[str]]:
    warnings = class_warnings(np.array(hand), np.array([votes], dtype=np.int16), np.array(given), NAMES)
    return {warning.code: warning.classes for warning in warnings}


def test_each_class_is_named_by_what_is_missing() -> None:
    assert warned([0, 0, 4, 5, 9], [-1, 1], [0, 3, 3, 0, 3]) == {
        "W_CLASS_UNKNOWN": ["a"],
        "W_CLASS_RULES": ["b"],
        "W_CLASS_FEW": ["c"],
        "W_CLASS_UNLABELLED": ["d"],
    }


def test_nothing_is_said_of_classes_where_there_is_nothing_at_all() -> None:
    assert warned([0] * 5, [0, 1, 2, 3, 4], [1] * 5) == {}  # rules alone
    assert warned([9] * 5, [-1], [0] * 5) == {}  # hand labels alone


def test_many_classes_are_one_line() -> None:
    names = [f"class {number}" for number in range(77)]
    (warning,) = class_warnings(np.full(77, 3), np.empty((5, 0), dtype=np.int16), np.ones(77, dtype=int), names)
    assert warning.message.startswith("fewer than 5 hand labels: little is learned of 77 of the classes: class 0, ")
    assert warning.message.endswith("class 7 and 69 more")
    assert warning.classes == names


def test_rightness_is_counted_on_hand_labels_above_the_thresholds() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4], [0.55, 0.45], [0.95, 0.05]])
    truth = np.array([0, 0, 1, 1, -1, -1])
    kept = np.array([True, True, True, False, True, True])
    seen = np.array([True, True, True, True, True, False])
    estimate = estimate_rightness(shares, kept, truth, seen, 0.9)
    assert (estimate.right, estimate.n) == (2, 3)
    assert estimate.coverage == pytest.approx(4 / 5)  # the last is not learned from
    assert estimate.reachable == pytest.approx(2 / 5)  # down to 0.8


def test_a_class_with_one_label_is_not_judged_and_no_labels_are_no_reproach() -> None:
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]])
    everything = np.ones(3, dtype=bool)
    assert estimate_rightness(shares, everything, np.array([0, 0, 1]), everything, 0.9).n == 2
    nothing = estimate_rightness(shares, everything, np.array([-1, -1, -1]), everything, 0.9)
    assert nothing.n == 0
    assert check_rightness(nothing, LabelConfig()) == []


def test_labels_worse_than_asked_for_are_refused_with_what_to_do() -> None:
    estimate = Rightness(right=52, n=159, coverage=0.636, reachable=0.31)
    with pytest.raises(DataError) as caught:
        check_rightness(estimate, LabelConfig())
    assert caught.value.code == "E_LABEL_WORSE"
    assert caught.value.message == (
        "32.7 % of the labels would be right (25.9 to 40.3 %; 159 hand labels above the thresholds, judged unseen), "
        "for 63.6 % of the records; asked for: 50 % (label.least_right). No labels were written. They would be as "
        "right as asked at label.coverage = 0.31; more hand labels help (honed label --serve), and lists or rules; or "
        'write them all the same: label.when_worse = "warn" (honed label --allow-worse)'
    )
    (warning,) = check_rightness(estimate, LabelConfig(when_worse="warn"))
    assert warning.code == "W_LABEL_WORSE"
    assert check_rightness(estimate, LabelConfig(least_right=0.3)) == []


def test_a_few_wrong_labels_may_be_chance_and_are_a_warning() -> None:
    (warning,) = check_rightness(Rightness(right=2, n=6, coverage=0.5, reachable=0.2), LabelConfig())
    assert warning.code == "W_LABEL_WORSE"


def test_with_a_precision_that_is_what_is_asked_for() -> None:
    settings = LabelConfig(threshold="precision", precision=0.95)
    with pytest.raises(DataError, match=r"asked for: 95 % \(label\.precision\).* What helps: more hand labels"):
        check_rightness(Rightness(right=80, n=100, coverage=0.4, reachable=0.2), settings)
