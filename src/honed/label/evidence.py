"""What labels are made from: the votes of rules, the hand labels, and the vectors that a learner sees."""

from dataclasses import dataclass, replace

import numpy as np

from honed.core.protocols import Mask, Vectors
from honed.core.ranking import Rows
from honed.label.arrays import Classes, Probabilities, Votes
from honed.label.learner import USUAL, Recipe

_PRIOR_PRECISION, _PRIOR_VOTES = 0.75, 2.0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of n records: unit ``vectors`` ``(n, dim)`` or None, and ``votes`` ``(n, n_rules)``.

    ``rows`` and ``classes`` ``(n_hand,)`` are the hand labels that may be learned from; ``hidden`` ``(n,)`` marks
    records that nothing may be learned from, not even without their labels: those of test. ``folds`` is into how many
    parts hand labels are cut to judge them unseen; ``learner_precision`` is how often a vote of the learner must be
    right, ``recipe`` how the learner is fitted.
    """

    n_classes: int
    votes: Votes
    rows: Rows
    classes: Classes
    vectors: Vectors | None = None
    hidden: Mask | None = None
    folds: int = 5
    seed: int = 0
    learner_precision: float = 0.8
    recipe: Recipe = USUAL

    @property
    def n_sources(self) -> int:
        """How many sources vote: the rules, and the learner where there are hand labels to teach it."""
        return int(self.votes.shape[1]) + (self.vectors is not None and len(self.rows) > 0)

    def without(self, left_out: Mask) -> "Evidence":
        """Return the evidence without the hand labels that ``left_out`` ``(n_hand,)`` marks."""
        return replace(self, rows=self.rows[~left_out], classes=self.classes[~left_out])


def count_votes(votes: Votes, n_classes: int) -> Probabilities:
    """Return how many rules vote for each class ``(n, n_classes)``."""
    return np.stack([(votes == number).sum(axis=1) for number in range(n_classes)], axis=1).astype(np.float64)


def rule_precisions(evidence: Evidence) -> Probabilities:
    """Return the estimated precision of each rule's votes for each class ``(n_rules, n_classes)``.

    Counted on the hand labels and smoothed by two votes of precision 0.75.
    """
    votes, numbers = evidence.votes[evidence.rows], range(evidence.n_classes)
    counts = np.stack([(votes == number).sum(axis=0) for number in numbers], axis=1)
    is_right = [(votes == number) & (evidence.classes == number)[:, None] for number in numbers]
    right = np.stack([matches.sum(axis=0) for matches in is_right], axis=1)
    return np.asarray((right + _PRIOR_PRECISION * _PRIOR_VOTES) / (counts + _PRIOR_VOTES))
