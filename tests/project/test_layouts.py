"""Real layouts of other tools and corpora: ``honed init`` and ``honed run``, and nothing is edited in between."""

import contextlib
import csv
import itertools
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from honed import Project
from honed.artifacts.evaluation import EvaluateArtifact
from honed.cli.main import run_command
from honed.core.errors import GateError

PLACES = ["Oslo", "Lima", "Kiel", "Turin", "Ghent", "Delft", "Basel", "Porto", "Leeds", "Turku", "Genoa", "Bergen"]
KINDS = ["University", "Museum", "Library"]
ENTITIES = [(f"{kind[0]}{n}", f"{kind} of {place}") for n, place in enumerate(PLACES) for kind in KINDS]


def initials(label: str) -> str:
    return "".join(word[0].upper() for word in label.split())


def excel(folder: Path) -> list[Path]:
    """Excel's export where commas are decimal marks: semicolons, cp1252's quotes in UTF-8 with a mark, blank rows."""
    rows = [[number, label, f"{label.split()[-1]} {label.split()[0]}", "1,5", ""] for number, label in ENTITIES]
    with (folder / "names.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerows([["Institutions 2024", "", "", "", ""], ["id", "name", "alias", "Preis (EUR)", ""], *rows])
        writer.writerows([[""] * 5] * 3)
    return [folder / "names.csv"]


def workbook(folder: Path) -> list[Path]:
    book = openpyxl.Workbook()
    for row in [
        ("id", "name", "alias"),
        *((number, label, f"{label[:4]} {initials(label)}") for number, label in ENTITIES),
    ]:
        book.active.append(row)
    book.save(folder / "names.xlsx")
    return [folder / "names.xlsx"]


def ror_json(folder: Path) -> list[Path]:
    records = [
        {"id": f"https://ror.org/{number}", "name": label, "aliases": [f"{label.split()[-1]} {label.split()[0]}"],
         "acronyms": [initials(label)], "country": {"country_code": "NO"}, "links": []}
        for number, label in ENTITIES
    ]  # fmt: skip
    (folder / "ror.json").write_text(json.dumps(records))
    return [folder / "ror.json"]


def ror_csv(folder: Path) -> list[Path]:
    with (folder / "ror.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "name", "aliases", "country.country_name"])
        for number, label in ENTITIES:
            writer.writerow([number, label, f"{label.split()[-1]} {label.split()[0]}; The {label}", "Norway"])
    return [folder / "ror.csv"]


def sqlite(folder: Path) -> list[Path]:
    connection = sqlite3.connect(folder / "names.db")
    connection.execute("CREATE TABLE names (id TEXT, label TEXT, alias TEXT)")
    rows = [(number, label, f"{label.split()[-1]} {label.split()[0]}") for number, label in ENTITIES]
    connection.executemany("INSERT INTO names VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    return [folder / "names.db"]


STARTS = [("the team won the cup in", "Sport"), ("soup and rye bread from", "Food"), ("a goal scored in", "Sport"),
          ("a recipe for fish from", "Food")]  # fmt: skip
DAYS = ["on a rainy Monday", "last summer", "for the first time", "again", "with many guests"]
TEXTS = [
    (f"{n}", f"{start} {place} {day}", label)
    for n, (place, (start, label), day) in enumerate(itertools.product(PLACES, STARTS, DAYS))
]


def doccano(folder: Path) -> list[Path]:
    lines = [json.dumps({"id": int(n), "text": text, "label": [label] if int(n) % 3 else [], "Comments": []})
             for n, text, label in TEXTS]  # fmt: skip
    (folder / "all.jsonl").write_text("\n".join(lines))
    return [folder / "all.jsonl"]


def label_studio(folder: Path) -> list[Path]:
    tasks = [
        {"id": int(n), "data": {"text": text}, "predictions": [], "annotations": [] if int(n) % 3 == 0 else
         [{"id": 1, "was_cancelled": False, "result": [{"type": "choices", "value": {"choices": [label]}}]}]}
        for n, text, label in TEXTS
    ]  # fmt: skip
    (folder / "export.json").write_text(json.dumps(tasks))
    return [folder / "export.json"]


def refinery(folder: Path) -> list[Path]:
    rows = [
        {"running_id": int(n), "headline": text, "__Topic__MANUAL": label if int(n) % 3 else None,
         "__Topic__WEAK_SUPERVISION": label, "__Topic__WEAK_SUPERVISION__confidence": 0.9}
        for n, text, label in TEXTS
    ]  # fmt: skip
    (folder / "refinery.json").write_text(json.dumps(rows))
    return [folder / "refinery.json"]


QUERIES = [(f"10{n}", f"where to stay in {place}") for n, place in enumerate(PLACES)]
PASSAGES = [(f"{n}", f"{place} has small hotels near the old harbour and a market") for n, place in enumerate(PLACES)]


def ms_marco(folder: Path) -> list[Path]:
    (folder / "collection.tsv").write_text("".join(f"{n}\t{text}\n" for n, text in PASSAGES))
    (folder / "queries.dev.tsv").write_text("".join(f"{n}\t{text}\n" for n, text in QUERIES))
    (folder / "qrels.dev.tsv").write_text("".join(f"10{n}\t0\t{n}\t1\n" for n in range(len(PLACES))))
    return [folder / name for name in ("collection.tsv", "queries.dev.tsv", "qrels.dev.tsv")]


def beir(folder: Path) -> list[Path]:
    base = folder / "set"
    (base / "qrels").mkdir(parents=True)
    corpus = [json.dumps({"_id": n, "title": "", "text": text, "metadata": {}}) for n, text in PASSAGES]
    (base / "corpus.jsonl").write_text("\n".join(corpus))
    (base / "queries.jsonl").write_text("\n".join(json.dumps({"_id": n, "text": text}) for n, text in QUERIES))
    lines = "".join(f"10{n}\t{n}\t1\n" for n in range(len(PLACES)))
    (base / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")
    return [base]


def hub(folder: Path) -> list[Path]:
    base, (numbers, texts) = folder / "ds", zip(*PASSAGES, strict=True)
    judged = {"query-id": [n for n, _ in QUERIES], "corpus-id": list(numbers), "score": [1] * len(PLACES)}
    for name, table in {
        "corpus/corpus-00000-of-00001": {"_id": list(numbers), "title": [""] * len(PLACES), "text": list(texts)},
        "queries/queries-00000-of-00001": {"_id": [n for n, _ in QUERIES], "text": [text for _, text in QUERIES]},
        "qrels/test-00000-of-00001": judged,
    }.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(table), base / f"{name}.parquet")
    return [base]


VERBS = {"born_in": "was born in", "works_in": "works for a firm in", "left": "has left the town of", "likes": "misses",
         "rules": "is the mayor of", "plays": "plays for the club of"}  # fmt: skip
ENDS = [
    "after the long war ended",
    "as her own sister says",
    "because nobody else wanted it",
    "though few people know that",
    "when all shops were closed",
    "until rain washed every bridge",
    "since his father bought land",
    "where lime trees grow",
]
FACTS = [
    (f"Ann{who}", verb, place, relation, end)
    for turn, (relation, verb) in enumerate(VERBS.items())
    for who, place, end in zip("abcdefgh", PLACES[turn:] + PLACES, ENDS, strict=False)
]


def tokens_of(head: str, verb: str, tail: str, end: str) -> list[str]:
    return [head, "Stone", *verb.split(), tail, *end.split()]


def tacred(folder: Path) -> list[Path]:
    rows = [
        {"id": f"e{n}", "relation": relation, "token": (tokens := tokens_of(head, verb, tail, end)), "subj_start": 0,
         "subj_end": 1, "obj_start": (at := tokens.index(tail)), "obj_end": at,
         "subj_type": "PERSON", "obj_type": "CITY"}
        for n, (head, verb, tail, relation, end) in enumerate(FACTS)
    ]  # fmt: skip
    (folder / "train.json").write_text(json.dumps(rows))
    return [folder / "train.json"]


def few_rel(folder: Path) -> list[Path]:
    rows = [
        {"relation": relation, "tokens": (tokens := tokens_of(head, verb, tail, end)),
         "head": {"text": f"{head} Stone", "type": "Q1", "indices": [[0, 1]]},
         "tail": {"text": tail, "type": "Q2", "indices": [[tokens.index(tail)]]}, "names": [relation, "what it says"]}
        for head, verb, tail, relation, end in FACTS
    ]  # fmt: skip
    (folder / "few_rel.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return [folder / "few_rel.jsonl"]


def semeval(folder: Path) -> list[Path]:
    (folder / "TRAIN_FILE.TXT").write_text(
        "".join(
            f'{n}\t"<e1>{head} Stone</e1> {verb} <e2>{tail}</e2> {end}."\n{relation}(e1,e2)\nComment: none\n\n'
            for n, (head, verb, tail, relation, end) in enumerate(FACTS, 1)
        )
    )
    return [folder / "TRAIN_FILE.TXT"]


LAYOUTS: list[tuple[Callable[[Path], list[Path]], str]] = [
    (excel, "36 entities"),
    (workbook, "36 entities"),
    (ror_json, "36 entities, 36 label strings, 36 alias pairs"),
    (ror_csv, "36 entities, 36 label strings, 72 alias pairs"),
    (sqlite, "36 entities"),
    (doccano, "records: 240, labelled 160"),
    (label_studio, "records: 240, labelled 160"),
    (refinery, "records: 240, labelled 160"),
    (ms_marco, "12 documents, 12 queries, 12 judgements"),
    (beir, "12 documents, 12 queries, 12 judgements"),
    (hub, "12 documents, 12 queries, 12 judgements"),
    (tacred, "records: 48, labelled 48"),
    (few_rel, "records: 48, labelled 48"),
    (semeval, "records: 48, labelled 48"),
]


@pytest.mark.parametrize(("write", "said"), LAYOUTS, ids=[write.__name__ for write, _ in LAYOUTS])
def test_a_layout_is_understood(
    write: Callable[[Path], list[Path]], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write(tmp_path)
    assert run_command(["init", *map(str, files), "--project", str(tmp_path)]) == 0
    capsys.readouterr()
    code = run_command(["--quiet", "check", "--project", str(tmp_path)])
    printed = "".join(capsys.readouterr())
    assert code == 0, printed
    assert said in printed


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("write", [write for write, _ in LAYOUTS], ids=[write.__name__ for write, _ in LAYOUTS])
def test_a_layout_is_run(write: Callable[[Path], list[Path]], tmp_path: Path, tiny_model: Path) -> None:
    files = write(tmp_path)
    assert run_command(["init", *map(str, files), "--project", str(tmp_path)]) == 0
    project = Project(tmp_path, settings={"model.base": str(tiny_model)})  # a small model: nothing else is changed
    with contextlib.suppress(GateError):  # which learns little from little
        project.run()
    assert project.runner.find_latest(EvaluateArtifact) is not None
