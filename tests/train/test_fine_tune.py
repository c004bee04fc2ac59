import copy
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from honed.core.errors import TrainingError
from honed.core.records import Example
from honed.encode.base_models import weights_of
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
from honed.train.checkpoint import is_complete, latest_checkpoint, mark_complete, remove_incomplete
from honed.train.config import TrainConfig
from honed.train.dev import mean_cosine
from honed.train.fine_tune import PairCollator, fine_tune
from honed.train.history import TrainingRun
from honed.train.loss import CoPositives, PairLoss
from honed.train.optimizer import SparseAwareAdamW, make_embeddings_sparse

EXAMPLES = [Example(anchor=f"u{n}{k}", positive=f"university {n}") for n in range(40) for k in "ab"]


def load(folder: Path) -> TorchEncoder:
    return TorchEncoder.load(EncoderConfig(base=str(folder), precision="fp32"))


def dev_score(encoder: TorchEncoder) -> float:
    anchors = encoder.encode([example.anchor for example in EXAMPLES[::2]], "query")
    positives = encoder.encode([example.positive for example in EXAMPLES[::2]], "document")
    scores = anchors @ positives.T
    ranks = (scores > np.diag(scores)[:, None]).sum(axis=1)
    return float((1 / (1 + ranks)).mean())


def labels(rows: list[int], epoch: int = 0) -> torch.Tensor:
    return torch.tensor([[row, epoch] for row in rows])


def test_every_co_positive_is_masked_and_nothing_else() -> None:
    examples = [
        Example(anchor="UM", positive="Michigan"),
        Example(anchor="um ", positive="Miami"),
        Example(anchor="Mich", positive="Michigan"),
        Example(anchor="MIT", positive="Institute"),
    ]
    related = CoPositives(examples).related([0, 1, 2, 3]).fill_diagonal_(False)
    # UM and um are one alias with two labels; Mich and UM share a label
    assert related.nonzero().tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 0]]


def test_the_loss_equals_its_formula_over_the_unmasked(tiny_model: Path) -> None:
    base = load(tiny_model)
    loss = PairLoss(base.model, EXAMPLES, TrainConfig(scale=10.0), objective="ranking", mini_batch_size=0)
    torch.manual_seed(0)
    anchors, positives = torch.randn(4, 8), torch.randn(4, 8)
    rows = [0, 1, 2, 4]  # rows 0 and 1 are aliases of one label
    left = torch.nn.functional.normalize(anchors, dim=1).double()
    right = torch.nn.functional.normalize(positives, dim=1).double()
    wanted = 0.0
    for i in range(4):
        for scores in ((left @ right.T)[i], (left @ right.T)[:, i]):
            others = [j for j in range(4) if {i, j} != {0, 1}]
            wanted += -10 * scores[i] + torch.logsumexp(10 * scores[others], 0)
    value = loss.loss_of(anchors, positives, labels(rows))
    assert float(value) == pytest.approx(float(wanted) / 8, abs=1e-5)


def test_masking_never_pushes_a_co_positive_away() -> None:
    examples = [Example(anchor="a", positive="one"), Example(anchor="b", positive="one")]
    loss = PairLoss(torch.nn.Identity(), examples, TrainConfig(), objective="ranking", mini_batch_size=0)
    vectors = torch.randn(2, 4, requires_grad=True)
    loss.loss_of(vectors, torch.randn(2, 4), labels([0, 1])).backward()
    assert vectors.grad is not None
    assert vectors.grad.abs().max() == 0


def gradients(folder: Path, mini_batch_size: int) -> tuple[float, list[torch.Tensor]]:
    base = load(folder)
    loss = PairLoss(base.model, EXAMPLES, TrainConfig(), objective="ranking", mini_batch_size=mini_batch_size)
    batch = PairCollator(base, EXAMPLES)([{"label": row} for row in range(24)])
    features = [
        {name.removeprefix(column): value for name, value in batch.items() if name.startswith(column)}
        for column in ("anchor_", "document_")
    ]
    value = loss(features, batch["label"])
    value.backward()
    return float(value.detach()), [
        parameter.grad for parameter in base.model.parameters() if parameter.grad is not None
    ]


def test_cached_gradients_equal_those_of_the_whole_batch(tiny_model: Path) -> None:
    whole, cached = gradients(tiny_model, 0), gradients(tiny_model, 5)
    assert whole[0] == pytest.approx(cached[0], abs=1e-5)
    for left, right in zip(whole[1], cached[1], strict=True):
        assert torch.allclose(left, right, atol=1e-5)


def test_sparse_steps_equal_dense_ones_where_words_were_used() -> None:
    def steps(sparse: bool) -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Linear(8, 4))
        assert not sparse or make_embeddings_sparse(model)
        optimizer = SparseAwareAdamW(model, lr=0.01, weight_decay=0.0, max_norm=0.5)
        for _ in range(5):
            model(torch.tensor([1, 2, 2, 3])).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])

    assert torch.allclose(steps(True), steps(False), atol=1e-5)


def test_the_optimizer_goes_on_from_its_saved_state() -> None:
    def model_and_optimizer() -> tuple[torch.nn.Module, SparseAwareAdamW]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Embedding(50, 8), torch.nn.Linear(8, 4))
        make_embeddings_sparse(model)
        return model, SparseAwareAdamW(model, lr=0.01, weight_decay=0.1, max_norm=1.0)

    def step(model: torch.nn.Module, optimizer: SparseAwareAdamW) -> None:
        model(torch.tensor([1, 2, 2, 3])).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    straight, straight_optimizer = model_and_optimizer()
    step(straight, straight_optimizer)
    halfway, halfway_optimizer = model_and_optimizer()
    halfway.load_state_dict(straight.state_dict())
    halfway_optimizer.load_state_dict(copy.deepcopy(straight_optimizer.state_dict()))
    step(straight, straight_optimizer)
    step(halfway, halfway_optimizer)
    for left, right in zip(straight.parameters(), halfway.parameters(), strict=True):
        assert torch.equal(left, right)


def test_a_tiny_model_learns_and_the_best_on_dev_is_kept(tiny_model: Path, tmp_path: Path) -> None:
    config = TrainConfig(epochs=6, batch_size=16, learning_rate=3e-3, evaluations=3)
    trained = fine_tune(load(tiny_model), EXAMPLES, dev_score, config, TrainingRun(folder=tmp_path))
    scores = {point.step: point.score for point in trained.history.dev}
    assert trained.history.kept == "tuned"
    assert scores[trained.history.best_step] == max(scores.values()) > scores[0]
    saved = TorchEncoder.load_folder(tmp_path / "model", precision="fp32")
    assert saved.spec == trained.spec
    assert dev_score(saved) == pytest.approx(max(scores.values()), abs=0.02)
    assert not (tmp_path / "checkpoints").exists()
    assert trained.history.packed
    assert trained.history.sparse_embeddings


def test_a_model_that_dev_does_not_like_better_is_not_kept(tiny_model: Path, tmp_path: Path) -> None:
    calls: list[int] = []

    def worse_each_time(_: object) -> float:
        calls.append(1)
        return 1.0 / len(calls)

    config = TrainConfig(epochs=1, batch_size=32, learning_rate=1e-3, evaluations=2)
    trained = fine_tune(load(tiny_model), EXAMPLES, worse_each_time, config, TrainingRun(folder=tmp_path))
    assert trained.history.kept == "base"
    kept = TorchEncoder.load_folder(tmp_path / "model", precision="fp32").encode(["mit"], "query")
    assert np.allclose(kept, load(tiny_model).encode(["mit"], "query"), atol=1e-6)


def test_a_loss_that_is_not_finite_stops_and_names_step_and_checkpoint(tiny_model: Path, tmp_path: Path) -> None:
    config = TrainConfig(epochs=2, batch_size=16, learning_rate=1e6, evaluations=10, warmup=0.0)
    with pytest.raises(
        TrainingError, match=r"(step \d+: the (loss is nan|vectors of different)).*[Ll]ast good checkpoint"
    ):
        fine_tune(load(tiny_model), EXAMPLES, dev_score, config, TrainingRun(folder=tmp_path))
    assert not (tmp_path / "model").exists()


def test_a_collapsed_model_stops(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cosines = iter([0.2, 0.25, 0.99])
    monkeypatch.setattr("honed.train.dev.mean_cosine", lambda _: next(cosines))
    config = TrainConfig(epochs=2, batch_size=16, evaluations=4)
    with pytest.raises(TrainingError, match=r"E_TRAIN_COLLAPSE.*mean cosine 0.990, base 0.200"):
        fine_tune(load(tiny_model), EXAMPLES, dev_score, config, TrainingRun(folder=tmp_path))


def test_a_base_model_that_sees_no_difference_is_named(tiny_model: Path, tmp_path: Path) -> None:
    strange = [Example(anchor="x", positive=text) for text in ("\ua98f\ua9a7", "\ua98f\ua9a8", "\ua98f\ua9a9")]
    with pytest.raises(TrainingError, match="cannot tell these texts apart"):
        fine_tune(load(tiny_model), strange, dev_score, TrainConfig(), TrainingRun(folder=tmp_path))


def test_mean_cosine_is_one_for_equal_vectors_and_zero_for_orthogonal_ones() -> None:
    assert mean_cosine(np.tile([[0.6, 0.8]], (5, 1))) == pytest.approx(1.0)
    assert mean_cosine(np.eye(4)) == pytest.approx(0.0)


def test_one_example_is_not_enough(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="at least 2 are needed"):
        fine_tune(load(tiny_model), EXAMPLES[:1], dev_score, TrainConfig(), TrainingRun(folder=tmp_path))


def test_only_complete_checkpoints_are_resumed_from(tmp_path: Path) -> None:
    for step in (2, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "x").write_text("x")
    mark_complete(tmp_path / "checkpoint-2")
    assert latest_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert (tmp_path / "checkpoint-10").exists()  # looking does not delete
    remove_incomplete(tmp_path)
    assert not (tmp_path / "checkpoint-10").exists()
    assert is_complete(tmp_path / "checkpoint-2")


SCRIPT = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.train.test_fine_tune import EXAMPLES, dev_score, load
from honed.train import checked_trainer, trainer
from honed.train.fine_tune import fine_tune
from honed.train.history import TrainingRun
from honed.train.config import TrainConfig
when, folder = sys.argv[1], Path(sys.argv[2])
if when == "after a checkpoint":
    mark = checked_trainer.mark_complete
    def kill(path):
        mark(path)
        os.kill(os.getpid(), signal.SIGKILL)
    checked_trainer.mark_complete = kill
elif when == "inside a checkpoint":
    done = []
    mark = checked_trainer.mark_complete
    def kill(path):
        if done:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(mark(path))
    checked_trainer.mark_complete = kill
elif when == "while saving the model":
    trainer.save_model = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
config = TrainConfig(epochs=4, batch_size=16, learning_rate=1e-3, evaluations=4, dropout=0.1)
fine_tune(load(Path({model!r})), EXAMPLES, dev_score, config, TrainingRun(folder=folder))
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["after a checkpoint", "inside a checkpoint", "while saving the model"])
def test_a_killed_training_goes_on_and_ends_with_the_same_weights(when: str, tiny_model: Path, tmp_path: Path) -> None:
    script = SCRIPT.format(root=str(Path(__file__).parent.parent.parent), model=str(tiny_model))

    def train(name: str, folder: Path) -> int:
        folder.mkdir(exist_ok=True)
        command = [sys.executable, "-c", script, name, str(folder)]
        return subprocess.run(command, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode

    assert train("never", tmp_path / "straight") == 0
    assert train(when, tmp_path / "killed") == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model" / "honed_spec.json").exists()
    assert train("never", tmp_path / "killed") == 0
    assert weights_of(tmp_path / "killed" / "model") == weights_of(tmp_path / "straight" / "model")
    specs = [json.loads((tmp_path / name / "model" / "honed_spec.json").read_text()) for name in ("killed", "straight")]
    assert specs[0] == specs[1]


def test_groups_of_negatives_are_known_and_stay_apart() -> None:
    """Two groups whose examples bring negatives of each other: only texts of one's own group are right."""
    examples = [
        Example(
            anchor=f"a{n}", positive=f"p{n}", negatives=(f"n{n}",), group="xy"[n % 2], negative_groups=("yx"[n % 2],)
        )
        for n in range(4)
    ]
    related = CoPositives(examples).related([0, 1, 2, 3], [[0], [0], [0], [None]])
    wanted = [
        [(i - j) % 2 == 0 for j in range(4)] + [(i - j) % 2 == 1 for j in range(3)] + [i % 2 == 1] for i in range(4)
    ]
    assert related.tolist() == wanted
