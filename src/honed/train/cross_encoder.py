"""Training a cross-encoder: of an anchor's positive and its hard negatives, the positive shall score highest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from honed.core.errors import TrainingError
from honed.core.records import Example
from honed.encode.cross_encoder import TorchCrossEncoder
from honed.encode.torch_encoder import copy_model
from honed.train.config import CrossEncoderConfig
from honed.train.loss import turns
from honed.train.trainer import DevEvaluator, Recipe, Trained, train_model


def train_cross_encoder(
    scorer: TorchCrossEncoder,
    examples: Sequence[Example],
    dev_score: Callable[[TorchCrossEncoder], float],
    config: CrossEncoderConfig,
    folder: Path,
    logs: Path | None = None,
) -> Trained:
    """Train a cross-encoder on examples with negatives and save the state that reranks dev best.

    Raises `TrainingError` when no example has negatives: against nothing, any pair scores well.
    """
    usable = [each for each in examples if each.negatives]
    if len(usable) < 2:
        raise TrainingError(
            "E_TRAIN_NEGATIVES", "a cross-encoder learns from hard negatives: add the section [mine] to honed.toml"
        )
    h = min(config.negatives, max(len(each.negatives) for each in usable))
    recipe = Recipe(
        model=scorer.model,
        n=len(usable),
        loss=GroupLoss(scorer.model, usable),
        collator=GroupCollator(scorer, usable, h),
        evaluator=DevEvaluator(lambda model, _: dev_score(TorchCrossEncoder(copy_model(model), scorer.max_length))),
        save=scorer.save,
        may_keep_base=False,  # its output has not learned anything yet
        facts={"objective": "softmax over the positive and its hard negatives", "negatives": h},
    )
    return train_model(recipe, config.schedule(), folder, logs)


class GroupCollator:
    """Batches of groups: an anchor with its positive, then with ``h`` of its negatives, other ones in each epoch."""

    valid_label_columns = ("label",)

    def __init__(self, scorer: TorchCrossEncoder, examples: Sequence[Example], h: int) -> None:
        self.scorer, self.examples, self.h, self.epoch = scorer, examples, h, 0

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the features of one batch; ``label`` holds row and how many candidates are real."""
        pairs, labels = [], []
        for row in rows:
            example = self.examples[row["label"]]
            chosen = [turn for turn in turns(len(example.negatives), self.h, self.epoch) if turn is not None]
            texts = [example.positive, *(example.negatives[turn] for turn in chosen)]
            labels.append([row["label"], len(texts)])
            pairs += [(example.anchor, text) for text in texts + [example.positive] * (1 + self.h - len(texts))]
        features = self.scorer.features(self.scorer.tokens(pairs))
        return {"label": torch.tensor(labels)} | {f"pair_{name}": value for name, value in features.items()}


class GroupLoss(nn.Module):
    """Cross-entropy of the positive among the candidates of its group, weighted by example."""

    def __init__(self, model: Any, examples: Sequence[Example]) -> None:
        super().__init__()
        self.model = model
        self.weights = torch.tensor([each.weight for each in examples], dtype=torch.float32)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of one batch."""
        (features,) = sentence_features
        model: Any = self.model
        scores = model(features)["scores"].float().view(len(labels), -1)
        real = torch.arange(scores.shape[1], device=scores.device)[None] < labels[:, 1:]
        target = torch.zeros(len(labels), dtype=torch.long, device=scores.device)
        rows = cross_entropy(scores.masked_fill(~real, float("-inf")), target, reduction="none")
        weights = self.weights[labels[:, 0].cpu()].to(scores.device)
        return (rows * weights).sum() / weights.sum().clamp_min(1e-12)
