"""A linear probe: minutes of fine-tuning foretold in seconds by a linear map over frozen vectors.

If a linear map of the base model's space, fitted on the training pairs, already ranks unseen pairs better, fine-tuning,
which can do that and more, is likely to help by at least as much.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy, normalize

from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.core.records import Example
from honed.core.tensors import unit_rows
from honed.train.loss import CoPositives

_BATCH, _STEPS, _SCALE, _RATE, _DECAY = 512, 100, 20.0, 1e-3, 1e-2


def fit_linear_map(anchors: Vectors, positives: Vectors, examples: Sequence[Example], *, seed: int = 0) -> Vectors:
    """Return a matrix ``(dim, dim)`` to multiply query and document vectors with, fitted on examples.

    ``anchors`` and ``positives`` ``(n_examples, dim)`` are the unit vectors of the examples. The loss is the softmax
    over the batch in both directions, every known co-positive masked; the matrix starts as the identity and weight
    decay draws it back there.
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
            matrix = torch.eye(dim) + change
            scores = normalize(left[rows] @ matrix) @ normalize(right[rows] @ matrix).T * _SCALE
            diagonal = torch.eye(len(rows), dtype=torch.bool)
            scores = scores.masked_fill(co_positives.related(rows.tolist()) & ~diagonal, -1e4)
            target = torch.arange(len(rows))
            loss = cross_entropy(scores, target) + cross_entropy(scores.T, target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            bar.advance()
    return (torch.eye(dim) + change).detach().numpy()


def apply_linear_map(vectors: Vectors, matrix: Vectors) -> Vectors:
    """Return the unit vectors ``(n, dim)`` of ``vectors @ matrix``."""
    return unit_rows(vectors @ matrix)
