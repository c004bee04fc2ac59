"""Fine-tuning on examples: packed batches of pairs and their mined negatives."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from honed.core.errors import TrainingError
from honed.core.records import Example
from honed.encode.torch_encoder import TorchEncoder
from honed.train.config import TrainConfig
from honed.train.head import Stored, train_head
from honed.train.loss import PairLoss, turns
from honed.train.objectives import choose_objective
from honed.train.trainer import DevScore, Recipe, Trained, bi_encoder, train_model

log = logging.getLogger("honed.train")
_CACHE_OVER, _MINI_BATCH = 512, 256


def fine_tune(
    base: TorchEncoder,
    examples: Sequence[Example],
    dev_score: DevScore,
    config: TrainConfig,
    folder: Path,
    logs: Path | None = None,
    stored: Stored | None = None,
) -> Trained:
    """Fine-tune a base model on examples and save the state that is best on dev; see `train_model` for the rest.

    ``stored`` holds vectors of the base model by text, for a head that is trained over them.

    Raises `TrainingError` when there is nothing to learn from, or nothing that the objective could learn from.
    """
    if len(examples) < 2:
        raise TrainingError("E_TRAIN_EMPTY", f"{len(examples)} training examples; at least 2 are needed")
    objective, reason = choose_objective(config.objective, examples)
    log.info("objective %s: %s", objective, reason)
    mini_batch = config.mini_batch_size or (_MINI_BATCH if config.batch_size > _CACHE_OVER else 0)
    mini_batch = 0 if base.static else mini_batch  # token vectors have no activations to save
    wrong = [each for each in config.matryoshka if not 0 < each < base.spec.dim]
    if wrong:
        raise TrainingError("E_TRAIN_MATRYOSHKA", f"train.matryoshka: {wrong[0]} is not between 0 and {base.spec.dim}")
    n_negatives = negatives_a_step(examples, config)
    if objective == "triplet" and config.negatives == "own" and not n_negatives:
        raise TrainingError(
            "E_TRAIN_NEGATIVES",
            'train.negatives = "own" and the examples have none: take "semi-hard", or add [mine] or [triplets]',
        )
    if config.head == "skip":
        return train_head(base, examples, (objective, reason), dev_score, config, folder, stored)
    recipe = Recipe(
        n=len(examples),
        loss=PairLoss(base.model, examples, config, objective=objective, mini_batch_size=mini_batch),
        collator=PackingCollator(base, examples, n_negatives=n_negatives),
        **bi_encoder(base, [each.positive for each in examples], dev_score, config),
        facts={
            "packed": base.packed,
            "objective": objective,
            "reason": reason,
            "mini_batch_size": mini_batch,
            "mined_negatives": sum(len(each.negatives) for each in examples),
        },
    )
    return train_model(recipe, config, folder, logs)


def negatives_a_step(examples: Sequence[Example], config: TrainConfig) -> int:
    """Return how many mined negatives an example brings to a batch."""
    return min(config.hard_negatives, max(len(each.negatives) for each in examples))


class PackingCollator:
    """Batches of examples from token ids made once: prompts included, laid end to end, without padding.

    A batch has the anchors, then the documents: the positives and, for each example, ``n_negatives`` of its mined
    negatives, other ones in each epoch. Where an example has too few, its own positive fills the gap.
    """

    valid_label_columns = ("label",)

    def __init__(self, base: TorchEncoder, examples: Sequence[Example], *, n_negatives: int = 0) -> None:
        self.base, self.n_negatives, self.epoch = base, n_negatives, 0
        spec = base.spec
        self.anchors = base.tokens([spec.query_prompt + each.anchor for each in examples])
        texts = [text for each in examples for text in (each.positive, *(each.negatives if n_negatives else ()))]
        row = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        self.documents = base.tokens([spec.document_prompt + text for text in row])
        self.positives = [row[each.positive] for each in examples]
        self.negatives = [[row[text] for text in each.negatives] if n_negatives else [] for each in examples]

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the features of one batch under the names that the trainer splits them by."""
        labels = [row["label"] for row in rows]
        numbers = [self.positives[label] for label in labels]
        for label in labels:
            mined = self.negatives[label]
            for turn in turns(len(mined), self.n_negatives, self.epoch):
                numbers.append(self.positives[label] if turn is None else mined[turn])
        parts = {"anchor": [self.anchors[label] for label in labels], "document": [self.documents[n] for n in numbers]}
        batch: dict[str, Any] = {"label": torch.tensor([[label, self.epoch] for label in labels])}
        for column, ids in parts.items():
            batch |= {f"{column}_{name}": value for name, value in self.base.features(ids).items()}
        return batch
