"""Wrong prompts are noticed: other pairs are tried on a sample of dev, and nothing is where there are no prompts."""

import logging
import shutil
from pathlib import Path

import pytest

from honed import Project
from honed.core.protocols import Role, Vectors
from honed.core.records import Document, EncoderSpec, JudgedTask, Qrels, Query
from honed.encode.hashing import HashEncoder
from honed.evaluate.prompts import PromptTrial
from honed.shapes import dev_sample as samples
from honed.shapes.dev_sample import dev_sample
from honed.stages.prompt_trial import prompt_trial
from tests.conftest import write_project


def task(n: int, *, right: int = 1, length: int = 1) -> JudgedTask:
    """A task of n queries, each with some right documents of its own words."""
    names = [f"{number}" for number in range(n)]
    return JudgedTask(
        name="task",
        queries=[Query(query_id=name, text=f"word{name} asked") for name in names],
        corpus=[
            Document(doc_id=f"{name}.{part}", text=f"word{name} told " * length)
            for name in names
            for part in range(right)
        ],
        qrels=Qrels(grades={name: {f"{name}.{part}": 1 for part in range(right)} for name in names}),
        groups={name: name for name in names},
        slices={},
    )


class Trained:
    """An encoder that reads only what stands behind the prompt that it was trained with."""

    spec: EncoderSpec = HashEncoder(64).spec

    def encode(self, texts: list[str], role: Role) -> Vectors:
        return HashEncoder(64).encode(
            [text.removeprefix("name: ") if text.startswith("name: ") else "nothing" for text in texts], "document"
        )


class TestSample:
    def test_it_is_bounded_and_keeps_what_is_right(self) -> None:
        dev = task(700, right=3)
        sample = dev_sample(dev)
        assert len(sample.queries) == samples.MOST_QUERIES
        there = {document.doc_id for document in sample.corpus}
        assert all(sample.qrels.relevant(query.query_id) <= there for query in sample.queries)
        assert len(sample.corpus) == 2100
        assert sample == dev_sample(dev)

    def test_many_or_long_right_documents_stay_within_the_bounds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(samples, "MOST_CHARS", 20_000)
        sample = dev_sample(task(100, right=30, length=30))
        assert sum(len(document.text) for document in sample.corpus) <= 20_000
        assert 0 < len(sample.queries) < 100
        assert all(sample.qrels.relevant(query.query_id) for query in sample.queries)
        monkeypatch.setattr(samples, "MOST_DOCUMENTS", 12)
        assert len(dev_sample(task(100, right=30)).corpus) == 12


class TestTrial:
    def test_better_prompts_are_named(self) -> None:
        pairs = {"of names": ("name: ", "name: "), "none": ("", "")}
        trial = prompt_trial(Trained(), task(60), ("query: ", "name: "), pairs)
        assert trial.better is not None
        assert trial.better.title == "of names"
        assert '"name: " on both sides gives +' in trial.sentence()
        assert 'prompts = "none", query_prompt = "name: ", document_prompt = "name: "' in trial.sentence()
        assert trial.better.score > 0.5 > trial.used.score

    def test_prompts_that_are_no_better_are_not(self) -> None:
        pairs = {"of search": ("query: ", "name: "), "none": ("", "")}
        trial = prompt_trial(Trained(), task(60), ("name: ", "name: "), pairs)
        assert trial.better is None
        assert trial.sentence() == ""


def test_a_model_with_prompts_is_tried_and_the_report_says_so(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_model, tmp_path / "e5-small")
    write_project(tmp_path, institutions, "e5-small", n_entities=80)
    project = Project(tmp_path, settings={"train": None, "gate": None})
    assert project.config.model.prompts == "names"
    project.run()
    report = project.report()
    trial: PromptTrial = report.prompts
    assert (trial.used.query, trial.used.document) == ("query: ", "query: ")
    assert {("query: ", "passage: "), ("", "")} <= {(pair.query, pair.document) for pair in trial.tried}
    assert report.model["document_prompt"] == "query: "
    assert {plan.stage.name for plan in project.plan() if not plan.stands} == set()


def test_the_warning_is_told_and_stands_on_the_page(
    tmp_path: Path,
    tiny_model: Path,
    institutions: list[dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_project(tmp_path, institutions, tiny_model.as_posix(), n_entities=80)
    better = prompt_trial(Trained(), task(60), ("query: ", "name: "), {"of names": ("name: ", "name: ")})
    monkeypatch.setattr("honed.stages.prompt_trial.prompt_trial", lambda *_: better)
    monkeypatch.setattr(logging.getLogger("honed.train"), "propagate", True)
    written = {"model.query_prompt": "query: ", "model.document_prompt": "name: "}
    project = Project(tmp_path, settings={"train": None, "gate": None, **written})
    project.run()
    assert better.sentence() in caplog.text
    assert better.sentence() in project.report().more_lines()
    assert "Warning" in project.runner.latest_of("evaluate").path("report.html").read_text(encoding="utf-8")


def test_nothing_is_tried_without_prompts(small_project: Path) -> None:
    project = Project(small_project, settings={"train": None, "gate": None})
    project.run()
    assert project.report().prompts is None
    assert not project.runner.latest_of("baselines").has("prompts.json")
