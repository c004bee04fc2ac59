"""honed datasets."""

from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Json
from honed.core.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="Public data sets for trying honed out and for reproducing its figures.", no_args_is_help=True
    )
    group.command("list", epilog="Example: honed datasets list")(list_datasets)
    group.command("fetch", epilog="Example: honed datasets fetch dbpedia_schools --to data")(fetch_dataset)
    app.add_typer(group, name="datasets")


def list_datasets(*, json: Json = False) -> None:
    """List the known data sets with licence and size."""
    from honed.data.datasets import REGISTRY

    if json:
        terminal.emit_json([dataset.as_dict() for dataset in REGISTRY])
        return
    rows = [
        [
            dataset.name,
            dataset.shape,
            f"{sum(file.size for file in dataset.files) / 1e6:.1f} MB",
            dataset.licence,
            dataset.title,
        ]
        for dataset in REGISTRY
    ]
    terminal.table(["name", "shape", "size", "licence", "what"], rows)


def fetch_dataset(
    name: Annotated[str, typer.Argument(help="A name from  honed datasets list, or ir:NAME, such as ir:beir/scifact.")],
    to: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"),
    mirror: Annotated[str | None, typer.Option("--from", help="A local mirror: folder, or base URL.")] = None,
) -> None:
    """Fetch a data set, checked against its sha256; a broken download is taken up again.

    "ir:NAME" is a collection of the library ir_datasets, written in BEIR's layout for  honed init  to read.
    """
    from honed.data.datasets import fetch, find
    from honed.data.ir_datasets import PREFIX, fetch_ir

    if name.startswith(PREFIX):
        if mirror:
            raise ConfigError("E_OPTION", "--from goes with names from  honed datasets list")
        paths = fetch_ir(name.removeprefix(PREFIX), to)
    else:
        paths = fetch(find(name), to, mirror=mirror)
    for path in paths:
        terminal.emit(str(path))
