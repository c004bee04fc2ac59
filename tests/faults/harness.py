"""Faults while honed writes: at the Nth change on disk a process is killed, the disk is full, or it fails.

A scenario is a folder, a command that changes it, and what a reader sees there. After a fault a reader sees the old
state or the new one; where the process lived on, it names what failed; the same command then succeeds, and leaves what
it leaves without a fault.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parent.parent.parent
Folder = Path


class Fault(IntEnum):
    """What happens at a point; the numbers are those of shim.c."""

    COUNT = 1
    KILL = 2
    REBOOT = 3
    FULL = 4
    BAD = 5
    SHORT = 6


WORDS = {
    Fault.KILL: "killed, half of a write done",
    Fault.REBOOT: "power lost: what was not synced is gone",
    Fault.FULL: "disk full (ENOSPC)",
    Fault.BAD: "disk fails (EIO of write and fsync)",
    Fault.SHORT: "short writes",
}
KILLS = (Fault.KILL, Fault.REBOOT)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended: its exit code (negative: the signal), the points that it passed, and what it said."""

    status: int
    points: int
    failed: int
    said: str


class Forker:
    """The process that runs commands with faults; a context manager."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __enter__(self) -> Self:
        shim = self.place / "shim.so"
        source = Path(__file__).with_name("shim.c")
        subprocess.run([compiler(), "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
        environment = {**os.environ, "LD_PRELOAD": str(shim), "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.forker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=ROOT, text=True,
        )  # fmt: skip
        assert self._line() == {"ready": True}
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def run(self, arguments: Sequence[str], folder: Path, fault: Fault = Fault.COUNT, nth: int = 0) -> Ran:
        """Run a command in a folder, with a fault at the Nth change of what is below it."""
        out, err = self.place / "out", self.place / "err"
        request = {
            "arguments": list(arguments), "cwd": str(folder), "folder": str(folder), "mode": int(fault), "nth": nth,
            "out": str(out), "err": str(err),
        }  # fmt: skip
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return Ran(**self._line(), said=err.read_text(encoding="utf-8", errors="replace"))


def compiler() -> str | None:
    """Return a C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A command that writes: what makes its folder, its arguments, and what a reader of the folder sees.

    ``state`` raises where a reader would be refused. ``left`` are endings or parts of paths of files that may be there
    or not after a success, such as logs. ``same``: what is there is made anew, and looks as before. ``once``: what is
    done cannot be done again.
    """

    name: str
    build: Callable[[Folder], None]
    arguments: Sequence[str]
    state: Callable[[Folder], object]
    left: Sequence[str] = ()
    same: bool = False
    once: bool = False


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A scenario without a fault: the folder before, what is seen before and after, and what files are there after."""

    scenario: Scenario
    before: Path
    old: object
    new: object
    files: frozenset[str]
    points: int


def files_in(folder: Path, scenario: Scenario) -> frozenset[str]:
    """Return the files in a folder by their names, without those that may be there or not."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    return frozenset(name for name in names if not any(part in name for part in scenario.left))


def expected(forker: Forker, scenario: Scenario, place: Path) -> Expected:
    """Run a scenario without a fault."""
    before, after = place / "before" / scenario.name, place / "after" / scenario.name
    before.mkdir(parents=True)
    scenario.build(before)
    shutil.copytree(before, after)
    ran = forker.run(scenario.arguments, after)
    assert ran.status == 0, ran.said
    assert ran.points > 0
    old, new = scenario.state(before), scenario.state(after)
    assert (old == new) == scenario.same
    files = files_in(after, scenario)
    shutil.rmtree(after)
    return Expected(scenario=scenario, before=before, old=old, new=new, files=files, points=ran.points)


def check(forker: Forker, known: Expected, fault: Fault, nth: int, place: Path) -> str:
    """Run a scenario with a fault, look at what is there, and run it again; returns the outcome in a word or two.

    Raises `AssertionError` that says what is not as it should be.
    """
    scenario = known.scenario
    folder = place / "after" / scenario.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(known.before, folder)
    ran = forker.run(scenario.arguments, folder, fault, nth)
    what = f"{scenario.name}, {fault.name} at {nth} of {known.points}: exit {ran.status}: {ran.said}"
    try:
        seen = scenario.state(folder)
    except Exception as error:
        raise AssertionError(f"{what}: a reader is refused: {type(error).__name__}: {error}") from error
    assert seen in (known.old, known.new), f"{what}: neither old nor new: {seen}"
    if fault in KILLS:
        assert ran.status in (-9, 0), what  # 0: it ended before the point
    elif ran.failed == 0:
        assert ran.status == 0, what
    else:
        _check_told(ran, folder, what)
    if ran.status == 0:
        assert seen == known.new, f"{what}: said to be done, and is not"
    if scenario.once and seen == known.new:
        return "new" if ran.status else "done"
    again = forker.run(scenario.arguments, folder)
    assert again.status == 0, f"{what}: then again: exit {again.status}: {again.said}"
    assert scenario.state(folder) == known.new, f"{what}: then again: not the new state"
    difference = files_in(folder, scenario) ^ known.files
    assert not difference, f"{what}: then again: files differ: {sorted(difference)}"
    return "done" if ran.status == 0 else "new" if seen == known.new else "old"


def _check_told(ran: Ran, folder: Path, what: str) -> None:
    """What failed is told in one line that names the place, or it was not needed."""
    assert ran.status in (0, 74), what
    said = re.sub(r"Exception in thread .*?(?=error E_|\Z)", "", ran.said, flags=re.DOTALL)  # TensorBoard's own
    assert "Traceback" not in said, what
    errors = re.findall(r"error (E_\w+: .*)", said)
    if ran.status:
        assert len(errors) == 1, what
        place = errors[0].split(" ")[1].rstrip(":")
        assert place and (folder / place).is_relative_to(folder), what


def points(count: int, at_most: int) -> list[int]:
    """Return up to so many of the numbers 1..count, evenly spread, the first and the last with them."""
    if count <= at_most:
        return list(range(1, count + 1))
    return sorted({1 + round(step * (count - 1) / (at_most - 1)) for step in range(at_most)})
