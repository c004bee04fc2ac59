"""Texts on both sides of splits that the user gave."""

import numpy as np
import pytest

from honed.core.errors import DataError
from honed.data.split import SplitConfig, check_given_splits, draw_dev, find_leaks, refuse_leaks, withhold_leaks
from honed.shapes.labels.audit import audit_labels
from honed.shapes.labels.records import splits_of
from honed.shapes.relations.compile import audit_sentences
from honed.shapes.relations.sentences import read_sentences

KEYS = {"1": "refund", "2": "refund", "3": "card", "4": "card", "5": "loan", "6": "card"}
SPLITS = {"1": "train", "2": "test", "3": "dev", "4": "train", "5": "train", "6": "dev"}


def test_an_item_gives_away_one_of_the_same_key_in_a_later_split() -> None:
    assert find_leaks(SPLITS, KEYS) == {"1": "2", "4": "3"}


def test_leaks_are_withheld_and_told() -> None:
    splits = dict(SPLITS)
    sentences = withhold_leaks(splits, KEYS, "withhold")
    assert splits == {**SPLITS, "1": "withheld", "4": "withheld"}
    assert sentences[0] == "ids 1 and 2 hold the same text in train and test: 'refund'"


def test_stop_lists_all_leaks_up_to_a_bound_with_their_number() -> None:
    with pytest.raises(DataError, match=r"E_SPLIT_LEAK.*2 texts on two sides.*ids 1 and 2.*ids 4 and 3"):
        withhold_leaks(dict(SPLITS), KEYS, "stop")
    with pytest.raises(DataError, match=r"60 texts on two sides.*line 49; and 10 more$"):
        refuse_leaks([f"line {number}" for number in range(60)], "stop")
    refuse_leaks([], "stop")


def test_a_train_split_of_leaks_alone_is_refused() -> None:
    with pytest.raises(DataError, match="no train row that is not withheld"):
        check_given_splits(["withheld", "test"])


def labelled(*rows: tuple[str, str, str]) -> list[dict[str, str]]:
    return [
        {"id": str(number), "where": f"line {number}", "text": text, "label": label, "split": split}
        for number, (text, label, split) in enumerate(rows)
    ]


def test_labelled_texts_of_both_sides_are_counted_and_not_learned_from() -> None:
    rows = labelled(
        ("pay", "a", "train"), ("Pay ", "a", "test"), ("go", "b", "train"), ("up", "a", "train"), ("on", "b", "test")
    )
    report = audit_labels(rows, has_splits=True, declared=False, unknown=None)
    assert report.findings["W_SPLIT_LEAK"].count == 1
    splits = splits_of(
        [row["text"] for row in rows], np.zeros(5, np.int64), [row["split"] for row in rows], test=0.2, dev=0.0, seed=0
    )
    assert splits.tolist() == ["withheld", "test", "train", "train", "test"]
    with pytest.raises(DataError, match="E_SPLIT_LEAK"):
        audit_labels(rows, has_splits=True, declared=False, unknown=None, on_leak="stop")


def test_a_label_whose_only_train_text_is_withheld_is_refused() -> None:
    rows = labelled(("pay", "a", "train"), ("pay", "a", "test"), ("go", "b", "train"))
    with pytest.raises(DataError, match="E_SPLIT_CLASS"):
        audit_labels(rows, has_splits=True, declared=False, unknown=None)


def test_sentences_of_both_sides_are_withheld_from_train() -> None:
    places = {"id": "", "head": "[[0, 3]]", "tail": "[[4, 7]]", "head_type": "", "tail_type": ""}
    rows = [
        {**places, "text": "Ann Bob", "relation": "knows", "split": "train"},
        {**places, "text": "ann bob", "relation": "likes", "split": "test"},
        {**places, "text": "Eve Dan", "relation": "knows", "split": "train"},
    ]
    sentences = read_sentences(rows, SplitConfig(), given=True)
    assert [sentence.split for sentence in sentences] == ["withheld", "test", "train"]
    assert audit_sentences(sentences).findings["W_SPLIT_LEAK"].count == 1
    with pytest.raises(DataError, match="E_SPLIT_LEAK"):
        read_sentences(rows, SplitConfig(on_leak="stop"), given=True)


def test_relations_of_train_fill_a_dev_that_given_splits_lack() -> None:
    places = {"id": "", "head": "[[0, 3]]", "tail": "[[4, 7]]", "head_type": "", "tail_type": ""}
    rows = [
        {**places, "text": f"Ann Bob {n} {copy}", "relation": f"r{n}", "split": "train" if n < 8 else "test"}
        for n in range(10)
        for copy in range(2)
    ]
    sentences = read_sentences(rows, SplitConfig(dev=0.01), given=True)
    sides = {sentence.relation: sentence.split for sentence in sentences}
    assert [list(sides.values()).count(split) for split in ("train", "dev", "test")] == [6, 2, 2]
    assert len({(sentence.relation, sentence.split) for sentence in sentences}) == 10


def test_dev_is_drawn_of_groups_and_never_all_of_them() -> None:
    groups = [f"g{n}" for n in range(1000)]
    assert 60 < len(draw_dev(groups, SplitConfig(dev=0.1))) < 140
    assert draw_dev(groups, SplitConfig(dev=0.1)) == draw_dev(reversed(groups), SplitConfig(dev=0.1))
    assert len(draw_dev(["a", "b", "c"], SplitConfig(dev=0.9))) == 2
    assert draw_dev(["a"], SplitConfig(dev=0.9)) == set()


def test_a_label_that_train_lacks_is_a_finding_where_labelled_texts_are_searched() -> None:
    rows = labelled(("pay", "a", "train"), ("go", "b", "train"), ("up", "c", "test"))
    with pytest.raises(DataError, match="E_SPLIT_CLASS"):
        audit_labels(rows, has_splits=True, declared=False, unknown=None)
    audit = audit_labels(rows, has_splits=True, declared=False, unknown=None, searched=True)
    assert audit.findings["W_SPLIT_CLASS"].samples == ["label c stands in test and never in train"]
