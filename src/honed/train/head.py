"""A head over a frozen encoder: seconds of training, from vectors that are made once.

The vector plus a gated linear map of it (a skip connection), starting as the vector itself. Being linear it is saved as
one more layer of the model, before normalisation, so that everything else works as before.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from honed.core.errors import TrainingError
from honed.core.progress import progress
from honed.core.protocols import Encoder
from honed.core.records import Example
from honed.encode.mapped import MappedEncoder
from honed.encode.torch_encoder import TorchEncoder, save_model
from honed.train.config import TrainConfig
from honed.train.dev import DevScore
from honed.train.history import BASE, TUNED, DevPoint, LossPoint, TrainingHistory, TrainingResult
from honed.train.loss import PairLoss, negatives_in_epoch, negatives_per_example
from honed.train.objectives import ChosenObjective
from honed.train.trainer import total_steps

MATRIX = "head.npy"  # the map over the frozen encoder's vectors, beside the model that holds it as a layer


class SkipHead(nn.Module):
    """``x + gate * (W x)`` over vectors ``(n, dim)``; the gate starts at 0."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.map, self.gate = nn.Linear(dim, dim, bias=False), nn.Parameter(torch.zeros(dim))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the mapped vectors ``(n, dim)``, of any length."""
        mapped: Tensor = vectors + self.gate * self.map(vectors)
        return mapped

    def matrix(self) -> Tensor:
        """Return the whole map as one matrix ``(dim, dim)``, from column to row."""
        return torch.eye(len(self.gate)) + self.gate.detach()[:, None] * self.map.weight.detach()


@dataclass(frozen=True)
class FrozenEncoder:
    """An encoder whose weights stay as they are, and its vectors, best from what makes each of them once."""

    base: TorchEncoder
    vectors: Encoder

    def under(self, head: SkipHead) -> MappedEncoder:
        """Return the encoder with a head; nothing is encoded to try another one."""
        return MappedEncoder(self.vectors, head.matrix().numpy(), self.base.spec)


def train_head(
    frozen: FrozenEncoder,
    examples: Sequence[Example],
    objective: ChosenObjective,
    dev_score: DevScore,
    config: TrainConfig,
    folder: Path,
) -> TrainingResult:
    """Train a head on examples and save the model with the head that is best on dev to ``folder/model``.

    A run is not resumed after a crash: it takes seconds. Raises `TrainingError` for a loss that is not finite and for
    an encoder whose vectors are cut.
    """
    base = frozen.base
    if base.spec.dim != base.model.get_embedding_dimension():
        raise TrainingError("E_TRAIN_HEAD", "train.head needs whole vectors: leave model.dim out")
    torch.manual_seed(config.seed)
    batches = _Batches(frozen, examples, config)
    head = SkipHead(base.spec.dim)
    loss = PairLoss(base.model, examples, config, objective=objective.name, mini_batch_size=0)
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = total_steps(len(examples), config)
    evaluation_steps = max(1, -(-steps // config.evaluations))
    losses: list[LossPoint] = []
    dev = [DevPoint(step=0, score=round(dev_score(frozen.under(head)), 6))]
    best = copy.deepcopy(head.state_dict())
    with progress("head steps", steps) as bar:
        for step, batch in enumerate(batches.draw(steps), 1):
            value = loss.loss_of(head(batch.anchors), head(batch.documents), batch.labels)
            if not torch.isfinite(value):
                raise TrainingError("E_TRAIN_NONFINITE", f"step {step}: the loss is {float(value.detach())}")
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            bar.advance()
            if step % evaluation_steps == 0 or step == steps:
                losses.append(LossPoint(step=step, loss=round(float(value.detach()), 5)))
                score = round(dev_score(frozen.under(head)), 6)
                if score > max(point.score for point in dev):
                    best = copy.deepcopy(head.state_dict())
                dev.append(DevPoint(step=step, score=score))
    head.load_state_dict(best)
    model = with_head(base, head)
    spec = save_model(model.model, model.spec, folder / "model")
    np.save(folder / MATRIX, head.matrix().numpy(), allow_pickle=False)
    history = _history(losses, dev, objective, config)
    history.write(folder)
    return TrainingResult(spec=spec, history=history)


def _history(
    losses: list[LossPoint], dev: list[DevPoint], objective: ChosenObjective, config: TrainConfig
) -> TrainingHistory:
    best = max(dev, key=lambda point: point.score)
    return TrainingHistory(
        steps=losses[-1].step,
        loss=losses,
        dev=dev,
        best_step=best.step,
        kept=TUNED if best.step else BASE,
        objective=objective.name,
        reason=objective.reason,
        head="skip",
        config=config,
    )


class _Batch(NamedTuple):
    """Encoder's vectors of anchors ``(n, dim)`` and documents ``(n + n * h, dim)``, and labels ``(n, 2)``."""

    anchors: Tensor
    documents: Tensor
    labels: Tensor


class _Batches:
    """Batches of examples as a `PairLoss` takes them, from vectors of all texts that are made once."""

    def __init__(self, frozen: FrozenEncoder, examples: Sequence[Example], config: TrainConfig) -> None:
        self.examples, self.config = examples, config
        documents = (text for example in examples for text in (example.positive, *example.negatives))
        self.query_row = _numbered(example.anchor for example in examples)
        self.row = _numbered(documents)
        self.queries = torch.from_numpy(frozen.vectors.encode(list(self.query_row), "query"))
        self.documents = torch.from_numpy(frozen.vectors.encode(list(self.row), "document"))
        self.n_negatives = negatives_per_example(examples, config.hard_negatives)

    def draw(self, steps: int) -> Iterator[_Batch]:
        """Yield ``steps`` batches in seeded order; what is left of an epoch is dropped when it is a single example."""
        random = np.random.default_rng(self.config.seed)
        size, order = self.config.batch_size, np.empty(0, dtype=np.int64)
        for step in range(steps):
            if len(order) < 2:
                order = random.permutation(len(self.examples))
            rows, order = order[:size].tolist(), order[size:]
            yield self._batch(rows, step * size // len(self.examples))

    def _batch(self, rows: Sequence[int], epoch: int) -> _Batch:
        documents = [self.row[self.examples[number].positive] for number in rows]
        for number in rows:
            mined, positive = self.examples[number].negatives, self.row[self.examples[number].positive]
            turns = negatives_in_epoch(len(mined), self.n_negatives, epoch)
            documents += [positive if turn is None else self.row[mined[turn]] for turn in turns]
        return _Batch(
            anchors=self.queries[[self.query_row[self.examples[number].anchor] for number in rows]],
            documents=self.documents[documents],
            labels=torch.tensor([[number, epoch] for number in rows]),
        )


def _numbered(texts: Iterable[str]) -> dict[str, int]:
    return {text: number for number, text in enumerate(dict.fromkeys(texts))}


def with_head(base: TorchEncoder, head: SkipHead) -> TorchEncoder:
    """Return a copy of the encoder with the head as a layer behind its pooling."""
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    matrix = head.matrix()
    layer = Dense(*matrix.shape, bias=False, activation_function=nn.Identity(), init_weight=matrix)
    model = copy.deepcopy(base.model)
    modules = [module for module in model if not isinstance(module, Normalize)]
    extended = type(model)(modules=[*modules, layer, Normalize()], device=str(model.device))
    return TorchEncoder(extended, base.spec, precision=base.precision)
