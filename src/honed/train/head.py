"""A head over a frozen encoder: seconds of training, from vectors that are made once.

The vector plus a gated linear map of it (a skip connection), starting as the vector itself. Being linear it is saved as
one more layer of the model, before normalisation, so that everything else works as before.
"""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from honed.core.artifacts import write_json
from honed.core.errors import TrainingError
from honed.core.progress import progress
from honed.core.protocols import Role, Vectors
from honed.core.records import Example
from honed.encode.torch_encoder import TorchEncoder, save_model
from honed.train.config import TrainConfig
from honed.train.loss import PairLoss, turns
from honed.train.trainer import HISTORY, DevScore, Trained, total_steps

Stored = Mapping[str, Any]


class SkipHead(nn.Module):
    """``x + gate * (W x)`` over vectors ``(n, dim)``; the gate starts at 0."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.map, self.gate = nn.Linear(dim, dim, bias=False), nn.Parameter(torch.zeros(dim))

    def forward(self, vectors: Tensor) -> Tensor:
        """Return the changed vectors."""
        changed: Tensor = vectors + self.gate * self.map(vectors)
        return changed

    def matrix(self) -> Tensor:
        """Return the same as one matrix ``(dim, dim)``."""
        return torch.eye(len(self.gate)) + self.gate.detach()[:, None] * self.map.weight.detach()


def train_head(
    base: TorchEncoder,
    examples: Sequence[Example],
    objective: tuple[str, str],
    dev_score: DevScore,
    config: TrainConfig,
    folder: Path,
    stored: Stored | None = None,
) -> Trained:
    """Train a head on examples and save the model with the state that is best on dev to ``folder/model``.

    ``stored`` holds the encoder's vectors of texts without a prompt, so that they are not made again. Nothing of it is
    resumed: it takes seconds. Raises `TrainingError` for a loss that is not finite.
    """
    name, reason = objective
    if base.spec.dim != base.model.get_embedding_dimension():
        raise TrainingError("E_TRAIN_HEAD", "train.head needs whole vectors: leave model.dim out")
    torch.manual_seed(config.seed)
    random = np.random.default_rng(config.seed)
    texts = list(dict.fromkeys(text for each in examples for text in (each.anchor, each.positive, *each.negatives)))
    row = {text: number for number, text in enumerate(texts)}
    anchors, documents = (torch.from_numpy(_encoded(base, texts, role, stored)) for role in ("query", "document"))
    dim = anchors.shape[1]
    head = SkipHead(dim)
    loss = PairLoss(base.model, examples, config, objective=name, mini_batch_size=0)
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    steps = total_steps(len(examples), config)
    every = max(1, -(-steps // config.evaluations))
    h = min(config.hard_negatives, max(len(each.negatives) for each in examples))
    losses: list[dict[str, float]] = []
    dev = [{"step": 0, "score": round(dev_score(base), 6)}]
    best, step, order = copy.deepcopy(head.state_dict()), 0, np.empty(0, dtype=np.int64)
    with progress("head steps", steps) as bar:
        while step < steps:
            if len(order) < 2:
                order = random.permutation(len(examples))
            rows, order = order[: config.batch_size].tolist(), order[config.batch_size :]
            epoch = step * config.batch_size // len(examples)
            found = [row[examples[each].positive] for each in rows]
            for each in rows:
                mined = examples[each].negatives
                own = row[examples[each].positive]
                found += [own if turn is None else row[mined[turn]] for turn in turns(len(mined), h, epoch)]
            labels = torch.tensor([[each, epoch] for each in rows])
            left = head(anchors[[row[examples[each].anchor] for each in rows]])
            value = loss.loss_of(left, head(documents[found]), labels)
            if not torch.isfinite(value):
                raise TrainingError("E_TRAIN_NONFINITE", f"step {step + 1}: the loss is {float(value.detach())}")
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            bar.advance()
            if step % every == 0 or step == steps:
                losses.append({"step": step, "loss": round(float(value.detach()), 5)})
                dev.append({"step": step, "score": round(dev_score(with_head(base, head)), 6)})
                if dev[-1]["score"] > max(each["score"] for each in dev[:-1]):
                    best = copy.deepcopy(head.state_dict())
    head.load_state_dict(best)
    made = with_head(base, head)
    spec = save_model(made.model, made.spec, folder / "model")
    top = max(dev, key=lambda each: each["score"])
    history = {
        "steps": steps,
        "loss": losses,
        "dev": dev,
        "best_step": top["step"],
        "kept": "tuned" if top["step"] else "base",
        "objective": name,
        "reason": reason,
        "head": "skip",
        "config": {key: getattr(config, key) for key in config.__dataclass_fields__},
    }
    write_json(folder / HISTORY, history)
    return Trained(spec=spec, history=history)


def _encoded(base: TorchEncoder, texts: Sequence[str], role: Role, stored: Stored | None) -> Vectors:
    if stored is not None and not base.spec.prompt(role) and all(text in stored for text in texts):
        return np.stack([stored[text] for text in texts])
    return TorchEncoder.snapshot(base.model, base.spec).encode(texts, role)


def with_head(base: TorchEncoder, head: SkipHead) -> TorchEncoder:
    """Return the encoder with a head behind its pooling."""
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    matrix = head.matrix()
    layer = Dense(*matrix.shape, bias=False, activation_function=nn.Identity(), init_weight=matrix)
    model = copy.deepcopy(base.model)
    parts = [part for part in model if not isinstance(part, Normalize)]
    whole = type(model)(modules=[*parts, layer, Normalize()], device=str(model.device))
    return TorchEncoder(whole, base.spec, precision=base.precision)
