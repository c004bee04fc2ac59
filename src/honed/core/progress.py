"""Progress of long work: rooms report it, the command line decides how it looks."""

from collections.abc import Callable, Iterator
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
_factory: ContextVar[BarFactory | None] = ContextVar("honed_progress", default=None)


def show_progress_with(factory: BarFactory | None) -> None:
    """Use ``factory(label, total)`` for every bar from now on; None keeps silent."""
    _factory.set(factory)


@contextmanager
def progress(label: str, total: int | None = None) -> Iterator[Bar]:
    """Open a bar for the length of a ``with`` block."""
    factory = _factory.get()
    bar: Bar = factory(label, total) if factory else _Silent()
    try:
        yield bar
    finally:
        bar.close()
