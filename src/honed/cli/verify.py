"""honed verify."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Json, PublicKey

if TYPE_CHECKING:
    from honed.project.verify import Verified


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed verify .  or  honed verify bundle.zip --require-signature public.pem")(verify)


def verify(
    path: Annotated[Path, typer.Argument(help="A project, an artifact, a bundle (folder or zip) or a store.")],
    public_key: PublicKey = None,
    *,
    json: Json = False,
) -> None:
    """Compare every file with the hash that was written with it; exit 3 when one differs, is missing or is new."""
    from honed.project.verify import refuse_damaged, verify_path

    results = verify_path(path, public_key)
    if json:
        terminal.emit_json(
            [{"path": str(result.path), "kind": result.kind, "problem": result.problem} for result in results]
        )
    else:
        for result in results:
            terminal.emit(_line(result))
    refuse_damaged(results)


def _line(result: "Verified") -> str:
    if result.problem:
        return f"refused  {result.kind}  {result.path}: {result.problem}"
    told = ", ".join(text for text in (f"{result.n_files} files" if result.n_files else "", result.note) if text)
    return f"whole    {result.kind}  {result.path}: {told}" if result.n_files else f"         {result.path}: {told}"
