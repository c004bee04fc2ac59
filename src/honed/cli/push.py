"""honed push."""

from pathlib import Path
from typing import Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Collection, Database, Folder, Json, Schema
from honed.core.optional import require


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed push postgresql://me@db.example/shop --bundle bundle --collection products")(
        push
    )


def push(
    database: Database,
    project: Folder = Path(),
    bundle: Annotated[Path | None, typer.Option(help="Push a bundle (folder or zip) instead of a project.")] = None,
    collection: Collection = "items",
    schema: Schema = "honed",
    kind: Annotated[
        str, typer.Option("--type", help="vector: 4 bytes a dimension. halfvec: 2, for half the memory.")
    ] = "vector",
    index: Annotated[str, typer.Option(help="hnsw: a graph. none: every vector is compared.")] = "hnsw",
    links: Annotated[int, typer.Option(help="Links of a vector in the graph (m).")] = 16,
    build_width: Annotated[int, typer.Option(help="Candidates while it is built (ef_construction).")] = 100,
    keep: Annotated[int, typer.Option(help="So many earlier versions stay as tables.")] = 0,
    *,
    force: Annotated[bool, typer.Option("--force", help="Push again what is there already.")] = False,
    json: Json = False,
) -> None:
    """Write the catalogue with its vectors to PostgreSQL with pgvector, as a new version in the old one's place.

    The password is best left to PGPASSWORD or ~/.pgpass. What the graph finds of the exact neighbours is measured, and
    the width of a search chosen by it. Search with honed search --database, or in SQL.
    """
    require("PostgreSQL")
    from honed.cli.search import opened
    from honed.connect.database import CollectionRef
    from honed.connect.push import PushOptions
    from honed.connect.push import push as written

    options = PushOptions(type=kind, index=index, links=links, build_width=build_width, keep=keep, force=force)
    ref = CollectionRef(dsn=database, schema=schema, collection=collection)
    facts = written(opened(project, bundle, None), ref, options)
    if json:
        terminal.emit_json(facts)
        return
    name = f"{schema}.{collection}"
    if not facts["pushed"]:
        terminal.say(f"{name}: version {facts['version']} holds just this; nothing was written")
    graph = ""
    if facts["index"] == "hnsw":
        graph = f"; the graph finds {100 * facts['index_recall']:.1f} % at hnsw.ef_search = {facts['search_width']}"
    terminal.emit(
        f"{name}: version {facts['version']}, {facts['records']:,} records of {facts['dim']} dimensions as "
        f"{facts['type']}{graph}"
    )
    terminal.emit(
        f"nearest in SQL: ORDER BY embedding <#> '[...]'::{facts['type']}, of {name} (id, label, fields, ...)"
    )
