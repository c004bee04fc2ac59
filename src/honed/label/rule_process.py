"""The parent's side of the process that runs the rules: asks for votes, kills it when it hangs, names the culprit."""

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
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self, TypeVar

import msgspec
import numpy as np

from honed.core.errors import DataError
from honed.label.arrays import Votes
from honed.label.consent import require_consent
from honed.label.messages import ABSTAIN, LOADING, PLACE, RuleAnswers, RulesLoaded

Records = Sequence[Mapping[str, str]]
"""The records that rules see, as values by column."""
Message = TypeVar("Message", RuleAnswers, RulesLoaded)
_LOADING_LIMIT = 60.0  # seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleProblem:
    """What is wrong with a rule, and the id of the record where it showed; ``code`` is ``E_LF_...``."""

    code: str
    rule: str
    record: str
    message: str

    def __str__(self) -> str:
        where = f" at record {self.record}" if self.record else ""
        return f"{self.rule}{where}: {self.message}"


@dataclass(frozen=True, kw_only=True)
class RuleFiles:
    """The files of rules, the classes that they may vote for, and the seconds that a rule may take for one record."""

    files: Sequence[Path]
    classes: Sequence[str]
    time_limit: float

    @property
    def names(self) -> str:
        """The names of the files, for error messages."""
        return ", ".join(file.name for file in self.files)


class _NoAnswer(Enum):
    STUCK = "the work stood still for longer than the limit"
    ENDED = "the process ended, or something else wrote among its answers"


class RuleProcess:
    """A process with the rules of some files, started again when it had to be killed; a context manager.

    ``rules`` are (name, class or "") of all rules. With another ``hash_seed`` sets of texts have another order. Raises
    `DataError` on entering when the files cannot be loaded or hold no rule, `ConfigError` when nobody has agreed to run
    them.
    """

    def __init__(self, source: RuleFiles, *, hash_seed: str) -> None:
        self.source, self.hash_seed = source, hash_seed
        self.rules: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        require_consent(self.source.files)
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
        files, names = self.source.files, self.source.names
        self.process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-P", "-m", "honed.label.worker", self.place.name],  # -P: no module of the rules' folder
            stdin=subprocess.PIPE,  # comes before Python's own
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONHASHSEED": self.hash_seed},
            cwd=files[0].parent,
            start_new_session=True,  # so that what the rules start ends with them
        )
        self._send({"files": [str(file.resolve()) for file in files], "classes": list(self.source.classes)})
        loaded = self._answer(_LOADING_LIMIT, RulesLoaded)
        if isinstance(loaded, _NoAnswer):
            how = "took over a minute" if loaded is _NoAnswer.STUCK else "ended its process"
            raise DataError("E_LF_LOAD", f"{names}: loading the rules {how}")
        if loaded.failed:
            raise DataError("E_LF_LOAD", f"{loaded.failed}: {loaded.error}: {loaded.message}")
        self.rules = loaded.rules
        if not self.rules:
            raise DataError("E_LF_NONE", f"{names}: no rule in it: decorate functions with @rule, or name them lf_...")

    def _stop(self) -> None:
        with contextlib.suppress(AttributeError):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            for pipe in (self.process.stdin, self.process.stdout):
                with contextlib.suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def _send(self, message: Mapping[str, object]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def ask(self, records: Records, numbers: Sequence[int], problems: dict[int, RuleProblem]) -> Votes:
        """Return the votes ``(n_records, len(numbers))`` of the rules with these numbers.

        A rule that fails is added to ``problems`` by its number, and abstains. Raises `DataError` when the process
        fails while it reads.
        """
        votes = np.full((len(records), len(numbers)), ABSTAIN, dtype=np.int16)
        open_rules = [number for number in numbers if number not in problems]
        while open_rules:
            self._send({"rows": [dict(record) for record in records], "rules": open_rules})
            answers = self._answer(self.source.time_limit, RuleAnswers)
            if not isinstance(answers, _NoAnswer):
                columns = [numbers.index(number) for number in open_rules]
                votes[:, columns] = np.array(answers.votes, dtype=np.int16).T
                for failure in answers.problems:
                    record = records[failure.row].get("id", str(failure.row))
                    problems[failure.rule] = self._problem(failure.rule, record, failure.code, failure.message)
                break
            rule, row = self._at_work()
            code, message = (
                ("E_LF_TIMEOUT", f"took longer than {self.source.time_limit:g} s (label.time_limit)")
                if answers is _NoAnswer.STUCK
                else ("E_LF_DIED", f"ended its process (exit {self.process.poll()}) or spoiled its answers")
            )
            if rule == LOADING:
                raise DataError(code, f"the rules {message}")
            problems[rule] = self._problem(rule, records[row].get("id", str(row)), code, message)
            open_rules = [number for number in open_rules if number != rule]
            self._stop()
            self._start()
        return votes

    def _problem(self, rule: int, record: str, code: str, message: str) -> RuleProblem:
        return RuleProblem(code=code, rule=self.rules[rule][0], record=record, message=message)

    def _at_work(self) -> tuple[int, int]:
        """Return the numbers of the rule and of the record that the process is at."""
        rule, row = PLACE.unpack(os.pread(self.place.fileno(), PLACE.size, 0))
        return rule, row

    def _answer(self, limit: float, kind: type[Message]) -> Message | _NoAnswer:
        """Return the next answer, or why there is none: the work stood still for ``limit`` seconds, or has ended."""
        line = self._read_line(limit)
        if isinstance(line, _NoAnswer):
            return line
        try:
            return msgspec.convert(json.loads(line), kind)
        except (ValueError, msgspec.ValidationError):
            return _NoAnswer.ENDED

    def _read_line(self, limit: float) -> bytes | _NoAnswer:
        """Wait for a line; while the process reads files or records, the limit is at least a minute."""
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        line, last, since = b"", self._at_work(), time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while True:
                if selector.select(min(0.05, limit)):
                    part = os.read(descriptor, 1 << 20)
                    if not part:
                        self.process.wait()
                        return _NoAnswer.ENDED
                    line += part
                    if line.endswith(b"\n"):
                        return line
                    continue
                if self.process.poll() is not None:
                    return _NoAnswer.ENDED
                place = self._at_work()
                if place != last:
                    last, since = place, time.monotonic()
                elif time.monotonic() - since > (max(limit, _LOADING_LIMIT) if place[0] == LOADING else limit):
                    return _NoAnswer.STUCK
