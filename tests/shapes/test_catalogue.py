import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.core.errors import ConfigError, DataError
from honed.core.text import bare
from honed.data.split import SplitConfig, assign, components
from honed.data.task import FORWARD, REVERSE, load_task, save_task
from honed.shapes.aliases import audit
from honed.shapes.aliases.catalogue import (
    Catalogue,
    build_catalogue,
    check_slices,
    given_leaks,
    given_splits,
    split_pairs,
)
from honed.shapes.aliases.compile import alias_examples, alias_names, alias_tasks


def records(*rows: tuple[str, str, str], fields: str = "{}") -> list[dict[str, str]]:
    return [
        {"id": key, "label": label, "alias": alias, "where": f"a.csv, line {number}", "fields": fields, "split": ""}
        for number, (key, label, alias) in enumerate(rows, 2)
    ]


def catalogue(*rows: tuple[str, str, str], has_ids: bool = True) -> Catalogue:
    return build_catalogue(records(*rows), has_ids=has_ids, quarantine=False)


def many(count: int) -> Catalogue:
    return catalogue(*((f"Q{n}", f"University {n}", f"U{n}-{k}") for n in range(count) for k in range(3)))


def test_rows_become_entities_and_every_row_is_accounted_for() -> None:
    found = catalogue(("1", "Alpha", "A"), ("1", "Alpha", "a "), ("1", "Alpha", "ALPHA"), ("2", "Beta", ""))
    assert [pair.alias for pair in found.pairs] == ["A"]
    assert dict(found.dropped) == {"W_PAIR_DUP": 1, "W_ALIAS_SELF": 1, "no alias": 1}


def test_a_column_that_differs_within_an_entity_belongs_to_the_pair() -> None:
    rows = [
        {**records(("1", "Alpha", alias))[0], "fields": json.dumps({"kind": kind, "city": "X"})}
        for alias, kind in (("A", "acronym"), ("Al", "nickname"))
    ]
    found = build_catalogue(rows, has_ids=True, quarantine=False)
    assert found.entities["1"].fields == {"city": "X"}
    assert [pair.fields["kind"] for pair in found.pairs] == ["acronym", "nickname"]


def test_one_odd_row_takes_a_field_from_its_own_entity_only() -> None:
    rows = [
        {**record, "fields": json.dumps({"city": city})}
        for record, city in zip(
            records(("1", "Alpha", "A"), ("1", "Alpha", "Al"), ("2", "Beta", "B")), ("X", "Y", "Z"), strict=True
        )
    ]
    found = build_catalogue(rows, has_ids=True, quarantine=False)
    assert found.entities["1"].fields == {}
    assert found.entities["2"].fields == {"city": "Z"}
    assert audit.slices_of_pair(found.pairs[2], found.labels_of_alias(), ["city"])[-1] == "city=Z"


def test_a_slice_by_an_unknown_column_is_refused() -> None:
    with pytest.raises(ConfigError, match="no column kidn"):
        check_slices(catalogue(("1", "Alpha", "A")), ["kidn"])


def test_an_id_with_two_labels_is_a_finding() -> None:
    found = catalogue(("1", "Harvard", "H"), ("1", "Sorbonne", "S"))
    report = audit.audit_aliases(found, split_pairs(found, SplitConfig()), (), None)
    assert report.findings["W_LABELS_OF_ONE_ID"].count == 1


def test_no_name_of_a_test_pair_is_trained_on_as_anchor_or_as_positive() -> None:
    """Each entity's first alias is the next entity's label: names cross the splits in every way."""
    rows = [
        (f"Q{n}", f"University {n}", alias) for n in range(200) for alias in (f"University {(n + 1) % 200}", f"U{n}")
    ]
    found = catalogue(*rows)
    splits = split_pairs(found, SplitConfig())
    asked = [pair for pair, split in zip(found.pairs, splits, strict=True) if split & {"test", "dev"}]
    trained = {text for each in alias_examples(found, splits) for text in (each.anchor, each.positive)}
    anchors = {each.anchor for each in alias_examples(found, splits)}
    assert not {pair.alias for pair in asked} & trained
    assert not {found.entities[pair.entity_id].labels[0] for pair in asked} & anchors
    overlap = audit.split_overlap(found, splits)
    assert overlap["test_aliases_in_train"] == overlap["test_labels_as_train_aliases"] == 0
    assert audit.split_overlap(found, [{"train", "test"} for _ in splits])["test_aliases_in_train"] > 0


def test_the_order_of_the_rows_does_not_move_a_split() -> None:
    rows = [(f"Q{n}", f"University {n // 2}", f"U{n}") for n in range(120)]

    def split_of(order: list[tuple[str, str, str]]) -> dict[str, set[str]]:
        found = catalogue(*order)
        return {p.alias: s for p, s in zip(found.pairs, split_pairs(found, SplitConfig()), strict=True)}

    assert split_of(rows) == split_of(rows[::-1])


def catalogue_with_splits(*rows: tuple[str, str, str, str]) -> tuple[Catalogue, list[str]]:
    """A catalogue of (id, label, alias, split), and the given split of each pair."""
    with_splits = records(*(row[:3] for row in rows))
    for record, row in zip(with_splits, rows, strict=True):
        record["split"] = row[3]
    found = build_catalogue(with_splits, has_ids=True, quarantine=False)
    return found, given_splits(with_splits, found)


def test_pairs_whose_group_is_asked_in_a_later_given_split_are_withheld() -> None:
    found, splits_given = catalogue_with_splits(
        ("1", "Trinity", "T", "train"),
        ("2", "Trinity", "TC", "test"),
        ("3", "Other", "O", "dev"),
        ("3", "Other", "Oth", "test"),
        ("4", "Fourth", "F", "train"),
        ("4", "Fourth", "f", "dev"),  # a pair that stands twice
        ("5", "Fifth", "V", "train"),
        ("6", "Sixth", "VI", "dev"),
    )
    splits = split_pairs(found, SplitConfig(), splits_given)
    assert [next(iter(split)) for split in splits] == ["withheld", "test", "withheld", "test", "dev", "train", "dev"]
    leaks = given_leaks(found, splits, splits_given)
    assert len(leaks) == 2 and "T of entity 1 stands in train" in leaks[0]
    assert audit.audit_aliases(found, splits, (), None, leaks).findings["W_SPLIT_LEAK"].count == 2


def test_nothing_left_of_a_given_split_is_refused() -> None:
    found, splits_given = catalogue_with_splits(
        ("1", "A", "x", "train"), ("1", "A", "y", "test"), ("2", "B", "z", "dev")
    )
    with pytest.raises(DataError, match="names no train row that is not withheld"):
        split_pairs(found, SplitConfig(), splits_given)


def test_aliases_in_a_circle_are_refused_with_the_circle() -> None:
    with pytest.raises(DataError, match="a -> b -> c -> a"):
        catalogue(("", "b", "a"), ("", "c", "b"), ("", "a", "c"), has_ids=False)


def test_a_chain_of_a_thousand_aliases_is_refused_without_recursion() -> None:
    rows = [("", f"a{n + 1}", f"a{n}") for n in range(1000)]
    with pytest.raises(DataError, match=r"E_ALIAS_CHAIN.*a0 -> a1 -> a2"):
        catalogue(*rows, has_ids=False)


def test_an_alias_that_is_a_label_is_refused_without_ids_and_kept_with_them() -> None:
    rows = (("1", "Refund", "Billing"), ("2", "Billing", "Bills"))
    with pytest.raises(DataError, match="Billing is an alias of Refund and a label of its own"):
        catalogue(*rows, has_ids=False)
    assert len(catalogue(*rows).pairs) == 2


def test_quarantine_drops_and_counts_what_would_be_refused() -> None:
    rows = records(("", "Refund", "Billing"), ("", "Billing", "Bills"))
    found = build_catalogue(rows, has_ids=False, quarantine=True)
    assert [pair.alias for pair in found.pairs] == ["Bills"]
    assert found.dropped["E_ALIAS_IS_LABEL"] == 1


def test_entities_that_share_a_label_are_never_split() -> None:
    found = catalogue(("1", "Trinity College", "TCD"), ("2", "trinity college", "Trin"), ("3", "Other", "O"))
    groups = found.groups()
    assert groups["1"] == groups["2"] != groups["3"]


def test_no_alias_of_a_test_entity_is_in_train() -> None:
    rows = [(f"Q{n}", f"University {n}", alias) for n in range(200) for alias in (f"U{n}", f"U.{n}", f"S{n % 40}")]
    found = catalogue(*rows)
    splits = split_pairs(found, SplitConfig())
    unseen = {bare(p.alias) for p, s in zip(found.pairs, splits, strict=True) if s & {"test", "dev"}}
    tested = {p.entity_id for p, s in zip(found.pairs, splits, strict=True) if "test" in s}
    for example in alias_examples(found, splits):
        assert bare(example.anchor) not in unseen
    for pair, split in zip(found.pairs, splits, strict=True):
        assert pair.entity_id not in tested or split == {"test"}
    assert any("withheld" in each for each in splits)


def test_every_pair_has_a_split_and_the_split_is_deterministic_and_stable() -> None:
    found = many(300)
    splits = split_pairs(found, SplitConfig())
    assert splits == split_pairs(found, SplitConfig())
    assert splits != split_pairs(found, SplitConfig(seed=1))
    assert all(len(each) == 1 for each in splits)
    more = many(400)
    assert split_pairs(more, SplitConfig())[: len(splits)] == splits


def test_the_catalogue_protocol_tests_on_pairs_that_were_trained_on() -> None:
    splits = split_pairs(many(100), SplitConfig(protocol="catalogue", sample=50))
    assert all("train" in each for each in splits)
    assert sum("test" in each for each in splits) == 50
    assert not any({"test", "dev"} <= each for each in splits)


@given(st.lists(st.text(min_size=1, max_size=5), min_size=60, max_size=200, unique=True))
def test_any_names_are_split_completely(names: list[str]) -> None:
    splits = assign(names, SplitConfig())
    assert set(splits) == set(names)
    assert set(splits.values()) == {"train", "dev", "test"}


def test_components_join_what_is_linked() -> None:
    joined = components([("a", "b"), ("c",), ("b", "d")])
    assert joined["a"] == joined["b"] == joined["d"] != joined["c"]


def test_three_entities_fill_all_splits_and_fewer_are_reported() -> None:
    assert set(assign("abc", SplitConfig(seed=3)).values()) == {"train", "dev", "test"}
    found = catalogue(("1", "Alpha", "A"))
    report = audit.audit_aliases(found, split_pairs(found, SplitConfig()), (), None)
    assert report.findings["W_SPLIT_EMPTY"].count == 2


def test_the_ceiling_counts_aliases_that_name_several_labels() -> None:
    found = catalogue(("1", "A", "x"), ("2", "B", "x"), ("3", "C", "x"), ("4", "D", "y"))
    assert audit.ceiling(found) == 0.5


def test_a_dictionary_knows_what_it_was_told_and_nothing_else() -> None:
    found = many(100)
    scores = audit.dictionary_accuracy(found, split_pairs(found, SplitConfig()))
    assert scores == {"held_out": 0.0, "catalogue": 1.0}


def test_near_duplicate_labels_are_found() -> None:
    found = audit.near_duplicates(["University of X!", "university of x", "Freiburg University", "Friburg University"])
    assert found["W_LABEL_NEAR_DUP"].count == 1
    assert found["W_LABEL_SLIP"].samples == ["Freiburg University ~ Friburg University"]


def test_tasks_judge_each_alias_by_its_own_entity_and_survive_the_disk(tmp_path: Path) -> None:
    found = catalogue(*((f"Q{n}", f"University {n}", alias) for n in range(60) for alias in (f"U{n}", "UU")))
    splits = split_pairs(found, SplitConfig())
    tasks = alias_tasks(found, splits, ())
    task = tasks[FORWARD, "test"]
    assert len(task.corpus) == 60
    assert all(len(task.qrels.relevant(query.query_id)) == 1 for query in task.queries)
    assert len(task.slices["ambiguous"]) == sum(q.text == "UU" for q in task.queries)
    for each in tasks.values():
        save_task(tmp_path, each, "test")
        again = load_task(tmp_path, each.name, "test")
        assert again.queries == each.queries
        assert again.qrels.grades == each.qrels.grades
        assert again.slices == each.slices
        assert list(again.corpus) == list(each.corpus)
    backwards = tasks[REVERSE, "test"]
    assert all(len(backwards.qrels.relevant(query.query_id)) == 2 for query in backwards.queries)


def test_a_name_of_a_test_pair_is_not_known() -> None:
    found = many(100)
    splits = split_pairs(found, SplitConfig())
    known = {name.text for name in alias_names(found, splits) if name.known and name.kind == "alias"}
    for pair, split in zip(found.pairs, splits, strict=True):
        assert (pair.alias in known) == (split <= {"train", "withheld"})
