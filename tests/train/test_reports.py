"""What training tells of itself: typed in memory, and on disk the JSON that it has always been."""

import json
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest

from honed.core.records import EncoderSpec, Example
from honed.encode.config import EncoderConfig
from honed.encode.cross_encoder import TorchCrossEncoder
from honed.encode.torch_encoder import TorchEncoder
from honed.train.config import CrossEncoderConfig, DistilConfig, MineConfig, TrainConfig
from honed.train.cross_encoder import train_cross_encoder
from honed.train.distil import match_teacher
from honed.train.fine_tune import fine_tune
from honed.train.history import DevPoint, TrainingHistory, TrainingRun
from honed.train.mine import KNOWN, LIKELY, SAME, choose_negatives, find_candidates, sample_pairs
from honed.train.reports import MiningReport, StudentReport

EXAMPLES = [Example(anchor=f"u{n}", positive=f"university {n}", negatives=(f"town {n}",)) for n in range(8)]
BEGINNING, END = ["steps", "loss", "dev", "best_step", "kept"], ["sparse_embeddings", "bf16", "processes", "config"]


@pytest.fixture
def base(tiny_model: Path) -> TorchEncoder:
    return TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))


def written(folder: Path, history: TrainingHistory) -> dict[str, object]:
    """Return the content of history.json, after looking that it is the history and is read back as it."""
    content = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    assert json.dumps(msgspec.to_builtins(history)) == json.dumps(content)
    assert TrainingHistory.read(folder) == history
    return dict(content)


def test_the_history_of_fine_tuning(base: TorchEncoder, tmp_path: Path) -> None:
    config = TrainConfig(epochs=1.0, batch_size=4, evaluations=1, track="none", matryoshka=(8,))
    trained = fine_tune(base, EXAMPLES, lambda _: 0.5, config, TrainingRun(folder=tmp_path))
    content = written(tmp_path, trained.history)
    middle = ["packed", "objective", "reason", "mini_batch_size", "mined_negatives"]
    assert list(content) == [*BEGINNING, *middle, *END]
    assert content["config"] == {**asdict(config), "matryoshka": [8]}
    assert content["dev"] == [{"step": 0, "score": 0.5}, {"step": 2, "score": 0.5}]
    assert (content["mined_negatives"], content["mini_batch_size"], content["kept"]) == (8, 0, "base")


def test_the_history_of_a_head(base: TorchEncoder, tmp_path: Path) -> None:
    config = TrainConfig(epochs=1.0, batch_size=4, evaluations=1, head="skip")
    trained = fine_tune(base, EXAMPLES, lambda _: 0.5, config, TrainingRun(folder=tmp_path))
    content = written(tmp_path, trained.history)
    assert list(content) == [*BEGINNING, "objective", "reason", "head", "config"]
    assert content["head"] == "skip"


def test_the_history_of_a_students_training(base: TorchEncoder, tmp_path: Path) -> None:
    texts = [("one", "query"), ("two", "document"), ("three", "document")]
    targets = base.encode([text for text, _ in texts], "document")
    config = DistilConfig(epochs=1.0, batch_size=2, evaluations=1, track="none")
    trained = match_teacher(base, texts, targets, lambda _: 0.5, config, TrainingRun(folder=tmp_path))
    assert list(written(tmp_path, trained.history)) == [*BEGINNING, "objective", "reason", *END]


def test_the_history_of_a_cross_encoder(tiny_model: Path, tmp_path: Path) -> None:
    config = CrossEncoderConfig(epochs=1.0, batch_size=4, evaluations=1, track="none")
    trained = train_cross_encoder(
        TorchCrossEncoder.new(str(tiny_model)), EXAMPLES, lambda _: 0.5, config, TrainingRun(folder=tmp_path)
    )
    content = written(tmp_path, trained.history)
    assert list(content) == [*BEGINNING, "objective", "negatives", *END]
    assert content["kept"] == "tuned"  # an untrained cross-encoder is never kept


def test_the_best_score_is_that_of_any_step_the_first_included() -> None:
    dev = [DevPoint(step=step, score=score) for step, score in enumerate((0.3, 0.7, 0.5))]
    history = TrainingHistory(steps=2, loss=[], dev=dev, best_step=1, kept="tuned", config=TrainConfig())
    assert history.best_score == 0.7


def test_a_history_of_an_older_version_is_read(tmp_path: Path) -> None:
    content = {"steps": 1, "loss": [], "dev": [{"step": 0, "score": 1}], "best_step": 0, "kept": "base", "gone": 1}
    (tmp_path / "history.json").write_text(json.dumps({**content, "config": {"objective": "mse", "epochs": 2}}))
    history = TrainingHistory.read(tmp_path)
    assert (history.objective, history.config) == ("", TrainConfig(objective="mse", epochs=2))


def test_the_report_of_mining() -> None:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(160, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    texts, names = [f"anchor {n}" for n in range(80)], [f"document {n}" for n in range(80)]
    config = MineConfig(depth=5, negatives=2, false_negatives=1.0)
    known = [frozenset({n}) for n in range(80)]
    candidates = find_candidates((texts, vectors[:80]), (names, vectors[80:]), known, [], config)
    mined = choose_negatives(candidates, config)
    plain = msgspec.to_builtins(mined.report)
    assert list(plain) == [
        "anchors", "candidates", "chosen", "anchors_without", "rejected", "threshold", "calibrated", "calibrated_on",
        "hidden_for_each_known", "estimated_false_negatives", "curve",
    ]  # fmt: skip
    assert list(plain["rejected"]) == [KNOWN, SAME, LIKELY]
    assert list(plain["estimated_false_negatives"]) == ["top", "chosen"]
    assert list(plain["curve"][0]) == ["score", "chance"]
    shown = sample_pairs(texts, names, candidates, mined, seed=0)
    whole = msgspec.to_builtins(msgspec.structs.replace(mined.report, samples=shown))
    assert list(whole) == [*plain, "samples"]
    assert list(whole["samples"]) == ["chosen", LIKELY]
    assert list(whole["samples"]["chosen"][0]) == ["anchor", "document", "score"]
    assert msgspec.to_builtins(msgspec.convert(whole, MiningReport)) == whole


def test_what_could_not_be_calibrated_is_null_and_not_left_out() -> None:
    config = MineConfig(depth=1)
    candidates = find_candidates(
        (["a"], np.eye(2, dtype=np.float32)[:1]), (["b", "c"], np.eye(2, dtype=np.float32)), [frozenset()], [], config
    )
    plain = msgspec.to_builtins(choose_negatives(candidates, config).report)
    assert (plain["threshold"], plain["hidden_for_each_known"]) == (None, None)
    assert plain["estimated_false_negatives"] == {"top": None, "chosen": None}


def test_the_report_of_a_student_has_the_keys_of_its_case() -> None:
    spec = EncoderSpec(weights="w", pooling="mean", normalize=True, dim=4, max_length=8).as_dict()
    history = TrainingHistory(
        steps=1, loss=[], dev=[DevPoint(step=0, score=0.5)], best_step=0, kept="base", config=TrainConfig()
    )
    trained = {"name": "layers", "mb": 1.5, "ms": 0.25, "method": "match", "dev": 0.5, "spec": spec}
    trained["history"] = msgspec.to_builtins(history)
    compared = {**trained, "chosen": True, "folder": "layers-1"}
    refused = {"name": "layers, 2 layers", "mb": 3.5, "ms": 0.5, "chosen": False, "over_budget": True}
    teacher = {"mb": 9.5, "ms": 1.25, "dev": 0.75}
    for content in (
        {"teacher": teacher, "student": trained, "tried": [trained]},
        {"teacher": teacher, "student": compared, "tried": [compared, refused]},
    ):
        report = msgspec.convert(content, StudentReport)
        assert json.dumps(msgspec.to_builtins(report)) == json.dumps(content)
    assert report.student.history == history
