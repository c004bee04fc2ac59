"""Sentences with entities: where they stand, swaps by offset, and the triplets that are built of them."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError
from honed.data.rows import ImportConfig
from honed.data.split import SplitConfig
from honed.shapes.relations.compile import audit_sentences
from honed.shapes.relations.sentences import Sentence, SpanError, in_place, placed, read_sentences
from honed.shapes.relations.triplets import TripletBuilder, TripletConfig
from tests.conftest import ROOT
from tests.importing import importer, read_all

COLUMNS = {"text": "text", "head": "head", "tail": "tail", "relation": "relation"}


def sentence(text: str, head: str, tail: str, relation: str = "r", **more: Any) -> Sentence:
    """A sentence whose entities are found by their first letters' places; for tests only."""

    def spans(name: str) -> tuple[tuple[int, int], ...]:
        found, at = [], text.find(name)
        while at >= 0:
            found.append((at, at + len(name)))
            at = text.find(name, at + len(name))
        return tuple(found)

    return Sentence(
        sentence_id=more.pop("sentence_id", text),
        text=text,
        head=spans(head),
        tail=spans(tail),
        relation=relation,
        **more,
    )


# -- offsets -------------------------------------------------------------------------------------


def test_token_and_character_offsets_name_the_same_places() -> None:
    tokens = ["Jordan", "scored", "in", "Jordan", "for", "the", "Bulls", "."]
    by_token = {"text": tokens, "head": [[0]], "tail": [[5, 6]], "relation": "r"}
    text, spans = placed(by_token, COLUMNS, "auto")
    assert text == "Jordan scored in Jordan for the Bulls ."
    assert spans == {"head": [(0, 6)], "tail": [(28, 37)]}
    by_character = {"text": text, "head": "[[0, 6]]", "tail": [[28, 37]], "relation": "r"}
    assert placed(by_character, COLUMNS, "auto") == (text, spans)
    ends = {"text": text, "a": "0", "b": "6", "c": 28, "d": 37}
    columns = {"text": "text", "head_start": "a", "head_end": "b", "tail_start": "c", "tail_end": "d"}
    assert placed(ends, columns, "character") == (text, spans)
    in_tokens = {"text": text, "a": 0, "b": 1, "c": 5, "d": 7}
    assert placed(in_tokens, columns, "token") == (text, spans)


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ([[8]], "stands at 8 to 9 of 8 tokens"),
        ([[-1]], "stands at -1"),
        ([], "lists of offsets"),
        (None, "lists of offsets"),
        ([[]], "lists of offsets"),
        ([["x"]], "lists of offsets"),
        ([[True]], "lists of offsets"),
        ("not json", "lists of offsets"),
        ([0, 1], "lists of offsets"),
    ],
)
def test_offsets_that_are_none_are_refused(head: Any, said: str) -> None:
    values = {"text": ["a", "b", "c", "d", "e", "f", "g", "h"], "head": head, "tail": [[1]], "relation": "r"}
    with pytest.raises(SpanError, match=said) as error:
        placed(values, COLUMNS, "auto")
    assert error.value.side == "head"


def test_only_the_entity_is_swapped_and_not_whatever_is_written_alike() -> None:
    text = "Jordan scored in Jordan for the Bulls ."
    player = Sentence(sentence_id="1", text=text, head=((0, 6),), tail=((28, 37),), relation="plays for")
    assert player.swapped("Pelé", "Santos") == "Pelé scored in Jordan for Santos ."
    both = sentence("the river flows ; the river ends in Lake Ohrid", "the river", "Lake Ohrid")
    assert both.swapped("the Drin", "the sea") == "the Drin flows ; the Drin ends in the sea"


def test_case_follows_the_place() -> None:
    assert in_place("the Drin", "The Nile is long", 0) == "The Drin"
    assert in_place("the Drin", "so is The Nile", 6) == "the Drin"
    assert in_place("Drin", "all lower", 4) == "drin"
    assert in_place("Drin", "ALL UPPER", 0) == "DRIN"
    starts = sentence("The bank is near , and people love the bank .", "he bank", "people")
    assert (
        Sentence(sentence_id="x", text=starts.text, head=((0, 8), (35, 43)), tail=((23, 29),), relation="r").entity(
            "head"
        )
        == "the bank"
    )  # not with the capital of its place


def test_entities_within_each_other_cannot_be_swapped() -> None:
    inside = Sentence(sentence_id="x", text="the Bank of Ireland", head=((0, 19),), tail=((12, 19),), relation="r")
    assert inside.without_overlap() is None
    twice = Sentence(
        sentence_id="x", text="the Bank of Ireland in Ireland", head=((0, 19),), tail=((12, 19), (23, 30)), relation="r"
    )
    clear = twice.without_overlap()
    assert clear is not None
    assert clear.swapped("Lloyds", "Wales") == "Lloyds in Wales"


# -- import --------------------------------------------------------------------------------------


def test_fewrel_as_published_and_a_tidy_table_are_the_same(tmp_path: Path) -> None:
    published = {
        "P1": [
            {"tokens": ["Ann", "met", "Bo", "."], "h": ["ann", "Q1", [[0]]], "t": ["bo", "Q2", [[2]]]},
            {"tokens": ["Cy", "met", "De", "."], "h": ["cy", "Q3", [[0]]], "t": ["de", "Q4", [[2]]]},
        ],
        "P2": [{"tokens": ["Ann", "left", "Bo", "."], "h": ["ann", "Q1", [[0]]], "t": ["bo", "Q2", [[2]]]}],
    }
    (tmp_path / "fewrel.json").write_text(json.dumps(published))
    with (tmp_path / "tidy.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "hs", "he", "ts", "te", "relation"])
        table.writerows([["Ann met Bo .", 0, 3, 8, 10, "P1"], ["Cy met De .", 0, 2, 7, 9, "P1"]])
        table.writerow(["Ann left Bo .", 0, 3, 9, 11, "P2"])
    found = []
    for name, columns in {
        "fewrel.json": {"text": "tokens", "head": "head_mentions", "tail": "tail_mentions", "relation": "relation"},
        "tidy.csv": {
            "text": "text", "head_start": "hs", "head_end": "he", "tail_start": "ts", "tail_end": "te",
            "relation": "relation",
        },
    }.items():  # fmt: skip
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        books = importer(ImportConfig(shape="relations", columns=columns)).run([tmp_path / name], folder)
        assert (books.rows_in, books.accepted) == (3, 3)
        rows = read_all(folder)
        found.append([(row["text"], row["head"], row["tail"], row["relation"]) for row in rows])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"P1": [{"tokens": ["a"], "h": ["a"], "t": ["b", "Q", [[0]]]}]}', "E_JSON_TYPE"),
        ('{"P1": 3}', "E_JSON_TYPE"),
        ('{"P1": [', "E_JSON"),
        ('{"P1": [], "P1": []}', "E_JSON_DUPKEY"),
        ('{"P1": [{"tokens": ["a", "b"], "h": ["a", "Q", [[5]]], "t": ["b", "Q", [[1]]]}]}', "E_SPAN"),
        ('{"P1": [{"tokens": ["a", 7], "h": ["a", "Q", [[0]]], "t": ["b", "Q", [[1]]]}]}', "E_JSON_TYPE"),
    ],
)
def test_damaged_fewrel_files_are_refused(tmp_path: Path, content: str, code: str) -> None:
    (tmp_path / "x.json").write_text(content)
    columns = {"text": "tokens", "head": "head_mentions", "tail": "tail_mentions", "relation": "relation"}
    with pytest.raises(DataError) as error:
        importer(ImportConfig(shape="relations", columns=columns)).run([tmp_path / "x.json"], tmp_path)
    assert error.value.code == code


def test_where_an_entity_stands_must_be_said_in_one_way(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('text,head,tail,relation\nab,"[[0,1]]","[[1,2]]",r\n')
    for columns in (
        {"text": "text", "relation": "relation", "head": "head"},
        {**COLUMNS, "head_start": "a", "head_end": "b"},
    ):
        with pytest.raises((ConfigError, DataError), match=r"where does the|no column"):
            importer(ImportConfig(shape="relations", columns=columns)).run([tmp_path / "x.csv"], tmp_path)


def test_splits_are_drawn_by_relation() -> None:
    rows = [
        {"id": "", "text": f"{n} met {n + 1}", "head": "[[0, 1]]", "tail": "[[6, 7]]", "relation": f"r{n % 20}",
         "head_type": "", "tail_type": "", "split": ""}
        for n in range(200)
    ]  # fmt: skip
    found = read_sentences(rows, SplitConfig(test=0.2, dev=0.2), given=False)
    by_relation: dict[str, set[str]] = {}
    for each in found:
        by_relation.setdefault(each.relation, set()).add(each.split)
    assert all(len(splits) == 1 for splits in by_relation.values())
    assert {split for splits in by_relation.values() for split in splits} == {"train", "dev", "test"}


def test_the_audit_names_what_is_odd() -> None:
    rows = [
        sentence("Ann met Bo", "Ann", "Bo", "met", sentence_id="1"),
        sentence("Ann met Bo", "Ann", "Bo", "knows", sentence_id="2", split="dev"),
        sentence("Cy knows De", "Cy", "De", "knows", sentence_id="3"),
        Sentence(sentence_id="4", text="Bank of Ireland", head=((0, 15),), tail=((8, 15),), relation="met"),
        Sentence(sentence_id="5", text="Ann met Bo again", head=((0, 1),), tail=((2, 3),), relation="met"),  # by token
    ]
    found = audit_sentences(rows).findings
    assert {name: each.count for name, each in found.items()} == {
        "W_TEXT_DUP": 1,
        "W_LABEL_CONFLICT_TEXT": 1,
        "W_SPAN_OVERLAP": 1,
        "W_SPAN_IN_WORD": 1,
        "W_SPLIT_RELATION": 1,
    }
    with pytest.raises(DataError, match="one relation"):
        audit_sentences(rows[:1])


# -- triplets ------------------------------------------------------------------------------------


@pytest.fixture
def towns() -> list[Sentence]:
    names = [("Ann Lee", "Bo"), ("Cy", "Delft"), ("Eva", "Faro"), ("Gus", "Hull"), ("Ida", "Jena"), ("Kim", "Lodz")]
    frames = {
        "born in": ["H was born in T", "the birthplace of H is T", "T is where H came into the world"],
        "left": ["H left T for good", "from T H went away", "nobody in T saw H again"],
        "rules": ["H has ruled T for years", "the mayor of T is called H", "in T the word of H is law"],
    }
    return [
        sentence(frame.replace("H", head).replace("T", tail, 1), head, tail, relation, sentence_id=f"{relation}{n}{at}")
        for relation, found in frames.items()
        for n, frame in enumerate(found)
        for at, (head, tail) in enumerate(names[n::2])
    ]


def test_the_positive_says_the_same_of_others_and_the_negative_something_else_of_the_same(
    towns: list[Sentence],
) -> None:
    of_text = {each.text: each for each in towns}
    builder = TripletBuilder(towns, TripletConfig())
    examples = builder.build()
    assert examples
    frames = {each.frame(): each.relation for each in builder.sentences}
    for each in examples:
        own = of_text[each.anchor]
        head, tail = own.entity("head"), own.entity("tail")
        assert head not in each.positive
        assert tail not in each.positive
        assert each.group == own.relation
        (negative,) = each.negatives
        assert head in negative
        assert tail in negative
        assert each.negative_groups[0] != own.relation
        donor = next(other for other in builder.sentences if other.swapped(head, tail) == negative)
        assert frames[donor.frame()] == each.negative_groups[0]


def test_the_published_recipe_is_a_setting(towns: list[Sentence]) -> None:
    builder = TripletBuilder(towns, TripletConfig(negatives=("same-relation",)))
    examples = builder.build()
    of_text = {each.text: each for each in towns}
    assert examples
    for each in examples:
        own = of_text[each.anchor]
        peers = [other.swapped(own.entity("head"), own.entity("tail")) for other in builder.sentences
                 if other.relation == own.relation]  # fmt: skip
        assert each.negatives[0] in peers
        assert (each.group, each.negative_groups) == ("", ("",))  # nothing says that it is right after all


def test_both_kinds_of_negatives_and_other_positives(towns: list[Sentence]) -> None:
    mixed = TripletBuilder(towns, TripletConfig(negatives=("same-entities", "same-relation"))).build()
    assert all(len(each.negatives) == 2 and each.negative_groups[1] == "" != each.negative_groups[0] for each in mixed)
    texts = {each.text for each in towns}
    plain = TripletBuilder(towns, TripletConfig(positive="sentence")).build()
    assert all(each.positive in texts and each.positive != each.anchor for each in plain)
    assert TripletBuilder(towns, TripletConfig(positive="swapped-sentence", types=False)).build()


def test_the_same_seed_gives_the_same_triplets_whatever_the_order(towns: list[Sentence]) -> None:
    first = TripletBuilder(towns, TripletConfig(seed=3)).build()
    assert first == TripletBuilder(towns, TripletConfig(seed=3)).build()
    assert first != TripletBuilder(towns, TripletConfig(seed=4)).build()


def test_types_are_kept(towns: list[Sentence]) -> None:
    years = [sentence(f"{town} grew in {year}", town, str(year), "grew in", sentence_id=f"y{year}")
             for town, year in [("Bo", 1900), ("Faro", 1910), ("Hull", 1955)]]  # fmt: skip
    for config in (TripletConfig(), TripletConfig(types=False)):
        builder = TripletBuilder([*towns, *years], config)
        examples = {each.anchor: each for each in builder.build() if each.source == "born in"}
        mixed = any("grew in" in text for each in examples.values() for text in each.negatives)
        assert mixed is (not config.types)  # a person does not take the place of a town, nor a town that of a year
    assert {each.kind("tail") for each in years} == {"number"}
    assert sentence("a dog bit Bo", "a dog", "Bo").kind("head") == "word"
    assert sentence("a dog bit Bo", "a dog", "Bo", head_type="animal").kind("head") == "animal"


def test_copies_and_what_cannot_be_built_are_counted(towns: list[Sentence]) -> None:
    more = [
        *towns,
        sentence("Zoe left Zug for good", "Zoe", "Zug", "left", sentence_id="copy"),  # the frame of another one
        Sentence(sentence_id="in", text="Bank of Ireland", head=((0, 15),), tail=((8, 15),), relation="left"),
        sentence("Only Una reads Ulm", "Una", "Ulm", "reads", sentence_id="alone"),
    ]
    builder = TripletBuilder(more, TripletConfig())
    builder.build()
    assert builder.dropped["the entities lie in each other"] == 1
    assert builder.dropped["a copy of another sentence of its relation"] > 0
    assert builder.dropped["no other sentence of its relation with other entities of their types"] >= 1
    few = TripletBuilder(more, TripletConfig(per_relation=2))
    assert max(len(rows) for rows in few.by_relation.values()) == 2
    with pytest.raises(DataError, match="fewer than two relations"):
        TripletBuilder([each for each in towns if each.relation == "left"], TripletConfig())


def test_the_example_builds_its_triplets_and_shows_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    folder = Path(shutil.copytree(ROOT / "examples" / "intents", tmp_path / "p", ignore=shutil.ignore_patterns("work")))
    assert run_command(["--quiet", "triplets", "--project", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "triplets of" in said
    assert "positive" in said
    assert "negative" in said
    assert run_command(["--quiet", "check", "--project", str(folder)]) == 0
    assert "splits by relation" in capsys.readouterr().out


def test_the_real_fewrel_is_read_whole(real_data: Path, tmp_path: Path) -> None:
    columns = {
        "text": "tokens",
        "head": "head_mentions",
        "tail": "tail_mentions",
        "relation": "relation",
        "split": "split",
    }
    books = importer(ImportConfig(shape="relations", columns=columns)).run(
        [real_data / "fewrel" / "fewrel.parquet"], tmp_path
    )
    assert (books.rows_in, books.rejected) == (40_436, 0)
    records = read_all(tmp_path)
    for row in records[::997]:
        first = json.loads(row["head"])[0]
        found, name = row["text"][first[0] : first[1]], json.loads(row["fields"])["head"]
        assert found.lower().replace(" ", "") == name.lower().replace(" ", "")
