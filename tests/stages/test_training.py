"""Mining, cross-encoder, student, gates, update and several processes, on a tiny real transformer."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError
from honed.core.fingerprint import sha256_file
from honed.core.writing import write_json
from honed.data import task
from honed.evaluate.headroom import Expected, Headroom, compared_with_gain
from honed.evaluate.results import Interval
from honed.pipeline.honed_toml import read_config
from honed.stages.mining import known_documents
from tests.conftest import write_training_project as write

EVERYTHING = """
[mine]
encoder = "base"
candidates = ["encoder", "tfidf"]
rescore = true
false_negatives = 1.0
[cross_encoder]
epochs = 4
learning_rate = 3e-3
depth = 5
[distil]
student = "layers"
layers = 1
epochs = 1
variants = 1
"""
GATES = "student_gap = 0.9\nagreement = 0.0\nslice_gap = 0.9\nsize_mb = 1\nlatency_ms = 60000\nindex_recall = 0.9\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Project:
    folder = write(tmp_path_factory.mktemp("trained"), institutions, tiny_model, EVERYTHING, GATES)
    project = Project(folder)
    project.run()
    return project


class TestEverything:
    def test_the_stages_ran_in_their_order(self, trained: Project) -> None:
        names = [plan.stage.name for plan in trained.plan()]
        assert names == [
            "import", "check", "baselines", "headroom", "mine", "cross_encoder", "rescore", "train", "distil", "index",
            "evaluate",
        ]  # fmt: skip
        assert all(plan.stands for plan in trained.plan())

    def test_mined_negatives_reach_training(self, trained: Project) -> None:
        assert trained.report().as_dict()["training"]["mined_negatives"] > 100

    def test_no_example_has_a_negative_that_is_known_to_be_right(self, trained: Project) -> None:
        check = trained.runner.latest_of("check").folder
        documents = [doc.text for doc in task.load_task(check, task.FORWARD, "dev").corpus]
        examples = task.load_examples(trained.runner.latest_of("rescore").path("examples.parquet"))
        anchors, known = known_documents(examples, task.load_names(check), documents)
        right = {anchor: {documents[row] for row in rows} for anchor, rows in zip(anchors, known, strict=True)}
        assert any(each.negatives for each in examples)
        for each in examples:
            assert not right.get(each.anchor, set()) & set(each.negatives)
            assert len(each.teacher) == 1 + len(each.negatives)

    def test_the_report_tells_of_mining_student_and_headroom(self, trained: Project) -> None:
        report = trained.report().as_dict()
        assert report["mining"]["chosen"] > 0
        assert 0 <= report["student"]["agreement"]["low"] <= report["student"]["agreement"]["high"] <= 1
        assert report["student"]["student"]["mb"] < report["student"]["teacher"]["mb"]
        assert report["headroom"]["likely"] in ("likely", "unlikely", "unclear")
        assert "foretold" in report["headroom"]["said_after"]
        names = {each["name"] for each in report["systems"]}
        assert {"fine-tuned", "student", "student + reranked", "student + known names"} <= names
        page = trained.runner.latest_of("evaluate").path("report.html").read_text(encoding="utf-8")
        assert "Hard negatives" in page
        assert "The student" in page

    def test_the_student_is_what_is_searched(self, trained: Project) -> None:
        searcher = trained.searcher()
        assert searcher.encoder.spec == trained.searcher().encoder.spec
        student = json.loads((trained.runner.latest_of("distil").folder / "model" / "honed_spec.json").read_text())
        assert searcher.encoder.spec.weights == student["weights"]

    def test_reranking_keeps_the_same_hits_in_another_order(self, trained: Project) -> None:
        plain = trained.search("Univercity of Oslo", 5)
        found = trained.search("Univercity of Oslo", 5, rerank=True)
        assert {hit.doc_id for hit in found} == {hit.doc_id for hit in plain}
        assert [hit.rank for hit in found] == [1, 2, 3, 4, 5]
        scores = [hit.score for hit in found]
        assert scores == sorted(scores, reverse=True)
        assert 0 < scores[-1] <= scores[0] <= 1

    def test_every_gate_has_its_rule_and_bound(self, trained: Project) -> None:
        gates = {gate["name"]: gate for gate in trained.report().as_dict()["gates"]}
        assert {"gain over base", "student", "agreement", "size", "latency", "index recall"} <= set(gates)
        assert gates["index recall"]["value"] == 1.0
        assert gates["size"]["value"] < 0.1

    def test_the_commands_show_it(self, trained: Project, capsys: pytest.CaptureFixture[str]) -> None:
        place = ["--project", str(trained.file.parent)]
        assert run_command(["mine", *place]) == 0
        assert run_command(["distil", *place]) == 0
        assert run_command(["gate", *place]) == 0
        shown = capsys.readouterr().out
        assert "negatives for" in shown
        assert "MB in int8" in shown
        assert "index recall" in shown


def test_a_broken_student_fails_its_gates(trained: Project, tmp_path: Path) -> None:
    """Shuffled vectors: every text has the vector of another."""
    folder = tmp_path / "broken"
    shutil.copytree(trained.file.parent, folder)
    text = (folder / "honed.toml").read_text(encoding="utf-8")
    for before, after in (("student_gap = 0.9", "student_gap = 0.05"), ("agreement = 0.0", "agreement = 0.75")):
        text = text.replace(before, after)
    (folder / "honed.toml").write_text(text, encoding="utf-8")
    index = Project(folder).runner.latest_of("index")
    vectors = index.path("vectors.npy")
    np.save(vectors, np.random.default_rng(0).permutation(np.load(vectors)))
    files = {**index.manifest.files, "vectors.npy": sha256_file(vectors)}
    write_json(index.folder / "manifest.json", replace(index.manifest, files=files).as_dict())
    artifacts = Project(folder).runner.run(start="evaluate")
    gates = {gate["name"]: gate for gate in artifacts["evaluate"].read_json("report.json")["gates"]}
    assert not gates["student"]["passed"]
    assert not gates["agreement"]["passed"]
    assert run_command(["gate", "--project", str(folder)]) == 1


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]) -> None:
    """Under torchrun, with the same batches and negatives: the losses are those of one process."""
    losses = {}
    for n in (1, 2):
        place = tmp_path / str(n)
        place.mkdir()
        settings = f"processes = {n}\nlearning_rate = 5e-3\n"
        artifacts = Project(write(place, institutions, tiny_model, "", train=settings)).run(until="train")
        history = artifacts["train"].read_json("history.json")
        assert history["processes"] == n
        losses[n] = [each["loss"] for each in history["loss"]]
        assert not (artifacts["train"].folder / "job.json").exists()
    assert losses[2][:3] == pytest.approx(losses[1][:3], abs=0.01)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ('[distil]\nstudent = "auto"\n', "needs a budget"),
        ('[mine]\ncandidates = ["words"]\n', "words is not one of encoder, bm25, tfidf"),
        ("[mine]\nrescore = true\n", r"mine.rescore needs the section \[cross_encoder\]"),
        ('[distil]\nmethod = "kl"\n', r"distil.method kl needs the section \[cross_encoder\]"),
        ("[cross_encoder]\n", r"\[cross_encoder\] needs the section \[mine\]"),
    ],
)
def test_what_cannot_work_is_told_before_the_work(
    section: str, message: str, tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    folder = write(tmp_path, institutions, tiny_model, section)
    with pytest.raises(ConfigError, match=message):
        read_config(folder / "honed.toml")


def test_an_unfinished_training_can_go_back_to_any_checkpoint(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    project = Project(write(tmp_path, institutions, tiny_model, ""))
    project.run(until="check")
    plan = next(each for each in project.plan() if each.stage.name == "train")
    folder = project.runner.store.folder(plan.key)
    for step in (2, 4, 6):
        (folder.with_name(folder.name + ".partial") / "checkpoints" / f"checkpoint-{step}").mkdir(parents=True)
    assert project.runner.rewind("train", 4).name == "checkpoint-4"
    left = sorted(path.name for path in folder.with_name(folder.name + ".partial").glob("checkpoints/*"))
    assert left == ["checkpoint-2", "checkpoint-4"]
    with pytest.raises(ConfigError, match=r"no checkpoint 6 .* there are: 2, 4"):
        project.runner.rewind("train", 6)


def test_the_estimate_is_held_against_what_came_of_it() -> None:
    expected = Expected(at_least=0.02, linear_map=0.03, at_most=0.5)
    before = Headroom(
        likely="likely", expected=expected, base=0.2, lexical=0.3, ceiling=0.9, n_queries=100, said="likely"
    )
    good = compared_with_gain(before, Interval(mean=0.08, low=0.06, high=0.1))
    assert good.right is True
    assert good.within_expected
    bad = compared_with_gain(before, Interval(mean=0.0, low=-0.02, high=0.02))
    assert bad.right is False
    assert "wrong" in bad.said_after
    before.likely = "unclear"
    assert compared_with_gain(before, Interval(mean=0.1, low=0.0, high=0.2)).right is None


@pytest.mark.slow
def test_the_first_model_of_a_taught_one_is_trained_without_a_teacher(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    section = "[mine]\nfalse_negatives = 1.0\n[cross_encoder]\nepochs = 4\nlearning_rate = 3e-3\n"
    folder = write(tmp_path, institutions, tiny_model, section, train='objective = "kl"\n')
    artifacts = Project(folder).run(until="train")
    assert artifacts["draft"].read_json("history.json")["objective"] == "ranking"
    assert artifacts["train"].read_json("history.json")["objective"] == "kl"


def test_training_goes_on_from_a_checkpoint_of_another_run(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    first = Project(write(one, institutions, tiny_model, "", train="keep_checkpoints = true\nlearning_rate = 2e-3\n"))
    first.run(until="train")
    artifact = first.runner.latest_of("train").folder
    kept = sorted((artifact / "kept").iterdir())
    assert len(kept) == 2  # one for each look at dev
    dev = {point.step: point.score for point in first.runner.latest_of("train").history().dev}
    for start in (artifact, kept[0]):
        second = Project(write(other, institutions, tiny_model, "", train=f'from = "{start}"\nlearning_rate = 1e-9\n'))
        second.run(until="train")
        history = second.runner.latest_of("train").history()
        step = first.runner.latest_of("train").history().best_step if start == artifact else int(start.name[5:])
        assert history.dev[0].score == pytest.approx(dev[step], abs=1e-6)  # it begins where that one stood
    keys = {plan.stage.name: plan.key.key for plan in second.plan()}
    write(other, institutions, tiny_model, "", train=f'from = "{kept[1]}"\nlearning_rate = 1e-9\n')
    assert {plan.stage.name: plan.key.key for plan in Project(other).plan()}["train"] != keys["train"]
    write(other, institutions, tiny_model, "", train='from = "nowhere"\n')
    with pytest.raises(ConfigError, match=r"train\.from: .*nowhere: holds no model"):
        Project(other).run(until="train")
    write(other, institutions, tiny_model, "", train=f'from = "{kept[1]}"\nhead = "skip"\n')
    with pytest.raises(ConfigError, match="a head stands on the base model"):
        Project(other)
