"""Training a cross-encoder: of an anchor's positive and its hard negatives, the positive shall score highest."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from honed.core.errors import TrainingError
from honed.core.records import Example
from honed.encode.cross_encoder import TorchCrossEncoder
from honed.encode.torch_encoder import copy_model
from honed.train.config import CrossEncoderConfig
from honed.train.dev import DevEvaluator
from honed.train.history import HistoryFacts, TrainingResult, TrainingRun
from honed.train.loss import ADD_NEGATIVES, negatives_in_epoch, negatives_per_example
from honed.train.trainer import TrainingSetup, train_model


def train_cross_encoder(
    scorer: TorchCrossEncoder,
    examples: Sequence[Example],
    dev_score: Callable[[TorchCrossEncoder], float],
    config: CrossEncoderConfig,
    run: TrainingRun,
) -> TrainingResult:
    """Train a cross-encoder on the examples that have negatives and save the weights that are best on dev.

    ``dev_score`` gives the score of a cross-encoder on dev, higher is better. The untrained model is never kept: its
    output has learned nothing. Raises `TrainingError` when fewer than two examples have negatives: against nothing, any
    pair scores well.
    """
    usable = [example for example in examples if example.negatives]
    if len(usable) < 2:
        raise TrainingError(
            "E_TRAIN_NEGATIVES",
            f"a cross-encoder learns from hard negatives, which {len(usable)} of {len(examples)} examples have: "
            f"{ADD_NEGATIVES}",
        )
    n_negatives = negatives_per_example(usable, config.negatives)
    setup = TrainingSetup(
        model=scorer.model,
        n_examples=len(usable),
        loss=GroupLoss(scorer.model, usable),
        collator=GroupCollator(scorer, usable, n_negatives),
        evaluator=DevEvaluator(lambda model, _: dev_score(TorchCrossEncoder(copy_model(model), scorer.max_length))),
        save=scorer.save,
        facts=HistoryFacts(objective="softmax over the positive and its hard negatives", negatives=n_negatives),
        may_keep_base=False,
    )
    return train_model(setup, config.schedule(), run)


class GroupCollator:
    """Batches of groups: an anchor with its positive, then with ``n_negatives`` of its negatives.

    Other negatives in each ``epoch``, which the trainer sets. A group with too few is filled up with its positive.
    """

    valid_label_columns = ("label",)

    def __init__(self, scorer: TorchCrossEncoder, examples: Sequence[Example], n_negatives: int) -> None:
        self.scorer, self.examples, self.n_negatives, self.epoch = scorer, examples, n_negatives, 0

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Tensor | int]:
        """Return the features of one batch; ``label`` ``(n, 2)`` holds the example and how many candidates are real."""
        pairs, labels = [], []
        for row in rows:
            example = self.examples[row["label"]]
            turns = negatives_in_epoch(len(example.negatives), self.n_negatives, self.epoch)
            texts = [example.positive, *(example.negatives[turn] for turn in turns if turn is not None)]
            labels.append([row["label"], len(texts)])
            filled = texts + [example.positive] * (1 + self.n_negatives - len(texts))
            pairs += [(example.anchor, text) for text in filled]
        features = self.scorer.features(self.scorer.tokens(pairs))
        return {"label": torch.tensor(labels)} | {f"pair_{name}": value for name, value in features.items()}


class GroupLoss(nn.Module):
    """Cross-entropy of the positive among the candidates of its group, weighted by example."""

    def __init__(self, model: nn.Module, examples: Sequence[Example]) -> None:
        super().__init__()
        self.model = model
        self.weights = torch.tensor([example.weight for example in examples], dtype=torch.float32)

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss of one batch of `GroupCollator`."""
        (features,) = sentence_features
        scores = self.model(features)["scores"].float().view(len(labels), -1)
        real = torch.arange(scores.shape[1], device=scores.device)[None] < labels[:, 1:]
        target = torch.zeros(len(labels), dtype=torch.long, device=scores.device)
        losses = cross_entropy(scores.masked_fill(~real, float("-inf")), target, reduction="none")
        weights = self.weights[labels[:, 0].cpu()].to(scores.device)
        return (losses * weights).sum() / weights.sum().clamp_min(1e-12)
