"""Collections of ir_datasets: a real one of the library, made here, all the way into a project."""

import os
import tempfile
from pathlib import Path

import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import DataError
from honed.data.ir_datasets import fetch_ir

os.environ.setdefault("IR_DATASETS_HOME", tempfile.mkdtemp(prefix="honed-ir-"))  # the library makes folders there
ir_datasets = pytest.importorskip("ir_datasets")
NAME = "honed-local"


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("ir")
    (folder / "docs.tsv").write_text("".join(f"d{n}\tall about thing number {n}\n" for n in range(12)))
    for part, numbers in (("train", range(4)), ("test", range(4, 12))):
        (folder / f"{part}.tsv").write_text("".join(f"q{n}\twhat is thing {n}\n" for n in numbers))
        (folder / f"{part}.qrels").write_text("".join(f"q{n} 0 d{n} {1 + n % 2}\n" for n in numbers))
        made = ir_datasets.create_dataset(
            docs_tsv=str(folder / "docs.tsv"),
            queries_tsv=str(folder / f"{part}.tsv"),
            qrels_trec=str(folder / f"{part}.qrels"),
        )
        ir_datasets.registry.register(f"{NAME}/{part}", made)
    return NAME


def test_a_collection_becomes_a_project(collection: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["datasets", "fetch", f"ir:{collection}", "--to", str(tmp_path)]) == 0
    folder = tmp_path / collection
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {"corpus.jsonl", "queries.jsonl", "qrels/train.tsv", "qrels/test.tsv"}
    assert run_command(["init", str(folder), "--project", str(tmp_path)]) == 0
    Project(tmp_path).run(until="check")
    audit = Project(tmp_path).audit()
    assert audit.data["documents"] == 12
    assert audit.data["grades"] == {"1": 6, "2": 6}
    assert audit.data["splits"]["test"] == 8


def test_an_unknown_name_is_refused_with_a_near_one(collection: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"knows no {collection[:-1]}s"):
        fetch_ir(collection[:-1] + "s", tmp_path)
