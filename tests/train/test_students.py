"""Layers are left out of every architecture that has a list of them; BERT's kind is made narrower."""

from pathlib import Path

import numpy as np
import pytest

from honed.core.errors import TrainingError
from honed.encode.config import EncoderConfig
from honed.encode.models import BaseModel, ExactModel
from honed.encode.packed import padded_features
from honed.encode.torch_encoder import TorchEncoder, save_model
from honed.train.students import layer_count, make_student
from tests.encode.tiny_models import TINY, UNKNOWN, make_tiny

TEXTS = ["a", "university of guadalajara", "x y z " * 10, "mit"]
NO_LAYERS = ("albert", UNKNOWN)
NARROWED = ("bert", "bert-cls", "bert-unigram", "roberta", "xlm-roberta", "camembert")


@pytest.fixture(scope="module", params=sorted(TINY))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def teacher(kind: str, tmp_path_factory: pytest.TempPathFactory) -> TorchEncoder:
    folder = make_tiny(kind, tmp_path_factory.mktemp(kind))
    return BaseModel(EncoderConfig(base=str(folder), precision="fp32")).load()


def reloaded(student: TorchEncoder, folder: Path) -> TorchEncoder:
    return ExactModel(folder, save_model(student.model, student.spec, folder)).load()


@pytest.mark.parametrize("keep", [1, 2])
def test_a_student_of_fewer_layers_is_saved_whole(kind: str, teacher: TorchEncoder, keep: int, tmp_path: Path) -> None:
    if kind in NO_LAYERS:
        with pytest.raises(TrainingError, match=r"has no layers that can be left out; name a base model"):
            make_student(teacher, "layers", layers=keep)
        assert layer_count(teacher) == 0
        return
    assert layer_count(teacher) == 3
    student = make_student(teacher, "layers", layers=keep)
    assert layer_count(student) == keep
    assert layer_count(teacher) == 3
    vectors = student.encode(TEXTS, "query")
    assert np.abs(vectors - teacher.encode(TEXTS, "query")).max() > 1e-3
    again = reloaded(student, tmp_path / "model")
    assert layer_count(again) == keep
    assert np.allclose(again.encode(TEXTS, "query"), vectors, atol=1e-5)
    features = padded_features(student.tokens(TEXTS), student.padding_id)
    padded = student.model(features)["sentence_embedding"].detach().numpy()
    padded /= np.linalg.norm(padded, axis=1, keepdims=True)
    assert np.allclose(padded, vectors, atol=1e-5)


def test_lists_of_each_layer_are_cut_with_the_layers(tmp_path: Path) -> None:
    folder = make_tiny("gemma3_text", tmp_path)
    teacher = BaseModel(EncoderConfig(base=str(folder), precision="fp32")).load()
    student = make_student(teacher, "layers", layers=1)
    assert teacher.model[0].model.config.layer_types == ["sliding_attention", "sliding_attention", "full_attention"]
    assert student.model[0].model.config.layer_types == ["full_attention"]


def test_models_of_berts_names_are_made_narrower(kind: str, teacher: TorchEncoder, tmp_path: Path) -> None:
    if kind in NO_LAYERS:
        return
    if kind not in NARROWED:
        with pytest.raises(TrainingError, match=r"cannot be made narrower; take layers, static or a base model"):
            make_student(teacher, "narrow", dim=16)
        return
    student = make_student(teacher, "narrow", dim=16)
    vectors = student.encode(TEXTS, "query")
    assert vectors.shape == (len(TEXTS), 16)
    assert np.isfinite(vectors).all()
    assert np.allclose(reloaded(student, tmp_path / "model").encode(TEXTS, "query"), vectors, atol=1e-5)


def test_token_vectors_alone_are_taken_from_any_model(teacher: TorchEncoder, tmp_path: Path) -> None:
    student = make_student(teacher, "static", dim=8)
    vectors = student.encode(TEXTS, "query")
    assert np.allclose(reloaded(student, tmp_path / "model").encode(TEXTS, "query"), vectors, atol=1e-5)
