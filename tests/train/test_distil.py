"""Matching a teacher's vectors: who is nearest counts more than how far."""

import numpy as np
import pytest
import torch

from honed.core.protocols import Role
from honed.train.distil import MatchLoss, nearest_documents


class Given(torch.nn.Module):
    """A model whose vectors are its input."""

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}


def unit(*rows):
    vectors = np.array(rows, dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_neighbours_are_documents_only():
    texts: list[tuple[str, Role]] = [("a", "query"), ("b", "document"), ("c", "query"), ("d", "document")]
    targets = unit([1, 0], [0, 1], [1, 0.1], [1, 0.2])
    assert nearest_documents(texts, targets, 5).tolist() == [[3, 1], [1, 3], [3, 1], [3, 1]]
    assert nearest_documents(texts[:1], targets[:1]).shape == (1, 0)


def test_the_teachers_own_vectors_cost_nothing():
    targets = unit([1, 0.1, 0], [0, 1, 0.3], [0.2, 0, 1])
    loss = MatchLoss(Given(), targets, np.array([[1, 2], [0, 2], [0, 1]]))
    value = loss([{"vectors": torch.from_numpy(targets)}], torch.arange(3))
    assert float(value) == pytest.approx(0, abs=1e-6)


def test_an_error_that_changes_who_is_nearest_costs_more_than_one_as_large_that_does_not():
    targets = unit([1, 0, 0], [1, 0.5, 0], [1, -0.55, 0])
    loss = MatchLoss(Given(), targets, np.array([[1, 2], [0, 2], [0, 1]]))
    changes, harmless = unit([1, -0.1, 0], [1, 0, 0.1])  # the same cosine to the teacher's vector
    costs = [
        float(loss([{"vectors": torch.from_numpy(vector[None])}], torch.tensor([0]))) for vector in (changes, harmless)
    ]
    assert costs[0] > 2 * costs[1]
