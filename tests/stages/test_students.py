"""Every kind of student, by every method, within its budget, shipped; on a tiny real transformer."""

from pathlib import Path

import numpy as np
import pytest

from honed import Project
from honed.artifacts.data import CheckArtifact
from honed.artifacts.index import IndexArtifact
from honed.core.errors import TrainingError
from honed.core.records import Query
from honed.project.export import ExportOptions, export_bundle
from honed.search.searcher import Searcher
from tests.conftest import write_training_project as write


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
    facts = project.report().as_dict()["student"]
    assert facts["student"]["mb"] < facts["teacher"]["mb"]
    assert project.search("UdeG", 1)
    if student == "auto":
        assert [each["name"] for each in facts["tried"]] == ["static", "layers, 1 layers"]
        assert sum(bool(each.get("chosen")) for each in facts["tried"]) == 1


@pytest.mark.parametrize("student", ["layers", "static"])
def test_a_student_keeps_the_pieces_of_known_texts_alone(
    student: str, tmp_path: Path, worded_model: Path, institutions: list[dict[str, str]]
) -> None:
    section = f'[distil]\nstudent = "{student}"\nvocabulary = "known"\nepochs = 1\nvariants = 0\n'
    project = Project(write(tmp_path, institutions, worded_model, section))
    project.runner.run()
    facts = project.report().as_dict()["student"]["student"]["vocabulary"]
    assert facts["pieces"] < facts["of"]
    assert facts["unseen"] > 0
    assert 0 < facts["changed"] < 1
    check, texts = project.runner.latest(CheckArtifact), {query.text for query in _queries(project)}
    assert facts["unseen"] <= len(texts - {name.text for name in check.names() if name.known})
    searcher = Searcher.load(export_bundle(project, tmp_path / "bundle", ExportOptions(most_flips=1.0)))
    assert len(searcher.encoder._files.tokenizer.get_vocab()) == facts["pieces"]
    assert searcher.search("UdeG", 1)


@pytest.mark.parametrize(
    ("teacher", "student", "more", "dim"),
    [("tiny", "worded", "", 32), ("worded", "tiny", "", 32), ("worded", "tiny", 'output = "teacher"\n', 48)],
    ids=["wider", "narrower", "narrower, as wide as the teacher"],
)
def test_another_base_model_of_another_width_is_a_student(
    teacher: str, student: str, more: str, dim: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folders = {name: request.getfixturevalue(f"{name}_model") for name in (teacher, student)}
    section = f'[distil]\nstudent = "{folders[student].as_posix()}"\n{more}documents = "teacher"\nepochs = 2\n'
    project = Project(write(tmp_path, request.getfixturevalue("institutions"), folders[teacher], section))
    project.runner.run()
    facts = project.report().as_dict()["student"]["student"]
    assert facts["spec"]["dim"] == facts["targets"]["dim"] == dim
    index = project.runner.latest(IndexArtifact)
    student_vectors = project.searcher().encoder.encode(index.texts(), "query")
    cosines = student_vectors @ index.vectors().T  # of the student's vectors with those of its teacher
    assert np.diag(cosines).mean() > max(0.9, cosines.mean())
    searcher = Searcher.load(export_bundle(project, tmp_path / "bundle", ExportOptions(most_flips=1.0)))
    ours, theirs = (each.encoder.encode(["UdeG", "oslo"], "query") for each in (searcher, project.searcher()))
    assert (ours * theirs).sum(axis=1).min() > 0.999
    assert searcher.search("UdeG", 1)


def _queries(project: Project) -> list[Query]:
    check = project.runner.latest(CheckArtifact)
    return [query for split in ("dev", "test") for query in check.task("alias-to-label", split).queries]


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


def test_a_student_over_the_budget_is_told(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    folder = write(tmp_path, institutions, tiny_model, '[distil]\nstudent = "auto"\nmax_mb = 0.0001\n')
    with pytest.raises(TrainingError, match="no student fits"):
        Project(folder).run(until="distil")


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


def test_a_crash_after_all_students_were_trained_loses_nothing(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from honed.stages import distil as distilling

    folder = write(tmp_path, institutions, tiny_model, '[distil]\nstudent = "auto"\nmax_mb = 0.02\nepochs = 1\n')
    take = distilling._take_chosen

    def crash(place: Path, tried: list[dict[str, object]]) -> None:
        take(place, tried)
        raise KeyboardInterrupt

    monkeypatch.setattr(distilling, "_take_chosen", crash)
    with pytest.raises(KeyboardInterrupt):
        Project(folder).run(until="distil")
    monkeypatch.setattr(distilling, "_take_chosen", take)
    made = Project(folder).run(until="distil")["distil"]
    assert (made.folder / "model" / "honed_spec.json").is_file()
    assert not (made.folder / "candidates").exists()
