"""Two evaluations side by side: the figures of the report, the same queries or none, what was won and lost."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError
from honed.evaluate.score import SCORES
from honed.project.compare import Evaluated, compare
from tests.conftest import write_project


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> list[Path]:
    """A project whose settings changed, and both of its evaluations."""
    folder = write_project(tmp_path_factory.mktemp("two"), institutions, tiny_model.as_posix(), n_entities=150)
    first = Project(folder).run()["evaluate"].folder
    second = Project(folder, settings={"train.epochs": 1}).run()["evaluate"].folder
    return [folder, first, second]


def test_systems_of_one_evaluation_differ_as_its_report_says(two: list[Path]) -> None:
    folder, _, second = two
    found = msgspec.to_builtins(compare(folder, folder, ("base model", "fine-tuned")))
    assert found["a"] == {"folder": str(second), "system": "base model"}  # the last run
    said = {
        each["measure"]: each
        for each in Project(folder).report().as_dict()["comparisons"]
        if (each["candidate"], each["reference"]) == ("fine-tuned", "base model")
    }
    assert set(found["measures"]) == set(said)
    for name, row in found["measures"].items():
        assert row["difference"] == said[name]["difference"]
        assert (row["p_value"], row["wins"], row["losses"]) == tuple(
            said[name][each] for each in ("p_value", "wins", "losses")
        )
        assert row["b"] - row["a"] == pytest.approx(row["difference"]["mean"], abs=2e-5)


def test_two_evaluations_are_paired_query_by_query(two: list[Path]) -> None:
    folder, first, second = two
    found = msgspec.to_builtins(compare(first, second))
    assert [found[name]["system"] for name in ("a", "b")] == ["fine-tuned + known names"] * 2  # what is searched with
    assert found["same_documents"]
    stored = [dict(np.load(each / SCORES)) for each in (first, second)]
    difference = stored[1]["fine-tuned + known names/R@1"] - stored[0]["fine-tuned + known names/R@1"]
    row = found["measures"]["R@1"]
    assert row["difference"]["mean"] == pytest.approx(difference.mean(), abs=1e-5)
    assert (row["wins"], row["losses"]) == ((difference > 0).sum(), (difference < 0).sum())
    texts = [query.text for query in Evaluated.open(first).test.queries]
    for what, sign in (("won", 1), ("lost", -1)):
        assert len(found[what]) == min(10, (sign * difference > 0).sum())
        assert all(
            sign * difference[texts.index(each["text"])] > 0 for each in found[what] if texts.count(each["text"]) == 1
        )
    back = compare(second, first).measures["R@1"]
    assert back.difference.mean == -row["difference"]["mean"]
    assert {name: each["n"] for name, each in found["slices"].items()} == {
        name: len(ids) for name, ids in Evaluated.open(folder).test.slices.items() if ids
    }


def test_other_queries_and_unknown_systems_are_refused(
    two: list[Path], tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    folder, first, _ = two
    with pytest.raises(ConfigError, match=r"no system 'fine-tund'; did you mean fine-tuned\? \(measured: dictionary, "):
        compare(folder, folder, ("fine-tund", ""))
    with pytest.raises(ConfigError, match=r"both are 'fine-tuned \+ known names' of"):
        compare(folder, folder)
    with pytest.raises(ConfigError, match="no evaluation with scores for each query"):
        compare(first, next((folder / "work" / "check").iterdir()))
    other = Project(write_project(tmp_path, institutions, tiny_model.as_posix(), n_entities=60))
    other.run(until="evaluate")
    with pytest.raises(
        ConfigError, match=r"other test queries: \d+ and \d+, \d+ of them the same; compare runs of one"
    ):
        compare(folder, tmp_path)


def test_the_command(two: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    folder, first, second = (str(each) for each in two)
    assert run_command(["compare", first, second]) == 0
    shown = capsys.readouterr().out
    assert f"A: fine-tuned + known names, {first}" in shown
    assert "R@1 of" in shown
    assert run_command(["compare", folder, folder, "--system-a", "base model", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["b"]["system"] == "fine-tuned + known names"
    assert run_command(["compare", folder, "nowhere"]) == 2


def test_folders_are_the_same_however_they_are_written(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    _, first, second = two
    monkeypatch.chdir(first.parent)
    assert compare(Path(first.name), second).a.folder == str(first.resolve())
    with pytest.raises(ConfigError, match="both are"):
        compare(Path(first.name), first)
