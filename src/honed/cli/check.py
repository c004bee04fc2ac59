"""honed check."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import typer

from honed.cli import terminal
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides
from honed.core.json import JsonObject
from honed.evaluate.results import Finding


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed check  or  honed check --on-bad-row quarantine --json")(check)


def check(
    project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None, *, json: Json = False
) -> None:
    """Audit the data: duplicates, leaks, conflicts, ambiguity, ceiling, trivial baselines."""
    from honed.project.project import Project
    from honed.shapes.registry import shape_of

    opened = Project(project, overrides=overrides(on_bad_row, encoding), listener=terminal.stage_line)
    opened.run(until="check")
    audit = opened.audit()
    if json:
        terminal.emit_json(audit)
    else:
        print_audit(audit, shape_of(opened.config).describe_audit(audit))


class _Books(msgspec.Struct):
    rows_in: int
    accepted: int
    rejected: int
    reasons: dict[str, int]
    skipped: list[str]
    warning_samples: list[str]


class _Audit(msgspec.Struct):
    findings: dict[str, Finding]
    books: _Books = msgspec.field(name="import")


def print_audit(audit: JsonObject, lines: Sequence[str]) -> None:
    """Print an audit for people; ``lines`` are what the shape of the data says of it."""
    found = msgspec.convert(audit, _Audit)
    books = found.books
    terminal.emit(f"rows: {books.rows_in} in = {books.accepted} accepted + {books.rejected} rejected")
    for code, count in books.reasons.items():
        terminal.emit(f"  rejected {code}: {count}")
    if books.skipped:
        terminal.emit(f"not read: {', '.join(books.skipped[:10])}")
    for line in (*lines, *(f"  {sample}" for sample in books.warning_samples)):
        terminal.emit(line)
    for code, finding in found.findings.items():
        terminal.emit(f"{code}: {finding.count}")
        for sample in finding.samples[:3]:
            terminal.emit(f"    {sample}")
