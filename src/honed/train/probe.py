"""A linear map over frozen vectors: minutes of fine-tuning foretold in seconds.

If turning and stretching the base model's space by the training pairs already ranks unseen pairs better, fine-tuning,
which can do that and more, is likely to help by at least as much.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.core.records import Example
from honed.train.loss import CoPositives

_BATCH, _STEPS, _SCALE, _RATE, _DECAY = 512, 100, 20.0, 1e-3, 1e-2


def fit_probe(anchors: Vectors, positives: Vectors, examples: Sequence[Example], *, seed: int = 0) -> Vectors:
    """Return a map ``(dim, dim)`` for queries and documents, trained on vectors ``(n, dim)`` of the examples.

    The objective is the softmax over the batch in both directions, every known co-positive masked, starting from the
    identity and drawn back to it.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    left, right = torch.from_numpy(anchors), torch.from_numpy(positives)
    co_positives, dim = CoPositives(examples), anchors.shape[1]
    change = torch.zeros(dim, dim, requires_grad=True)
    optimizer = torch.optim.AdamW([change], lr=_RATE, weight_decay=_DECAY)
    with progress("headroom", _STEPS) as bar:
        for _ in range(_STEPS):
            rows = random.choice(len(examples), min(_BATCH, len(examples)), replace=False)
            mapped = torch.eye(dim) + change
            scores = normalize(left[rows] @ mapped) @ normalize(right[rows] @ mapped).T * _SCALE
            own = torch.eye(len(rows), dtype=torch.bool)
            scores = scores.masked_fill(co_positives.related(rows.tolist()) & ~own, -1e4)
            target = torch.arange(len(rows))
            loss = cross_entropy(scores, target) + cross_entropy(scores.T, target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            bar.advance()
    return (torch.eye(dim) + change).detach().numpy()


def mapped(vectors: Vectors, through: Vectors) -> Vectors:
    """Return unit vectors after a map."""
    found = vectors @ through
    unit: Vectors = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return unit
