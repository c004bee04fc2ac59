"""Which objective a model is trained by: the wanted one where it can learn, or what "auto" chooses."""

from collections.abc import Sequence
from typing import NamedTuple

from honed.core.errors import TrainingError
from honed.core.records import Example
from honed.train.losses import AUTO, find_objective


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
    if wanted != AUTO:
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
