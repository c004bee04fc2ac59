"""Choosing among base models: the rule, the stage, and that everything after it works with what was chosen."""

import json
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from honed import Project
from honed.artifacts.bases import BasesArtifact
from honed.artifacts.evaluation import BaselinesArtifact
from honed.cli.main import run_command
from honed.core.errors import ConfigError
from honed.encode.candidates import candidates, provisional
from honed.encode.config import EncoderConfig
from honed.evaluate.bases import BaseChoice, BaseTrial, choose_base
from honed.project.planned import fit_into, plan_run
from tests.conftest import write_project

GROUPS = [str(number) for number in range(200)]


def trials(*names: str) -> list[BaseTrial]:
    return [BaseTrial(base=name, mb=10.0 * (place + 1), score=0.0) for place, name in enumerate(names)]


class TestRule:
    def test_a_larger_model_must_be_surely_better(self) -> None:
        random = np.random.default_rng(0)
        small = random.random(200)
        noise = small + random.normal(0.005, 0.3, 200)  # better on the whole, and not surely so
        better = small + random.normal(0.2, 0.1, 200)
        assert choose_base(trials("small", "noisy"), [small, noise], GROUPS) == "small"
        assert choose_base(trials("small", "better"), [small, better], GROUPS) == "better"
        assert choose_base(trials("small", "noisy", "better"), [small, noise, better], GROUPS) == "better"

    def test_each_has_to_beat_the_choice_before_it(self) -> None:
        small, middle = np.zeros(200), np.full(200, 0.5)
        tried = trials("small", "middle", "large")
        assert choose_base(tried, [small, middle, middle + 0.0], GROUPS) == "middle"
        assert [trial.over for trial in tried] == ["", "small", "middle"]
        assert tried[2].difference is not None
        assert tried[2].difference.low == 0

    def test_those_that_were_left_out_are_none(self) -> None:
        tried = trials("small", "large")
        tried[1].score, tried[1].left_out = None, "left out, no time was left"
        assert choose_base(tried, [np.ones(200)], GROUPS) == "small"
        choice = BaseChoice(
            chosen="small", measure="MRR@10", n_queries=200, n_documents=9, tried=tried, lexical={"BM25": 0.5}
        )
        assert choice.lines()[1:] == [
            "large: left out, no time was left",
            "BM25: MRR@10 50.0 without a model",
            "base model: small, of 1 tried on 200 queries of dev (1 left out)",
        ]

    def test_many_that_are_no_better_rarely_win(self) -> None:
        random = np.random.default_rng(1)
        wins = 0
        for _ in range(40):
            scores = [random.random(200) for _ in range(6)]
            wins += choose_base(trials(*"abcdef"), scores, GROUPS) != "a"
        assert wins <= 4  # of one in twenty


class TestCandidates:
    def test_auto_is_what_is_here(self, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("honed.encode.base_models._hub_cache", lambda _: None)
        shutil.copytree(tiny_model, tmp_path / "e5-small-v2")
        monkeypatch.setenv("HONED_MODELS", str(tmp_path))
        assert candidates(EncoderConfig(base="auto")) == ["minilm", "e5-small"]
        assert provisional(EncoderConfig(base="auto")).base == "minilm"
        monkeypatch.setattr("honed.encode.base_models.is_installed", lambda _: False)
        assert candidates(EncoderConfig(base="auto")) == ["e5-small"]
        monkeypatch.delenv("HONED_MODELS")
        with pytest.raises(ConfigError, match="finds no known model on this machine"):
            candidates(EncoderConfig(base="auto"))
        assert provisional(EncoderConfig(base="auto")).base == "minilm"

    def test_named_ones_are_taken_as_they_are(self) -> None:
        config = EncoderConfig(base="auto", bases=("minilm", "/models/a", "minilm"))
        assert candidates(config) == ["minilm", "/models/a"]
        assert candidates(EncoderConfig(base="mpnet")) == ["mpnet"]
        with pytest.raises(ConfigError, match="hash:8: an encoder that is code is not tried"):
            candidates(EncoderConfig(base="auto", bases=("hash:8",)))


@pytest.fixture
def several(tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]) -> Path:
    """A project that leaves its base model open between two folders beside it."""
    for name in ("first", "second"):
        shutil.copytree(tiny_model, tmp_path / name)
    write_project(tmp_path, institutions, "BASES", n_entities=100, train="epochs = 1\nbatch_size = 32")
    file = tmp_path / "honed.toml"
    text = file.read_text(encoding="utf-8").replace('base = "BASES"', 'base = ["first", "second"]')
    file.write_text(text, encoding="utf-8")
    return tmp_path


def base_of(project: Project) -> str:
    return Path(project.config.model.base).name


def test_all_later_stages_work_with_the_choice_and_a_run_again_does_nothing(
    several: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("honed.stages.bases.choose_base", lambda trials, *_: trials[1].base)
    project = Project(several)
    assert base_of(project) == "first"  # provisionally
    open_plan = {plan.stage.name: plan for plan in project.plan()}
    assert not any(plan.stands for plan in open_plan.values())
    project.run()
    assert base_of(project) == "second"
    choice = project.runner.latest(BasesArtifact).choice()
    assert [Path(trial.base).name for trial in choice.tried] == ["first", "second"]
    assert all(trial.query_ms > 0 and trial.train_seconds for trial in choice.tried)
    assert choice.lexical
    baselines = project.runner.latest(BaselinesArtifact)
    assert Path(baselines.manifest.config["model"]["base"]).name == "second"
    assert choice.sentence() in project.report().more_lines()
    assert choice.lines()[0] in project.runner.latest_of("evaluate").path("report.html").read_text(encoding="utf-8")
    monkeypatch.setattr("honed.stages.bases.choose_base", lambda *_: pytest.fail("chosen again"))
    again = Project(several)
    assert base_of(again) == "second"  # of the last run, before anything is planned
    plans = {plan.stage.name: plan for plan in again.plan()}
    assert all(plan.stands for plan in plans.values())
    assert plans["baselines"].key != open_plan["baselines"].key
    again.run()
    assert len(again.search("university", k=2)) == 2


def test_other_candidates_or_data_are_tried_anew(several: Path, tiny_model: Path) -> None:
    project = Project(several)
    project.run(until="bases")
    assert [plan.stands for plan in project.plan(until="bases")] == [True, True, True]
    longer = project.changed({"model.minutes": 99.0})
    assert [plan.stands for plan in longer.plan(until="bases")] == [True, True, True]
    shutil.copytree(tiny_model, several / "third")
    more = project.changed({"model.base": ["first", "second", "third"]})
    assert [plan.stands for plan in more.plan(until="bases")] == [True, True, False]
    with (several / "names.csv").open("a", encoding="utf-8") as file:
        file.write(project_row(several))
    assert [plan.stands for plan in Project(several).plan(until="bases")] == [False, False, False]


def project_row(folder: Path) -> str:
    lines = (folder / "names.csv").read_text(encoding="utf-8").splitlines()
    return lines[-1].replace(lines[-1].split(",")[0], "Q-new", 1) + "\n"


def test_without_time_only_the_smallest_is_tried(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.stages.bases._size", lambda model: {"first": 2.0}.get(Path(model.base).name, 1.0))
    now = count(0.0, 1000.0)
    monkeypatch.setattr("honed.stages.bases.monotonic", lambda: next(now))
    project = Project(several)
    project.run(until="bases")
    choice = project.runner.latest(BasesArtifact).choice()
    assert Path(choice.chosen).name == "second"
    assert [Path(trial.base).name for trial in choice.tried] == ["second", "first"]
    assert choice.tried[1].left_out == "left out, no time was left"


def test_a_run_is_estimated_with_what_was_chosen(several: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.stages.bases.choose_base", lambda trials, *_: trials[1].base)
    project = Project(several)
    planned = plan_run(project)
    assert base_of(project) == "second"
    assert planned.estimate.by_stage()["train"] > 0
    run, _ = fit_into(Project(several), 600)
    assert base_of(run.project) == "second"


def test_a_choice_is_told_before_it_is_made(several: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["run", "-p", str(several), "--dry-run"]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["bases", "would", "run"] in [line[:3] for line in shown]
    assert not (several / "work" / "bases").exists()


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"base": "minilm", "bases": ["mpnet"]}, "these are tried where model.base is \"auto\", not 'minilm'"),
        ({"base": ["minilm", "auto"]}, '"auto" is no base model'),
        ({"base": ["minilm", 3]}, "model.bases: expected str, got int"),
    ],
)
def test_what_does_not_go_together_is_refused(several: Path, model: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Project(several, settings={f"model.{key}": value for key, value in model.items()})


def test_shapes_without_judged_queries_name_their_base(tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("id,text,label\n1,a,x\n", encoding="utf-8")
    text = '[paths]\ninput=["texts.csv"]\n[data]\nshape="labels"\n[data.columns]\nid="id"\ntext="text"\nlabel="label"\n'
    (tmp_path / "honed.toml").write_text(text + '[model]\nbase="auto"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r'data\.shape = "labels" has none of; name one'):
        Project(tmp_path)


def test_real_models_are_chosen_by_dev(
    tmp_path: Path, institutions: list[dict[str, str]], real_model: Callable[[str], Path]
) -> None:
    folder = real_model("multilingual-e5-small").as_posix()
    write_project(tmp_path, institutions, "minilm", n_entities=250)
    settings = {"model.base": ["minilm", folder], "train": None, "gate": None}
    project = Project(tmp_path, settings=settings)
    project.run(until="bases")
    choice = project.runner.latest(BasesArtifact).choice()
    small, large = choice.tried
    assert (small.base, large.base) == ("minilm", folder)
    assert small.mb < large.mb
    assert large.difference is not None
    assert (choice.chosen == folder) == (large.difference.low > 0)
    assert json.dumps(choice.lexical)
