"""Students of another width: a linear layer that is fitted first, and token vectors that need none."""

from pathlib import Path

import numpy as np

from honed.core.protocols import Role
from honed.encode.config import EncoderConfig
from honed.encode.models import BaseModel, ExactModel
from honed.encode.torch_encoder import TorchEncoder, save_model
from honed.train.projection import fit_projection, has_projection, with_width
from honed.train.students import static_student

TEXTS: list[tuple[str, Role]] = [
    (f"{first}{second} univ {first}", "query") for first in "abcdefgh" for second in "xyzw"
]


def loaded(folder: Path) -> TorchEncoder:
    return BaseModel(EncoderConfig(base=str(folder), precision="fp32")).load()


def words(encoder: TorchEncoder) -> np.ndarray:
    return encoder.encode([text for text, _ in TEXTS], "query")


def test_a_linear_layer_is_fitted_to_what_is_to_be_learned(worded_model: Path, tmp_path: Path) -> None:
    own = words(loaded(worded_model))
    matrix = np.random.default_rng(0).normal(size=(48, 20)).astype(np.float32)
    targets = own @ matrix
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    student = with_width(loaded(worded_model), 20)
    assert has_projection(student)
    assert student.spec.dim == 20
    before = (words(student) * targets).sum(axis=1).mean()
    fit_projection(student, TEXTS, targets)
    after = words(student)
    assert (after * targets).sum(axis=1).mean() > max(0.98, before)
    again = ExactModel(tmp_path / "model", save_model(student.model, student.spec, tmp_path / "model")).load()
    assert np.allclose(words(again), after, atol=1e-5)


def test_a_model_without_one_has_none(worded_model: Path) -> None:
    assert not has_projection(loaded(worded_model))


def test_token_vectors_get_another_width_themselves(worded_model: Path) -> None:
    student = static_student(loaded(worded_model), 24)
    own = words(student)
    wider = with_width(student, 40)
    assert not has_projection(wider)
    assert words(wider).shape == (len(TEXTS), 40)
    assert np.allclose(words(wider) @ words(wider).T, own @ own.T, atol=1e-5)
    narrower = with_width(wider, 24)
    assert np.allclose(words(narrower) @ words(narrower).T, own @ own.T, atol=1e-4)
