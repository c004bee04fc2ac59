"""``honed store`` from a table and a bundle: what is stored is found, changed, filtered and moved to another model."""

import json
from pathlib import Path
from typing import Any

import pytest

from honed import Project, Store
from honed.cli.main import run_command
from honed.project.export import export_bundle

ROWS = [
    {"id": f"p{number}", "text": f"{colour} {thing}", "colour": colour, "price": 10 * number}
    for number, (colour, thing) in enumerate(
        (colour, thing) for colour in ("red", "green", "blue") for thing in ("lamp", "chair", "cable", "door")
    )
]


def ran(capsys: pytest.CaptureFixture[str], *arguments: str | Path, status: int = 0) -> Any:
    capsys.readouterr()
    assert run_command(["store", *map(str, arguments)]) == status
    captured = capsys.readouterr()
    return captured.err if status else json.loads(captured.out)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def made(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    table = write(tmp_path / "rows.jsonl", ROWS)
    facts = ran(capsys, "create", tmp_path / "s", table, "--model", tiny_model, "--json")
    assert (facts["records"], facts["version"], facts["dim"]) == (12, 1, 32)
    assert facts["fields"] == {"colour": 3, "price": 12}
    return tmp_path / "s"


def test_a_store_is_searched_and_filtered(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hits = ran(capsys, "search", made, "green chair", "-k", "3", "--json")
    assert (hits[0]["id"], hits[0]["text"], hits[0]["rank"]) == ("p5", "green chair", 1)
    assert hits[0]["fields"] == {"colour": "green", "price": 50}
    cheap = ran(capsys, "search", made, "green chair", "--where", "price<50", "--where", "colour=red|blue", "--json")
    assert {hit["id"] for hit in cheap} == {"p0", "p1", "p2", "p3"}


def test_records_are_added_replaced_deleted_and_compacted(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = write(tmp_path / "more.jsonl", [{"id": "p5", "text": "green stool"}, {"id": "q1", "text": "a desk"}])
    assert "id 'p5' is in the store; replace it with  --replace" in ran(capsys, "add", made, more, status=2)
    assert ran(capsys, "add", made, more, "--replace", "--json")["records"] == 13
    assert ran(capsys, "show", made, "--record", "p5")["text"] == "green stool"
    (tmp_path / "ids.txt").write_text("p0\np1\n")
    facts = ran(capsys, "delete", made, "p2", "--file", tmp_path / "ids.txt", "--json")
    assert (facts["records"], facts["deleted"]) == (10, 4)
    assert "no record 'p0'" in ran(capsys, "delete", made, "p0", status=2)
    settings = tmp_path / "index.toml"
    settings.write_text('[index]\nbackend = "sign"\nrescore = 50\n')
    facts = ran(capsys, "compact", made, "--index", settings, "--json")
    assert (facts["records"], facts["deleted"], facts["settings"]["backend"]) == (10, 0, "sign")
    assert ran(capsys, "show", made, "--verify", "--json") == facts


def test_another_model_is_refused_and_can_be_moved_to(
    made: Path, tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    import torch
    from sentence_transformers import SentenceTransformer

    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    model = SentenceTransformer(str(other), device="cpu")
    with torch.no_grad():
        next(model.parameters()).add_(0.5 * torch.randn(next(model.parameters()).shape))
    model.save(str(other), create_model_card=False)
    refused = ran(capsys, "search", made, "lamp", "--model", other, status=2)
    assert f"honed store migrate {made} --bundle BUNDLE" in refused
    before = Store.open(made)
    facts = ran(capsys, "migrate", made, "--model", other, "--json")
    assert facts["model"]["source"] == {"model": str(other)}
    assert ran(capsys, "search", made, "blue door", "-k", "1", "--json")[0]["id"] == "p11"
    assert len(before) == len(Store.open(made)) == 12


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "x", "text": " "}, "text: no text"),
        ({"id": "", "text": "a"}, "id: no text"),
        ({"id": "x", "text": "a", "tags": ["b", "c"]}, "tags: a field holds one value"),
        ({"id": "p1", "text": "twice"}, "id 'p1' comes twice"),
    ],
)
def test_a_row_that_is_unfit_leaves_no_store(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any], message: str
) -> None:
    table = write(tmp_path / "rows.jsonl", [*ROWS, row])
    assert message in ran(capsys, "create", tmp_path / "s", table, "--model", tiny_model, status=2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["rows.jsonl"]


def test_what_is_missing_is_named(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = write(tmp_path / "rows.jsonl", ROWS)
    store = tmp_path / "s"
    assert "name the model" in ran(capsys, "create", store, table, status=2)
    shown = ran(capsys, "create", store, table, "--model", tiny_model, "--text", "txt", status=2)
    assert "no column txt; found: id, text, colour, price; did you mean text?" in shown
    assert "not a store of honed" in ran(capsys, "search", store, "x", status=3)
    (tmp_path / "t.toml").write_text("[train]\n")
    shown = ran(capsys, "create", store, table, "--model", tiny_model, "--index", tmp_path / "t.toml", status=2)
    assert "no section [index]" in shown


def test_a_bundle_makes_a_store(tmp_path: Path, small_project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = Project(small_project)
    project.run(until="index")
    bundle = export_bundle(project, tmp_path / "b")
    table = write(tmp_path / "rows.jsonl", ROWS)
    ran(capsys, "create", tmp_path / "s", table, "--bundle", bundle, "--json")
    assert ran(capsys, "search", tmp_path / "s", "red lamp", "--json")[0]["id"] == "p0"  # the bundle is remembered
    bundle.rename(tmp_path / "away")
    assert "name it with --bundle" in ran(capsys, "search", tmp_path / "s", "red lamp", status=2)
