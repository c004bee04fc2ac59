"""A stranger's files as they come: what ``honed init`` says of them, and what it writes runs with nothing edited."""

import csv
import gzip
import html
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from honed import Project
from honed.artifacts.data import CheckArtifact, ImportArtifact
from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError
from honed.data.split_names import split_named, split_of_file
from honed.project.init import propose
from honed.shapes.texts import whole_text

INTENTS = {
    "alarm": "wake me at",
    "weather": "will it rain in",
    "music": "play a song about",
    "call": "phone my friend in",
}
PLACES = ("Oslo", "Lima", "Kiel", "Turin", "Ghent", "Delft", "Basel", "Porto", "Leeds", "Turku")
TAILS = ("today", "tomorrow", "on Monday", "tonight", "at noon", "next week")
UTTERANCES = [(f"{start} {place} {tail}", intent) for tail in TAILS for place in PLACES
              for intent, start in INTENTS.items()]  # fmt: skip
TRAIN, DEV, TEST = UTTERANCES[:160], UTTERANCES[160:200], UTTERANCES[200:]


def write_csv(
    path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("text", "category"), **form: str
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=form.pop("encoding", "utf-8"), newline="") as file:
        csv.writer(file, **form).writerows([*([header] if header else []), *rows])  # type: ignore[arg-type]


def write_parquet(path: Path, rows: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts, labels = zip(*rows, strict=True)
    pq.write_table(pa.table({"text": texts, "label": labels}), path)


def train_and_test(folder: Path) -> str:
    write_csv(folder / "train.csv", TRAIN)
    write_csv(folder / "test.csv", TEST)
    return "test.csv, train.csv -> splits"


def names_with_more(folder: Path) -> str:
    write_csv(folder / "banking_train.csv", TRAIN)
    write_csv(folder / "banking_test.csv", TEST)
    return "banking_test.csv, banking_train.csv -> splits"


def json_lines(folder: Path) -> str:
    for name, rows in (("train", TRAIN), ("dev", DEV), ("test", TEST)):
        lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    return "dev.jsonl, test.jsonl, train.jsonl -> splits"


def tabs(folder: Path) -> str:
    for name, rows in (("train", TRAIN), ("validation", DEV), ("test", TEST)):
        write_csv(folder / f"{name}.tsv", rows, delimiter="\t")
    return "test.tsv, train.tsv, validation.tsv -> splits"


def hub(folder: Path) -> str:
    (folder / "README.md").write_text("# a card")
    for name, rows in (("train", TRAIN), ("validation", DEV), ("test", TEST)):
        write_parquet(folder / "data" / f"{name}-00000-of-00001.parquet", rows)
    return "column 'split' is the split (test 40, train 160, validation 40)"


def folders_of_splits(folder: Path) -> str:
    write_csv(folder / "train" / "data.csv", TRAIN)
    write_csv(folder / "test" / "data.csv", TEST)
    return "test/data.csv, train/data.csv -> splits"


def without_test(folder: Path) -> str:
    write_csv(folder / "train.csv", TRAIN)
    write_csv(folder / "validation.csv", TEST)
    return "no split is called test: dev is measured on"


def odd_splits(folder: Path) -> str:
    sides = (("train", TRAIN), ("val", DEV), ("official_test", TEST))
    rows = [(text, label, side) for side, part in sides for text, label in part]
    write_csv(folder / "all.csv", rows, ("text", "label", "split"))
    return "splits: official_test -> test, see [data] splits"


def semicolons(folder: Path) -> str:
    for name, rows in (("train", TRAIN), ("test", TEST)):
        write_csv(folder / f"{name}.csv", rows, delimiter=";", encoding="utf-8-sig")
    return "test.csv, train.csv -> splits"


def no_names(folder: Path) -> str:
    write_csv(folder / "train.csv", TRAIN, ())
    write_csv(folder / "test.csv", TEST, ())
    return "no line of names: the columns are text, label"


def ids_of_each_file(folder: Path) -> str:
    for name, rows in (("train", TRAIN), ("test", TEST)):
        write_csv(folder / f"{name}.csv", [(str(at), *row) for at, row in enumerate(rows)], ("id", "text", "label"))
    return "column 'id' is no id, a value stands twice"


def other_names(folder: Path) -> str:
    write_csv(folder / "train.csv", TRAIN, ("Nachricht", "Anliegen"))
    write_csv(folder / "test.csv", TEST, ("Nachricht", "Anliegen"))
    return "column 'Anliegen' is the label"


def a_test_without_labels(folder: Path) -> str:
    write_csv(folder / "train.csv", UTTERANCES)
    write_csv(folder / "test.csv", [("will it snow", "1")], ("text", "row"))
    return "test.csv left out: no column category"


LABELLED = [train_and_test, names_with_more, json_lines, tabs, hub, folders_of_splits, without_test, odd_splits,
            semicolons, no_names, ids_of_each_file, other_names, a_test_without_labels]  # fmt: skip
QUESTIONS = [(str(301 + at), f"where to stay in {place}") for at, place in enumerate(PLACES)]
PASSAGES = [(f"D-{at}", f"{place}, a town", f"{place} has hotels near the harbour & a market") for at, place in
            enumerate(PLACES)]  # fmt: skip
JUDGED = [
    (number, doc) for (number, _), (doc, _, _) in zip(QUESTIONS[:-1], PASSAGES, strict=False)
]  # one has no answer
QRELS = "".join(f"{number} 0 {doc} 1\n" for number, doc in JUDGED)
SGML = "".join(
    f"<DOC>\n<DOCNO> {doc} </DOCNO>\n<HEADLINE>{title}</HEADLINE>\n<TEXT>\n{html.escape(text)}\n</TEXT>\n</DOC>\n"
    for doc, title, text in PASSAGES
)
TOPICS = "".join(
    f"<top>\n<num> Number: {number}\n<title> {text}\n\n<desc> Description:\nHotels of a town.\n\n</top>\n\n"
    for number, text in QUESTIONS
)


def trec(folder: Path) -> str:
    (folder / "docs").mkdir()
    half = SGML.index("<DOC>", len(SGML) // 2)
    (folder / "docs" / "part1").write_text(SGML[:half])
    (folder / "docs" / "part2").write_text(SGML[half:])
    (folder / "topics.301-310").write_text(TOPICS)
    (folder / "qrels.301-310").write_text(QRELS)
    return "queries: topics.301-310"


def trec_with_endings(folder: Path) -> str:
    (folder / "docs.sgml").write_text(SGML)
    (folder / "topics.txt").write_text(TOPICS)
    (folder / "qrels.txt").write_text(QRELS)
    return "documents: docs.sgml"


def trec_packed(folder: Path) -> str:
    for name, text in (("docs.trec.gz", SGML), ("topics.gz", TOPICS), ("qrels.gz", QRELS)):
        (folder / name).write_bytes(gzip.compress(text.encode()))
    return "qrels: qrels.gz"


def cranfield(folder: Path) -> str:
    """Its queries have ids with gaps, and its judgements name their places."""
    documents = [f".I {at}\n.T\n{title}\n.A\nnobody\n.W\n{text}\n" for at, (_, title, text) in enumerate(PASSAGES, 1)]
    (folder / "cran.all.1400").write_text("".join(documents))
    queries = [f".I {3 * at + 1:03d}\n.W\n{text}\n" for at, (_, text) in enumerate(QUESTIONS)]
    (folder / "cran.qry").write_text("".join(queries))
    (folder / "cranqrel").write_text("".join(f"{at} {at} 1\n" for at in range(1, len(JUDGED) + 1)))
    return "queries: cran.qry"


def ms_marco(folder: Path) -> str:
    (folder / "collection.tsv").write_text("".join(f"{doc}\t{text}\n" for doc, _, text in PASSAGES))
    (folder / "queries.tsv").write_text("".join(f"q-{number}\t{text}\n" for number, text in QUESTIONS))
    (folder / "qrels.train.tsv").write_text("".join(f"q-{number}\t0\t{doc}\t1\n" for number, doc in JUDGED[:5]))
    (folder / "qrels.dev.tsv").write_text("".join(f"q-{number}\t0\t{doc}\t1\n" for number, doc in JUDGED[5:]))
    return "qrels: qrels.dev.tsv, qrels.train.tsv"


SEARCHED = [trec, trec_with_endings, trec_packed, cranfield, ms_marco]


def proposed(write: Callable[[Path], str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files, said = folder / "files", ""
    files.mkdir()
    said = write(files)
    assert run_command(["init", str(files), "--project", str(folder)]) == 0
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("write", LABELLED, ids=lambda write: write.__name__)
def test_labelled_texts_are_searched_by_label(
    write: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proposed(write, tmp_path, capsys)
    written = (tmp_path / "honed.toml").read_text()
    assert "[retrieval]" in written
    assert "[label]" not in written
    project = Project(tmp_path)
    project.run(until="check")
    rows = sum(1 for _ in project.audit().data["labels"].values())  # type: ignore[union-attr]
    assert (rows, project.audit().data["labelled"]) == (4, project.audit().data["records"])


@pytest.mark.parametrize("write", SEARCHED, ids=lambda write: write.__name__)
def test_collections_with_judgements_are_searched(
    write: Callable[[Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proposed(write, tmp_path, capsys)
    project = Project(tmp_path)
    project.run(until="check")
    audit = project.audit().data
    assert (audit["documents"], audit["queries"], audit["judgements"]) == (10, 9, 9)
    assert audit["findings"]["W_QUERY_WITHOUT_ANSWER"]["count"] == 1  # type: ignore[index, call-overload]


def test_cranfields_judgements_name_places_of_queries(tmp_path: Path) -> None:
    cranfield(tmp_path)
    assert 'query_columns = { "query_id" = "number" }' in propose([tmp_path], tmp_path, given={}, shape=None).text


def test_files_named_after_splits_divide_the_queries(tmp_path: Path) -> None:
    ms_marco(tmp_path)
    (tmp_path / "honed.toml").write_text(propose([tmp_path], tmp_path, given={}, shape=None).text)
    Project(tmp_path).run(until="check")
    splits = Project(tmp_path).audit().data["splits"]
    assert isinstance(splits, dict)
    assert splits["test"] == 4  # those of dev, where there is no test


@pytest.mark.parametrize(("name", "lacking"), [("train", "anything but train"), ("dev", "train")])
def test_judgements_of_one_split_alone_are_divided(name: str, lacking: str, tmp_path: Path) -> None:
    ms_marco(tmp_path)
    (tmp_path / "qrels.dev.tsv").unlink()
    (tmp_path / "qrels.train.tsv").rename(tmp_path / f"qrels.{name}.tsv")
    (tmp_path / "honed.toml").write_text(propose([tmp_path], tmp_path, given={}, shape=None).text)
    Project(tmp_path, settings={"split.test": 0.4}).run(until="check")
    findings = Project(tmp_path).audit().data["findings"]
    assert f"no query is given for {lacking}: the splits are drawn" in str(findings)


def test_texts_of_which_half_have_a_label_get_weak_ones(tmp_path: Path) -> None:
    write_csv(tmp_path / "texts.csv", [(text, label if at % 2 else "") for at, (text, label) in enumerate(UTTERANCES)])
    proposal = propose([tmp_path / "texts.csv"], tmp_path, given={}, shape=None)
    assert "[label]" in proposal.text
    assert (
        "120 of 240 texts have a label -> weak labels from rules, lists and hand labels, see [label]" in proposal.notes
    )


def test_other_words_for_splits_are_read_as_honed_toml_says(tmp_path: Path) -> None:
    odd_splits(tmp_path)
    (tmp_path / "honed.toml").write_text(propose([tmp_path], tmp_path, given={}, shape=None).text)
    project = Project(tmp_path)
    project.run(until="check")
    splits = Counter(record["split"] for record in project.runner.latest(ImportArtifact).records())
    assert splits == {"train": 160, "dev": 40, "test": 40}
    wrong = Project(tmp_path, settings={"data.splits": {}})
    with pytest.raises(DataError, match=r'splits = \{ "official_test" = "test" \}'):
        wrong.run(until="check")
    with pytest.raises(ConfigError, match="'held' is not one of train, dev, test"):
        Project(tmp_path, settings={"data.splits": {"official_test": "held"}})


def test_aliases_in_files_named_after_splits_get_a_dev_of_train(tmp_path: Path) -> None:
    names = [(str(n), f"University of {place}", f"{place[:3]} {n}") for n, place in enumerate(PLACES)]
    write_csv(tmp_path / "train.csv", names[:7], ("id", "label", "alias"))
    write_csv(tmp_path / "test.csv", names[7:], ("id", "label", "alias"))
    (tmp_path / "honed.toml").write_text(propose([tmp_path], tmp_path, given={}, shape=None).text)
    project = Project(tmp_path)
    project.run(until="check")
    check = project.runner.latest(CheckArtifact)
    sizes = [len(check.task("alias-to-label", split).queries) for split in ("dev", "test")]
    assert sizes[0] >= 1
    assert sizes[1] == 3
    assert sum(sizes) + len(check.examples()) == 10


def test_one_file_named_train_is_no_split(tmp_path: Path) -> None:
    write_csv(tmp_path / "train.csv", UTTERANCES)
    proposal = propose([tmp_path / "train.csv"], tmp_path, given={}, shape=None)
    assert "split =" not in proposal.text
    assert any("train, dev and test are drawn" in note for note in proposal.notes)


def test_few_bad_rows_are_left_out_and_told(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [*UTTERANCES, ("", "alarm")])
    proposal = propose([tmp_path / "t.csv"], tmp_path, given={}, shape=None)
    assert 'on_bad_row = "quarantine"  # 1 of 241 rows are bad (E_TEXT_EMPTY 1)' in proposal.text
    assert any("t.csv, line 242, text: empty" in note for note in proposal.notes)


def test_bytes_of_another_encoding_are_not_left_out(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [*UTTERANCES, ("spela en låt", "music")], encoding="cp1252")
    proposal = propose([tmp_path / "t.csv"], tmp_path, given={}, shape=None)
    assert 'on_bad_row = "stop"' in proposal.text
    assert any("--encoding cp1252" in note for note in proposal.notes)


def test_a_label_in_two_spellings_is_one(tmp_path: Path) -> None:
    rows = [(text, label.upper() if at == 7 else label) for at, (text, label) in enumerate(UTTERANCES)]
    write_csv(tmp_path / "t.csv", rows)
    proposal = propose([tmp_path / "t.csv"], tmp_path, given={}, shape=None)
    assert 'labels = ["alarm", "weather", "music", "call"]' in proposal.text
    assert any("call = CALL" in note for note in proposal.notes)


def test_a_text_that_begins_with_its_title_is_read_once() -> None:
    assert whole_text("Storm in Oslo", "Storm in Oslo: roofs fly") == "Storm in Oslo: roofs fly"
    assert whole_text("Storm in Oslo.", "storm in oslo") == "storm in oslo"
    assert whole_text("Storm", "Stormy weather") == "Storm Stormy weather"
    assert whole_text("Storm", "") == "Storm"


def test_texts_longer_than_the_model_reads_are_told(tmp_path: Path, tiny_model: Path) -> None:
    write_csv(tmp_path / "t.csv", [(f"{text} " * 60, label) for text, label in UTTERANCES])
    proposal = propose([tmp_path / "t.csv"], tmp_path, given={}, shape=None)
    assert any("240 of 240 texts are longer than 256 tokens: what follows is cut" in note for note in proposal.notes)


def test_a_length_that_would_cut_most_documents_is_not_set(tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": doc, "text": f"{text}. " * 20}) + "\n" for doc, _, text in PASSAGES)
    )
    (tmp_path / "queries.tsv").write_text("".join(f"{number}\t{text}\n" for number, text in QUESTIONS))
    (tmp_path / "qrels").write_text(QRELS)
    text = propose([tmp_path], tmp_path, given={}, shape=None).text
    assert "\n# max_length = 128" in text
    assert "\nmax_length" not in text


@pytest.mark.parametrize(
    ("name", "split"),
    [("banking_train", "train"), ("official test", "test"), ("validation", "dev"), ("trainer", ""), ("train_test", "")],
)
def test_names_of_splits(name: str, split: str) -> None:
    assert split_named(name) == split


@pytest.mark.parametrize(
    ("file", "folder", "split"),
    [
        ("queries.dev.tsv", "", "dev"),
        ("test.csv.gz", "", "test"),
        ("data.csv", "train", "train"),
        ("data.csv", "a", ""),
    ],
)
def test_splits_of_files(file: str, folder: str, split: str) -> None:
    assert split_of_file(file, folder) == split


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("write", [train_and_test, trec_packed], ids=lambda write: write.__name__)
def test_what_is_written_runs_to_a_report_and_a_search(
    write: Callable[[Path], str], tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proposed(write, tmp_path, capsys)
    project = Project(tmp_path, settings={"model.base": str(tiny_model)})  # a small model: nothing else is changed
    project.run()
    assert project.report().systems
    assert len(project.searcher().search("hotels in Oslo", k=3)) == 3
