"""How long work shows itself in a notebook."""

import sys
import time
from html import escape
from typing import Protocol

from honed.core.progress import BarFactory, LineBar

_EVERY = 0.2  # seconds between two pictures of a bar


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    kernel = shell.get_ipython() if shell is not None else None
    return kernel is not None and "IPKernelApp" in getattr(kernel, "config", {})


class _Handle(Protocol):
    """A picture in a notebook that can be replaced."""

    def update(self, shown: object) -> None:
        """Put another picture in its place."""
        ...


class _Html:
    """Something that shows itself as HTML."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html


def _display(html: str) -> _Handle | None:
    """Show HTML under the cell that is at work; returns the handle to replace it."""
    from IPython.display import display

    handle: _Handle | None = display(_Html(html), display_id=True)  # type: ignore[no-untyped-call]
    return handle


class NotebookBar:
    """A bar under the cell that is at work, with rate and time left; it goes when the work is done."""

    def __init__(self, label: str, total: int | None) -> None:
        self.label, self.total, self.done, self.text = label, total, 0, ""
        self.started = self.last = time.monotonic()
        self._handle = _display(self.html())

    def html(self) -> str:
        """Return the bar as HTML."""
        seconds = time.monotonic() - self.started
        rate = self.done / seconds if seconds > 0 else 0.0
        left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
        amount = f"{self.done}/{self.total}" if self.total else f"{self.done}"
        bar = f'<progress value="{self.done}" max="{self.total}"></progress>' if self.total else ""
        return f"{bar} {escape(self.label)}: {amount}, {rate:,.1f}/s{left} {escape(self.text)}"

    def _show(self) -> None:
        if self._handle is not None:
            self._handle.update(_Html(self.html()))

    def advance(self, count: int = 1) -> None:
        """Count what is done, and draw the bar when it is time."""
        self.done += count
        if time.monotonic() - self.last >= _EVERY:
            self.last = time.monotonic()
            self._show()

    def note(self, text: str) -> None:
        """Show a text beside the bar."""
        self.text = text

    def close(self) -> None:
        """Take the bar away."""
        if self._handle is not None:
            self._handle.update(_Html(""))


def progress_bars() -> BarFactory | None:
    """Return what shows progress here: bars in a notebook, lines in a terminal, nothing anywhere else."""
    if in_notebook():
        return NotebookBar
    return LineBar if sys.stderr is not None and sys.stderr.isatty() else None
