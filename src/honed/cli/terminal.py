"""What people see: stdout is data, stderr is progress and errors."""

import json
import logging
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from honed.core.progress import Bar, LineBar, log_to_stderr, show_progress_with

if TYPE_CHECKING:
    from honed.artifacts.report import Report
    from honed.evaluate.results import GateResult, Interval, SystemResult

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


class _RichBar:
    """A bar on stderr with rate and time left; a line at the end when stderr is no terminal."""

    def __init__(self, label: str, total: int | None) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self.label, self.total, self.done = label, total, 0
        self.progress = Progress(
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=err,
            transient=True,
            disable=not err.is_terminal,
        )
        self.task = self.progress.add_task(label, total=total, rate="", note="")
        self.progress.start()

    def advance(self, count: int = 1) -> None:
        self.done += count
        task = self.progress.tasks[0]
        speed = task.finished_speed or task.speed
        self.progress.update(self.task, advance=count, rate=f"{speed:,.0f}/s" if speed and speed >= 10 else "")

    def note(self, text: str) -> None:
        self.progress.update(self.task, note=text)

    def close(self) -> None:
        self.progress.stop()


def _bar(label: str, total: int | None) -> Bar:
    return _RichBar(label, total) if err.is_terminal else LineBar(label, total)


_quiet = False


def start(*, quiet: bool = False) -> None:
    """Show progress on stderr from now on, unless it is not wanted."""
    global _quiet
    _quiet = quiet
    show_progress_with(None if quiet else _bar)
    told = {"honed.train": logging.WARNING if quiet else logging.INFO}
    log_to_stderr(
        {**told, "honed.project": logging.WARNING, "honed.encode": logging.WARNING}, "            %(message)s"
    )


def say(text: str) -> None:
    """Write a line for people to stderr."""
    err.print(text, markup=False)


def emit(text: str) -> None:
    """Write a line of data to stdout."""
    sys.stdout.write(text + "\n")


def emit_json(value: object) -> None:
    """Write plain data, with msgspec.Struct in it or not, as JSON to stdout."""
    import msgspec  # not needed to search

    emit(json.dumps(msgspec.to_builtins(value), ensure_ascii=False, indent=1))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", bold: int | None = None) -> None:
    """Print a table to stdout; columns of words to the left, columns of numbers to the right."""
    from rich.table import Table

    grid = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        numbers = bool(rows) and all(re.fullmatch(r"[-+.,<%\d ]*(to[-+.,\d ]*)?", row[number]) for row in rows)
        grid.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for number, row in enumerate(rows):
        grid.add_row(*row, style="bold" if number == bold else None)
    width = None if out.is_terminal else 200
    Console(highlight=False, width=width, markup=False).print(grid)


def stage_line(stage: str, state: str, seconds: float) -> None:
    """Say what the runner does with a stage."""
    if _quiet:
        return
    texts = {"stands": "stands", "runs": "...", "done": f"done in {seconds:.1f} s"}
    say(f"{stage:>10}  {texts[state]}")


def print_report(report: "Report") -> None:
    """Print the tables of a report."""
    reverse = getattr(report, "reverse", None)
    for part in (report, *([reverse] if reverse else [])):
        if not part.systems:
            continue
        measures = list(part.systems[0].measures)
        rows = [
            [
                system.name,
                *(f"{100 * system.measures[name].mean:.1f}" for name in measures),
                _interval(system.measures[measures[0]]),
            ]
            for system in part.systems
        ]
        best = part.ceiling
        ceiling = f", best possible {measures[0]} {100 * best:.1f}" if best is not None and best < 1 else ""
        emit("")
        emit(
            f"{part.direction}, protocol {report.protocol}: {part.n_queries} queries, "
            f"{part.n_candidates} candidates{ceiling} (in percent)"
        )
        table(["system", *measures, f"95 % of {measures[0]}"], rows)
        print_scripts(part.systems, measures[0])
    for figure in report.published:
        emit(f"published, same protocol: {figure.name}: {figure.measure} {100 * figure.value:.2f} {figure.note}")
    for compared in report.comparisons:
        if compared.measure in report.headline:
            gain = compared.difference
            emit(
                f"{compared.candidate} - {compared.reference}: {100 * gain.mean:+.1f} points of {compared.measure} "
                f"({100 * gain.low:+.1f} to {100 * gain.high:+.1f}, p = {compared.p_value:.4f})"
            )
    for line in report.more_lines():
        emit(line)
    for gate in report.gates:
        emit(f"gate {gate.name}: {'passed' if gate.passed else 'FAILED'} ({gate.rule}: low {gate.low})")


def print_scripts(systems: "Sequence[SystemResult]", measure: str) -> None:
    """Print a measure by the script of the queries, where there are several."""
    from honed.evaluate.slices import SCRIPT, scripts_shown

    if scripts := scripts_shown(systems):
        emit(f"{measure} by script (of most letters of a query), in percent")
        headings = [f"{name.removeprefix(SCRIPT)} (n={size})" for name, size in scripts]
        rows = [
            [system.name, *(f"{100 * system.in_slice(name, measure).mean:.1f}" for name, _ in scripts)]
            for system in systems
        ]
        table(["system", *headings], rows)


def print_gates(gates: "Sequence[GateResult]") -> None:
    """Print a table of gates; shares in percent, sizes and times as they are."""
    rows = []
    for gate in gates:
        scale = 1 if gate.name in ("size", "latency") else 100
        value, bound = (None if figure is None else f"{scale * figure:.2f}" for figure in (gate.value, gate.low))
        rows.append([gate.name, value or "none", bound or "none", "yes" if gate.passed else "NO", gate.rule])
    table(["gate", "value", "bound", "passed", "rule"], rows)


def _interval(value: "Interval") -> str:
    return f"{100 * value.low:.1f} to {100 * value.high:.1f}"
