"""The loss of a batch of pairs, with every co-positive known.

In a catalogue several aliases name one entity and one alias names several entities, so the other positives of a batch
are often right answers too. Counting them as negatives teaches the model to push true matches apart.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sentence_transformers.base.losses.gradcache import CachedLossMixin
from torch import Tensor, nn

from honed.core.records import Example
from honed.core.text import fold
from honed.train.batch import Batch
from honed.train.config import TrainConfig
from honed.train.losses import find_objective
from honed.train.processes import gather

Turns = Sequence[int | None]
"""Which of an example's negatives are in a batch, by their number in the example; None is a gap."""

# what to do about examples without hard negatives, for messages
ADD_NEGATIVES = (
    "add the section [mine] to honed.toml, or, where it is there and found none (honed mine tells why), raise "
    "mine.depth or mine.false_negatives"
)


class CoPositives:
    """All (anchor, document) pairs of examples that are right: as a sparse matrix over distinct texts, and by group.

    A document of the anchor's own text is right too, as there are among pairs (a, b) and (b, a).
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        anchors = _numbers(example.anchor for example in examples)
        documents = _numbers(text for example in examples for text in (example.positive, *example.negatives))
        self.anchor = np.array([anchors[fold(example.anchor)] for example in examples], dtype=np.int64)
        self.positive = np.array([documents[fold(example.positive)] for example in examples], dtype=np.int64)
        self.negatives = [[documents[fold(text)] for text in example.negatives] for example in examples]
        named = (group for example in examples for group in (example.group, *example.negative_groups) if group)
        groups = {"": -1, **{group: number for number, group in enumerate(dict.fromkeys(named))}}
        self.group = np.array([groups[example.group] for example in examples], dtype=np.int64)
        self.negative_groups = [[groups[group] for group in example.negative_groups] for example in examples]
        same = [(number, documents[key]) for key, number in anchors.items() if key in documents]
        rows = [*self.anchor.tolist(), *(anchor for anchor, _ in same)]
        columns = [*self.positive.tolist(), *(document for _, document in same)]
        known = np.ones(len(rows), dtype=np.int8)
        self.known = csr_matrix((known, (rows, columns)), shape=(len(anchors), len(documents)))

    def related(self, rows: Sequence[int], chosen: Sequence[Turns] = ()) -> Tensor:
        """Return booleans ``(n, n + n * h)``: whether the anchor of example i is known to match document j.

        The documents are the positives of the examples ``rows``, then the ``chosen`` h negatives of each (None: its
        positive).
        """
        index = np.asarray(rows)
        columns, groups = self.positive[index].tolist(), self.group[index].tolist()
        for row, turns in zip(rows, chosen, strict=bool(chosen)):
            known = self.negative_groups[row]
            columns += [self.positive[row] if turn is None else self.negatives[row][turn] for turn in turns]
            groups += [self.group[row] if turn is None else known[turn] if known else -1 for turn in turns]
        related = self.known[self.anchor[index]][:, columns].toarray() > 0
        group = self.group[index]
        related |= (group[:, None] == np.array(groups)[None, :]) & (group >= 0)[:, None]
        return torch.from_numpy(related)


def _numbers(texts: Iterable[str]) -> dict[str, int]:
    """Return a number for each distinct text, by its folded form, in order of appearance."""
    return {key: number for number, key in enumerate(dict.fromkeys(fold(text) for text in texts))}


def negatives_per_example(examples: Sequence[Example], wanted: int) -> int:
    """Return how many negatives each example has in a batch: ``wanted``, or fewer where no example has as many."""
    return min(wanted, max(len(example.negatives) for example in examples))


def negatives_in_epoch(n_negatives: int, wanted: int, epoch: int) -> Turns:
    """Return which ``wanted`` of an example's negatives are used in an epoch: they take turns, None fills a gap."""
    if not n_negatives:
        return [None] * wanted
    turns = [(epoch * wanted + place) % n_negatives for place in range(min(wanted, n_negatives))]
    return [*turns, *[None] * (wanted - len(turns))]


class PairLoss(CachedLossMixin, nn.Module):
    """The loss of an objective over batches of examples, with their co-positives, weights and scores.

    With ``mini_batch_size`` > 0 gradients are cached (Gao et al. 2021, GradCache, arXiv 2101.06983): memory is that of
    a mini-batch, the negatives are those of the whole batch. ``labels`` ``(n, 2)`` hold the row numbers of the examples
    and the epoch. In several processes the embeddings of all are gathered, gradients included: the loss is that of one
    large batch. With ``config.matryoshka`` it is the mean over the full vectors and their first dimensions.
    """

    def __init__(
        self,
        model: nn.Module,
        examples: Sequence[Example],
        config: TrainConfig,
        *,
        objective: str,
        mini_batch_size: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.co_positives = CoPositives(examples)
        self.weights = torch.tensor([example.weight for example in examples], dtype=torch.float32)
        scores = [1.0 if example.score is None else example.score for example in examples]
        self.scores = torch.tensor(scores, dtype=torch.float32)
        has_teacher = any(example.teacher for example in examples)
        self.teacher = [example.teacher for example in examples] if has_teacher else None
        self.config, self.batch_loss = config, find_objective(objective).batch_loss()
        self.mini_batch_size = mini_batch_size
        self.mini_batch_num_tokens = None
        self.show_progress_bar = False

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of one batch: the features of the anchors, then those of the documents."""
        features = list(sentence_features)
        if self.mini_batch_size and len(labels) > self.mini_batch_size:
            cached: Tensor = CachedLossMixin.forward_cached(self, features, labels)
            return cached
        anchors, documents = (self.model(part)["sentence_embedding"] for part in features)
        return self.loss_of(anchors, documents, labels)

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
        anchors, positives, negatives, labels = (gather(part) for part in (anchors, positives, negatives, labels))
        rows, epochs = labels[:, 0].tolist(), labels[:, 1].tolist()
        chosen = [
            negatives_in_epoch(len(self.co_positives.negatives[row]), negatives.shape[1], epoch)
            for row, epoch in zip(rows, epochs, strict=True)
        ]
        device = anchors.device
        batch = Batch(
            anchors=anchors,
            documents=torch.cat([positives, negatives.flatten(0, 1)]),
            related=self.co_positives.related(rows, chosen).to(device),
            weights=self.weights[rows].to(device),
            targets=self.scores[rows].to(device),
            teacher=self._teacher_scores(rows, chosen, device),
        )
        width = documents.shape[1]
        widths = (width, *(dim for dim in self.config.matryoshka if dim < width))
        return torch.stack([self.batch_loss(_cut(batch, dim), self.config) for dim in widths]).mean()

    def _teacher_scores(self, rows: Sequence[int], chosen: Sequence[Turns], device: torch.device) -> Tensor | None:
        """Return a teacher's scores ``(n, 1 + h)`` of positives and chosen negatives, NaN where there is none."""
        if self.teacher is None:
            return None
        table = []
        for row, turns in zip(rows, chosen, strict=True):
            scores = self.teacher[row] or (math.nan,)
            table.append([scores[0], *(math.nan if turn is None else scores[1 + turn] for turn in turns)])
        return torch.tensor(table, device=device)


def _cut(batch: Batch, dim: int) -> Batch:
    """Return the batch with unit vectors of the first ``dim`` dimensions, in float32."""
    anchors, documents = (
        nn.functional.normalize(vectors[:, :dim].float(), dim=1) for vectors in (batch.anchors, batch.documents)
    )
    return batch._replace(anchors=anchors, documents=documents)
