"""What people see: stdout is data, stderr is progress and errors."""

import json
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from honed.core.progress import Bar, show_progress_with

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


class _LineBar:
    """For logs: a line every tenth of the work, none for work that is over at once."""

    def __init__(self, label: str, total: int | None) -> None:
        from time import monotonic

        self.clock = monotonic
        self.label, self.total, self.done, self.text = label, total, 0, ""
        self.started = self.said = 0.0
        self.before = 0

    def advance(self, count: int = 1) -> None:
        self.done += count
        now = self.clock()
        if not self.started:  # the first unit may follow long preparations: the rate counts from it
            self.started = self.said = now
            self.before = self.done
        if now - self.said >= 15:
            self.said = now
            rate = (self.done - self.before) / (now - self.started)
            left = f", {(self.total - self.done) / rate:.0f} s left" if self.total and rate else ""
            of = f"/{self.total}" if self.total else ""
            err.print(f"  {self.label}: {self.done}{of}, {rate:,.1f}/s{left} {self.text}", markup=False)

    def note(self, text: str) -> None:
        self.text = text

    def close(self) -> None: ...


def _bar(label: str, total: int | None) -> Bar:
    return _RichBar(label, total) if err.is_terminal else _LineBar(label, total)


_quiet = False


def start(*, quiet: bool = False) -> None:
    """Show progress on stderr from now on, unless it is not wanted."""
    global _quiet
    _quiet = quiet
    show_progress_with(None if quiet else _bar)
    log_to_stderr({"honed.train": logging.WARNING if quiet else logging.INFO}, "            %(message)s")


def log_to_stderr(levels: Mapping[str, int], form: str = "%(asctime)s %(levelname)s %(message)s") -> None:
    """Write the lines of some loggers to stderr, each from its level on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(form))
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False


def say(text: str) -> None:
    """Write a line for people to stderr."""
    err.print(text, markup=False)


def emit(text: str) -> None:
    """Write a line of data to stdout."""
    sys.stdout.write(text + "\n")


def emit_json(value: Any) -> None:
    """Write JSON to stdout."""
    emit(json.dumps(value, ensure_ascii=False, indent=1))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", bold: int | None = None) -> None:
    """Print a table to stdout; columns of words to the left, columns of numbers to the right."""
    from rich.table import Table

    grid = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        numbers = bool(rows) and all(re.fullmatch(r"[-+.,\d ]*(to[-+.,\d ]*)?", row[number]) for row in rows)
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


def print_report(report: Mapping[str, Any]) -> None:
    """Print the tables of a report."""
    for part in (report, report.get("reverse")):
        if not part or not part["systems"]:
            continue
        measures = list(part["systems"][0]["measures"])
        rows = [
            [
                each["name"],
                *(f"{100 * each['measures'][m]['mean']:.1f}" for m in measures),
                _interval(each, measures[0]),
            ]
            for each in part["systems"]
        ]
        best = part["ceiling"]
        ceiling = f", best possible {measures[0]} {100 * best:.1f}" if best is not None and best < 1 else ""
        emit("")
        emit(
            f"{part['direction']}, protocol {report['protocol']}: {part['n_queries']} queries, "
            f"{part['n_candidates']} candidates{ceiling} (in percent)"
        )
        table(["system", *measures, f"95 % of {measures[0]}"], rows)
    for each in report["published"]:
        emit(f"published, same protocol: {each['name']}: {each['measure']} {100 * each['value']:.2f} {each['note']}")
    for found in report["comparisons"]:
        if found["measure"] in report.get("headline", ["R@1"]):
            gain = found["difference"]
            emit(
                f"{found['candidate']} - {found['reference']}: {100 * gain['mean']:+.1f} points of {found['measure']} "
                f"({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}, p = {found['p_value']:.4f})"
            )
    if (report.get("headroom") or {}).get("said_after"):
        emit(report["headroom"]["said_after"])
    if known := report.get("answers"):
        answered, sets = known["answered"], known["sets"]
        wrong = "" if answered["wrong"] is None else f", {100 * answered['wrong']:.1f} % of them wrong"
        right = known["auroc_right"] or 0.0
        emit(
            f"is there an answer: AUROC {right:.3f} (right against none); {100 * answered['share']:.1f} % answered at "
            f"a risk of {100 * answered['risk']:g} %{wrong}; candidate sets hold the right one for "
            f"{100 * sets['coverage']:.1f} % (wanted {100 * known['wanted']:g}), {sets['mean_size']} on average"
        )
    if report.get("student"):
        same = report["student"]["agreement"]
        emit(
            f"first hits that student and teacher share: {100 * same['mean']:.1f} % "
            f"({100 * same['low']:.1f} to {100 * same['high']:.1f})"
        )
    for gate in report["gates"]:
        emit(f"gate {gate['name']}: {'passed' if gate['passed'] else 'FAILED'} ({gate['rule']}: low {gate['low']})")


def print_gates(gates: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of gates; shares in percent, sizes and times as they are."""
    rows = []
    for each in gates:
        scale = 1 if each["name"] in ("size", "latency") else 100
        value, bound = (None if each[key] is None else f"{scale * each[key]:.2f}" for key in ("value", "low"))
        rows.append([each["name"], value or "none", bound or "none", "yes" if each["passed"] else "NO", each["rule"]])
    table(["gate", "value", "bound", "passed", "rule"], rows)


def _interval(system: Mapping[str, Any], measure: str) -> str:
    value = system["measures"][measure]
    return f"{100 * value['low']:.1f} to {100 * value['high']:.1f}"
