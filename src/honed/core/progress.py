"""Progress of long work: rooms report it, the command line decides how it looks."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Bar(Protocol):
    """One running piece of work."""

    def advance(self, count: int = 1) -> None:
        """Say that ``count`` more units are done."""

    def note(self, text: str) -> None:
        """Show a short text beside the bar, such as the current loss."""

    def close(self) -> None:
        """Say that the work has ended."""


class _Silent:
    def advance(self, count: int = 1) -> None: ...
    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


BarFactory = Callable[[str, int | None], Bar]
_factory: ContextVar[BarFactory | None] = ContextVar("honed_progress")


def show_progress_with(factory: BarFactory | None) -> None:
    """Use ``factory(label, total)`` for every bar from now on; None keeps silent."""
    _factory.set(factory)


def show_progress_by_default(factory: BarFactory | None) -> None:
    """Use ``factory`` for every bar from now on, unless something was chosen already."""
    try:
        _factory.get()
    except LookupError:
        _factory.set(factory)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Bar]:
    """Open a bar for the length of a ``with`` block."""
    factory = _factory.get(None)
    bar: Bar = factory(label, total) if factory else _Silent()
    try:
        yield bar
    finally:
        bar.close()


class _Within:
    """Work that is part of a larger one: what it advances, the larger one does, up to ``most`` units."""

    def __init__(self, whole: Bar, most: int) -> None:
        self.whole, self.left = whole, most

    def advance(self, count: int = 1) -> None:
        count = min(count, self.left)
        self.left -= count
        if count:
            self.whole.advance(count)

    def note(self, text: str) -> None: ...
    def close(self) -> None: ...


@contextmanager
def progress_within(whole: Bar, units: int) -> Iterator[None]:
    """Let the bars of a ``with`` block advance a larger bar instead: by ``units`` together, told or not."""
    part = _Within(whole, units)
    before = _factory.set(lambda *_: part)
    try:
        yield
        part.advance(part.left)
    finally:
        _factory.reset(before)


class LineBar:
    """For logs: a line on stderr every 15 seconds with rate and time left, none for work that is over before."""

    def __init__(self, label: str, total: int | None) -> None:
        self.label, self.total, self.done, self.text = label, total, 0, ""
        self.started = self.last_line = 0.0
        self.before = 0

    def advance(self, count: int = 1) -> None:
        """Count what is done, and write a line when it is time."""
        self.done += count
        now = time.monotonic()
        if not self.started:  # the first unit may follow long preparations: the rate counts from it
            self.started = self.last_line = now
            self.before = self.done
        if now - self.last_line >= 15:
            self.last_line = now
            rate = (self.done - self.before) / (now - self.started)
            left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
            of_all = f"/{self.total}" if self.total else ""
            sys.stderr.write(f"  {self.label}: {self.done}{of_all}, {rate:,.1f}/s{left} {self.text}\n")

    def note(self, text: str) -> None:
        """Show a text at the end of the next line."""
        self.text = text

    def close(self) -> None:
        """Write nothing more."""


def log_to_stderr(levels: Mapping[str, int], form: str = "%(asctime)s %(levelname)s %(message)s") -> None:
    """Write the lines of some loggers to stderr, each from its level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(form))
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
