"""Runs rules and lists over records, in blocks, the Python rules in a process that can be killed."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import DataError
from honed.core.progress import progress
from honed.label.lists import Matcher, TermList
from honed.label.rules import check_syntax
from honed.label.worker import ABSTAIN, LOADING, PLACE

Votes = npt.NDArray[np.int16]
Rows = Sequence[Mapping[str, str]]
_BLOCK = 2000
_AGAIN = 500  # records that rules are asked about a second time
_LOADING_LIMIT = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is wrong with a rule, and the record where it showed."""

    code: str
    rule: str
    record: str
    message: str

    def __str__(self) -> str:
        where = f" at record {self.record}" if self.record else ""
        return f"{self.rule}{where}: {self.message}"


@dataclass(kw_only=True)
class Voted:
    """What the rules said: ``votes`` ``(n_records, n_rules)``, class numbers or -1, and what went wrong."""

    names: list[str]
    votes: Votes
    problems: list[Problem] = field(default_factory=list)


def vote(
    rows: Rows, classes: Sequence[str], files: Sequence[Path], lists: Sequence[TermList], *, time_limit: float
) -> Voted:
    """Return the votes of all rules: first those of Python files, then the lists.

    A rule that raises, hangs, answers nonsense or answers differently when asked again is named in ``problems``, with
    the record; its votes are left out, those of the others stand. Raises `DataError` for files that do not parse or
    load.
    """
    for file in files:
        check_syntax(file)
    voted = _python_votes(rows, classes, files, time_limit) if files else _nothing(len(rows))
    own = _list_votes(rows, classes, lists)
    names = voted.names + own.names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError("E_LF_NAME", f"two rules are named {twice[0]}")
    return Voted(names=names, votes=np.concatenate([voted.votes, own.votes], axis=1), problems=voted.problems)


def _nothing(n: int) -> Voted:
    return Voted(names=[], votes=np.empty((n, 0), dtype=np.int16))


def _list_votes(rows: Rows, classes: Sequence[str], lists: Sequence[TermList]) -> Voted:
    numbers = {label: row for row, label in enumerate(classes)}
    matchers = [Matcher(each, "label.lists") for each in lists]
    votes = np.full((len(rows), len(lists)), ABSTAIN, dtype=np.int16)
    with progress("lists", len(rows)) as bar:
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            for at, row in enumerate(block, start):
                for column, matcher in enumerate(matchers):
                    if matcher(row):
                        votes[at, column] = numbers[matcher.terms.label]
            bar.advance(len(block))
    return Voted(names=[each.name for each in lists], votes=votes)


def _python_votes(rows: Rows, classes: Sequence[str], files: Sequence[Path], time_limit: float) -> Voted:
    with _Worker(files, classes, time_limit, hash_seed="1") as worker:
        names = [name for name, _ in worker.rules]
        bad = [f"{label!r} of rule {name}" for name, label in worker.rules if label and label not in classes]
        votes = np.full((len(rows), len(names)), ABSTAIN, dtype=np.int16)
        problems: dict[int, Problem] = {}
        if bad:
            raise DataError("E_LF_LABEL", f"{bad[0]} is not a class; classes: {', '.join(classes)}")
        with progress("rules", len(rows)) as bar:
            for start in range(0, len(rows), _BLOCK):
                block = rows[start : start + _BLOCK]
                good = [number for number in range(len(names)) if number not in problems]
                votes[start : start + len(block), good] = worker.ask(block, good, problems)
                bar.advance(len(block))
    good = [number for number in range(len(names)) if number not in problems]
    if good:
        _ask_again(rows, votes, good, problems, files, classes, time_limit)
    for number in problems:
        votes[:, number] = ABSTAIN
    return Voted(names=names, votes=votes, problems=[problems[number] for number in sorted(problems)])


def _ask_again(
    rows: Rows,
    votes: Votes,
    good: list[int],
    problems: dict[int, Problem],
    files: Sequence[Path],
    classes: Sequence[str],
    time_limit: float,
) -> None:
    """Ask rules about some records again, in another order, in another process with another hash seed."""
    spread = np.linspace(0, len(rows) - 1, min(len(rows), _AGAIN)).astype(int)
    fired = [np.flatnonzero(votes[:, number] != ABSTAIN)[:20] for number in good]
    some = np.unique(np.concatenate([spread, *fired]))[::-1]
    with _Worker(files, classes, time_limit, hash_seed="2") as worker:
        again = worker.ask([rows[at] for at in some], good, problems)
    for column, number in enumerate(good):
        differs = np.flatnonzero(again[:, column] != votes[some, number])
        if number not in problems and len(differs):
            at = int(some[differs[0]])
            first, second = (
                "nothing" if found == ABSTAIN else classes[found]
                for found in (votes[at, number], again[differs[0], column])
            )
            problems[number] = Problem(
                code="E_LF_NONDETERMINISTIC",
                rule=worker.rules[number][0],
                record=rows[at].get("id", str(at)),
                message=f"said {first}, asked again {second}; a rule depends on its record alone",
            )


class _Worker:
    """The process with the rules, started again when it had to be killed."""

    def __init__(self, files: Sequence[Path], classes: Sequence[str], time_limit: float, *, hash_seed: str) -> None:
        self.files, self.classes, self.time_limit, self.hash_seed = files, classes, time_limit, hash_seed
        self.rules: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        self.place = tempfile.NamedTemporaryFile(prefix="honed-rules-")
        self.place.write(bytes(PLACE.size))
        self.place.flush()
        try:
            self._start()
        except BaseException:
            self._stop()
            self.place.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self.place.close()

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONHASHSEED": self.hash_seed}
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "honed.label.worker", self.place.name],  # -P: no module of the rules' folder
            stdin=subprocess.PIPE,  # stands before Python's own
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=self.files[0].parent,
            start_new_session=True,  # so that what the rules start ends with them
        )
        self._send({"files": [str(file.resolve()) for file in self.files], "classes": list(self.classes)})
        found = self._answer(_LOADING_LIMIT)
        name = ", ".join(file.name for file in self.files)
        if not isinstance(found, dict):
            how = "took over a minute" if found is None else "ended its process"
            raise DataError("E_LF_LOAD", f"{name}: loading the rules {how}")
        if "failed" in found:
            raise DataError("E_LF_LOAD", f"{found['failed']}: {found['error']}: {found['message']}")
        self.rules = [(rule, label) for rule, label in found["rules"]]
        if not self.rules:
            raise DataError("E_LF_NONE", f"{name}: no rule in it: decorate functions with @rule, or name them lf_...")

    def _stop(self) -> None:
        with contextlib.suppress(AttributeError):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def _send(self, value: Any) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(value).encode() + b"\n")
            self.process.stdin.flush()

    def ask(self, rows: Rows, good: Sequence[int], problems: dict[int, Problem]) -> Votes:
        """Return the votes ``(n_rows, len(good))`` of some rules; what fails is added to ``problems`` and abstains."""
        found = np.full((len(rows), len(good)), ABSTAIN, dtype=np.int16)
        asked = [number for number in good if number not in problems]
        while asked:
            self._send({"rows": [dict(row) for row in rows], "rules": asked})
            answer = self._answer(self.time_limit)
            if isinstance(answer, dict):
                columns = [good.index(number) for number in asked]
                found[:, columns] = np.array(answer["votes"], dtype=np.int16).T
                for each in answer["problems"]:
                    self._blame(problems, each["rule"], rows, each["row"], each["code"], each["message"])
                break
            rule, row = self._at_work()
            code, said = (
                ("E_LF_TIMEOUT", f"took longer than {self.time_limit:g} s (label.time_limit)")
                if answer is None
                else ("E_LF_DIED", f"ended its process (exit {self.process.poll()}) or spoiled its answers")
            )
            if rule == LOADING:
                raise DataError(code, f"the rules {said}")
            self._blame(problems, rule, rows, row, code, said)
            asked = [number for number in asked if number != rule]
            self._stop()
            self._start()
        return found

    def _blame(self, problems: dict[int, Problem], rule: int, rows: Rows, row: int, code: str, message: str) -> None:
        record = rows[row].get("id", str(row))
        problems[rule] = Problem(code=code, rule=self.rules[rule][0], record=record, message=message)

    def _at_work(self) -> tuple[int, int]:
        rule, row = PLACE.unpack(os.pread(self.place.fileno(), PLACE.size, 0))
        return rule, row

    def _answer(self, limit: float) -> dict[str, Any] | bool | None:
        """Return the next answer; None when the work stood still for ``limit`` seconds, False when the process ended.

        While the process reads files or records, the limit is `_LOADING_LIMIT`.
        """
        assert self.process.stdout is not None
        number = self.process.stdout.fileno()
        taken, last, since = b"", self._at_work(), time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(number, selectors.EVENT_READ)
            while True:
                if selector.select(min(0.05, limit)):
                    part = os.read(number, 1 << 20)
                    if not part:
                        self.process.wait()
                        return False
                    taken += part
                    if taken.endswith(b"\n"):
                        return _read(taken)
                    continue
                if self.process.poll() is not None:
                    return False
                place = self._at_work()
                if place != last:
                    last, since = place, time.monotonic()
                elif time.monotonic() - since > (max(limit, _LOADING_LIMIT) if place[0] == LOADING else limit):
                    return None


def _read(answer: bytes) -> dict[str, Any] | bool:
    """Return an answer; False for what is none, since something else wrote among the answers."""
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError:
        return False
    return found
