"""A head over a frozen encoder: what is saved is what was trained, and it ships like any other model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from honed.core.records import Example
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
from honed.train.config import TrainConfig
from honed.train.fine_tune import fine_tune
from honed.train.head import SkipHead, with_head
from honed.train.history import TrainingRun

TEXTS = {"a": ["aa", "aab", "aba", "baa", "aaaa"], "b": ["xyz", "xzy", "zyx", "yyx", "zzxy"]}


def examples() -> list[Example]:
    return [
        Example(anchor=left, positive=right, group=group)
        for group, texts in TEXTS.items()
        for left, right in zip(texts, texts[1:] + texts[:1], strict=True)
    ]


@pytest.fixture
def base(tiny_model: Path) -> TorchEncoder:
    return TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))


def test_an_untrained_head_changes_nothing(base: TorchEncoder) -> None:
    before = base.encode(["abc", "xyz"], "document")
    assert np.allclose(with_head(base, SkipHead(32)).encode(["abc", "xyz"], "document"), before, atol=1e-6)


def test_the_model_with_a_head_gives_the_heads_vectors(base: TorchEncoder) -> None:
    torch.manual_seed(1)
    head = SkipHead(32)
    torch.nn.init.normal_(head.gate)
    before = torch.from_numpy(base.encode(["abc", "xyz", "a"], "document"))
    wanted = torch.nn.functional.normalize(head(before), dim=1).detach().numpy()
    assert np.allclose(with_head(base, head).encode(["abc", "xyz", "a"], "document"), wanted, atol=1e-5)


@pytest.mark.parametrize("objective", ["triplet", "auto"])
def test_a_head_learns_groups_leaves_the_encoder_alone_and_is_read_back(
    base: TorchEncoder, tmp_path: Path, objective: str
) -> None:
    untouched = {name: value.clone() for name, value in base.model.state_dict().items()}
    flat = [text for texts in TEXTS.values() for text in texts]

    def apart(encoder: TorchEncoder) -> float:
        likeness = encoder.encode(flat, "document") @ encoder.encode(flat, "document").T
        return float(likeness[:5, :5].mean() - likeness[:5, 5:].mean())

    config = TrainConfig(head="skip", objective=objective, epochs=60, batch_size=10, learning_rate=0.02)
    trained = fine_tune(base, examples(), apart, config, TrainingRun(folder=tmp_path), base)
    saved = TorchEncoder.load_folder(tmp_path / "model", precision="fp32")
    assert apart(saved) > apart(base) + 0.05
    assert apart(saved) == pytest.approx(trained.history.best_score, abs=1e-4)
    assert trained.history.head == "skip"
    assert trained.history.objective == {"auto": "contrastive"}.get(objective, objective)
    assert all(torch.equal(value, untouched[name]) for name, value in base.model.state_dict().items())
    names = [name for name in saved.model.state_dict() if "linear" in name]
    assert len(names) == 1  # one layer more, and nothing else


def test_a_head_is_inside_the_exported_graph(base: TorchEncoder, tmp_path: Path) -> None:
    import onnxruntime

    from honed.encode.onnx_export import export_onnx
    from honed.encode.onnx_layout import numpy_names

    config = TrainConfig(head="skip", epochs=40, batch_size=10, learning_rate=0.02)

    def first_number(encoder: TorchEncoder) -> float:
        return float(encoder.encode(["aa"], "document")[0, 0])

    fine_tune(base, examples(), first_number, config, TrainingRun(folder=tmp_path))
    graph = export_onnx(tmp_path / "model")
    saved = TorchEncoder.load_folder(tmp_path / "model", precision="fp32")
    assert numpy_names(graph, tmp_path / "model", saved.spec) is None  # numpy does not know the layer
    ids = saved.tokens(["abc"])[0][None]
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (vectors,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    assert np.allclose(vectors, saved.encode(["abc"], "document"), atol=1e-5)
