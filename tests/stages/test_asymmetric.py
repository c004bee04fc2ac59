"""A student that encodes queries alone: the documents of index and report are its teacher's, in one space."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from honed import Project
from honed.artifacts.index import IndexArtifact
from honed.artifacts.models import DistilArtifact, TrainArtifact
from honed.bundle.encoder import BundleEncoder
from honed.bundle.load import read_manifest
from honed.core.errors import ArtifactError, ConfigError
from honed.index.settings import IndexSettings
from honed.project.encode import encode_file
from honed.project.export import ExportOptions, export_bundle
from honed.project.store import StoreColumns, StoreModel, add_to_store, create_store
from honed.project.update import update
from honed.search.searcher import Searcher
from honed.serve.limits import Limits
from honed.serve.service import Service
from tests.conftest import write_training_project as write

SECTION = '[distil]\nstudent = "narrow"\ndim = 16\ndocuments = "teacher"\nepochs = 1\nvariants = 0\n'
LABELS = ["University of Oslo", "Kyoto University", "University of Guadalajara"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Project:
    folder = write(tmp_path_factory.mktemp("asymmetric"), institutions, tiny_model, SECTION + "[hybrid]\n")
    file = folder / "honed.toml"
    file.write_text(file.read_text("utf-8").replace("[split]", 'precision = "fp32"\n[split]'), encoding="utf-8")
    made = Project(folder)
    made.runner.run()
    return made


@pytest.fixture(scope="module")
def bundle(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_bundle(project, tmp_path_factory.mktemp("bundle") / "b", ExportOptions(most_flips=1.0))


def test_the_index_holds_the_teachers_vectors_on_the_directions_of_the_student(project: Project) -> None:
    index, student = project.runner.latest(IndexArtifact), project.runner.latest(DistilArtifact)
    teacher, directions = project.runner.latest(TrainArtifact).source("fp32").load(), student.directions()
    assert directions is not None
    assert directions.shape == (32, 16)
    assert np.allclose(directions.T @ directions, np.eye(16), atol=1e-5)
    wanted = teacher.encode(index.texts(), "document") @ directions
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    assert np.allclose(index.vectors(), wanted, atol=1e-5)
    assert index.spec() == student.source("fp32").load().spec


def test_the_report_measures_what_is_shipped_and_names_both(project: Project) -> None:
    report = project.report().as_dict()
    targets = report["student"]["student"]["targets"]
    assert (targets["documents"], targets["dim"], targets["of"]) == ("teacher", 16, 32)
    assert 0 < targets["kept"] <= 1
    assert "documents are encoded by the teacher" in project.runner.latest_of("evaluate").page.read_text("utf-8")
    student = next(system for system in report["systems"] if system["name"] == "student")
    searcher = project.searcher()
    test = project.runner.latest_of("check").task("alias-to-label", "test")
    rows = searcher.search_labels(searcher.encoder.encode([query.text for query in test.queries], "query"), 1)[1]
    grades = [test.qrels.grades[query.query_id] for query in test.queries]
    texts = {document.doc_id: document.encoder_text() for document in test.corpus}
    right = [
        searcher.label_text(int(row[0])) in {texts[doc] for doc in judged}
        for row, judged in zip(rows, grades, strict=True)
    ]
    assert student["measures"]["R@1"]["mean"] == pytest.approx(np.mean(right), abs=0.03)


def test_documents_of_a_project_are_encoded_by_the_teacher(project: Project, tmp_path: Path) -> None:
    index = project.runner.latest(IndexArtifact)
    texts = index.texts()[:5]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts), encoding="utf-8")
    encode_file(file, tmp_path / "d.npy", column=None, model=None, role="document", project=project)
    assert np.allclose(np.load(tmp_path / "d.npy"), index.vectors()[:5], atol=1e-5)
    encode_file(file, tmp_path / "q.npy", column=None, model=None, role="query", project=project)
    student = project.runner.latest(DistilArtifact).source("fp32").load()
    assert np.allclose(np.load(tmp_path / "q.npy"), student.encode(texts, "query"), atol=1e-5)


def test_without_the_teacher_documents_are_refused_and_queries_answered(project: Project, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(project.root, tmp_path / "copy"))
    shutil.rmtree(copy / "work" / "train")
    bare = Project(copy)
    assert bare.search("UdeG", 1)
    with pytest.raises(ArtifactError, match=r"E_TEACHER.*train.*gone; the documents of this index were encoded by"):
        bare.encode(LABELS, "document")


def test_the_bundle_holds_the_student_and_the_teachers_vectors(project: Project, bundle: Path) -> None:
    searcher = Searcher.load(bundle)
    side = read_manifest(bundle).documents
    assert side is not None
    assert (side.encoded_by, side.directions) == ("teacher", True)
    index = project.runner.latest(IndexArtifact)
    stored = {searcher.names.text(row): searcher.catalogue.vectors.take(np.array([row]))[0] for row in range(9)}
    expected = index.vector_of_text()
    assert all(np.allclose(vector, expected[text], atol=1e-6) for text, vector in stored.items())
    queries = ["UdeG", "oslo univ"]
    ours, theirs = searcher.encoder.encode(queries, "query"), project.searcher().encoder.encode(queries, "query")
    assert np.allclose(ours, theirs, atol=1e-4)
    assert searcher.search("UdeG", 1)


def test_documents_that_the_student_of_a_bundle_encodes_are_counted_and_told(
    bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("id,text\n" + "".join(f"{at},{text}\n" for at, text in enumerate(LABELS)), encoding="utf-8")
    model = StoreModel(bundle=bundle)
    with caplog.at_level(logging.WARNING, "honed.project"):
        create_store(tmp_path / "store", [rows], model, StoreColumns(), IndexSettings(), 100)
        assert "W_STUDENT_DOCUMENTS: 3 documents were encoded by the student" in caplog.text
        rows.write_text("id,text\n9,University of Bergen\n", encoding="utf-8")
        add_to_store(tmp_path / "store", [rows], model, StoreColumns(), replace=False)
        assert "W_STUDENT_DOCUMENTS: 1 documents" in caplog.text
    service = Service(bundle, Limits())
    assert service.about()["documents_by_student"] == 0
    assert isinstance(service.searcher.encoder, BundleEncoder)
    service.searcher.encoder.encode(LABELS, "document")
    assert service.about()["documents_by_student"] == 3


def test_an_update_teaches_teacher_and_student_anew(project: Project, tmp_path: Path) -> None:
    copy = Project(Path(shutil.copytree(project.root, tmp_path / "copy")))
    (copy.root / "more.csv").write_text(
        "id,label,alias,kind\nnew1,University of Ys,Ys Uni,x\nnew1,University of Ys,UYs,x\nnew2,Atlantis,AC,x\n",
        encoding="utf-8",
    )
    updated = update(copy, [copy.root / "more.csv"])
    assert updated.new_examples >= 2
    index = updated.artifacts["index"]
    assert isinstance(index, IndexArtifact)
    models = index.document_models()
    assert models is not None
    assert models.parts[0].folder.parent == updated.artifacts["train"].folder


def test_several_teachers_teach_one_student_and_encode_its_documents(
    tmp_path: Path, tiny_model: Path, worded_model: Path, institutions: list[dict[str, str]]
) -> None:
    section = f'[distil]\nteachers = ["{worded_model.as_posix()}"]\ndocuments = "teacher"\nepochs = 1\nvariants = 0\n'
    project = Project(write(tmp_path, institutions, tiny_model, section))
    before = {plan.stage.name: plan.key.key for plan in project.plan()}
    project.runner.run()
    targets = project.report().as_dict()["student"]["student"]["targets"]
    assert targets["teachers"] == ["fine-tuned", "model"]
    assert (targets["dim"], targets["of"]) == (32, 32 + 48)
    index = project.runner.latest(IndexArtifact)
    models = index.document_models()
    assert models is not None
    assert len(models.parts) == 2
    vectors = models.load().encode(index.texts(), "document")
    assert (vectors * index.vectors()).sum(axis=1).min() > 0.998  # bf16 where the CPU has it
    cosines = [part.load().encode(index.texts(), "document") for part in models.parts]
    wanted = np.mean([part @ part.T for part in cosines], axis=0)
    assert np.corrcoef((vectors @ vectors.T).ravel(), wanted.ravel())[0, 1] > 0.9
    other = project.changed({"distil.teachers": []})
    assert {plan.stage.name: plan.key.key for plan in other.plan()}["distil"] != before["distil"]


def test_only_a_student_that_learns_vectors_can_leave_documents_to_its_teacher(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    section = '[mine]\n[distil]\nmethod = "pairs"\ndocuments = "teacher"\n'
    with pytest.raises(ConfigError, match=r'distil.documents = "teacher" goes with method = "match"'):
        Project(write(tmp_path, institutions, tiny_model, section))
