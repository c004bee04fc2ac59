"""The loss of a batch of pairs, with every co-positive known.

In a catalogue several aliases name one entity and one alias names several entities, so the other positives of a batch
are often right answers too. Counting them as negatives teaches the model to push true matches apart.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from torch import Tensor, nn

from honed.core.records import Example
from honed.core.text import fold
from honed.train.config import TrainConfig
from honed.train.objectives import OBJECTIVES, Batch


class CoPositives:
    """Which (anchor, positive) pairs are known to be right, by example: a sparse matrix, asked by batch."""

    def __init__(self, examples: Sequence[Example]) -> None:
        anchors = {key: row for row, key in enumerate(dict.fromkeys(fold(each.anchor) for each in examples))}
        positives = {key: row for row, key in enumerate(dict.fromkeys(fold(each.positive) for each in examples))}
        self.anchor = np.array([anchors[fold(each.anchor)] for each in examples], dtype=np.int64)
        self.positive = np.array([positives[fold(each.positive)] for each in examples], dtype=np.int64)
        known = np.ones(len(examples), dtype=np.int8)
        shape = (len(anchors), len(positives))
        self.known = csr_matrix((known, (self.anchor, self.positive)), shape=shape)

    def mask(self, rows: Sequence[int]) -> torch.Tensor:
        """Return ``(n, n)`` booleans: the anchor of row i is known to match the positive of row j, i != j."""
        index = np.asarray(rows)
        block = self.known[self.anchor[index]][:, self.positive[index]].toarray() > 0
        np.fill_diagonal(block, False)
        return torch.from_numpy(block)


class PairLoss(CachedLossMixin, nn.Module):
    """An objective over batches of pairs that knows every co-positive, and the examples' weights and scores.

    With ``mini_batch_size`` > 0 gradients are cached (Gao et al. 2021, GradCache): memory is that of a mini-batch, the
    negatives are those of the whole batch. ``labels`` carry the row numbers of the examples.
    """

    def __init__(
        self, model: Any, examples: Sequence[Example], config: TrainConfig, *, objective: str, mini_batch_size: int
    ) -> None:
        super().__init__()
        self.model = model
        self.co_positives = CoPositives(examples)
        self.weights = torch.tensor([each.weight for each in examples], dtype=torch.float32)
        scores = [1.0 if each.score is None else each.score for each in examples]
        self.scores = torch.tensor(scores, dtype=torch.float32)
        self.config, self.name, self.objective = config, objective, OBJECTIVES[objective]
        self.mini_batch_size = mini_batch_size
        self.mini_batch_num_tokens = None
        self.show_progress_bar = False

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of one batch."""
        features = list(sentence_features)
        if self.mini_batch_size and len(labels) > self.mini_batch_size:
            cached: Tensor = CachedLossMixin.forward_cached(self, features, labels)
            return cached
        model: Any = self.model
        embeddings = [model(each)["sentence_embedding"] for each in features]
        return self.loss_of(embeddings[0], embeddings[1], labels)

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """Return the loss from embeddings in mini-batches; called by the gradient cache."""
        if labels is None:
            raise ValueError("the loss needs the row numbers of its examples")
        loss = self.loss_of(torch.cat(reps[0]), torch.cat(reps[1]), labels)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        return loss

    def loss_of(self, anchors: Tensor, positives: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of embeddings ``(batch, dim)`` of examples ``labels``."""
        device, rows = anchors.device, labels.cpu()
        related = self.co_positives.mask(rows.tolist()).fill_diagonal_(True)
        batch = Batch(
            anchors=nn.functional.normalize(anchors.float(), dim=1),
            positives=nn.functional.normalize(positives.float(), dim=1),
            related=related.to(device),
            weights=self.weights[rows].to(device),
            targets=self.scores[rows].to(device),
        )
        return self.objective(batch, self.config)

    def get_config_dict(self) -> dict[str, Any]:
        """Return the settings, for the model card of sentence-transformers."""
        return {"objective": self.name, "scale": self.config.scale, "symmetric": self.config.symmetric}
