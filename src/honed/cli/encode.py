"""honed encode."""

from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Delimiter, Encoding, Folder, Quoting, table_format


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: honed encode names.txt --out vectors.npy  or  honed encode t.csv --column text --out v.parquet"
    )(with_limits(encode))


def encode(
    file: Annotated[Path, typer.Argument(help="A text file (one text a line), or a table with --column.")],
    out: Annotated[Path, typer.Option(help="vectors.npy, .safetensors or .parquet.")],
    column: Annotated[str | None, typer.Option(help="The column of a table.")] = None,
    model: Annotated[str | None, typer.Option(help="A base model; default: the model of the last run.")] = None,
    role: Annotated[str, typer.Option(help="query or document: decides the prompt.")] = "document",
    project: Folder = Path(),
    *,
    encoding: Encoding = None,
    delimiter: Delimiter = "",
    quoting: Quoting = "csv",
) -> None:
    """Turn texts into unit vectors, for anyone's use."""
    from honed.project.encode import encode_file
    from honed.project.workspace import Workspace

    opened = None if model else Workspace(project)
    form = table_format(encoding, delimiter, quoting)
    shape = encode_file(file, out, column=column, model=model, role=role, project=opened, form=form)
    terminal.say(f"wrote {out}: {shape[0]} vectors of {shape[1]} numbers")
