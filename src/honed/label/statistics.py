"""What each rule is worth: how often it votes, with and against others, and how often it is right."""

from collections.abc import Sequence

import numpy as np

from honed.core.proportion import wilson
from honed.core.protocols import Mask
from honed.core.ranking import Rows
from honed.label.arrays import Classes, Votes
from honed.label.evidence import count_votes
from honed.label.report import Interval, LabelWarning, RuleStatistics
from honed.label.run import RuleVotes


def rule_statistics(rule_votes: RuleVotes, rows: Rows, classes: Classes, names: Sequence[str]) -> list[RuleStatistics]:
    """Return for each rule its coverage, overlap, conflict (shares of all records) and precision with interval.

    ``names`` are those of the classes. Precision is counted on the hand labels ``classes`` of ``rows`` ``(n_hand,)``.
    """
    votes = rule_votes.votes
    counts = count_votes(votes, len(names))
    totals = counts.sum(axis=1)
    statistics = []
    for column, rule in enumerate(rule_votes.names):
        vote = votes[:, column]
        has_vote = vote >= 0
        agreeing = counts[np.arange(len(vote)), np.where(has_vote, vote, 0)]
        on_hand = vote[rows]
        right, judged = int((on_hand == classes)[on_hand >= 0].sum()), int((on_hand >= 0).sum())
        low, high = wilson(right, judged)
        statistics.append(
            RuleStatistics(
                rule=rule,
                classes=[names[number] for number in np.unique(vote[has_vote])],
                records=int(has_vote.sum()),
                coverage=_share(has_vote),
                overlap=_share(has_vote & (totals > 1)),
                conflict=_share(has_vote & (totals > agreeing)),
                judged=judged,
                precision=Interval(mean=round(right / judged, 4) if judged else None, low=low, high=high),
            )
        )
    return statistics


def _share(mask: Mask) -> float:
    return round(float(mask.mean()), 5) if len(mask) else 0.0


def rule_warnings(rule_votes: RuleVotes) -> list[LabelWarning]:
    """Return what is odd about the rules: one that never votes, several that always vote the same."""
    has_votes = np.atleast_1d((rule_votes.votes >= 0).any(axis=0))
    broken = {problem.rule for problem in rule_votes.problems}
    silent = [
        LabelWarning(code="W_LF_COVERAGE", message=f"{name} speaks for 0 rows")
        for name, votes in zip(rule_votes.names, has_votes, strict=True)
        if not votes and name not in broken
    ]
    identical = [
        LabelWarning(
            code="W_LF_DUPLICATE",
            message=f"{', '.join(group)} say the same of every record; they count as one voice too many",
        )
        for group in identical_rules(rule_votes.votes, rule_votes.names)
    ]
    return silent + identical


def identical_rules(votes: Votes, names: Sequence[str]) -> list[list[str]]:
    """Return the names of rules in groups that always vote the same; rules without a vote are in none."""
    groups: dict[bytes, list[str]] = {}
    for column, name in enumerate(names):
        if (votes[:, column] >= 0).any():
            groups.setdefault(np.ascontiguousarray(votes[:, column]).tobytes(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def disputed_records(rule_votes: RuleVotes, n: int, n_classes: int) -> Rows:
    """Return the rows of up to ``n`` records on which rules disagree, those with most votes against the most first."""
    counts = count_votes(rule_votes.votes, n_classes)
    against = counts.sum(axis=1) - counts.max(axis=1)
    order = np.argsort(-against, kind="stable")[:n]
    return np.asarray(order[against[order] > 0])
