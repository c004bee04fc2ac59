"""Votes, learner and thresholds on made-up worlds whose truth is known."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from honed.core.errors import DataError
from honed.core.proportion import wilson
from honed.label.combine import WayComparison, combine, lesson_probabilities, taught_by_hand
from honed.label.config import COMBINE
from honed.label.evidence import Evidence
from honed.label.learner import (
    cross_fit_probabilities,
    records_to_label,
    stratified_folds,
)
from honed.label.lists import Matcher, TermList
from honed.label.run import RuleVotes
from honed.label.statistics import disputed_records, rule_statistics, rule_warnings
from honed.label.store import HandLabel, LabelStore, refinery_columns
from honed.label.suggest import suggest_terms, words_and_pairs
from honed.label.threshold import (
    balanced_thresholds,
    confusion_counts,
    coverage_curve,
    label_quality,
    overall_thresholds,
    precise_thresholds,
    reaches_threshold,
)
from honed.label.ways import WAYS

NAMES = ["a", "b", "c"]


def world(n: int = 3000, n_hand: int = 90, *, seed: int = 0) -> tuple[Evidence, Any]:
    """Return records in three clouds with four rules: two good, one of middling precision, one that knows nothing."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, n)
    centres = np.eye(3, 8)
    vectors = centres[truth] + random.normal(0, 0.45, (n, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    columns = []
    for right, coverage in ((0.95, 0.3), (0.9, 0.3), (0.6, 0.5), (1 / 3, 0.5)):
        said = np.where(random.random(n) < right, truth, (truth + random.integers(1, 3, n)) % 3)
        columns.append(np.where(random.random(n) < coverage, said, -1))
    rows = np.concatenate([np.flatnonzero(truth == number)[: n_hand // 3] for number in range(3)])
    votes = np.stack(columns, axis=1).astype(np.int16)
    return Evidence(n_classes=3, votes=votes, rows=rows, classes=truth[rows], vectors=vectors), truth


def combined_probabilities(evidence: Evidence, way: str) -> Any:
    """The probabilities of a way after the second lesson, where there is one."""
    lessons = lesson_probabilities(evidence, way, taught_by_hand(evidence))
    return lessons[min(1, len(lessons) - 1)]


def accuracy(shares: Any, truth: Any, evidence: Evidence) -> float:
    unseen = np.setdiff1d(np.arange(len(truth)), evidence.rows)
    return float((shares.argmax(axis=1) == truth)[unseen].mean())


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_better_than_its_parts(way: str) -> None:
    evidence, truth = world()
    learned = cross_fit_probabilities(
        evidence.vectors, evidence.rows, evidence.classes, stratified_folds(evidence.classes, 5, 0), 3
    )
    together = accuracy(combined_probabilities(evidence, way), truth, evidence)
    assert together > accuracy(learned, truth, evidence) + 0.01
    covered = (evidence.votes >= 0).any(axis=1)
    assert together > (evidence.votes[:, 0] == truth).mean()
    assert covered.mean() < 1


def test_weights_beat_the_vote_where_rules_differ_much_and_there_is_no_learner() -> None:
    evidence, truth = world(n_hand=300)
    alone = Evidence(n_classes=3, votes=evidence.votes, rows=evidence.rows, classes=evidence.classes)
    accuracies = {way: accuracy(combined_probabilities(alone, way), truth, alone) for way in WAYS}
    assert accuracies["weighted"] > accuracies["majority"] + 0.02
    assert accuracies["label-model"] > accuracies["majority"] + 0.02
    chosen = combine(alone, "auto", 4)
    assert chosen.way in ("weighted", "label-model")
    assert "better than the majority's" in chosen.reason


def test_the_vote_is_kept_where_nothing_is_clearly_better() -> None:
    evidence, _ = world(n_hand=24)
    chosen = combine(evidence, "auto", 5)
    assert chosen.way == "majority"
    assert "kept" in chosen.reason
    assert [comparison.way for comparison in chosen.comparisons] == list(WAYS)


def test_confidence_is_calibrated_also_on_records_that_were_taught() -> None:
    evidence, truth = world(n_hand=240)
    shares = combine(evidence, "weighted", 5).probabilities
    for rows in (evidence.rows, np.setdiff1d(np.arange(len(truth)), evidence.rows)):
        right = (shares.argmax(axis=1) == truth)[rows].mean()
        assert abs(shares.max(axis=1)[rows].mean() - right) < 0.06


def test_without_hand_labels_the_rules_still_vote() -> None:
    evidence, truth = world()
    none = np.empty(0, dtype=np.int64)
    alone = Evidence(n_classes=3, votes=evidence.votes, rows=none, classes=none, vectors=evidence.vectors)
    combined = combine(alone, "auto", 4)
    assert combined.way == "majority"
    assert "no hand labels" in combined.reason
    voted = (evidence.votes[:, :2] >= 0).all(axis=1)
    assert (combined.probabilities.argmax(axis=1) == truth)[voted].mean() > 0.85


def test_every_way_has_a_name_in_the_configuration() -> None:
    assert ("auto", *WAYS) == COMBINE


def test_the_entry_of_a_comparison_names_what_it_is_compared_with() -> None:
    compared = WayComparison(
        way="weighted", accuracy=2 / 3, log_likelihood=-0.1234567, reference="majority", gain=(0.5, 1e-9, 1.0)
    )
    assert compared.is_better  # by the unrounded bound
    assert msgspec.to_builtins(compared.as_entry()) == {
        "way": "weighted",
        "accuracy": 0.66667,
        "log_likelihood": -0.12346,
        "over_majority": {"mean": 0.5, "low": 0.0, "high": 1.0},
    }


def test_a_label_model_of_two_sources_is_refused() -> None:
    evidence, _ = world()
    with pytest.raises(DataError, match=r"E_LF_TOO_FEW: a label model of 2 sources.*need >= 3 or --majority"):
        combine(evidence, "label-model", 2)


def test_one_class_or_a_class_without_labels_is_no_crash() -> None:
    evidence, _ = world()
    only = evidence.without(evidence.classes != 0)
    assert combine(only, "auto", 5).probabilities.shape == (3000, 3)


# -- the learner ------------------------------------------------------------------------------------


def test_the_next_records_are_doubtful_unlike_each_other_and_new() -> None:
    evidence, _ = world()
    shares = combined_probabilities(evidence, "weighted")
    rows = records_to_label(evidence.vectors, shares, evidence.votes, evidence.rows.tolist(), 12)
    assert len(set(rows.tolist())) == 12
    assert not set(rows.tolist()) & set(evidence.rows.tolist())
    doubt = 1 - np.diff(np.sort(shares, axis=1)[:, -2:], axis=1)[:, 0]
    assert doubt[rows].mean() > np.quantile(doubt, 0.9)
    surest = np.argsort(-doubt)[:12]
    assert (evidence.vectors[rows] @ evidence.vectors[rows].T).mean() < (
        evidence.vectors[surest] @ evidence.vectors[surest].T
    ).mean()


# -- thresholds -------------------------------------------------------------------------------------


def test_balanced_thresholds_keep_the_classes_shares() -> None:
    evidence, _ = world()
    shares = combine(evidence, "majority", 5).probabilities
    kept = reaches_threshold(shares, balanced_thresholds(shares, 0.5))
    assert kept.mean() == pytest.approx(0.5, abs=0.01)
    got = np.bincount(shares.argmax(axis=1)[kept], minlength=3) / kept.sum()
    assert np.abs(got - shares.mean(axis=0)).max() < 0.02


def test_precise_thresholds_take_all_that_keeps_the_precision() -> None:
    shares = np.array([[0.99, 0.01], [0.95, 0.05], [0.8, 0.2], [0.55, 0.45], [0.4, 0.6]])
    assert precise_thresholds(shares, 0.9).tolist() == [0.8, 1.01]


def test_one_threshold_for_all_takes_the_surest_whatever_their_class() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    assert overall_thresholds(shares, 0.5).tolist() == [0.8, 0.8]
    assert overall_thresholds(shares, 0.75).tolist() == [0.7, 0.7]
    assert overall_thresholds(shares, 0.0).tolist() == overall_thresholds(shares[:0], 1.0).tolist() == [1.01, 1.01]


def test_records_of_equal_confidence_come_together_or_not_at_all() -> None:
    shares = np.array([[0.99, 0.01], [0.85, 0.15], [0.85, 0.15], [0.85, 0.15]])
    assert precise_thresholds(shares, 0.9).tolist() == [0.99, 1.01]
    assert precise_thresholds(shares, 0.88).tolist() == [0.85, 1.01]


def test_records_of_test_teach_nothing_even_without_their_labels() -> None:
    evidence, _ = world(n_hand=60)
    hidden = np.arange(3000) >= 1500
    hidden[evidence.rows] = False
    changed = evidence.votes.copy()
    changed[hidden] = 2  # whatever the rules say of them
    for way in WAYS:
        seen = [
            combined_probabilities(replace(evidence, votes=votes, hidden=hidden), way)[~hidden]
            for votes in (evidence.votes, changed)
        ]
        assert np.allclose(*seen), way


def test_quality_counts_by_hand() -> None:
    shares = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.45, 0.55], [0.9, 0.1]])
    kept, truth = np.array([True, True, True, False, True]), np.array([0, 1, 1, 1, -1])
    measured = label_quality(shares, kept, truth, ["a", "b"])
    assert (measured.n, measured.coverage, measured.accuracy.mean) == (4, 0.75, 0.6667)
    assert measured.classes["a"].precision.mean == 0.5
    assert measured.classes["b"].recall.mean == 0.3333
    assert confusion_counts(shares, kept, truth) == [[1, 0, 0], [1, 1, 1]]
    whole = coverage_curve(shares, truth, ["a", "b"], [1.0])[0]
    assert whole.asked == 1.0


def test_wilson_by_hand() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)


# -- the books of the rules -------------------------------------------------------------------------


def test_statistics_and_quality_have_the_keys_of_label_json() -> None:
    voted = RuleVotes(names=["x"], votes=np.array([[0], [-1]], dtype=np.int16))
    (rule,) = msgspec.to_builtins(rule_statistics(voted, np.array([0]), np.array([0]), ["a", "b"]))
    assert list(rule) == ["rule", "classes", "records", "coverage", "overlap", "conflict", "judged", "precision"]
    assert list(rule["precision"]) == ["mean", "low", "high"]
    nothing = np.full(2, -1)
    plain = msgspec.to_builtins(label_quality(np.full((2, 2), 0.5), np.array([True, True]), nothing, ["a", "b"]))
    assert list(plain) == ["n", "coverage", "accuracy", "classes"]
    assert plain["accuracy"] == {"mean": None, "low": 0.0, "high": 1.0}
    assert list(plain["classes"]["a"]) == ["n", "precision", "recall", "share", "true_share"]
    (point,) = msgspec.to_builtins(coverage_curve(np.full((2, 2), 0.5), np.array([0, 1]), ["a", "b"], [0.5]))
    assert list(point) == ["asked", *plain]


def test_rule_statistics_by_hand() -> None:
    votes = np.array([[0, -1, 0], [0, 1, 0], [-1, 1, -1], [-1, -1, -1]], dtype=np.int16)
    voted = RuleVotes(names=["x", "y", "x2"], votes=votes)
    x, y, _ = rule_statistics(voted, np.array([0, 1]), np.array([0, 1]), ["a", "b"])
    assert (x.coverage, x.overlap, x.conflict, x.judged) == (0.5, 0.5, 0.25, 2)
    assert x.precision.mean == 0.5
    assert (y.overlap, y.conflict, y.precision.mean) == (0.25, 0.25, 1.0)
    assert [warning.message for warning in rule_warnings(voted)] == [
        "x, x2 say the same of every record; they count as one voice too many"
    ]
    assert disputed_records(voted, 5, 2).tolist() == [1]


def test_terms_that_tell_classes_apart_are_found_and_those_taken_left_out() -> None:
    texts = [f"the {word} is {number}" for word in ("goal", "stock", "planet") for number in range(30)]
    classes = np.repeat([0, 1, 2], 30)
    hand = np.arange(0, 90, 3)
    shares = np.full((90, 3), 0.02)
    shares[np.arange(90), classes] = 0.96
    suggestions = suggest_terms(texts, shares, (hand, classes[hand]), NAMES, frozenset({"stock"}), n=5)
    assert {suggestion.term for suggestion in suggestions} == {"goal", "planet"} | {
        suggestion.term for suggestion in suggestions if " " in suggestion.term
    }
    assert next(suggestion for suggestion in suggestions if suggestion.term == "goal").label == "a"
    assert all(suggestion.low > 0.5 for suggestion in suggestions)
    assert not any("stock" in suggestion.term for suggestion in suggestions)


def test_suggested_terms_match_as_list_words_and_do_not_cross_punctuation() -> None:
    texts = [f"die größte Stadt, Rate {number}" for number in range(20)] + [
        f"ein Fluss {number}" for number in range(20)
    ]
    classes = np.repeat([0, 1], 20)
    shares = np.where(np.eye(2)[classes] > 0, 0.98, 0.02)
    suggestions = suggest_terms(texts, shares, (np.arange(0, 40, 2), classes[::2]), ["a", "b"], frozenset(), n=9)
    assert "größte" in {word for suggestion in suggestions for word in suggestion.term.split()}
    assert not any("stadt rate" in suggestion.term for suggestion in suggestions)
    for suggestion in suggestions:
        matcher = Matcher(TermList(label=suggestion.label, name="l", words=(suggestion.term,)), "l")
        assert sum(matcher({"title": "", "text": text}) for text in texts) == suggestion.records


@pytest.mark.parametrize(
    ("one", "other", "term"),
    [
        ("我在北京大学学习", "他们去海边游泳", "大学"),
        ("東京の大学で学ぶ", "大阪のラーメン屋", "大学"),
        ("한국대학교에서 공부", "부산 수영장에서", "대학"),
        ("มหาวิทยาลัยใหม่", "ตลาดน้ำเก่า", "วิท"),
        ("दिल्ली का विश्वविद्यालय", "समुद्र के किनारे", "विश्वविद्यालय"),
    ],
)
def test_terms_of_every_script_are_suggested_and_match_as_list_words(one: str, other: str, term: str) -> None:
    texts = [one, other] * 20
    classes = np.array([0, 1] * 20)
    shares = np.where(np.eye(2)[classes] > 0, 0.98, 0.02)
    assert term in words_and_pairs(one)
    suggestions = suggest_terms(texts, shares, (np.arange(10), classes[:10]), ["a", "b"], frozenset(), n=9)
    assert {suggestion.label for suggestion in suggestions} == {"a", "b"}
    for word in (*(suggestion.term for suggestion in suggestions), *words_and_pairs(one)):
        matcher = Matcher(TermList(label="a", name="l", words=(word,)), "l")
        wanted = [word in words_and_pairs(text) for text in (one, other)]
        assert [matcher({"title": "", "text": text}) for text in (one, other)] == wanted, word


def test_a_word_with_marks_is_whole() -> None:
    matcher = Matcher(TermList(label="a", name="l", words=("हिन्द",)), "l")
    assert matcher({"title": "", "text": "जय हिन्द!"})
    assert not matcher({"title": "", "text": "हिन्दी"})


# -- the store --------------------------------------------------------------------------------------


def test_the_last_label_counts_and_can_be_taken_back(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "labels.jsonl")
    assert store.latest() == {}
    store.add([HandLabel(id="r1", label="a", who="anna", why="reads so"), HandLabel(id="r2", label="b")])
    store.add([HandLabel(id="r1", label="c"), HandLabel(id="r2", label="")])
    assert {record: label.label for record, label in store.latest().items()} == {"r1": "c", "r2": ""}
    first = store.read()[0]
    assert (first.who, first.why) == ("anna", "reads so")
    assert first.at.endswith("+00:00")


def test_a_line_that_a_crash_cut_short_is_left_out_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    store = LabelStore(path)
    store.add([HandLabel(id="r1", label="a")])
    path.write_bytes(path.read_bytes() + b'{"id": "r2", "lab')
    assert list(store.latest()) == ["r1"]
    store.add([HandLabel(id="r3", label="b")])
    assert list(store.latest()) == ["r1", "r3"]
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    store.add([HandLabel(id="r4", label="b")])
    assert list(store.latest()) == ["r1", "r3", "r4"]


def test_a_spoiled_line_elsewhere_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('{"id": "r1"\n{"id": "r2", "label": "a"}\n')
    with pytest.raises(DataError, match=r"E_LABEL_STORE: labels.jsonl, line 1"):
        LabelStore(path).latest()


def test_the_columns_of_a_refinery_export_are_known() -> None:
    columns = ["headline", "__Topic__MANUAL", "__Topic__WEAK_SUPERVISION", "__Topic__WEAK_SUPERVISION__confidence"]
    assert refinery_columns(columns) == {
        "manual": "__Topic__MANUAL",
        "weak": "__Topic__WEAK_SUPERVISION",
        "confidence": "__Topic__WEAK_SUPERVISION__confidence",
    }
