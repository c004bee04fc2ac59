"""Fine-tuning a bi-encoder on examples: packed batches of pairs and their mined negatives."""

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from honed.core.errors import TrainingError
from honed.core.protocols import Encoder
from honed.core.records import Example
from honed.encode.torch_encoder import TorchEncoder
from honed.train.config import TrainConfig
from honed.train.dev import DevScore, watched_score
from honed.train.head import FrozenEncoder, train_head
from honed.train.history import HistoryFacts, TrainingResult, TrainingRun
from honed.train.loss import ADD_NEGATIVES, PairLoss, negatives_in_epoch, negatives_per_example
from honed.train.objectives import ChosenObjective, choose_objective
from honed.train.trainer import TrainingSetup, bi_encoder_setup, train_model

log = logging.getLogger("honed.train")
_LARGEST_WHOLE_BATCH, _MINI_BATCH = 512, 256


def fine_tune(
    base: TorchEncoder,
    examples: Sequence[Example],
    dev_score: DevScore,
    config: TrainConfig,
    run: TrainingRun,
    frozen: Encoder | None = None,
) -> TrainingResult:
    """Fine-tune a base model on examples and save the weights that are best on dev; see `train_model` for the rest.

    ``frozen`` gives the vectors that a head is trained over: the base model's, best such as are made once.

    Raises `TrainingError` when there is nothing to learn from, or nothing that the objective could learn from.
    """
    if len(examples) < 2:
        raise TrainingError("E_TRAIN_EMPTY", f"{len(examples)} training examples; at least 2 are needed")
    objective = choose_objective(config.objective, examples)
    log.info("objective %s: %s", objective.name, objective.reason)
    _check_settings(config, objective, examples, base.spec.dim)
    if config.head == "skip":
        vectors = frozen or TorchEncoder.snapshot(base.model, base.spec)
        return train_head(FrozenEncoder(base, vectors), examples, objective, dev_score, config, run.folder)
    return train_model(_setup(base, examples, objective, dev_score, config), config, run)


def _check_settings(config: TrainConfig, objective: ChosenObjective, examples: Sequence[Example], dim: int) -> None:
    """Raise `TrainingError` for settings that do not fit the width ``dim`` of the vectors or the examples."""
    wrong = [width for width in config.matryoshka if not 0 < width < dim]
    if wrong:
        raise TrainingError("E_TRAIN_MATRYOSHKA", f"train.matryoshka: {wrong[0]} is not between 0 and {dim}")
    if (
        objective.name == "triplet"
        and config.negatives == "own"
        and not negatives_per_example(examples, config.hard_negatives)
    ):
        raise TrainingError(
            "E_TRAIN_NEGATIVES",
            f'train.negatives = "own", and no example has any: take "semi-hard", or [triplets]; or {ADD_NEGATIVES}',
        )


def _setup(
    base: TorchEncoder,
    examples: Sequence[Example],
    objective: ChosenObjective,
    dev_score: DevScore,
    config: TrainConfig,
) -> TrainingSetup:
    mini_batch = config.mini_batch_size or (_MINI_BATCH if config.batch_size > _LARGEST_WHOLE_BATCH else 0)
    mini_batch = 0 if base.static else mini_batch  # token vectors have no activations to save
    return bi_encoder_setup(
        base,
        len(examples),
        loss=PairLoss(base.model, examples, config, objective=objective.name, mini_batch_size=mini_batch),
        collator=PairCollator(base, examples, n_negatives=negatives_per_example(examples, config.hard_negatives)),
        evaluator=watched_score(base, [example.positive for example in examples], dev_score, config.precision),
        facts=HistoryFacts(
            objective=objective.name,
            reason=objective.reason,
            packed=base.packed,
            mini_batch_size=mini_batch,
            mined_negatives=sum(len(example.negatives) for example in examples),
        ),
    )


class PairCollator:
    """Batches of examples from token ids made once: prompts included, laid end to end, without padding.

    A batch has the anchors, then the documents: the positives and, for each example, ``n_negatives`` of its mined
    negatives, other ones in each ``epoch``, which the trainer sets. Where an example has too few, its own positive
    fills the gap.
    """

    valid_label_columns = ("label",)

    def __init__(self, base: TorchEncoder, examples: Sequence[Example], *, n_negatives: int = 0) -> None:
        self.base, self.n_negatives, self.epoch = base, n_negatives, 0
        spec = base.spec
        self.anchors = base.tokens([spec.query_prompt + example.anchor for example in examples])
        negatives = [example.negatives if n_negatives else () for example in examples]
        texts = [
            text for example, mined in zip(examples, negatives, strict=True) for text in (example.positive, *mined)
        ]
        row = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        self.documents = base.tokens([spec.document_prompt + text for text in row])
        self.positives = [row[example.positive] for example in examples]
        self.negatives = [[row[text] for text in mined] for mined in negatives]

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Tensor | int]:
        """Return the features of one batch by name; ``label`` ``(n, 2)`` holds the examples' numbers and the epoch."""
        labels = [row["label"] for row in rows]
        documents = [self.positives[label] for label in labels]
        for label in labels:
            mined = self.negatives[label]
            for turn in negatives_in_epoch(len(mined), self.n_negatives, self.epoch):
                documents.append(self.positives[label] if turn is None else mined[turn])
        parts = {
            "anchor": [self.anchors[label] for label in labels],
            "document": [self.documents[number] for number in documents],
        }
        batch: dict[str, Tensor | int] = {"label": torch.tensor([[label, self.epoch] for label in labels])}
        for part, ids in parts.items():
            batch |= {f"{part}_{name}": value for name, value in self.base.features(ids).items()}
        return batch
