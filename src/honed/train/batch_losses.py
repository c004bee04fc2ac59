"""Losses over a batch of pairs that are told which pairs of the batch are right.

A batch holds n examples: anchor i belongs to document i, its positive; the documents after the n-th are mined
negatives. ``related`` tells which other pairs are right as well (all aliases of one label, all labels of one alias). No
loss pushes such a pair apart. Example weights scale the loss of their rows.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, softmax, softplus

from honed.train.batch import Batch, BatchLoss, LossSettings

_MINUS_INFINITY = float("-inf")


def _weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    return (losses * weights).sum() / weights.sum().clamp_min(1e-12)


def _both_directions(loss_from_anchors: BatchLoss) -> BatchLoss:
    """Return the mean of a loss and the same loss from the positives' side, where ``train.symmetric`` asks for it."""

    def symmetric_loss(batch: Batch, config: LossSettings) -> Tensor:
        loss = loss_from_anchors(batch, config)
        return (loss + loss_from_anchors(batch.swapped(), config)) / 2 if config.symmetric else loss

    return symmetric_loss


@_both_directions
def ranking(batch: Batch, config: LossSettings) -> Tensor:
    """Multiple negatives ranking, the softmax over the batch (Henderson et al. 2017, arXiv 1705.00652, section 4.4)."""
    diagonal = torch.eye(*batch.related.shape, dtype=torch.bool, device=batch.anchors.device)
    scores = (batch.cosines * config.scale).masked_fill(batch.related & ~diagonal, _MINUS_INFINITY)
    target = torch.arange(len(scores), device=scores.device)
    return _weighted_mean(cross_entropy(scores, target, reduction="none"), batch.weights)


@_both_directions
def _triplet_in_batch(batch: Batch, config: LossSettings) -> Tensor:
    cosines = batch.cosines
    right = cosines.diagonal()
    negatives = cosines.masked_fill(batch.related, _MINUS_INFINITY)
    hardest = negatives.max(dim=1).values
    if config.negatives == "semi-hard":
        farther = negatives.masked_fill(negatives >= right[:, None], _MINUS_INFINITY).max(dim=1).values
        hardest = torch.where(torch.isfinite(farther), farther, hardest)
    return _margin_loss(right, hardest, batch, config)


def _margin_loss(right: Tensor, wrong: Tensor, batch: Batch, config: LossSettings) -> Tensor:
    """Return how far cosines of wrong pairs ``(n,)`` reach into the margin below those of right pairs ``(n,)``.

    Where ``wrong`` is -inf there is no negative, and nothing to lose.
    """
    has_negative = torch.isfinite(wrong)
    losses = torch.relu(config.margin - right + wrong.masked_fill(~has_negative, -2.0))
    return _weighted_mean(losses * has_negative, batch.weights)


def triplet(batch: Batch, config: LossSettings) -> Tensor:
    """A margin in cosine to one negative: of the batch the hardest, or the hardest of those that are further away than
    the positive (semi-hard; Schroff et al. 2015, arXiv 1503.03832, section 3.2), or of the example's own ones alone the
    nearest ("own")."""
    if config.negatives != "own":
        return _triplet_in_batch(batch, config)
    n, cosines = len(batch.anchors), batch.example_cosines
    rows = torch.arange(n, device=cosines.device)
    right = batch.related[:, n:].view(n, n, -1)[rows, rows]
    hardest = cosines[:, 1:].masked_fill(right, _MINUS_INFINITY).max(dim=1).values
    return _margin_loss(cosines[:, 0], hardest, batch, config)


def contrastive(batch: Batch, config: LossSettings) -> Tensor:
    """Supervised contrastive over groups: every text of a group attracts every other (Khosla et al. 2020,
    arXiv 2004.11362, L_out of equation 2)."""
    n = len(batch.anchors)
    vectors = torch.cat([batch.anchors, batch.positives])
    pairs, mined = batch.related[:, :n], batch.related[:, n:]
    same = torch.cat([(pairs | pairs.T).repeat(2, 2), mined.repeat(2, 1)], dim=1)
    itself = torch.eye(*same.shape, dtype=torch.bool, device=vectors.device)
    others = torch.cat([vectors, batch.documents[n:]])
    scores = (vectors @ others.T * config.scale).masked_fill(itself, _MINUS_INFINITY)
    log_shares = (scores - scores.logsumexp(dim=1, keepdim=True)).masked_fill(itself | ~same, 0.0)
    losses = -log_shares.sum(dim=1) / (same & ~itself).sum(dim=1).clamp_min(1)
    return _weighted_mean(losses, batch.weights.repeat(2))


@_both_directions
def multi_similarity(batch: Batch, config: LossSettings) -> Tensor:
    """Soft counts of positives that are too far and negatives that are too near (Wang et al. 2019, arXiv 1904.06627),
    which SapBERT uses for synonyms; only pairs within 0.1 of the hardest of the other kind count."""
    alpha, beta, centre, slack = 2.0, 50.0, 0.5, 0.1
    cosines, related = batch.cosines, batch.related
    nearest_wrong = cosines.masked_fill(related, _MINUS_INFINITY).max(dim=1, keepdim=True).values
    farthest_right = cosines.masked_fill(~related, float("inf")).min(dim=1, keepdim=True).values
    right = related & (cosines - slack < nearest_wrong)
    wrong = ~related & (cosines + slack > farthest_right)
    pulled = (-alpha * (cosines - centre)).masked_fill(~right, _MINUS_INFINITY)
    pushed = (beta * (cosines - centre)).masked_fill(~wrong, _MINUS_INFINITY)
    losses = softplus(_logsumexp(pulled)) / alpha + softplus(_logsumexp(pushed)) / beta
    return _weighted_mean(losses, batch.weights)


def _logsumexp(scores: Tensor) -> Tensor:
    """Return the log of the sum of exponentials over rows; a very small number, not -inf, for empty rows."""
    return scores.clamp_min(-1e4).logsumexp(dim=1)


def cosine(batch: Batch, config: LossSettings) -> Tensor:
    """Mean squared difference of the pair's cosine and its score."""
    cosines = (batch.anchors * batch.positives).sum(dim=1)
    return _weighted_mean((cosines - batch.targets).square(), batch.weights)


def cosent(batch: Batch, config: LossSettings) -> Tensor:
    """Pairs with a higher score must have the higher cosine (CoSENT: Su 2022): the order counts, not the values."""
    scaled = (batch.anchors * batch.positives).sum(dim=1) * config.scale
    above = batch.targets[:, None] > batch.targets[None, :]
    differences = (scaled[None, :] - scaled[:, None])[above]
    weights = (batch.weights[:, None] * batch.weights[None, :])[above]
    terms = differences + weights.clamp_min(1e-12).log()
    return torch.cat([terms.new_zeros(1), terms]).logsumexp(dim=0)


def margin_mse(batch: Batch, config: LossSettings) -> Tensor:
    """The margin between positive and negatives shall be the teacher's (Hofstätter et al. 2020, arXiv 2010.02666).

    The student's scores are its cosines times ``scale``.
    """
    teacher, student = _teacher_scores(batch), batch.example_cosines * config.scale
    wanted = teacher[:, :1] - teacher[:, 1:]
    scored = torch.isfinite(wanted)
    errors = (student[:, :1] - student[:, 1:] - wanted.nan_to_num()).square() * scored
    return _weighted_mean(errors.sum(dim=1) / scored.sum(dim=1).clamp_min(1), batch.weights)


def kl(batch: Batch, config: LossSettings) -> Tensor:
    """The softmax over positive and negatives shall be the teacher's (Kullback-Leibler divergence)."""
    teacher = _teacher_scores(batch)
    absent = ~torch.isfinite(teacher)
    wanted = softmax(teacher.masked_fill(absent, -1e4), dim=1)
    student = log_softmax((batch.example_cosines * config.scale).masked_fill(absent, -1e4), dim=1)
    losses = (wanted * (wanted.clamp_min(1e-12).log() - student)).sum(dim=1)
    return _weighted_mean(losses, batch.weights)


def pairs(batch: Batch, config: LossSettings) -> Tensor:
    """The cosines with positive and negatives shall be the teacher's (mean squared difference)."""
    teacher = _teacher_scores(batch)
    scored = torch.isfinite(teacher)
    errors = (batch.example_cosines - teacher.nan_to_num()).square() * scored
    return _weighted_mean(errors.sum(dim=1) / scored.sum(dim=1).clamp_min(1), batch.weights)


def _teacher_scores(batch: Batch) -> Tensor:
    if batch.teacher is None:
        raise ValueError("the loss needs a teacher's scores")
    return batch.teacher
