"""honed check."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from honed.cli import terminal
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides

if TYPE_CHECKING:
    from honed.artifacts.data import Audit


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed check  or  honed check --on-bad-row quarantine --json")(check)


def check(
    project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None, *, json: Json = False
) -> None:
    """Audit the data: duplicates, leaks, conflicts, ambiguity, ceiling, trivial baselines."""
    from honed.api.project import Project

    opened = Project(project, settings=overrides(on_bad_row, encoding), listener=terminal.stage_line)
    audit = opened.check()
    if json:
        terminal.emit_json(audit.data)
    else:
        print_audit(audit)


def print_audit(audit: "Audit") -> None:
    """Print an audit for people."""
    books = audit.books
    terminal.emit(f"rows: {books.rows_in} in = {books.accepted} accepted + {books.rejected} rejected")
    for code, count in books.reasons.items():
        terminal.emit(f"  rejected {code}: {count}")
    if books.blank_rows or books.empty_files:
        empty = f"; empty files: {', '.join(books.empty_files[:10])}" if books.empty_files else ""
        terminal.emit(f"blank rows: {books.blank_rows}{empty}")
    if books.skipped:
        terminal.emit(f"not read: {', '.join(books.skipped[:10])}")
    for line in (*audit.lines, *(f"  {sample}" for sample in books.warning_samples)):
        terminal.emit(line)
    for code, finding in audit.findings.items():
        terminal.emit(f"{code}: {finding.count}")
        for sample in finding.samples[:3]:
            terminal.emit(f"    {sample}")
