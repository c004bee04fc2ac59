"""Runs rules and lists over records, in blocks, the Python rules in a process that can be killed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from honed.core.errors import DataError
from honed.core.progress import progress
from honed.label.arrays import Votes
from honed.label.lists import Matcher, TermList
from honed.label.messages import ABSTAIN
from honed.label.rule_process import Records, RuleFiles, RuleProblem, RuleProcess
from honed.label.rules import check_syntax

_BLOCK = 2000
_ASKED_AGAIN = 500  # records that rules are asked about a second time
_FIRED_ASKED_AGAIN = 20  # of those that a rule votes for


@dataclass(kw_only=True)
class RuleVotes:
    """The votes ``(n_records, n_rules)`` of rules, class numbers or -1, their names, and the problems of broken rules.

    A broken rule has no votes.
    """

    names: list[str]
    votes: Votes
    problems: list[RuleProblem] = field(default_factory=list)


def run_rules(
    records: Records, classes: Sequence[str], files: Sequence[Path], lists: Sequence[TermList], *, time_limit: float
) -> RuleVotes:
    """Return the votes of all rules: first those of Python files, then the lists.

    A rule that raises, hangs (for ``time_limit`` seconds at one record), returns nonsense or returns something else
    when asked again is named in ``problems``, with the record; its votes are left out, those of the others count.
    Raises `DataError` for files that do not parse or load, and for two rules of one name.
    """
    for file in files:
        check_syntax(file)
    by_rule = RuleVotes(names=[], votes=np.empty((len(records), 0), dtype=np.int16))
    if files:
        by_rule = _python_votes(records, RuleFiles(files=files, classes=classes, time_limit=time_limit))
    by_list = _list_votes(records, classes, lists)
    names = by_rule.names + by_list.names
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError("E_LF_NAME", f"two rules are named {repeated[0]}")
    votes = np.concatenate([by_rule.votes, by_list.votes], axis=1)
    return RuleVotes(names=names, votes=votes, problems=by_rule.problems)


def _list_votes(records: Records, classes: Sequence[str], lists: Sequence[TermList]) -> RuleVotes:
    numbers = {label: row for row, label in enumerate(classes)}
    matchers = [Matcher(terms, "label.lists") for terms in lists]
    votes = np.full((len(records), len(lists)), ABSTAIN, dtype=np.int16)
    with progress("lists", len(records)) as bar:
        for start in range(0, len(records), _BLOCK):
            block = records[start : start + _BLOCK]
            for row, record in enumerate(block, start):
                for column, matcher in enumerate(matchers):
                    if matcher(record):
                        votes[row, column] = numbers[matcher.terms.label]
            bar.advance(len(block))
    return RuleVotes(names=[terms.name for terms in lists], votes=votes)


def _python_votes(records: Records, source: RuleFiles) -> RuleVotes:
    with RuleProcess(source, hash_seed="1") as process:
        names = [name for name, _ in process.rules]
        _check_classes(process.rules, source.classes)
        votes = np.full((len(records), len(names)), ABSTAIN, dtype=np.int16)
        problems: dict[int, RuleProblem] = {}
        with progress("rules", len(records)) as bar:
            for start in range(0, len(records), _BLOCK):
                block = records[start : start + _BLOCK]
                working = [number for number in range(len(names)) if number not in problems]
                votes[start : start + len(block), working] = process.ask(block, working, problems)
                bar.advance(len(block))
    if len(problems) < len(names):
        _ask_again(source, records, votes, problems)
    for number in problems:
        votes[:, number] = ABSTAIN
    return RuleVotes(names=names, votes=votes, problems=[problems[number] for number in sorted(problems)])


def _check_classes(rules: Sequence[tuple[str, str]], classes: Sequence[str]) -> None:
    wrong = [f"{label!r} of rule {name}" for name, label in rules if label and label not in classes]
    if wrong:
        raise DataError("E_LF_LABEL", f"{wrong[0]} is not a class; classes: {', '.join(classes)}")


def _ask_again(source: RuleFiles, records: Records, votes: Votes, problems: dict[int, RuleProblem]) -> None:
    """Ask the rules without a problem about some records again, and add those that answer differently to ``problems``.

    In another order, in another process with another hash seed; records over the whole data, and some of each rule's.
    """
    working = [number for number in range(votes.shape[1]) if number not in problems]
    spread = np.linspace(0, len(records) - 1, min(len(records), _ASKED_AGAIN)).astype(int)
    fired = [np.flatnonzero(votes[:, number] != ABSTAIN)[:_FIRED_ASKED_AGAIN] for number in working]
    rows = np.unique(np.concatenate([spread, *fired]))[::-1]
    with RuleProcess(source, hash_seed="2") as process:
        again = process.ask([records[row] for row in rows], working, problems)
    for column, number in enumerate(working):
        differing = np.flatnonzero(again[:, column] != votes[rows, number])
        if number not in problems and len(differing):
            row = int(rows[differing[0]])
            first, second = (
                "nothing" if vote == ABSTAIN else source.classes[vote]
                for vote in (votes[row, number], again[differing[0], column])
            )
            problems[number] = RuleProblem(
                code="E_LF_NONDETERMINISTIC",
                rule=process.rules[number][0],
                record=records[row].get("id", str(row)),
                message=f"said {first}, asked again {second}; a rule depends on its record alone",
            )
