"""honed check."""

from pathlib import Path
from typing import Any

import typer

from honed.cli import terminal
from honed.cli.options import Encoding, Folder, Json, OnBadRow, overrides


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed check  or  honed check --on-bad-row quarantine --json")(check)


def check(
    project: Folder = Path(), on_bad_row: OnBadRow = None, encoding: Encoding = None, *, json: Json = False
) -> None:
    """Audit the data: duplicates, leaks, conflicts, ambiguity, ceiling, trivial baselines."""
    from honed.project.project import Project

    opened = Project(project, overrides=overrides(on_bad_row, encoding), listener=terminal.stage_line)
    opened.run(until="check")
    audit = opened.audit()
    if json:
        terminal.emit_json(audit)
    else:
        print_audit(audit)


def print_audit(audit: dict[str, Any]) -> None:
    """Print an audit for people."""
    books = audit["import"]
    terminal.emit(f"rows: {books['rows_in']} in = {books['accepted']} accepted + {books['rejected']} rejected")
    for code, count in books["reasons"].items():
        terminal.emit(f"  rejected {code}: {count}")
    if books["skipped"]:
        terminal.emit(f"not read: {', '.join(books['skipped'][:10])}")
    if "pairs" in audit:
        _print_pairs(audit)
    elif "documents" in audit:
        passages = f"{audit['passages']} passages, " if "passages" in audit else ""
        terminal.emit(
            f"{audit['documents']} documents, {passages}{audit['queries']} queries, {audit['judgements']} judgements "
            f"({audit['judgements_a_query']} a query)"
        )
        for name in ("grades", "splits"):
            terminal.emit(f"{name}: {', '.join(f'{key}: {n}' for key, n in audit[name].items())}")
        if "endpoint" in audit:
            terminal.emit(audit["endpoint"])
    else:
        labels = ", ".join(f"{label} {count}" for label, count in audit["labels"].items())
        terminal.emit(f"records: {audit['records']}, labelled {audit['labelled']} ({labels})")
        if splits := audit.get("splits"):
            terminal.emit(f"splits by relation: {', '.join(f'{name} {n}' for name, n in splits.items())}")
    for sample in books["warning_samples"]:
        terminal.emit(f"  {sample}")
    for name, found in audit["findings"].items():
        terminal.emit(f"{name}: {found['count']}")
        for sample in found["samples"][:3]:
            terminal.emit(f"    {sample}")


def _print_pairs(audit: dict[str, Any]) -> None:
    terminal.emit(
        f"{audit['entities']} entities, {audit['label_strings']} label strings, {audit['pairs']} alias pairs, "
        f"{audit['alias_strings']} alias strings"
    )
    splits = ", ".join(f"{name} {count}" for name, count in audit["splits"].items())
    terminal.emit(f"splits by entity: {splits}; test aliases in train: {audit['overlap']['test_aliases_in_train']}")
    terminal.emit(f"best possible top-1 from the alias alone: {100 * audit['ceiling']:.1f} %")
    dictionary = audit["dictionary"]
    terminal.emit(
        f"a plain dictionary scores {100 * dictionary['held_out']:.1f} % on held-out pairs and "
        f"{100 * dictionary['catalogue']:.1f} % when asked what it was told"
    )
    slices = ", ".join(f"{name} {count}" for name, count in list(audit["slices"].items())[:10])
    terminal.emit(f"slices: {slices}")
