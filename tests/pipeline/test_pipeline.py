import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from honed.api.project import Project
from honed.core.artifacts import MANIFEST
from honed.core.errors import ConfigError, GateError, StorageError
from honed.pipeline.honed_toml import read_config
from honed.project.init import propose
from tests.conftest import ROOT, write_project

STAGES = ("import", "check", "baselines", "headroom", "train", "index", "evaluate")


def states(project: Path, **options: str) -> dict[str, str]:
    heard: dict[str, str] = {}
    Project(project, listener=lambda stage, state, _: heard.__setitem__(stage, state)).run(**options)
    return heard


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, institutions: list[dict[str, str]]) -> Path:
    """A project that has run once; tests copy it."""
    folder = write_project(tmp_path_factory.mktemp("done"), institutions, tiny_model.as_posix(), n_entities=150)
    assert set(states(folder).values()) == {"done"}
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(finished, tmp_path / "p")
    return tmp_path / "p"


def edit(project: Path, old: str, new: str) -> None:
    file = project / "honed.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_second_run_skips_everything(project: Path) -> None:
    assert states(project) == dict.fromkeys(STAGES, "stands")


@pytest.mark.parametrize(
    ("old", "new", "anew"),
    [
        ("epochs = 2", "epochs = 1", {"train", "index", "evaluate"}),
        ("[evaluate]", "[evaluate]\nseed = 1", {"evaluate"}),
        ("[baselines]", '[baselines]\nlanguage = "spanish"', {"baselines", "evaluate"}),
        ("[index]", '[index]\nbackend = "exact"', {"index", "evaluate"}),
        ("[split]", "[split]\nseed = 1", {"check", "baselines", "headroom", "train", "index", "evaluate"}),
        ('slice_by = ["kind"]', "", {"check", "baselines", "headroom", "train", "index", "evaluate"}),
        ("gain_over_base = -1.0", "gain_over_base = -0.9", {"evaluate"}),
    ],
)
def test_one_changed_option_runs_only_what_depends_on_it(project: Path, old: str, new: str, anew: set[str]) -> None:
    edit(project, old, new)
    planned = {plan.stage.name for plan in Project(project).plan() if not plan.stands}
    assert planned == anew
    if "train" not in anew:
        assert {stage for stage, state in states(project).items() if state == "done"} == anew


def test_a_changed_input_runs_everything(project: Path) -> None:
    file = project / "names.csv"
    file.write_text(file.read_text() + "new,New College of X,NCX,acronym,X,X,,\n")
    assert not any(plan.stands for plan in Project(project).plan())


def test_two_files_of_one_name_both_count(tmp_path: Path) -> None:
    for folder, text in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "n.csv").write_text(f"label,alias\n{text},{text[0]}\n")
    (tmp_path / "honed.toml").write_text(
        '[paths]\ninput = ["a", "b"]\n[data]\nshape = "aliases"\n[data.columns]\nlabel = "label"\nalias = "alias"\n'
    )
    before = Project(tmp_path).plan()[0].key.key
    (tmp_path / "a" / "n.csv").write_text("label,alias\nuno,u\n")
    assert Project(tmp_path).plan()[0].key.key != before


def test_a_stage_can_be_made_anew_with_all_after_it(project: Path) -> None:
    assert {s for s, state in states(project, start="index").items() if state == "done"} == {"index", "evaluate"}


def test_results_are_the_same_when_made_again(project: Path) -> None:
    before = Project(project).report().as_dict()
    weights = Project(project).runner.latest_of("train").manifest.files["model/model.safetensors"]
    states(project, start="train")
    assert Project(project).runner.latest_of("train").manifest.files["model/model.safetensors"] == weights
    assert Project(project).report().as_dict() == before


def test_every_artifact_is_whole(project: Path) -> None:
    runner = Project(project).runner
    for stage in STAGES:
        runner.latest_of(stage).verify()


def test_the_report_keeps_its_contract(project: Path) -> None:
    report = Project(project).report().as_dict()
    assert {"protocol", "n_queries", "n_candidates", "ceiling", "systems", "comparisons", "gates"} <= set(report)
    assert report["protocol"] == "held-out"
    assert report["n_candidates"] == 150
    assert 0.5 < report["ceiling"] <= 1
    for system in report["systems"]:
        assert set(system) == {"name", "measures", "slices"}
        assert list(system["measures"]) == ["R@1", "R@3", "R@10", "MRR@10", "nDCG@10"]
        for value in system["measures"].values():
            assert 0 <= value["low"] <= value["mean"] <= value["high"] <= 1
            assert value["mean"] <= report["ceiling"] + 0.2
        assert "kind=acronym" in system["slices"]
    assert {gate["name"] for gate in report["gates"]} == {"gain over base"}
    names = [system["name"] for system in report["systems"]]
    assert names[0] == "dictionary"
    assert names[-3:] == ["base model", "fine-tuned", "fine-tuned + known names"]
    assert json.dumps(report, allow_nan=False)


def test_a_section_that_is_absent_leaves_its_stage_out(project: Path) -> None:
    edit(project, "[gate]\ngain_over_base = -1.0", "")
    edit(project, "[train]\nepochs = 2\nbatch_size = 32\nevaluations = 2\n", "")
    assert list(states(project)) == ["import", "check", "baselines", "index", "evaluate"]
    assert [system["name"] for system in Project(project).report().as_dict()["systems"]][-1] == "base model"
    with pytest.raises(ConfigError, match=r"no section \[train\]"):
        Project(project).run(until="train")


def test_a_failed_gate_is_an_error_after_everything_is_written(project: Path) -> None:
    edit(project, "gain_over_base = -1.0", "gain_over_base = 0.99")
    with pytest.raises(GateError, match="1 of 1 gates failed: gain over base"):
        Project(project).run()
    assert not Project(project).report().as_dict()["gates"][0]["passed"]


def test_the_catalogue_protocol_says_so_and_knows_every_name(project: Path) -> None:
    edit(project, "[split]", '[split]\nprotocol = "catalogue"\nsample = 60')
    Project(project).run()
    report = Project(project).report().as_dict()
    by_name = {system["name"]: system["measures"]["R@1"]["mean"] for system in report["systems"]}
    assert report["protocol"] == "catalogue"
    assert report["n_queries"] == 60
    assert by_name["dictionary"] > 0.8
    # ambiguous names are ordered by the model, which is random here
    assert by_name["fine-tuned + known names"] >= by_name["dictionary"] - 0.1
    page = (Project(project).runner.latest_of("evaluate").folder / "report.html").read_text()
    assert "the test pairs were trained on" in page


def test_search_answers_known_names_exactly_and_others_by_meaning(project: Path) -> None:
    searcher = Project(project).searcher()
    row = next(line for line in (project / "names.csv").read_text().splitlines()[1:] if ",acronym," in line).split(",")
    hits = searcher.search(row[2].lower(), k=5)
    assert hits[0].score == pytest.approx(1.0, abs=0.01)
    assert row[0] in {hit.doc_id for hit in hits if hit.matched.lower() == row[2].lower()}
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert len({hit.doc_id for hit in hits}) == 5
    rest = [hit.score for hit in hits if hit.matched.lower() != row[2].lower()]
    assert rest == sorted(rest, reverse=True)
    aliases = searcher.search(row[1], k=3, direction="label-to-alias")
    assert all(hit.fields["label"] for hit in aliases)
    assert searcher.entity(row[0])["label"] == row[1]
    assert row[2] in searcher.entity(row[0])["aliases"]


@pytest.mark.parametrize(
    ("text", "k", "direction", "message"),
    [
        ("", 3, "alias-to-label", "the query is empty"),
        ("x" * 20_000, 3, "alias-to-label", "allowed are 10000"),
        ("x", 0, "alias-to-label", "allowed: 1..max_k, which is 1000"),
        ("x", 10**8, "alias-to-label", "allowed: 1..max_k, which is 1000"),
        ("x", 3, "sideways", "is not one of alias-to-label, label-to-alias"),
    ],
)
def test_requests_out_of_bounds_are_refused(project: Path, text: str, k: int, direction: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Project(project).searcher().search(text, k, direction=direction)


def test_an_index_refuses_another_model(project: Path) -> None:
    import dataclasses

    from honed.artifacts.index import IndexArtifact
    from honed.core.errors import ArtifactError
    from honed.core.fingerprint import sha256_file
    from honed.core.writing import write_json
    from honed.stages.searching import open_searcher

    artifact = IndexArtifact.at(Project(project).runner.latest_of("index").folder)
    encoder = artifact.encoder().load()
    source = artifact.read_json("encoder.json")
    source["spec"]["weights"] = "0" * 64
    write_json(artifact.folder / "encoder.json", source)
    with pytest.raises(ArtifactError, match=r"encoder.json: bytes differ"):
        open_searcher(IndexArtifact.at(artifact.folder), None, encoder)
    files = {**artifact.manifest.files, "encoder.json": sha256_file(artifact.folder / "encoder.json")}
    write_json(artifact.folder / MANIFEST, dataclasses.replace(artifact.manifest, files=files).as_dict())
    with pytest.raises(ArtifactError, match="made with another model"):
        open_searcher(IndexArtifact.at(artifact.folder), None, encoder)


def test_a_damaged_index_is_refused(project: Path) -> None:
    from honed.core.errors import ArtifactError

    vectors = Project(project).runner.latest_of("index").folder / "vectors.npy"
    data = bytearray(vectors.read_bytes())
    data[-500:] = bytes(500)
    vectors.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match=r"vectors.npy: bytes differ"):
        Project(project).searcher()


def test_an_alias_of_several_entities_is_a_hit_for_each_nearest_label_first(tmp_path: Path) -> None:
    import numpy as np

    from honed.bundle.names import NameTable
    from honed.encode.hashing import HashEncoder
    from honed.index.stored import StoredVectors
    from honed.search.searcher import Searcher

    encoder = HashEncoder(256)
    texts = ["University of Michigan", "University of Miami", "UM", "Wolverines", *(f"UM {n}" for n in range(60))]
    entities = [(key, f"University of {key.title()}", {}) for key in ("miami", "michigan")]
    names = [(1, 0, "label"), (0, 1, "label"), (2, 0, "alias"), (2, 1, "alias")]
    names += [(4 + n, 1, "alias") for n in range(60)]
    searcher = Searcher(
        encoder,
        StoredVectors(np.asarray(encoder.encode(texts, "document"))),
        NameTable.build(texts, names, entities),
        settings={"backend": "exact", "names": "all"},
    )
    found = searcher.search("University of Michigan", k=70, direction="label-to-alias")
    assert [hit.doc_id for hit in found if hit.text == "UM"] == ["michigan", "miami"]
    assert {hit.doc_id for hit in searcher.search("UM 7", k=2)} == {"michigan", "miami"}  # 61 strings of one entity


def test_two_runs_at_once_are_refused(project: Path) -> None:
    runner = Project(project).runner
    with runner._locked(), pytest.raises(StorageError, match="another honed is at work"):
        Project(project).run()


KILL = """
import os, signal, sys
sys.path.insert(0, {root!r})
from honed.core import artifacts
from honed.pipeline import runner
stage = sys.argv[1]
where = sys.argv[2]
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
commit = artifacts.ArtifactStore.commit
def killing(self, key, partial, facts, kind):
    if key.stage == stage and where == "before commit":
        die()
    if key.stage == stage and where == "inside commit":
        type(partial).rename = die
    return commit(self, key, partial, facts, kind)
artifacts.ArtifactStore.commit = killing
from honed.api.project import Project
Project(sys.argv[3]).run()
"""


@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_in_any_stage_goes_on_to_the_same_result(
    stage: str, finished: Path, tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    where = "inside commit" if stage in ("check", "train", "evaluate") else "before commit"
    folder = write_project(tmp_path, institutions, tiny_model.as_posix(), n_entities=150)
    for name in STAGES[: STAGES.index(stage)]:  # what came before stands
        import shutil

        shutil.copytree(finished / "work" / name, folder / "work" / name)
    code = subprocess.run(
        [sys.executable, "-c", KILL.format(root=str(ROOT)), stage, where, str(folder)], capture_output=True
    ).returncode
    assert code == -signal.SIGKILL
    assert not list((folder / "work" / stage).glob(f"*[!l]/{MANIFEST}"))
    heard = states(folder)
    assert heard[stage] == "done"
    ours, straight = (
        Project(folder).runner.latest_of(stage).manifest,
        Project(finished).runner.latest_of(stage).manifest,
    )
    assert ours.key == straight.key
    assert ours.files == straight.files
    assert Project(folder).report().as_dict() == Project(finished).report().as_dict()


def test_init_writes_a_configuration_that_works_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "n.csv").write_text("Name;Synonym;Colour\nAlpha;A;red\n")
    proposal = propose([tmp_path / "n.csv"], tmp_path, given={}, shape=None, encoding="utf-8")
    (tmp_path / "honed.toml").write_text(proposal.text)
    config = read_config(tmp_path / "honed.toml")
    assert dict(config.data.columns) == {"label": "Name", "alias": "Synonym"}
    assert config.paths.input == ("n.csv",)
    assert "kept as fields: Colour" in proposal.notes


def test_init_refuses_to_guess() -> None:
    from honed.core.errors import DataError

    with pytest.raises(DataError, match="no shape fits the columns a, b"):
        folder = ROOT / "tests"
        path = folder / "guess.csv"
        path.write_text("a,b\n1,2\n")
        try:
            propose([path], folder, given={}, shape=None, encoding="utf-8")
        finally:
            path.unlink()


DATA = "[paths]\ninput = ['a']\n[data]\nshape = 'aliases'\n[data.columns]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[paths", "not TOML"),
        ("[pahts]\n", "unknown section; did you mean paths"),
        ("[paths]\ninput = ['a']\noutput = 'a'\n", "paths.output: a is also paths.input"),
        ("[server]\nhost = '0.0.0.0'\n", "server.api_key .or pass --insecure"),
        ("[server]\nport = 99999\n", "server.port: 99999 is out of range"),
        ("[model]\nmax_length = 100000\n", "over the model's 512 positions"),
        ("[split]\ntest = 0.6\ndev = 0.5\n", "must stay below 1"),
        ("[train]\n", r"the section \[paths\] is missing"),
        (f"{DATA}[gate]\n[evaluate]\n", r"\[gate\] needs the section \[train\]"),
        ("[train]\nmax_grad_norm = inf\n", "is not a finite number"),
        ("[baselines]\nlanguage = 'chinese'\n", "is not one of arabic"),
        ("data = 'x.csv'\n", r"expected a table \[data\]"),
        ("[data]\nshape='aliases'\ndelimiter='ab'\n[data.columns]\n", "is not one character"),
        ("[data]\nshape='aliases'\nencoding='utf-99'\n[data.columns]\n", "unknown encoding"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "honed.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(tmp_path / "honed.toml")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["honed.toml"]


def test_progress_is_heard(project: Path) -> None:
    from honed.core.progress import show_progress_with

    heard: list[str] = []

    class Bar:
        def advance(self, count: int = 1) -> None: ...
        def note(self, text: str) -> None: ...
        def close(self) -> None: ...

    def factory(label: str, total: int | None) -> Bar:
        heard.append(label)
        return Bar()

    show_progress_with(factory)
    try:
        states(project, start="train")
    finally:
        show_progress_with(None)
    assert "fine-tune steps" in heard
    assert "encode document texts" in heard
