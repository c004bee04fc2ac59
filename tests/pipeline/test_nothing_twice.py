"""Nothing is encoded twice, a killed run costs a shard, and a search answers from what last stood."""

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from honed import Project
from honed.artifacts.models import TrainArtifact
from honed.core.errors import ConfigError
from honed.core.protocols import Role, Vectors
from honed.encode.models import encoder_source
from honed.encode.torch_encoder import TorchEncoder
from tests.conftest import ROOT
from tests.pins.projects import write


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often a text was encoded, by the weights; the encoder of a model in training has those of its base."""
    counts: Counter[tuple[str, str]] = Counter()
    encode = TorchEncoder.encode

    def counted(self: TorchEncoder, texts: Sequence[str], role: Role) -> Vectors:
        counts.update((self.spec.weights, text) for text in texts)
        return encode(self, texts, role)

    monkeypatch.setattr(TorchEncoder, "encode", counted)
    return counts


def with_section(folder: Path, *sections: str) -> None:
    file = folder / "honed.toml"
    text = file.read_text(encoding="utf-8")
    for section in sections:
        text = text.replace("[train]", f"{section}\n[train]", 1)
    file.write_text(text, encoding="utf-8")


def test_baselines_headroom_and_mining_encode_every_text_once(
    small_project: Path, asked: Counter[tuple[str, str]]
) -> None:
    with_section(small_project, '[mine]\nencoder = "base"')
    Project(small_project).run(until="mine")
    assert len(asked) > 300
    assert set(asked.values()) == {1}
    assert len({weights for weights, _ in asked}) == 1


def test_index_and_evaluation_encode_every_text_once_by_the_model_that_is_shipped(
    small_project: Path, asked: Counter[tuple[str, str]]
) -> None:
    text = (small_project / "honed.toml").read_text(encoding="utf-8")
    (small_project / "honed.toml").write_text(text.replace("[evaluate]", "[hybrid]\n[answers]\n[evaluate]"))
    project = Project(small_project)
    project.run(until="train")
    shutil.rmtree(small_project / "work" / "cache")
    asked.clear()
    project.run()
    assert len(asked) > 200
    assert set(asked.values()) == {1}


@pytest.mark.parametrize("shape", ["labels", "judgments"])
def test_a_head_over_the_frozen_encoder_encodes_nothing_again(
    shape: str, tiny_model: Path, tmp_path: Path, asked: Counter[tuple[str, str]]
) -> None:
    write(shape, tmp_path, trained=False, base=tiny_model.as_posix())
    file = tmp_path / "honed.toml"
    text = file.read_text(encoding="utf-8").replace("[index]", '[train]\nhead = "skip"\nepochs = 2\n[index]')
    file.write_text(text, encoding="utf-8")
    project = Project(tmp_path)
    project.run()
    assert len(asked) > 100
    assert set(asked.values()) == {1}  # documents, queries, dev, index and evaluation together
    assert {system.name for system in project.report().systems} >= {"base model", "fine-tuned"}


def test_the_vectors_of_a_head_are_those_of_its_model(tiny_model: Path, tmp_path: Path) -> None:
    write("labels", tmp_path, trained=False, base=tiny_model.as_posix())
    file = tmp_path / "honed.toml"
    head = '[train]\nhead = "skip"\nepochs = 8\nlearning_rate = 0.02\n[index]'
    file.write_text(file.read_text(encoding="utf-8").replace("[index]", head), encoding="utf-8")
    project = Project(tmp_path)
    index = project.index()
    trained = project.runner.latest(TrainArtifact)
    loaded, texts = trained.source("fp32").load(), index.texts()
    assert trained.history().kept == "tuned"
    assert abs(loaded.encode(texts, "document") - index.vectors()).max() < 1e-5
    base = project.runner.executor.encoder(trained.source("fp32").frozen.model)
    assert abs(base.encode(texts, "document") - index.vectors()).max() > 1e-2


KILL = """
import os, signal, sys
from honed.encode.torch_encoder import TorchEncoder
from honed.encode import vector_store
from honed.core import artifacts
from honed.api.project import Project
vector_store.SHARD_TEXTS = 50
folder, stage, most = sys.argv[1], sys.argv[2], int(sys.argv[3])
begun, encode, commit = [], TorchEncoder.encode, artifacts.ArtifactStore.commit
def tell(name, state, seconds):
    if state == "runs":
        begun.append(name)
calls = []
def counted(self, texts, role):
    if begun[-1:] == [stage]:
        if len(calls) == most:
            os.kill(os.getpid(), signal.SIGKILL)
        calls.append(len(texts))
    return encode(self, texts, role)
def committing(self, key, *rest):
    if key.stage == stage and most == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return commit(self, key, *rest)
TorchEncoder.encode, artifacts.ArtifactStore.commit = counted, committing
Project(folder, listener=tell).run()
print(sum(calls))
"""


def run(folder: Path, stage: str, most: int) -> "subprocess.CompletedProcess[str]":
    """Run a project in another process; kill -9 after ``most`` shards of a stage, with 0 when it is to be committed."""
    command = [sys.executable, "-c", KILL, str(folder), stage, str(most)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


def search(folder: Path, caplog: pytest.LogCaptureFixture) -> tuple[list[tuple[str, float]], str]:
    """The hits of a search, and what is told beside them."""
    caplog.clear()
    hits = [(hit.doc_id, hit.score) for hit in Project(folder).search("udg")]
    return hits, caplog.text


def replaced(folder: Path, old: str, new: str) -> Path:
    """The folder, with other words in its honed.toml."""
    file = folder / "honed.toml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_search_answers_from_the_run_before_and_the_killed_one_goes_on_from_its_shard(
    small_project: Path, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    Project(small_project).run()
    before, told = search(small_project, caplog)
    assert "newer run" not in told
    replaced(small_project, "epochs = 2", "epochs = 1")
    shutil.rmtree(small_project / "work" / "cache")
    killed = run(small_project, "index", 1)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    after, told = search(small_project, caplog)
    assert after == before
    assert "a newer run has not ended" in told
    assert "in the stage index" in told
    Project(small_project).run(until="check")  # which says nothing of the index
    assert "in the stage index" in search(small_project, caplog)[1]

    straight = tmp_path_factory.mktemp("straight") / "project"
    shutil.copytree(small_project, straight)
    shutil.rmtree(straight / "work" / "cache")
    encoded = [int(run(folder, "index", 99).stdout) for folder in (small_project, straight)]
    files = [Project(folder).runner.latest_of("index").manifest.files for folder in (small_project, straight)]
    assert files[0] == files[1]
    assert encoded[0] == encoded[1] - 50  # the shard that was whole
    assert "newer run" not in search(small_project, caplog)[1]


@pytest.mark.slow
def test_a_first_run_that_was_killed_late_can_be_searched(
    small_project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replaced(small_project, "[evaluate]", "[hybrid]\n[evaluate]")
    assert run(small_project, "index", 0).returncode == -signal.SIGKILL
    with pytest.raises(ConfigError, match="nothing of the stage index"):
        search(small_project, caplog)
    assert run(small_project, "hybrid", 0).returncode == -signal.SIGKILL
    by_meaning, told = search(small_project, caplog)
    assert "in the stage hybrid" in told
    assert "no hybrid yet" in told
    assert run(small_project, "evaluate", 0).returncode == -signal.SIGKILL
    fused, told = search(small_project, caplog)
    assert "in the stage evaluate" in told
    assert "no hybrid yet" not in told
    assert fused != by_meaning
    command = [sys.executable, "-m", "honed", "search", "udg", "--project", str(small_project)]
    shown = subprocess.run(command, capture_output=True, text=True)
    assert shown.returncode == 0
    assert "a newer run has not ended" in shown.stderr


def test_a_check_in_between_leaves_the_vectors_of_a_run_that_did_not_end(
    small_project: Path, asked: Counter[tuple[str, str]]
) -> None:
    project = Project(small_project)
    texts = ["one", "two"]
    project.runner.executor.encode(encoder_source(project.config.model), texts, "document")
    project.run(until="check")
    Project(small_project).runner.executor.encode(encoder_source(project.config.model), texts, "query")
    assert set(asked.values()) == {1}


def test_a_run_that_ended_clears_away_vectors_of_models_that_are_gone(small_project: Path) -> None:
    vectors = small_project / "work" / "cache" / "vectors"
    replaced(small_project, "epochs = 2", "epochs = 2\nlearning_rate = 0.01")
    project = Project(small_project)
    project.run()
    assert project.runner.latest(TrainArtifact).history().kept == "tuned"
    shelves = {path.name for path in vectors.iterdir()}
    assert len(shelves) == 2  # base and fine-tuned
    shutil.rmtree(project.runner.latest_of("train").folder)
    Project(replaced(small_project, "epochs = 2", "epochs = 1")).run()
    assert len(shelves & {path.name for path in vectors.iterdir()}) == 1
    Project(replaced(small_project, '"names.csv"]', '"names.csv"]\ncache_gb = 0')).run()
    assert not list(vectors.iterdir())
