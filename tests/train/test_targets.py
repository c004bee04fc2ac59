"""Targets: cosines of several teachers are averaged whatever their axes, and a turn changes none."""

import numpy as np
import pytest

from honed.core.protocols import Role, Vectors
from honed.core.tensors import unit_rows
from honed.encode.hashing import HashEncoder
from honed.encode.joined import AsymmetricEncoder, JoinedEncoder, joined_vectors
from honed.train.targets import student_targets, turned

TEXTS = [f"name {number}" for number in range(60)]


def drawn(seed: int, n: int = 200, dim: int = 12) -> Vectors:
    return unit_rows(np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32))


def rotation(seed: int, dim: int) -> Vectors:
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))[0].astype(np.float32)


def test_the_cosine_of_joined_vectors_is_the_mean_of_the_cosines() -> None:
    parts = [drawn(0), drawn(1, dim=5), drawn(2)]
    joined = joined_vectors(parts)
    assert np.allclose(joined @ joined.T, np.mean([part @ part.T for part in parts], axis=0), atol=1e-5)
    assert joined_vectors(parts[:1]) is parts[0]


def test_teachers_of_one_geometry_on_other_axes_agree_when_joined_and_not_when_added() -> None:
    first = drawn(0)
    second = first @ rotation(1, 12)
    cosines = first @ first.T
    joined = student_targets([first, second], 12)
    assert joined.kept == pytest.approx(1, abs=1e-4)
    assert np.allclose(joined.vectors @ joined.vectors.T, cosines, atol=1e-4)
    added = unit_rows(first + second)
    assert np.abs(added @ added.T - cosines).max() > 0.1


def test_targets_of_the_teachers_width_are_its_vectors() -> None:
    teacher = drawn(0)
    targets = student_targets([teacher], 12)
    assert targets.vectors is teacher
    assert targets.directions is None
    assert student_targets([teacher], 20).directions is None


def test_fewer_numbers_keep_the_share_of_the_squares_that_is_told() -> None:
    teacher = unit_rows(drawn(0) * np.linspace(2, 0.1, 12, dtype=np.float32))
    targets = student_targets([teacher], 5)
    assert targets.directions is not None
    assert targets.kept == pytest.approx(float(((teacher @ targets.directions) ** 2).sum() / len(teacher)), abs=1e-4)
    assert 0.5 < targets.kept < 1
    assert np.allclose(targets.vectors, unit_rows(teacher @ targets.directions), atol=1e-6)
    assert np.allclose(targets.directions.T @ targets.directions, np.eye(5), atol=1e-5)


def test_a_turn_leaves_every_cosine_and_comes_nearer_to_the_student() -> None:
    targets = student_targets([drawn(0), drawn(1)], 6)
    near = unit_rows(targets.vectors @ rotation(3, 6) + 0.1 * drawn(4, dim=6))
    rows = np.arange(0, 200, 3)
    after = turned(targets, rows, near[rows])
    assert np.allclose(after.vectors @ after.vectors.T, targets.vectors @ targets.vectors.T, atol=1e-5)
    assert (after.vectors * near).sum(axis=1).mean() > 0.95 > (targets.vectors * near).sum(axis=1).mean()
    assert after.directions is not None
    assert np.allclose(unit_rows(joined_vectors([drawn(0), drawn(1)]) @ after.directions), after.vectors, atol=1e-5)


def test_joined_encoders_read_texts_each_with_its_own_prompt() -> None:
    parts = [HashEncoder(16, query_prompt="query: "), HashEncoder(24)]
    joined = JoinedEncoder(parts)
    assert joined.spec.dim == 40
    cosines = joined.encode(TEXTS, "query") @ joined.encode(TEXTS, "document").T
    each = [part.encode(TEXTS, "query") @ part.encode(TEXTS, "document").T for part in parts]
    assert np.allclose(cosines, (each[0] + each[1]) / 2, atol=1e-5)
    assert JoinedEncoder(parts, np.eye(40, dtype=np.float32)[:, :8]).spec.weights != joined.spec.weights
    assert JoinedEncoder(parts[:1]).spec == parts[0].spec


def test_documents_are_loaded_when_one_is_encoded() -> None:
    loaded: list[int] = []

    def load() -> HashEncoder:
        loaded.append(1)
        return HashEncoder(16, document_prompt="passage: ")

    both = AsymmetricEncoder(HashEncoder(16), load)
    roles: list[Role] = ["query", "document", "document"]
    vectors = [both.encode(TEXTS[:1], role) for role in roles]
    assert loaded == [1]
    assert np.allclose(vectors[0], HashEncoder(16).encode(TEXTS[:1], "query"))
    assert np.allclose(vectors[1], HashEncoder(16, document_prompt="passage: ").encode(TEXTS[:1], "document"))
