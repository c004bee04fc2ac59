"""What a batch of pairs is trained for. Every objective knows which pairs of the batch are known to be right.

A batch holds n examples: anchor i belongs to document i, its positive; the documents after the n-th are mined
negatives. ``related`` tells which other pairs are right as well (all aliases of one label, all labels of one alias). No
objective pushes such a pair apart. Example weights scale the loss of their rows.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softmax, softplus

from honed.core.errors import TrainingError
from honed.core.records import Example
from honed.train.config import TAUGHT, TrainConfig

_NEVER = float("-inf")


class Batch(NamedTuple):
    """Unit vectors of n anchors ``(n, dim)`` and of documents ``(n + n * h, dim)``: positives, then h negatives each.

    ``related`` ``(n, n + n * h)`` marks the right pairs, ``weights`` and ``targets`` are ``(n,)``; ``teacher``
    ``(n, 1 + h)`` holds a teacher's scores of the own positive and negatives, NaN where there is none.
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
        """The own positives ``(n, dim)``."""
        return self.documents[: len(self.anchors)]

    @property
    def own(self) -> Tensor:
        """Cosines ``(n, 1 + h)`` of each anchor with its own positive and its own negatives."""
        n = len(self.anchors)
        grouped = self.documents[n:].view(n, -1, self.documents.shape[1])
        candidates = torch.cat([self.positives[:, None], grouped], dim=1)
        return (candidates @ self.anchors[:, :, None]).squeeze(2)

    def turned(self) -> "Batch":
        """Return the batch from positive to anchor; mined negatives have no part in it."""
        n = len(self.anchors)
        return self._replace(anchors=self.positives, documents=self.anchors, related=self.related[:, :n].T)


Objective = Callable[[Batch, TrainConfig], Tensor]


def _mean(rows: Tensor, weights: Tensor) -> Tensor:
    return (rows * weights).sum() / weights.sum().clamp_min(1e-12)


def _both_ways(one_way: Objective) -> Objective:
    def objective(batch: Batch, config: TrainConfig) -> Tensor:
        loss = one_way(batch, config)
        return (loss + one_way(batch.turned(), config)) / 2 if config.symmetric else loss

    return objective


@_both_ways
def ranking(batch: Batch, config: TrainConfig) -> Tensor:
    """Multiple negatives ranking, the softmax over the batch (Henderson et al. 2017, arXiv 1705.00652)."""
    own = torch.eye(*batch.related.shape, dtype=torch.bool, device=batch.anchors.device)
    scores = (batch.cosines * config.scale).masked_fill(batch.related & ~own, _NEVER)
    target = torch.arange(len(scores), device=scores.device)
    return _mean(cross_entropy(scores, target, reduction="none"), batch.weights)


@_both_ways
def _triplet_in_batch(batch: Batch, config: TrainConfig) -> Tensor:
    cosines = batch.cosines
    own = cosines.diagonal()
    negatives = cosines.masked_fill(batch.related, _NEVER)
    hardest = negatives.max(dim=1).values
    if config.negatives == "semi-hard":
        beyond = negatives.masked_fill(negatives >= own[:, None], _NEVER).max(dim=1).values
        hardest = torch.where(torch.isfinite(beyond), beyond, hardest)
    return _margin(own, hardest, batch, config)


def _margin(own: Tensor, negative: Tensor, batch: Batch, config: TrainConfig) -> Tensor:
    there = torch.isfinite(negative)
    rows = torch.relu(config.margin - own + negative.masked_fill(~there, -2.0))
    return _mean(rows * there, batch.weights)


def triplet(batch: Batch, config: TrainConfig) -> Tensor:
    """A margin in cosine to one negative: of the batch the hardest, or the hardest of those that are further away than
    the positive (semi-hard; Schroff et al. 2015, arXiv 1503.03832), or of its own ones alone the nearest ("own")."""
    if config.negatives != "own":
        return _triplet_in_batch(batch, config)
    n, own = len(batch.anchors), batch.own
    each = torch.arange(n, device=own.device)
    right = batch.related[:, n:].view(n, n, -1)[each, each]
    return _margin(own[:, 0], own[:, 1:].masked_fill(right, _NEVER).max(dim=1).values, batch, config)


def contrastive(batch: Batch, config: TrainConfig) -> Tensor:
    """Supervised contrastive over groups: every text of a group attracts every other (Khosla et al. 2020,
    arXiv 2004.11362, L_out)."""
    n = len(batch.anchors)
    vectors = torch.cat([batch.anchors, batch.positives])
    pairs, mined = batch.related[:, :n], batch.related[:, n:]
    same = torch.cat([(pairs | pairs.T).repeat(2, 2), mined.repeat(2, 1)], dim=1)
    own = torch.eye(*same.shape, dtype=torch.bool, device=vectors.device)
    others = torch.cat([vectors, batch.documents[n:]])
    scores = (vectors @ others.T * config.scale).masked_fill(own, _NEVER)
    likelihood = (scores - scores.logsumexp(dim=1, keepdim=True)).masked_fill(own | ~same, 0.0)
    rows = -likelihood.sum(dim=1) / (same & ~own).sum(dim=1).clamp_min(1)
    return _mean(rows, batch.weights.repeat(2))


@_both_ways
def multi_similarity(batch: Batch, config: TrainConfig) -> Tensor:
    """Soft counts of positives that are too far and negatives that are too near (Wang et al. 2019, arXiv 1904.06627),
    which SapBERT uses for synonyms; only pairs that are harder than the other side's hardest, within 0.1, count."""
    alpha, beta, centre, slack = 2.0, 50.0, 0.5, 0.1
    cosines, related = batch.cosines, batch.related
    nearest_wrong = cosines.masked_fill(related, _NEVER).max(dim=1, keepdim=True).values
    farthest_right = cosines.masked_fill(~related, float("inf")).min(dim=1, keepdim=True).values
    right = related & (cosines - slack < nearest_wrong)
    wrong = ~related & (cosines + slack > farthest_right)
    pulled = (-alpha * (cosines - centre)).masked_fill(~right, _NEVER)
    pushed = (beta * (cosines - centre)).masked_fill(~wrong, _NEVER)
    rows = softplus(_logsumexp(pulled)) / alpha + softplus(_logsumexp(pushed)) / beta
    return _mean(rows, batch.weights)


def _logsumexp(scores: Tensor) -> Tensor:
    """Return the log of the sum of exponentials over rows; a very small number, not -inf, for empty rows."""
    return scores.clamp_min(-1e4).logsumexp(dim=1)


def cosine(batch: Batch, config: TrainConfig) -> Tensor:
    """Mean squared difference of the pair's cosine and its given score."""
    own = (batch.anchors * batch.positives).sum(dim=1)
    return _mean((own - batch.targets).square(), batch.weights)


def cosent(batch: Batch, config: TrainConfig) -> Tensor:
    """Pairs with a higher score must have the higher cosine (CoSENT: Su 2022): the order counts, not the values."""
    own = (batch.anchors * batch.positives).sum(dim=1) * config.scale
    above = batch.targets[:, None] > batch.targets[None, :]
    differences = (own[None, :] - own[:, None])[above]
    weights = (batch.weights[:, None] * batch.weights[None, :])[above]
    terms = differences + weights.clamp_min(1e-12).log()
    return torch.cat([terms.new_zeros(1), terms]).logsumexp(dim=0)


def margin_mse(batch: Batch, config: TrainConfig) -> Tensor:
    """The margin between positive and negatives shall be the teacher's (Hofstätter et al. 2020, arXiv 2010.02666).

    Cosines times ``scale`` stand against the teacher's scores.
    """
    teacher, own = _taught(batch), batch.own * config.scale
    wanted = teacher[:, :1] - teacher[:, 1:]
    there = torch.isfinite(wanted)
    errors = (own[:, :1] - own[:, 1:] - wanted.nan_to_num()).square() * there
    return _mean(errors.sum(dim=1) / there.sum(dim=1).clamp_min(1), batch.weights)


def kl(batch: Batch, config: TrainConfig) -> Tensor:
    """The softmax over positive and negatives shall be the teacher's (Kullback-Leibler divergence)."""
    teacher = _taught(batch)
    absent = ~torch.isfinite(teacher)
    wanted = softmax(teacher.masked_fill(absent, -1e4), dim=1)
    found = log_softmax((batch.own * config.scale).masked_fill(absent, -1e4), dim=1)
    rows = (wanted * (wanted.clamp_min(1e-12).log() - found)).sum(dim=1)
    return _mean(rows, batch.weights)


def pairs(batch: Batch, config: TrainConfig) -> Tensor:
    """The cosines with positive and negatives shall be the teacher's (mean squared difference)."""
    teacher = _taught(batch)
    there = torch.isfinite(teacher)
    errors = (batch.own - teacher.nan_to_num()).square() * there
    return _mean(errors.sum(dim=1) / there.sum(dim=1).clamp_min(1), batch.weights)


def _taught(batch: Batch) -> Tensor:
    if batch.teacher is None:
        raise ValueError("the objective needs a teacher's scores")
    return batch.teacher


# name in honed.toml -> objective; "mse" is what people call the squared difference to a score
OBJECTIVES: dict[str, Objective] = {
    "ranking": ranking,
    "triplet": triplet,
    "contrastive": contrastive,
    "multi-similarity": multi_similarity,
    "cosine": cosine,
    "mse": cosine,
    "cosent": cosent,
    "margin-mse": margin_mse,
    "kl": kl,
    "pairs": pairs,
}
SCORED = ("cosine", "mse", "cosent")
FROM_TEACHER = (*TAUGHT, "pairs")


def choose_objective(wanted: str, examples: Sequence[Example]) -> tuple[str, str]:
    """Return the objective for examples and the reason; "auto" looks at what they hold.

    Raises `TrainingError` for an objective that has nothing to learn from: without different scores, pulling pairs
    together is best done by one vector for every text.
    """
    scores = {each.score for each in examples if each.score is not None}
    if wanted in SCORED and len(scores) < 2:
        raise TrainingError(
            "E_TRAIN_POSITIVES_ONLY",
            f"train.objective {wanted} on positives alone: nothing pushes texts apart, and the best solution gives "
            'every text the same vector. Take objective = "ranking", which uses the other pairs of a batch as '
            "negatives, or give the pairs different scores",
        )
    if wanted in FROM_TEACHER and not any(each.teacher for each in examples):
        raise TrainingError(
            "E_TRAIN_TEACHER",
            f"train.objective {wanted} needs a teacher's scores of positive and negatives: add the sections [mine] and "
            "[cross_encoder] to honed.toml",
        )
    if wanted != "auto":
        return wanted, "set in honed.toml"
    if len(scores) >= 2 and all(each.score is not None for each in examples):
        return "cosent", "the pairs carry scores: their order is learned"
    if all(each.group and each.negatives for each in examples):
        return "triplet", "triplets: a margin between what says the same and what only speaks of the same"
    if all(each.group for each in examples):
        return "contrastive", "the texts stand in groups: all of one group attract each other"
    mined = " beside the mined ones" if any(each.negatives for each in examples) else ""
    return "ranking", (
        f"pairs without scores: the other pairs of a batch are the negatives{mined}, every co-positive masked"
    )
