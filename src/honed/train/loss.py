"""The loss of a batch of pairs, with every co-positive known.

In a catalogue several aliases name one entity and one alias names several entities, so the other positives of a batch
are often right answers too. Counting them as negatives teaches the model to push true matches apart.
"""

import math
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
from honed.train.together import gathered


class CoPositives:
    """Which (anchor, document) pairs are known to be right, by example: a sparse matrix, asked by batch; and groups."""

    def __init__(self, examples: Sequence[Example]) -> None:
        anchors = _numbers(each.anchor for each in examples)
        documents = _numbers(text for each in examples for text in (each.positive, *each.negatives))
        self.anchor = np.array([anchors[fold(each.anchor)] for each in examples], dtype=np.int64)
        self.positive = np.array([documents[fold(each.positive)] for each in examples], dtype=np.int64)
        self.negatives = [[documents[fold(text)] for text in each.negatives] for each in examples]
        named = (group for each in examples for group in (each.group, *each.negative_groups) if group)
        groups = {"": -1, **{group: number for number, group in enumerate(dict.fromkeys(named))}}
        self.group = np.array([groups[each.group] for each in examples], dtype=np.int64)
        self.negative_groups = [[groups[group] for group in each.negative_groups] for each in examples]
        known = np.ones(len(examples), dtype=np.int8)
        shape = (len(anchors), len(documents))
        self.known = csr_matrix((known, (self.anchor, self.positive)), shape=shape)

    def related(self, rows: Sequence[int], chosen: Sequence[Sequence[int | None]] = ()) -> torch.Tensor:
        """Return ``(n, n + n * h)`` booleans: the anchor of row i is known to match document j.

        The documents are the positives of the rows, then each row's ``chosen`` h negatives (None: the own positive).
        """
        index = np.asarray(rows)
        columns = self.positive[index].tolist()
        for row, turns_of_row in zip(rows, chosen, strict=bool(chosen)):
            columns += [self.positive[row] if turn is None else self.negatives[row][turn] for turn in turns_of_row]
        related = self.known[self.anchor[index]][:, columns].toarray() > 0
        group = self.group[index]
        of_documents = group.tolist()
        for row, turns_of_row in zip(rows, chosen, strict=bool(chosen)):
            known = self.negative_groups[row]
            of_documents += [self.group[row] if turn is None else known[turn] if known else -1 for turn in turns_of_row]
        related |= (group[:, None] == np.array(of_documents)[None, :]) & (group >= 0)[:, None]
        return torch.from_numpy(related)


def _numbers(texts: Iterable[str]) -> dict[str, int]:
    return {key: row for row, key in enumerate(dict.fromkeys(fold(text) for text in texts))}


class PairLoss(CachedLossMixin, nn.Module):
    """An objective over batches of pairs that knows every co-positive, and the examples' weights and scores.

    With ``mini_batch_size`` > 0 gradients are cached (Gao et al. 2021, GradCache): memory is that of a mini-batch, the
    negatives are those of the whole batch. ``labels`` ``(n, 2)`` carry the row numbers of the examples and the epoch.
    In several processes the embeddings of all are gathered, gradients included: the loss is that of one large batch.
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
        self.teacher = [each.teacher for each in examples] if any(each.teacher for each in examples) else None
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

    def loss_of(self, anchors: Tensor, documents: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of embeddings of anchors ``(n, dim)`` and documents ``(n + n * h, dim)``."""
        n = len(anchors)
        positives, negatives = documents[:n], documents[n:].view(n, -1, documents.shape[1])
        anchors, positives, negatives, labels = (gathered(each) for each in (anchors, positives, negatives, labels))
        h = negatives.shape[1]
        rows, epochs = labels[:, 0].tolist(), labels[:, 1].tolist()
        chosen = [
            turns(len(self.co_positives.negatives[row]), h, epoch) for row, epoch in zip(rows, epochs, strict=True)
        ]
        device = anchors.device
        related, taught = self.co_positives.related(rows, chosen).to(device), self._taught(rows, chosen, device)
        weights, targets = self.weights[rows].to(device), self.scores[rows].to(device)
        documents = torch.cat([positives, negatives.flatten(0, 1)])
        losses = []
        for dim in (documents.shape[1], *(each for each in self.config.matryoshka if each < documents.shape[1])):
            batch = Batch(
                anchors=nn.functional.normalize(anchors[:, :dim].float(), dim=1),
                documents=nn.functional.normalize(documents[:, :dim].float(), dim=1),
                related=related,
                weights=weights,
                targets=targets,
                teacher=taught,
            )
            losses.append(self.objective(batch, self.config))
        return torch.stack(losses).mean()

    def _taught(self, rows: Sequence[int], chosen: Sequence[Sequence[int | None]], device: Any) -> Tensor | None:
        """Return the teacher's scores ``(n, 1 + h)`` of own positives and chosen negatives, NaN where there is none."""
        if self.teacher is None:
            return None
        found = []
        for row, turns_of_row in zip(rows, chosen, strict=True):
            scores = self.teacher[row] or (math.nan,)
            found.append([scores[0], *(math.nan if turn is None else scores[1 + turn] for turn in turns_of_row)])
        return torch.tensor(found, device=device)


def turns(negatives: int, wanted: int, epoch: int) -> list[int | None]:
    """Return which of an example's negatives take part in an epoch: they take turns, and None stands for a gap."""
    if not negatives:
        return [None] * wanted
    found: list[int | None] = [(epoch * wanted + each) % negatives for each in range(min(wanted, negatives))]
    return found + [None] * (wanted - len(found))
