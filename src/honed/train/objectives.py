"""The objectives of ``[train]`` by name: their loss, what they learn from, and which one "auto" chooses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from honed.core.errors import TrainingError
from honed.core.records import Example
from honed.train import batch_losses as losses
from honed.train.batch_losses import BatchLoss
from honed.train.config import OBJECTIVE_SYNONYMS


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A loss over batches, and what examples must have for it.

    ``learns_from`` "pairs" needs nothing but anchor and positive, "scores" the similarity that a pair should have
    (`Example.score`), "teacher" a teacher's scores of positive and negatives (`Example.teacher`).
    """

    loss: BatchLoss
    learns_from: Literal["pairs", "scores", "teacher"] = "pairs"


# name in honed.toml -> objective; "pairs" is that of distil.method
OBJECTIVES: dict[str, Objective] = {
    "ranking": Objective(loss=losses.ranking),
    "triplet": Objective(loss=losses.triplet),
    "contrastive": Objective(loss=losses.contrastive),
    "multi-similarity": Objective(loss=losses.multi_similarity),
    "cosine": Objective(loss=losses.cosine, learns_from="scores"),
    "cosent": Objective(loss=losses.cosent, learns_from="scores"),
    "margin-mse": Objective(loss=losses.margin_mse, learns_from="teacher"),
    "kl": Objective(loss=losses.kl, learns_from="teacher"),
    "pairs": Objective(loss=losses.pairs, learns_from="teacher"),
}


def find_objective(name: str) -> Objective:
    """Return the objective of a name or synonym; `KeyError` for one that is unknown."""
    return OBJECTIVES[OBJECTIVE_SYNONYMS.get(name, name)]


class ChosenObjective(NamedTuple):
    """The name of an objective and the reason for it, both as ``history.json`` tells them."""

    name: str
    reason: str


def choose_objective(wanted: str, examples: Sequence[Example]) -> ChosenObjective:
    """Return the wanted objective, or for "auto" the one that fits what the examples hold.

    Raises `TrainingError` for an objective that has nothing to learn from: without different scores, pulling pairs
    together is best done by one vector for every text.
    """
    scores = {example.score for example in examples if example.score is not None}
    if wanted != "auto":
        _check_learnable(wanted, examples, len(scores))
        return ChosenObjective(wanted, "set in honed.toml")
    if len(scores) >= 2 and all(example.score is not None for example in examples):
        return ChosenObjective("cosent", "the pairs carry scores: their order is learned")
    if all(example.group and example.negatives for example in examples):
        reason = "triplets: a margin between what says the same and what only speaks of the same"
        return ChosenObjective("triplet", reason)
    if all(example.group for example in examples):
        return ChosenObjective("contrastive", "the texts stand in groups: all of one group attract each other")
    mined = " beside the mined ones" if any(example.negatives for example in examples) else ""
    reason = f"pairs without scores: the other pairs of a batch are the negatives{mined}, every co-positive masked"
    return ChosenObjective("ranking", reason)


def _check_learnable(name: str, examples: Sequence[Example], n_scores: int) -> None:
    learns_from = find_objective(name).learns_from
    if learns_from == "scores" and n_scores < 2:
        raise TrainingError(
            "E_TRAIN_POSITIVES_ONLY",
            f"train.objective {name} on positives alone: nothing pushes texts apart, and the best solution gives "
            'every text the same vector. Take objective = "ranking", which uses the other pairs of a batch as '
            "negatives, or give the pairs different scores",
        )
    if learns_from == "teacher" and not any(example.teacher for example in examples):
        raise TrainingError(
            "E_TRAIN_TEACHER",
            f"train.objective {name} needs a teacher's scores of positive and negatives: add the sections [mine] and "
            "[cross_encoder] to honed.toml",
        )
