"""honed init tells documents, queries and judgements apart, and what it writes runs."""

import json
from pathlib import Path

import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import DataError
from honed.project.init import propose


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": f"d{n}", "title": f"T{n}", "text": f"about {n}", "brand": "b"} for n in range(9)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"_id": f"q{n}", "text": f"what of {n}", "metadata": ""} for n in range(9)]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for part, numbers in (("train", range(4)), ("test", range(4, 9))):
        lines = "".join(f"q{n}\td{n}\t1\n" for n in numbers)
        (folder / "qrels" / f"{part}.tsv").write_text("query-id\tcorpus-id\tscore\n" + lines)
    return folder


def test_a_folder_in_beirs_layout(beir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["init", str(beir), "--project", str(tmp_path)]) == 0
    shown = capsys.readouterr().err
    assert "queries: queries.jsonl" in shown
    assert "kept as fields: brand" in shown
    Project(tmp_path).run(until="check")
    audit = Project(tmp_path).audit()
    assert (audit.data["documents"], audit.data["queries"], audit.data["splits"]["test"]) == (9, 9, 5)


def test_three_files_in_any_order(beir: Path, tmp_path: Path) -> None:
    files = [beir / "qrels", beir / "corpus.jsonl", beir / "queries.jsonl"]
    text = propose(files, tmp_path, given={}, shape=None, encoding="utf-8").text
    assert 'input = ["data/corpus.jsonl"]' in text
    assert 'queries = ["data/queries.jsonl"]' in text
    assert 'qrels = ["data/qrels"]' in text
    assert 'template = "{title}: {text}"' in text


def test_what_is_missing_is_told(beir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="give all three"):
        propose([beir / "corpus.jsonl"], tmp_path, given={}, shape="judgments", encoding="utf-8")
