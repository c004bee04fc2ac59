"""honed compare."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Json

if TYPE_CHECKING:
    from honed.project.compare import Compared


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog='Example: honed compare . ../with-mining  or  honed compare . . --system-a "base model"  '
        "or  honed compare work/evaluate/1f0c... ."
    )(compare)


def compare(
    a: Annotated[Path, typer.Argument(help="A project (its last evaluation), or the folder of an evaluation.")],
    b: Annotated[Path, typer.Argument(help="The one that is measured against it.")],
    system_a: Annotated[str, typer.Option(help="The system of A; by default what it searches with.")] = "",
    system_b: Annotated[str, typer.Option(help="The system of B; by default what it searches with.")] = "",
    *,
    json: Json = False,
) -> None:
    """Compare two evaluations on the same test queries: what B gained and lost, where, and how sure that is.

    Evaluations of other settings stay in the output folder; honed show evaluate tells the folder of the last one.
    """
    from honed.project.compare import compare as compared

    comparison = compared(a, b, (system_a, system_b))
    if json:
        terminal.emit_json(comparison)
        return
    for name, side in (("A", comparison.a), ("B", comparison.b)):
        terminal.emit(f"{name}: {side.system}, {side.folder}")
    if not comparison.same_documents:
        terminal.emit("the documents are not the same: a difference may be theirs")
    terminal.emit(f"{comparison.n_queries} queries, in percent; B - A with its 95 % interval, paired")
    terminal.table(
        ["measure", "A", "B", "B - A", "95 %", "p", "won", "lost"],
        [[name, *_cells(row)] for name, row in comparison.measures.items()],
    )
    if comparison.slices:
        head = next(iter(comparison.measures))
        terminal.table(
            [f"{head} of", "A", "B", "B - A", "95 %", "p", "won", "lost", "n"],
            [[name, *_cells(row), str(row.n)] for name, row in comparison.slices.items()],
        )
    for what, queries in (("won", comparison.won), ("lost", comparison.lost)):
        if queries:
            terminal.emit(f"{what}: {'; '.join(query.text for query in queries)}")


def _cells(row: "Compared") -> list[str]:
    gain = row.difference
    return [
        f"{100 * row.a:.1f}",
        f"{100 * row.b:.1f}",
        f"{100 * gain.mean:+.1f}",
        f"{100 * gain.low:+.1f} to {100 * gain.high:+.1f}",
        f"{row.p_value:.4f}",
        str(row.wins),
        str(row.losses),
    ]
