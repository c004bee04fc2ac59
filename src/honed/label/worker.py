"""A process of its own that runs the rules: it may raise, hang, print or exit, and honed goes on.

Requests and answers are lines of JSON over stdin and stdout. Where the work stands (rule, record) is in a small shared
file, so that whoever waits knows what to blame.
"""

import json
import mmap
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from honed.label.rules import Row, RowChangedError, Rule, rules_of

PLACE = struct.Struct("qq")
LOADING = -1
ABSTAIN = -1


def main() -> None:
    """Answer requests until stdin ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.set_inheritable(answers.fileno(), False)
    os.dup2(2, 1)  # what a rule prints must not end up among the answers
    sys.path.append(str(Path.cwd()))  # modules beside the rules, behind everything else
    own = os.getpid()
    place = _Place(Path(sys.argv[1]))
    job = json.loads(sys.stdin.readline())
    place.set(LOADING, LOADING)
    rules: list[Rule] = []
    for file in job["files"]:
        try:
            rules += rules_of(Path(file))
        except BaseException as error:  # SystemExit too
            _only(own)
            _say(answers, {"failed": Path(file).name, "error": type(error).__name__, "message": str(error)})
            return
    _only(own)
    _say(answers, {"rules": [[rule.name, rule.label] for rule in rules]})
    for line in sys.stdin:
        request = json.loads(line)
        rows = [Row(values) for values in request["rows"]]
        votes, problems = [], []
        for number in request["rules"]:
            found, problem = _votes(number, rules[number], rows, job["classes"], place)
            _only(own)
            votes.append(found)
            problems += problem
        place.set(LOADING, LOADING)  # until the next records are read
        _say(answers, {"votes": votes, "problems": problems})


def _only(own: int) -> None:
    """End a process that a rule has split off: one alone answers."""
    if os.getpid() != own:
        os._exit(0)


def _say(answers: Any, value: Any) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()


class _Place:
    """The rule and the record at work, where the parent can read them."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self.numbers = memoryview(mmap.mmap(file.fileno(), PLACE.size)).cast("q")

    def set(self, rule: int, row: int) -> None:
        self.numbers[0], self.numbers[1] = rule, row


def _votes(
    number: int, rule: Rule, rows: Sequence[Row], classes: Sequence[str], place: _Place
) -> tuple[list[int], list[dict[str, Any]]]:
    """Return a rule's votes, class numbers or `ABSTAIN`, and its first problem; after one it abstains."""
    numbers = {label: row for row, label in enumerate(classes)}
    found = [ABSTAIN] * len(rows)
    for at, row in enumerate(rows):
        place.set(number, at)
        try:
            value = rule.function(row)
        except RowChangedError as error:
            return found, [_problem(number, at, "E_LF_MUTATION", str(error))]
        except BaseException as error:
            return found, [_problem(number, at, "E_LF_RAISED", f"{type(error).__name__}: {error}".rstrip(": "))]
        if value is None:
            continue
        if rule.label:
            if not isinstance(value, bool):
                said = f"a rule of one class answers True, False or None, got {type(value).__name__} {value!r:.80}"
                return found, [_problem(number, at, "E_LF_TYPE", said)]
            value = rule.label if value else None
        elif not isinstance(value, str):
            said = f"a rule returns a class or None, got {type(value).__name__} {value!r:.80}"
            return found, [_problem(number, at, "E_LF_TYPE", said)]
        if value is not None:
            if value not in numbers:
                return found, [_problem(number, at, "E_LF_LABEL", f"{value!r:.80} is not a class")]
            found[at] = numbers[value]
    return found, []


def _problem(rule: int, row: int, code: str, message: str) -> dict[str, Any]:
    return {"rule": rule, "row": row, "code": code, "message": message}


if __name__ == "__main__":
    main()
