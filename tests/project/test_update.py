"""New pairs for a trained model, on a tiny real transformer."""

import csv
import itertools
import json
import shutil
from pathlib import Path

import pytest

import honed.shapes.judged
from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError
from honed.core.records import Example
from honed.data import task
from honed.project.update import UpdateOptions, new_and_replayed, update
from tests.conftest import write_training_project as write


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Path:
    folder = write(tmp_path_factory.mktemp("plain"), institutions, tiny_model, "")
    Project(folder).run()
    return folder


class TestUpdate:
    @pytest.fixture
    def project(self, trained: Path, tmp_path: Path) -> Project:
        shutil.copytree(trained, tmp_path / "copy")
        return Project(tmp_path / "copy")

    def new_pairs(self, folder: Path, institutions: list[dict[str, str]]) -> Path:
        ids = list(dict.fromkeys(row["id"] for row in institutions))[150:260]
        file = folder / "new.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, list(institutions[0]))
            writer.writeheader()
            writer.writerows(row for row in institutions if row["id"] in set(ids))
        return file

    def test_new_pairs_are_learned_and_the_result_is_taken(
        self, project: Project, institutions: list[dict[str, str]]
    ) -> None:
        before = project.runner.latest_of("train").key
        done = update(project, [self.new_pairs(project.file.parent, institutions)], UpdateOptions(tolerance=0.9))
        assert done.new_examples > 50
        assert all(gate.passed for gate in done.gates)
        assert project.runner.latest_of("train").key == done.artifacts["train"].key != before
        facts = done.artifacts["train"].manifest.facts
        assert 0 < facts["replayed"] <= 2 * facts["new_examples"]
        texts = {row["text"] for row in task.read_rows(done.artifacts["index"].path("texts.parquet"))}
        with (project.file.parent / "new.csv").open(encoding="utf-8", newline="") as file:
            assert {row["label"] for row in csv.DictReader(file)} <= texts
        assert Project(project.file).search(institutions[0]["label"], 1)

    def test_what_regresses_is_not_taken(
        self, project: Project, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Old names are taught as aliases of something else, and the last step is kept whatever dev says of it."""
        steps = itertools.count()
        monkeypatch.setattr(honed.shapes.judged, "dev_reciprocal_rank", lambda encoder, dev: float(next(steps)))
        before = project.runner.latest_of("train").key
        old = task.load_task(project.runner.latest_of("check").folder, task.FORWARD, "test")
        names = [*(query.text for query in old.queries), *(document.text for document in old.corpus)]
        file = project.file.parent / "wrong.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, ["id", "label", "alias"])
            writer.writeheader()
            writer.writerows(
                {"id": f"P{row}", "label": f"zq{row * 7919 % 10007}", "alias": f"{name} x"}
                for row, name in enumerate(names)
            )
        place = ["--project", str(project.file.parent), "--epochs", "8", "--learning-rate", "0.003", "--replay", "0"]
        assert run_command(["update", str(file), *place, "--json"]) == 1
        judged = json.loads(capsys.readouterr().out)["gates"][0]
        assert (judged["name"], judged["passed"]) == ("old queries", False)
        assert judged["value"] < -0.03
        assert project.runner.latest_of("train").key == before

    def test_nothing_new_is_told(self, project: Project) -> None:
        with pytest.raises(Exception, match="at least 2 are needed"):
            update(project, [project.file.parent / "names.csv"])
        with pytest.raises(ConfigError, match="no such file"):
            update(project, [Path("nowhere.csv")])

    def test_replay_takes_old_examples_by_a_fixed_draw(self) -> None:
        old = [Example(anchor=f"o{n}", positive=f"p{n}") for n in range(50)]
        new = [Example(anchor=f"n{n}", positive=f"q{n}") for n in range(5)]
        fresh, replayed = new_and_replayed(old, [*old[1:], *new], 2.0, seed=0)
        assert fresh == new
        assert len(replayed) == 10
        assert set(replayed) <= set(old[1:])
        assert replayed == new_and_replayed(old, [*old[1:], *new], 2.0, seed=0)[1]


def test_updates_build_on_each_other_and_a_run_does_not_forget_them(
    tmp_path: Path, trained: Path, institutions: list[dict[str, str]]
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    project = Project(tmp_path)
    ids = list(dict.fromkeys(row["id"] for row in institutions))
    labels = []
    for number, part in enumerate((ids[150:200], ids[200:250])):
        file = tmp_path / f"new{number}.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.DictWriter(opened, list(institutions[0]))
            writer.writeheader()
            writer.writerows(row for row in institutions if row["id"] in set(part))
        labels.append(next(row["label"] for row in institutions if row["id"] == part[0]))
        done = update(Project(project.file), [file], UpdateOptions(tolerance=1.0, epochs=1))
        assert all(gate.passed for gate in done.gates)
    texts = {row["text"] for row in task.read_rows(project.runner.latest_of("index").path("texts.parquet"))}
    assert set(labels) <= texts
    with pytest.raises(ConfigError, match=r"has learned new0\.csv, new1\.csv by"):
        Project(project.file).run()
    assert run_command(["gate", "--project", str(tmp_path)]) == 0
    text = project.file.read_text(encoding="utf-8")
    project.file.write_text(text.replace('"names.csv"', '"names.csv", "new0.csv", "new1.csv"'), encoding="utf-8")
    Project(project.file).run(until="index")
    assert Project(project.file).runner.updates() == []


def test_an_update_under_the_catalogue_protocol_is_judged_by_what_it_was_asked(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    folder = write(tmp_path, institutions, tiny_model, "")
    text = (folder / "honed.toml").read_text(encoding="utf-8")
    (folder / "honed.toml").write_text(text.replace("[split]", '[split]\nprotocol = "catalogue"\nsample = 100'))
    project = Project(folder)
    project.run()
    file = folder / "new.csv"
    file.write_text("id,label,alias\nX1,Nowhere College,NoCo\nX2,Elsewhere College,ElCo\n", encoding="utf-8")
    done = update(project, [file], UpdateOptions(tolerance=1.0))
    assert done.new_examples == 2
    assert done.gates[0].value is not None
