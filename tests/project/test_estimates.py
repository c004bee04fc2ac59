"""What a run will take is told before it is done, and a time that is given is kept to."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from honed import Project
from honed.core.effort import DataFacts, Effort, Texts
from honed.core.errors import HonedError
from honed.encode.probe import Rate, probe_texts
from honed.project import planned
from honed.project.budget import Variant, choose, duration, variants
from honed.project.estimate import data_facts, estimate_run
from honed.project.planned import estimate, fit_into, plan_run
from honed.project.speeds import Speeds, machine_speeds, speeds_file

FACTS = DataFacts(
    documents=Texts(count=2000, tokens=60),
    dev_documents=Texts(count=1000, tokens=60),
    names=Texts(count=2500, tokens=50),
    test=Texts(count=300, tokens=10),
    dev=Texts(count=200, tokens=10),
    anchors=Texts(count=4000, tokens=10),
    positives=Texts(count=5000, tokens=60),
    examples=5000,
)
ALL = '[mine]\ncandidates = ["encoder", "bm25"]\nrescore = true\n[cross_encoder]\n[distil]\n[hybrid]\n[answers]\n'


def fake_speeds(**ratios: list[float]) -> Speeds:
    rates = [Rate(10, 1e-4), Rate(100, 2e-4)]
    slower = [Rate(rate.length, 4 * rate.seconds) for rate in rates]
    return Speeds(encode=rates, train=slower, compare=1e-10, match=1e-8, ratios=ratios)


def with_all(folder: Path) -> Project:
    file = folder / "honed.toml"
    text = file.read_text(encoding="utf-8").replace("[index]", f"{ALL}[index]")
    file.write_text(text, encoding="utf-8")
    return Project(folder)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def larger(facts: DataFacts, factor: int) -> DataFacts:
    names = ("documents", "dev_documents", "names", "test", "dev", "anchors", "positives")
    texts = {name: getattr(facts, name).times(factor) for name in names}
    return replace(facts, examples=factor * facts.examples, **texts)


def test_a_rate_lies_between_those_of_two_lengths() -> None:
    speeds = fake_speeds()
    for tokens, rate in ((5, 1e-4), (10, 1e-4), (55, 1.5e-4), (100, 2e-4), (400, 2e-4)):
        effort = Effort(encoded=(Texts(count=7, tokens=tokens),))
        assert speeds.seconds(effort, 384) == pytest.approx(7 * tokens * rate)
    assert speeds.seconds(Effort(compared=10), 384) == pytest.approx(10 * 384 * 1e-10)
    assert speeds.seconds(Effort(fused=10), 384) == pytest.approx(4 * speeds.seconds(Effort(matched=10), 384))


def test_what_stages_really_took_corrects_what_is_estimated() -> None:
    speeds, effort = fake_speeds(), Effort(matched=1e9)
    for took in (20.0, 20.0, 90.0):  # once something else was going on
        speeds.learn("evaluate", speeds.seconds(effort, 384, "evaluate"), took)
    assert speeds.seconds(effort, 384, "evaluate") == pytest.approx(20)
    assert speeds.seconds(effort, 384, "baselines") == pytest.approx(10)


def test_estimates_grow_with_the_rows(small_project: Path) -> None:
    project = with_all(small_project)
    plans = [plan for plan in project.plan() if plan.stage.effort]
    assert {plan.stage.name for plan in plans} == {
        "baselines", "headroom", "draft", "mine", "cross_encoder", "rescore", "train", "distil", "index", "hybrid",
        "evaluate",
    }  # fmt: skip
    for plan in plans:
        small, large = (
            estimate_run([plan], project.config, larger(FACTS, factor), fake_speeds()).seconds for factor in (10, 40)
        )
        assert small > 0
        assert 2.5 < large / small < 17, plan.stage.name  # linear, or queries times documents


def test_twice_the_epochs_are_nearly_twice_the_training(small_project: Path) -> None:
    def seconds(epochs: int) -> float:
        project = Project(small_project, settings={"train.epochs": epochs})
        plans = [plan for plan in project.plan() if plan.stage.name == "train"]
        return estimate_run(plans, project.config, FACTS, fake_speeds()).seconds

    looks = seconds(2) - (seconds(4) - seconds(2))
    assert seconds(8) - looks == pytest.approx(4 * (seconds(2) - looks))
    assert Project(small_project, settings={"train.head": "skip"}).config.train is not None


def test_a_stage_that_stands_takes_no_time(small_project: Path) -> None:
    Project(small_project).run(until="baselines")
    project = Project(small_project)
    estimated = estimate_run(project.plan(), project.config, data_facts(project), fake_speeds())
    assert [stage.seconds for stage in estimated.stages[:3]] == [0, 0, 0]
    assert all(stage.seconds for stage in estimated.stages[3:])
    assert estimated.by_stage().keys() == {stage.plan.stage.name for stage in estimated.stages[3:]}


def test_the_facts_are_those_of_the_data_and_nothing_is_left_behind(small_project: Path) -> None:
    before = files(small_project)
    facts = data_facts(Project(small_project))
    assert files(small_project) == before
    Project(small_project).run(until="check")
    assert data_facts(Project(small_project)) == facts
    assert facts.documents.count <= facts.names.count
    assert facts.documents.count > 100
    assert facts.directions == 2
    assert facts.dim == 32  # of the tiny model
    assert 0.01 < facts.parameters < 1
    assert 5 < facts.documents.tokens < 64


def test_the_probe_is_made_once_a_machine_and_model(small_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = Project(small_project).config
    first = machine_speeds(config)
    assert speeds_file(config).is_file()
    monkeypatch.setattr("honed.project.speeds.measure_speeds", lambda _: pytest.fail("measured again"))
    assert machine_speeds(config) == first
    rates = [*first.encode, *first.train]
    assert all(rate.seconds > 0 for rate in rates)
    assert first.encode[0].length < first.encode[1].length
    other = Project(small_project, settings={"model.precision": "bf16"}).config
    assert speeds_file(other) != speeds_file(config)


def test_probe_texts_are_the_same_everywhere() -> None:
    assert probe_texts(3, 4) == probe_texts(3, 4)
    assert all(len(text.split()) == 4 for text in probe_texts(3, 4))


def test_times_are_said_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (3, 119, 600, 8000)] == ["3 s", "119 s", "10 min", "2.2 h"]


# -- a time that is given ------------------------------------------------------------------------


class Said:
    def __init__(self, likely: str) -> None:
        self.likely = likely

    def estimate(self) -> dict[str, str]:
        return {"likely": self.likely}


STEPS = [
    Variant(name="all", overrides={}, seconds=1000),
    Variant(name="no student", overrides={"distil": None}, seconds=600),
    Variant(name="2 epochs", overrides={"distil": None, "train.epochs": 2}, seconds=300),
    Variant(name="base", overrides={"train": None}, seconds=60),
]


@pytest.mark.parametrize(
    ("seconds", "likely", "name", "dearer"),
    [
        (1000, "likely", "all", []),
        (999, "likely", "no student", ["all"]),
        (400, None, "2 epochs", ["no student", "all"]),
        (400, "unclear", "2 epochs", ["no student", "all"]),
        (5000, "unlikely", "base", []),
        (61, "likely", "base", ["2 epochs", "no student", "all"]),
        (1, "likely", "base", ["2 epochs", "no student", "all"]),
    ],
)
def test_the_fullest_that_fits_is_chosen_unless_dev_speaks_against_training(
    seconds: float, likely: str | None, name: str, dearer: list[str]
) -> None:
    choice = choose(STEPS, seconds, Said(likely) if likely else None)
    assert choice.chosen.name == name
    assert [variant.name for variant in choice.dearer] == dearer
    assert (choice.reason == "nothing fits; this is the least") == (seconds == 1)


def test_every_variant_is_a_configuration_and_they_get_cheaper(small_project: Path) -> None:
    project = with_all(small_project)
    seconds = []
    for variant in variants(project.config):
        try:
            changed = project.changed(variant.overrides)
        except HonedError:
            continue
        seconds.append(estimate_run(changed.plan(), changed.config, FACTS, fake_speeds()).seconds)
    assert len(seconds) >= 4
    assert seconds == sorted(seconds, reverse=True)
    assert seconds[-1] < seconds[0] / 3


@pytest.mark.parametrize(("minutes", "trained"), [(60, True), (0.001, False)])
def test_a_run_within_a_time_leaves_honed_toml_alone(
    small_project: Path, monkeypatch: pytest.MonkeyPatch, minutes: float, trained: bool
) -> None:
    monkeypatch.setattr(planned, "machine_speeds", lambda _: fake_speeds())
    monkeypatch.setattr(planned, "save_speeds", lambda *_: None)
    before = (small_project / "honed.toml").read_bytes()
    run, choice = fit_into(Project(small_project), minutes)
    run.run()
    assert (small_project / "honed.toml").read_bytes() == before
    assert (run.project.report().system("fine-tuned") is not None) == trained
    assert bool(choice.next_lines()) != trained
    assert Project(small_project).search("udg")


def test_a_run_teaches_what_its_stages_took(small_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Speeds] = []
    monkeypatch.setattr(planned, "machine_speeds", lambda _: fake_speeds())
    monkeypatch.setattr(planned, "save_speeds", lambda _, speeds: kept.append(speeds))
    monkeypatch.setattr(planned, "_LEARNED_FROM", 0.0)
    plan_run(Project(small_project), until="headroom").run()
    assert kept[0].ratios.keys() == {"baselines", "headroom"}
    assert estimate(Project(small_project), until="headroom").seconds == 0


def test_a_dry_run_shows_every_stage_with_its_time_and_does_nothing(small_project: Path) -> None:
    before = files(small_project)
    command = [sys.executable, "-m", "honed", "run", "--dry-run", "--project", str(small_project)]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    for plan in Project(small_project).plan():
        line = next(line for line in shown.stdout.splitlines() if line.startswith(plan.stage.name))
        assert "would run" in line
        assert plan.key.key in line
        assert ((" s " in line or " min " in line) and "MB" in line) or plan.stage.effort is None
    assert "together about" in shown.stdout
    assert files(small_project) == before
