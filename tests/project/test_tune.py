"""``honed tune`` from files and from a project: report, pictures, settings written."""

import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError, DataError
from honed.index import tune as tuner
from honed.index.search_space import SearchSpace
from honed.project import tune as tuning
from honed.project.tune import TuneRequest, tune_index, write_settings
from honed.project.tune_data import file_data, project_data

AXES = SearchSpace(nlist=(16, 64), codes=(("full", 32), ("rabitq", 2), ("sign", 1)), rescore=(0, 50))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tuner, "_FEW", 1000)
    monkeypatch.setattr(SearchSpace, "of", lambda n, dim, **changed: AXES)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 32))[random.integers(40, size=7000)] + 0.5 * random.normal(size=(7000, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    np.save(tmp_path / "v.npy", vectors)
    np.save(tmp_path / "q.npy", vectors[:60])
    (tmp_path / "right.jsonl").write_text("".join(f"[{row}]\n" for row in range(60)))
    return tmp_path


def test_a_report_with_pictures_is_written(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    given = ["--vectors", "v.npy", "--queries", "q.npy", "--relevant", "right.jsonl"]
    paths = [str(files / each) if "." in each else each for each in given]
    out = files / "out"
    status = run_command(["tune", *paths, "--task-recall", "0.95", "--no-graph", "--out", str(out), "--json"])
    report = json.loads(capsys.readouterr().out)
    assert status == 0
    assert json.loads((out / "tune.json").read_text()) == report
    assert report["chosen"]["task_recall"] >= 0.95
    assert report["task"] is True
    assert report["said"].startswith("Asked for: task recall at least 0.95. Chosen: ")
    page = (out / "tune.html").read_text()
    assert page.count("<svg") == 3
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!#|data:)', page)
    for name in ("recall-latency", "recall-memory", "clusters-bits"):
        assert (out / f"tune-{name}.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    cells = report["map"]["cells"]
    assert (len(cells), len(cells[0])) == (len(report["map"]["codes"]), len(report["map"]["nlist"]))
    assert all(0 <= cell["task_recall"] <= 1 for line in cells for cell in line)
    assert [each["n"] for each in report["needs"]] == [14_000_000, 100_000_000]
    assert [each["share"] for each in report["filtered"]] == [0.5, 0.1, 0.01]
    assert report["filtered"][2]["random"] == 1.0  # so few are compared one by one


def test_all_combinations_can_be_measured(files: Path) -> None:
    data = file_data(files / "v.npy", files / "q.npy", None, 30)
    report = tune_index(data, TuneRequest(recall=0.9, graph=False, exhaustive=True), files / "out")
    tried = {(each["settings"]["nlist"], each["settings"].get("codes")) for each in report["points"][1:]}
    assert tried == {(nlist, codes) for nlist in (16, 64) for codes in ("full", "rabitq", "sign")}
    assert report["map"]["measured"] is True
    assert report["chosen"]["ms"] == min(each["ms"] for each in report["points"] if each["index_recall"] >= 0.9)


def test_what_nothing_keeps_is_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = ["tune", "--vectors", str(files / "v.npy"), "--recall", "1", "--mb", "0.001", "--no-graph"]
    assert run_command([*shown, "--out", str(files / "out")]) == 1
    captured = capsys.readouterr()
    assert "Nothing that was measured keeps within it; the nearest is" in captured.out
    assert "no index that was measured keeps within the budget" in captured.err


def test_a_project_is_tuned_on_dev_and_its_file_is_changed(small_project: Path, capsys: pytest.CaptureFixture) -> None:
    project = Project(small_project)
    project.run(until="index")
    data = project_data(project, 25)
    assert data.asked.startswith("of dev")
    assert 0 < len(data.queries) <= 25
    assert all(len(each) for each in data.relevant)
    assert data.source.shape[0] == len(project.searcher().labels)
    before = project.file.read_text()
    assert run_command(["tune", "-p", str(small_project), "--write"]) == 0  # so few names: all are compared
    assert 'backend = "flat"' in project.file.read_text()
    assert Project(small_project).config.index.settings() == project.config.index.settings()
    write_settings(project.file, {"backend": "composed", "codes": "rabitq", "nlist": 64})
    text = project.file.read_text()
    assert text.count("backend") == 1
    assert Project(small_project).config.index.nlist == 64
    assert set(before.splitlines()) <= set(text.splitlines())


def test_settings_are_written_into_their_section_alone(tmp_path: Path) -> None:
    file = tmp_path / "honed.toml"
    file.write_text(
        '[train]\nbits = 1\n[index]  # mine\nnames = "all"\nbackend = "hnsw"\n# kept\nlinks = 8\n[gate]\nseed = 1\n'
    )
    write_settings(file, {"backend": "ivf", "nlist": 9})
    assert file.read_text() == (
        '[train]\nbits = 1\n[index]  # mine\nbackend = "ivf"\nnlist = 9\nnames = "all"\n# kept\n[gate]\nseed = 1\n'
    )
    file.write_text("[train]\n")
    with pytest.raises(ConfigError, match=r"no section \[index\]"):
        write_settings(file, {})


@pytest.mark.parametrize(
    "text",
    [
        'a = """\n[index]\nx = 1\n"""\n[index]\nbackend = "flat"\n',
        'a = "x\u2028y"\n[index]\n"backend" = "flat"\nlist = [\n[1],\n]\n',
    ],
)
def test_a_file_that_is_hard_to_edit_is_edited_right_or_not_at_all(tmp_path: Path, text: str) -> None:
    file = tmp_path / "honed.toml"
    file.write_bytes(text.encode())
    old = tomllib.loads(text)
    try:
        write_settings(file, {"backend": "ivf", "nlist": 9})
    except ConfigError as error:
        assert 'write into [index]: backend = "ivf"; nlist = 9' in str(error)
        assert file.read_bytes() == text.encode()
    else:
        old["index"].pop("backend")
        assert tomllib.loads(file.read_text("utf-8")) == {
            **old,
            "index": {"backend": "ivf", "nlist": 9, **old["index"]},
        }


def test_lines_keep_their_endings(tmp_path: Path) -> None:
    file = tmp_path / "honed.toml"
    file.write_bytes(b"[index]\r\nnames = 'all'\r\n")
    write_settings(file, {"backend": "ivf"})
    assert file.read_bytes() == b"[index]\r\nbackend = \"ivf\"\r\nnames = 'all'\r\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.npy", np.zeros((3, 5), np.float32), "vectors of 5 dimensions; the documents have 32"),
        ("q.npy", np.zeros((3, 32)), r"float64 of shape \(3, 32\); float32"),
        ("q.npy", b"no vectors", "not a .npy file of vectors"),
        ("right.jsonl", b"[1]\n", "1 lines for 60 queries"),
        ("right.jsonl", b"[1]\nx\n", r"line 2: expected a JSON list of rows, 0 to 6999"),
        ("right.jsonl", b"[7000]\n", r"line 1: expected a JSON list of rows"),
    ],
)
def test_files_that_do_not_fit_are_refused(files: Path, name: str, content: object, message: str) -> None:
    if isinstance(content, bytes):
        (files / name).write_bytes(content)
    else:
        np.save(files / name, content)
    with pytest.raises(DataError, match=message):
        file_data(files / "v.npy", files / "q.npy", files / "right.jsonl", 30)


def test_options_that_do_not_go_together_are_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vectors = str(files / "v.npy")
    for given in (
        ["--vectors", vectors, "--write"],
        ["--queries", vectors],
        ["--vectors", vectors, "--relevant", vectors],
    ):
        assert run_command(["tune", *given]) == 2
    for given in (["--ms", "0"], ["--mb", "0"], ["--dims", "0"], ["--dims", "32"]):
        assert run_command(["tune", "--vectors", vectors, *given]) == 2
    assert tuning.CORPORA == (14_000_000, 100_000_000)
