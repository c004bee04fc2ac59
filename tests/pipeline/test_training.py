"""Mining, cross-encoder, student, gates, update and several processes, on a tiny real transformer."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from honed import Project
from honed.cli.main import run_command
from honed.core.errors import ConfigError, TrainingError
from honed.core.records import Example
from honed.data import task
from honed.pipeline.config import Config
from honed.pipeline.export import ExportOptions, export_bundle
from honed.pipeline.headroom import judged_after
from honed.pipeline.stages import read_report
from honed.pipeline.training import known_documents
from honed.pipeline.update import UpdateOptions, new_and_replayed, update
from honed.ship.searcher import Searcher
from tests.conftest import write_project

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


def write(folder: Path, rows: list[dict[str, str]], base: Path, more: str, gates: str = "", train: str = "") -> Path:
    write_project(folder, rows, base.as_posix(), n_entities=150, train="epochs = 1\nbatch_size = 32\n" + train)
    text = (folder / "honed.toml").read_text(encoding="utf-8")
    (folder / "honed.toml").write_text(text.replace("[index]", more + "[index]") + gates, encoding="utf-8")
    return folder


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
        assert trained.report()["training"]["mined_negatives"] > 100

    def test_no_example_has_a_negative_that_is_known_to_be_right(self, trained: Project) -> None:
        check = trained.runner.latest("check").folder
        documents = [doc.text for doc in task.load_task(check, task.FORWARD, "dev").corpus]
        examples = task.load_examples(trained.runner.latest("rescore").path("examples.parquet"))
        anchors, known = known_documents(examples, task.load_names(check), documents)
        right = {anchor: {documents[row] for row in rows} for anchor, rows in zip(anchors, known, strict=True)}
        assert any(each.negatives for each in examples)
        for each in examples:
            assert not right.get(each.anchor, set()) & set(each.negatives)
            assert len(each.teacher) == 1 + len(each.negatives)

    def test_the_report_tells_of_mining_student_and_headroom(self, trained: Project) -> None:
        report = trained.report()
        assert report["mining"]["chosen"] > 0
        assert 0 <= report["student"]["agreement"]["low"] <= report["student"]["agreement"]["high"] <= 1
        assert report["student"]["student"]["mb"] < report["student"]["teacher"]["mb"]
        assert report["headroom"]["likely"] in ("likely", "unlikely", "unclear")
        assert "foretold" in report["headroom"]["said_after"]
        names = {each["name"] for each in report["systems"]}
        assert {"fine-tuned", "student", "student + reranked", "student + known names"} <= names
        page = trained.runner.latest("evaluate").path("report.html").read_text(encoding="utf-8")
        assert "Hard negatives" in page
        assert "The student" in page

    def test_the_student_is_what_is_searched(self, trained: Project) -> None:
        searcher = trained.searcher()
        assert searcher.encoder.spec == trained.searcher().encoder.spec
        student = json.loads((trained.runner.latest("distil").folder / "model" / "honed_spec.json").read_text())
        assert searcher.encoder.spec.weights == student["weights"]

    def test_reranking_keeps_the_same_hits_in_another_order(self, trained: Project) -> None:
        plain = trained.search_many(["Univercity of Oslo"], 5)[0]
        found = trained.search_many(["Univercity of Oslo"], 5, rerank=True)[0]
        assert {hit.doc_id for hit in found} == {hit.doc_id for hit in plain}
        assert [hit.rank for hit in found] == [1, 2, 3, 4, 5]
        assert all(-1 <= hit.score <= 1 for hit in found)

    def test_every_gate_has_its_rule_and_bound(self, trained: Project) -> None:
        gates = {gate["name"]: gate for gate in trained.report()["gates"]}
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
    vectors = Project(folder).runner.latest("index").folder / "vectors.npy"
    whole = np.load(vectors)
    np.save(vectors, np.random.default_rng(0).permutation(whole))
    with_errors = Project(folder).runner
    (with_errors.latest("index").folder / "manifest.json").write_text(
        (with_errors.latest("index").folder / "manifest.json")
        .read_text(encoding="utf-8")
        .replace(trained.runner.latest("index").manifest.files["vectors.npy"], _sha256(vectors)),
        encoding="utf-8",
    )
    artifacts = with_errors.run(start="evaluate")
    gates = {gate["name"]: gate for gate in read_report(artifacts["evaluate"])["gates"]}
    assert not gates["student"]["passed"]
    assert not gates["agreement"]["passed"]
    assert run_command(["gate", "--project", str(folder)]) == 1


def _sha256(path: Path) -> str:
    from honed.core.fingerprint import sha256_file

    return sha256_file(path)


class TestUpdate:
    @pytest.fixture
    def project(self, trained: Project, tmp_path: Path) -> Project:
        folder = tmp_path / "copy"
        shutil.copytree(trained.file.parent, folder)
        text = (folder / "honed.toml").read_text(encoding="utf-8")
        start, end = text.index("[mine]"), text.index("[index]")
        (folder / "honed.toml").write_text(text[:start] + text[end:].split("student_gap")[0], encoding="utf-8")
        project = Project(folder)
        project.run()
        return project

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
        before = project.runner.latest("train").key
        done = update(project, [self.new_pairs(project.file.parent, institutions)], UpdateOptions(tolerance=0.9))
        assert done.new_examples > 50
        assert all(gate["passed"] for gate in done.gates)
        assert project.runner.latest("train").key == done.artifacts["train"].key != before
        facts = done.artifacts["train"].manifest.facts
        assert 0 < facts["replayed"] <= 2 * facts["new_examples"]
        texts = {row["text"] for row in task.read_rows(done.artifacts["index"].path("texts.parquet"))}
        with (project.file.parent / "new.csv").open(encoding="utf-8", newline="") as file:
            assert {row["label"] for row in csv.DictReader(file)} <= texts
        assert Project(project.file).search(institutions[0]["label"], 1)

    def test_what_regresses_is_not_taken(self, project: Project, institutions: list[dict[str, str]]) -> None:
        before = project.runner.latest("train").key
        file = self.new_pairs(project.file.parent, institutions)
        place = ["--project", str(project.file.parent), "--tolerance", "0"]  # the low bound is below 0: no proof
        assert run_command(["update", str(file), *place]) == 1
        assert project.runner.latest("train").key == before

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
    ("student", "more"), [("narrow", "dim = 16"), ("static", "dim = 16"), ("auto", "max_mb = 0.02")]
)
def test_every_kind_of_student_is_made(
    student: str, more: str, tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    section = f'[distil]\nstudent = "{student}"\n{more}\nepochs = 1\nvariants = 0\n'
    folder = write(tmp_path, institutions, tiny_model, section)
    project = Project(folder)
    project.runner.run()
    facts = project.report()["student"]
    assert facts["student"]["mb"] < facts["teacher"]["mb"]
    assert project.search("UdeG", 1)
    if student == "auto":
        assert [each["name"] for each in facts["tried"]] == ["static", "layers, 1 layers"]
        assert sum(bool(each.get("chosen")) for each in facts["tried"]) == 1


@pytest.mark.parametrize("method", ["pairs", "kl", "margin-mse"])
def test_a_student_learns_by_every_method(
    method: str, tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    mine = '[mine]\nencoder = "base"\nfalse_negatives = 1.0\n'
    section = f'{mine}[cross_encoder]\nepochs = 4\nlearning_rate = 3e-3\n[distil]\nmethod = "{method}"\nepochs = 1\n'
    folder = write(tmp_path, institutions, tiny_model, section)
    artifacts = Project(folder).run(until="distil")
    history = artifacts["distil"].read_json("history.json")
    assert history["objective"] == method
    assert all(np.isfinite(each["loss"]) for each in history["loss"])


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
        Config.read(folder / "honed.toml")


def test_a_student_over_the_budget_is_told(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    folder = write(tmp_path, institutions, tiny_model, '[distil]\nstudent = "auto"\nmax_mb = 0.0001\n')
    with pytest.raises(TrainingError, match="no student fits"):
        Project(folder).run(until="distil")


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
    before = {"likely": "likely", "expected": {"at_least": 0.02, "linear_map": 0.03, "at_most": 0.5}, "said": ""}
    good = judged_after(before, {"mean": 0.08, "low": 0.06, "high": 0.1})
    assert good["right"] is True
    assert good["within_expected"]
    bad = judged_after(before, {"mean": 0.0, "low": -0.02, "high": 0.02})
    assert bad["right"] is False
    assert "wrong" in bad["said_after"]
    assert judged_after({**before, "likely": "unclear"}, {"mean": 0.1, "low": 0.0, "high": 0.2})["right"] is None


def test_a_static_student_is_shipped_and_answers_as_it_was_trained(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    section = '[distil]\nstudent = "static"\ndim = 16\nepochs = 1\nvariants = 0\n'
    project = Project(write(tmp_path, institutions, tiny_model, section))
    project.runner.run()
    texts = ["Univercity of Oslo", "UdeG", "a" * 3000, "日本"]
    wanted = project.searcher().encoder.encode(texts, "query")
    for precision, least in (("fp32", 1 - 1e-5), ("int8", 0.999)):
        options = ExportOptions(precision=precision, most_flips=1.0)
        searcher = Searcher.load(export_bundle(project, tmp_path / precision, options))
        found = searcher.encoder.encode(texts, "query")
        assert searcher.warm() == "numpy"
        assert (found * wanted).sum(axis=1)[:3].min() > least
        graph = Searcher.load(tmp_path / precision, engine="onnxruntime").encoder.encode(texts[:3], "query")
        assert np.allclose(graph, found[:3], atol=1e-5)
        assert np.array_equal(searcher.encoder.encode(["", "Oslo"], "query")[0], np.zeros(16))


def test_the_first_model_of_a_taught_one_is_trained_without_a_teacher(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    section = "[mine]\nfalse_negatives = 1.0\n[cross_encoder]\nepochs = 4\nlearning_rate = 3e-3\n"
    folder = write(tmp_path, institutions, tiny_model, section, train='objective = "kl"\n')
    artifacts = Project(folder).run(until="train")
    assert artifacts["draft"].read_json("history.json")["objective"] == "ranking"
    assert artifacts["train"].read_json("history.json")["objective"] == "kl"


def test_updates_build_on_each_other_and_a_run_does_not_forget_them(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    project = Project(write(tmp_path, institutions, tiny_model, ""))
    project.run()
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
        assert all(gate["passed"] for gate in done.gates)
    texts = {row["text"] for row in task.read_rows(project.runner.latest("index").path("texts.parquet"))}
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
    assert done.gates[0]["value"] is not None


def test_a_crash_after_all_students_were_trained_loses_nothing(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from honed.pipeline import distilling

    folder = write(tmp_path, institutions, tiny_model, '[distil]\nstudent = "auto"\nmax_mb = 0.02\nepochs = 1\n')
    take = distilling._take

    def crash(place: Path, tried: list[dict[str, object]]) -> None:
        take(place, tried)
        raise KeyboardInterrupt

    monkeypatch.setattr(distilling, "_take", crash)
    with pytest.raises(KeyboardInterrupt):
        Project(folder).run(until="distil")
    monkeypatch.setattr(distilling, "_take", take)
    made = Project(folder).run(until="distil")["distil"]
    assert (made.folder / "model" / "honed_spec.json").is_file()
    assert not (made.folder / "candidates").exists()
