"""Documents, queries and judgements: from tables, BEIR folders and TREC files to examples and judged tasks."""

import json
from pathlib import Path
from typing import Any

import pytest

from honed.core.errors import ConfigError, DataError
from honed.data.rows import ImportConfig
from honed.data.split import SplitConfig
from honed.shapes.judgments.compile import (
    audit_judgments,
    judged_examples,
    judged_task,
    made_queries,
    queries_not_trained_on,
)
from honed.shapes.judgments.config import JudgmentsConfig
from honed.shapes.judgments.documents import documents_of
from honed.shapes.judgments.read import Judgments, read_documents, read_judgments


def document(doc_id: str, text: str, title: str = "", **fields: str) -> dict[str, str]:
    return {"id": doc_id, "title": title, "text": text, "fields": json.dumps(fields)}


DOCUMENTS = [document(f"d{n}", f"about thing number {n}") for n in range(40)]


def read(
    folder: Path, documents: Any = DOCUMENTS, on_bad_row: str = "stop", on_leak: str = "withhold", **settings: Any
) -> Judgments:
    given: dict[str, Any] = {"queries": ("queries.csv",), "qrels": ("qrels.csv",), "dev_queries": 0, **settings}
    split, config = SplitConfig(test=0.3, dev=0.2, on_leak=on_leak), JudgmentsConfig(**given)
    form = ImportConfig(shape="judgments", columns={}, on_bad_row=on_bad_row)
    return read_judgments(read_documents(documents, config, {}), config, folder, form, split, folder / "read")


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    queries = ["query_id,query", *(f"q{n},where is thing {n}" for n in range(40))]
    qrels = ["query_id,doc_id,relevance", *(f"q{n},d{n},{1 + n % 3}" for n in range(40))]
    qrels += [f"q{n},d{(n + 1) % 40},0" for n in range(40)]
    (tmp_path / "queries.csv").write_text("\n".join(queries))
    (tmp_path / "qrels.csv").write_text("\n".join(qrels))
    return tmp_path


def test_splits_are_drawn_by_query_and_examples_come_from_train_alone(tables: Path) -> None:
    found = read(tables)
    assert set(found.splits.values()) == {"train", "dev", "test"}
    assert found.splits == read(tables).splits
    config = JudgmentsConfig(queries=(), qrels=())
    examples = judged_examples(found, config)
    train = {found.queries[query] for query, split in found.splits.items() if split == "train"}
    assert {each.anchor for each in examples} == train
    for each in examples:
        n = int(each.anchor.split()[-1])
        assert each.positive == f"about thing number {n}"
        assert each.negatives == (f"about thing number {(n + 1) % 40}",)
        assert each.weight == pytest.approx((1 + n % 3) / 3)
    test = judged_task(found, config, "x", "test")
    assert {query.text for query in test.queries}.isdisjoint(train)
    assert len(test.corpus) == 40
    assert all(sorted(test.qrels.grades[query.query_id].values())[0] == 0 for query in test.queries)


def test_a_grade_counts_as_right_from_where_one_says(tables: Path) -> None:
    found = read(tables, relevant_from=2)
    assert found.dropped["W_QUERY_WITHOUT_ANSWER"] == 14
    assert {grade for grades in found.grades.values() for grade in grades.values()} == {0, 2, 3}


def test_beir_and_trec_are_read_as_they_are(tables: Path) -> None:
    folder = tables / "qrels"
    folder.mkdir()
    (tables / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": f"q{n}", "text": f"where is thing {n}"}) for n in range(40))
    )
    for name, rows in {"train": range(20), "dev": range(20, 30), "test": range(30, 40)}.items():
        lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in rows)]
        (folder / f"{name}.tsv").write_text("\n".join(lines))
    beir = read(tables, queries=("queries.jsonl",), qrels=("qrels",))
    assert beir.splits == {f"q{n}": "train" if n < 20 else "dev" if n < 30 else "test" for n in range(40)}
    (tables / "topics.txt").write_text("\n".join(f"q{n}\twhere is thing {n}" for n in range(40)))
    (tables / "qrels.txt").write_text("\n".join(f"q{n} 0 d{n} 1" for n in range(40)))
    trec = read(tables, queries=("topics.txt",), qrels=("qrels.txt",))
    assert trec.queries == beir.queries
    assert trec.grades == beir.grades


def test_where_there_is_no_test_dev_is_measured_on_and_another_is_drawn(tables: Path) -> None:
    rows = [
        "query_id,text,split",
        *(f"q{n},where is thing {n},{'validation' if n < 10 else 'train'}" for n in range(40)),
    ]
    (tables / "queries.csv").write_text("\n".join(rows))
    found = read(tables)
    assert {query for query, split in found.splits.items() if split == "test"} == {f"q{n}" for n in range(10)}
    assert "dev" in found.splits.values()


def test_what_is_asked_in_test_is_neither_trained_on_nor_chosen_by(tables: Path) -> None:
    rows = ["query_id,text,split"]
    for n in range(40):
        split = "train" if n < 20 else "dev" if n < 30 else "test"
        rows += [f"q{n},where is thing {n},{split}"]
    rows += ["r1,WHERE is  thing 35,train", "r2,Where is thing 36,dev", "r3,Where is thing 25,train", "r4,new,"]
    (tables / "queries.csv").write_text("\n".join(rows))
    with (tables / "qrels.csv").open("a") as file:
        file.writelines(f"\nr{n},d{n},1" for n in range(1, 5))
    found = read(tables)
    assert [found.splits[f"r{n}"] for n in range(1, 5)] == ["withheld", "withheld", "withheld", "train"]
    assert found.dropped["W_QUERY_WITHHELD"] == 3
    assert found.splits["q35"] == "test"


def test_a_query_on_two_sides_is_withheld_from_train_with_what_was_judged_there(tables: Path) -> None:
    (tables / "qrels").mkdir()
    for name, rows in {"train": range(25), "test": range(20, 40)}.items():
        lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n if name == 'test' else n + 1}\t1" for n in rows)]
        (tables / "qrels" / f"{name}.tsv").write_text("\n".join(lines))
    found = read(tables, qrels=("qrels",))
    assert {query for query, split in found.splits.items() if split == "test"} == {f"q{n}" for n in range(20, 40)}
    assert found.grades["q20"] == {"d20": 1}  # not d21, which is right in train
    assert found.dropped["W_SPLIT_LEAK"] == 5
    with pytest.raises(DataError, match=r"5 texts on two sides.*query q20 stands in test and train; query q21"):
        read(tables, qrels=("qrels",), on_leak="stop")


def test_a_text_asked_on_two_given_sides_is_refused_where_that_is_wanted(tables: Path) -> None:
    rows = ["query_id,text,split", *(f"q{n},thing {n % 35},{'train' if n < 20 else 'test'}" for n in range(40))]
    (tables / "queries.csv").write_text("\n".join(rows))
    assert read(tables).dropped["W_QUERY_WITHHELD"] == 5
    with pytest.raises(DataError, match="query q1 of train is asked in a later split: thing 1"):
        read(tables, on_leak="stop")


def test_a_template_says_how_fields_become_text() -> None:
    rows = [
        document("1", "quiet", "Fan", brand="Acme", colour="red"),
        document("2", "", "Hob", brand="", colour=""),
        document("3", "", "", brand="", colour=""),
    ]
    found = list(documents_of(rows, "{brand} {title}, {colour}: {text}", {}))
    assert [text for _, text, _ in found] == ["Acme Fan, red: quiet", "Hob", ""]
    assert found[0][2] == {"brand": "Acme", "colour": "red", "title": "Fan"}
    assert [text for _, text, _ in documents_of(rows, "", {})] == ["Fan quiet", "Hob", ""]
    some = [*rows, document("4", "x", "Lamp", size="big")]
    assert [text for *_, text, _ in documents_of(some, "{size} {title}", {})] == ["Fan", "Hob", "", "big Lamp"]
    by_column = documents_of(rows[:1], "{name}: {about}", {"title": "name", "text": "about"})
    assert [text for _, text, _ in by_column] == ["Fan: quiet"]
    with pytest.raises(ConfigError, match="no field brnd; did you mean brand"):
        list(documents_of(rows, "{brnd}", {}))
    for wrong in ("{title", "title}", "{}", "{a{b}}"):
        with pytest.raises(ConfigError, match="template"):
            JudgmentsConfig(queries=(), qrels=(), template=wrong).check("honed.toml")


@pytest.mark.parametrize(
    ("file", "row", "code"),
    [
        ("qrels.csv", "q1,d5,best", "E_GRADE"),
        ("qrels.csv", "q1,d5,1.5", "E_GRADE"),
        ("qrels.csv", "q1,d1,0", "E_QREL_CONFLICT"),
        ("queries.csv", "q1,something else", "E_ID_DUP"),
        ("queries.csv", "q1,too,many", "E_CSV_WIDTH"),
    ],
)
def test_contradictions_are_refused(tables: Path, file: str, row: str, code: str) -> None:
    with (tables / file).open("a") as out:
        out.write("\n" + row)
    with pytest.raises(DataError) as error:
        read(tables)
    assert error.value.code == code


def test_what_is_left_out_is_counted(tables: Path) -> None:
    with (tables / "queries.csv").open("a") as out:
        out.write("\nq90,nobody judged this\nq91,\u200b")
    with (tables / "qrels.csv").open("a") as out:
        out.write("\nq1,gone,1\nnobody,d1,1")
    documents = [*DOCUMENTS, document("empty", " "), document("again", "About thing  number 1")]
    with pytest.raises(DataError, match=r"queries.csv, line 43, text: nothing visible \(U\+200B\).*quarantine"):
        read(tables, documents=documents)
    found = read(tables, documents=documents, on_bad_row="quarantine")
    assert dict(found.dropped) == {
        "W_DOCUMENT_EMPTY": 1,
        "W_QREL_UNKNOWN_DOCUMENT": 1,
        "W_QREL_UNKNOWN_QUERY": 1,
        "W_QUERY_WITHOUT_ANSWER": 1,
    }
    audit = audit_judgments(found, {"1": "near"})
    assert audit.findings["W_TEXT_DUP"].samples == ["d1 = again"]
    assert (audit.documents, audit.queries, audit.judgements) == (41, 40, 80)
    assert any(", 1 (near): " in line for line in audit.lines())
    books = found.books["queries"]
    assert (books.rows_in, books.accepted, books.rejected) == (42, 41, 1)
    assert dict(books.reasons) == {"E_TEXT_EMPTY": 1}
    assert (found.books["qrels"].rows_in, found.books["qrels"].rejected) == (82, 0)


def test_queries_are_made_of_documents(tables: Path) -> None:
    rows = [
        document("a", "The red kettle boils water. It has a long cord and a lid.", "Red kettle"),
        document("b", "The blue kettle boils milk. It has a short cord.", "Blue kettle"),
        document("c", "A red lamp with a long cord.", "where is thing 1"),
    ]
    found = read(tables, documents=[*DOCUMENTS, *rows], synthetic=3)
    config = JudgmentsConfig(queries=(), qrels=(), synthetic=3)
    made = made_queries(found, config, queries_not_trained_on(found))
    assert made == made_queries(found, config, queries_not_trained_on(found))
    of_a = [each.anchor for each in made if each.positive == found.documents["a"].text]
    assert of_a[0] == "Red kettle"
    assert len(of_a) == 3
    assert all(word in found.documents["a"].text for query in of_a for word in query.split())
    asked = {found.queries[query] for query, split in found.splits.items() if split != "train"}
    assert asked.isdisjoint(each.anchor for each in made)
    assert ("where is thing 1" in {each.anchor for each in made}) is ("where is thing 1" not in asked)
    assert {each.positive for each in made} <= {each.text for each in found.documents.values()}
    with pytest.raises(ConfigError, match="synthetic_kinds"):
        JudgmentsConfig(queries=(), qrels=(), synthetic_kinds=("poem",)).check("honed.toml")


def test_trec_files_that_are_none_are_refused(tables: Path) -> None:
    (tables / "bad.qrels").write_text("q1 0 d1 1\nq2 d2 1\n")
    with pytest.raises(DataError, match=r"bad.qrels, line 2: expected 4 columns"):
        read(tables, qrels=("bad.qrels",))
    (tables / "bad.txt").write_text("q1 no tab here\n")
    with pytest.raises(DataError, match="a tab and the text"):
        read(tables, queries=("bad.txt",))


def test_nothing_to_measure_with_is_an_error(tables: Path) -> None:
    (tables / "qrels.csv").write_text("query_id,doc_id,relevance\nq1,d1,1\n")
    with pytest.raises(DataError, match="no judged query in"):
        read(tables)
    with pytest.raises(DataError, match="no column for the grade"):
        (tables / "qrels.csv").write_text("query_id,doc_id\nq1,d1\n")
        read(tables)
