"""The program of the process that runs the rules: they may raise, hang, print or exit, and honed goes on.

See `honed.label.messages` for what it reads and writes.
"""

import json
import mmap
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import PathEntryFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from typing import NoReturn, TextIO

import msgspec

from honed.label.messages import ABSTAIN, LOADING, PLACE, RuleAnswers, RuleFailure, RulesLoaded
from honed.label.rules import RowChangedError, Rule, RuleRecord, load_rules


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.set_inheritable(answers.fileno(), False)
    os.dup2(2, 1)  # what a rule prints must not end up among the answers
    sys.path.append(str(Path.cwd()))  # modules beside the rules, behind everything else
    _import_from_source(Path.cwd())
    process = os.getpid()
    place = _Place(Path(sys.argv[1]))
    job = json.loads(sys.stdin.readline())
    place.set(LOADING, LOADING)
    rules: list[Rule] = []
    for file in job["files"]:
        try:
            rules += load_rules(Path(file))
        except BaseException as error:  # SystemExit too
            _exit_unless(process)
            _write(answers, RulesLoaded(failed=Path(file).name, error=type(error).__name__, message=str(error)))
            return
    _exit_unless(process)
    _write(answers, RulesLoaded(rules=[(rule.name, rule.label) for rule in rules]))
    for line in sys.stdin:
        request = json.loads(line)
        records = [RuleRecord(values) for values in request["rows"]]
        votes, failures = [], []
        for number in request["rules"]:
            votes_of_rule, failure = _run_rule(number, rules[number], records, job["classes"], place)
            _exit_unless(process)
            votes.append(votes_of_rule)
            failures += [] if failure is None else [failure]
        place.set(LOADING, LOADING)  # until the next records are read
        _write(answers, RuleAnswers(votes=votes, problems=failures))


class _FromSource(SourceFileLoader):
    """Compiles what it imports: what lies in a folder __pycache__ need not be of the source that was agreed to."""

    def path_stats(self, path: str) -> NoReturn:
        """Find nothing to compare what was compiled with, so that it is not used."""
        raise OSError(path)


def _import_from_source(folder: Path) -> None:
    """Import modules of a folder and its packages from their sources alone."""
    make = FileFinder.path_hook((ExtensionFileLoader, EXTENSION_SUFFIXES), (_FromSource, SOURCE_SUFFIXES))

    def finder(path: str) -> PathEntryFinder:
        place = Path(path).resolve()
        if not place.is_relative_to(folder.resolve()) or "site-packages" in place.parts:
            raise ImportError(path)
        return make(path)

    sys.path_hooks.insert(0, finder)


def _exit_unless(process: int) -> None:
    """End a process that a rule has split off: only the first answers."""
    if os.getpid() != process:
        os._exit(0)


def _write(answers: TextIO, message: msgspec.Struct) -> None:
    answers.write(json.dumps(msgspec.to_builtins(message)) + "\n")  # escapes what is no valid Unicode, too
    answers.flush()


class _Place:
    """The rule and the record at work, where the parent can read them."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self.numbers = memoryview(mmap.mmap(file.fileno(), PLACE.size)).cast("q")

    def set(self, rule: int, row: int) -> None:
        self.numbers[0], self.numbers[1] = rule, row


class _RuleError(Exception):
    """Why the vote of a rule does not count; ``code`` is ``E_LF_...``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _run_rule(
    number: int, rule: Rule, records: Sequence[RuleRecord], classes: Sequence[str], place: _Place
) -> tuple[list[int], RuleFailure | None]:
    """Return a rule's votes, class numbers or `ABSTAIN`, and its first failure, from which on it abstains."""
    numbers = {label: row for row, label in enumerate(classes)}
    votes = [ABSTAIN] * len(records)
    for row, record in enumerate(records):
        place.set(number, row)
        try:
            votes[row] = _vote(rule, record, numbers)
        except _RuleError as error:
            return votes, RuleFailure(rule=number, row=row, code=error.code, message=error.message)
    return votes, None


def _vote(rule: Rule, record: RuleRecord, numbers: Mapping[str, int]) -> int:
    """Return the number of the class that a rule votes for, or `ABSTAIN`; `_RuleError` for anything else."""
    try:
        value = rule.function(record)
    except RowChangedError as error:
        raise _RuleError("E_LF_MUTATION", str(error)) from None
    except BaseException as error:
        raise _RuleError("E_LF_RAISED", f"{type(error).__name__}: {error}".rstrip(": ")) from None
    if value is None:
        return ABSTAIN
    if rule.label:
        if not isinstance(value, bool):
            what = "a rule of one class answers True, False or None"
            raise _RuleError("E_LF_TYPE", f"{what}, got {type(value).__name__} {value!r:.80}")
        if not value:
            return ABSTAIN
        value = rule.label
    elif not isinstance(value, str):
        raise _RuleError("E_LF_TYPE", f"a rule returns a class or None, got {type(value).__name__} {value!r:.80}")
    if value not in numbers:
        raise _RuleError("E_LF_LABEL", f"{value!r:.80} is not a class")
    return numbers[value]


if __name__ == "__main__":
    main()
