"""A batch of pairs as losses see it, and what a loss over it is."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Unit vectors of n anchors ``(n, dim)`` and of documents ``(n + n * h, dim)``: positives, then h negatives each.

    ``related`` ``(n, n + n * h)`` marks the right pairs; ``weights`` ``(n,)`` scale the loss of an example and
    ``targets`` ``(n,)`` are the similarities that its pair should have, in [-1, 1]; ``teacher`` ``(n, 1 + h)`` holds a
    teacher's scores of an example's positive and negatives, higher is closer, NaN where there is none.
    """

    anchors: Tensor
    documents: Tensor
    related: Tensor
    weights: Tensor
    targets: Tensor
    teacher: Tensor | None = None

    @property
    def cosines(self) -> Tensor:
        """Cosines ``(n, n + n * h)`` of every anchor with every document."""
        return self.anchors @ self.documents.T

    @property
    def positives(self) -> Tensor:
        """The vectors of the examples' positives ``(n, dim)``."""
        return self.documents[: len(self.anchors)]

    @property
    def example_cosines(self) -> Tensor:
        """Cosines ``(n, 1 + h)`` of each anchor with the positive and the negatives of its example."""
        n = len(self.anchors)
        grouped = self.documents[n:].view(n, -1, self.documents.shape[1])
        candidates = torch.cat([self.positives[:, None], grouped], dim=1)
        return (candidates @ self.anchors[:, :, None]).squeeze(2)

    def swapped(self) -> "Batch":
        """Return the batch with anchors and positives in each other's place, without the mined negatives."""
        n = len(self.anchors)
        return self._replace(anchors=self.positives, documents=self.anchors, related=self.related[:, :n].T)


class LossSettings(Protocol):
    """The settings of [train] that losses read; `honed.train.config.TrainConfig` explains them."""

    @property
    def scale(self) -> float:
        """1 / temperature."""
        ...

    @property
    def margin(self) -> float:
        """A difference of cosines."""
        ...

    @property
    def symmetric(self) -> bool:
        """Whether the loss document -> query is added."""
        ...

    @property
    def negatives(self) -> str:
        """Where "triplet" takes its negative from."""
        ...


BatchLoss: TypeAlias = Callable[[Batch, LossSettings], Tensor]
"""The loss of a batch, a scalar, under the settings ``[train]``."""
