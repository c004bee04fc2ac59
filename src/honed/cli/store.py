"""honed store."""

import json as json_module
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Delimiter, Encoding, Json, Quoting, TopK, table_format
from honed.core.filters import parse_where
from honed.core.lines import read_lines

if TYPE_CHECKING:
    from honed import Store
    from honed.data.tables import TableFormat
    from honed.project.store import StoreColumns, StoreModel

Place = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the store.")]
Files = Annotated[list[Path], typer.Argument(help="CSV, TSV, JSON Lines, JSON or Parquet files, or folders of them.")]
Bundle = Annotated[Path | None, typer.Option(help="The bundle whose model encodes; by default the one that made it.")]
Model = Annotated[str, typer.Option(help="A base model instead of a bundle, such as minilm.")]
IdColumn = Annotated[str, typer.Option("--id", help="Column of the ids.")]
TextColumn = Annotated[str, typer.Option("--text", help="Column of the texts.")]
Keep = Annotated[list[str] | None, typer.Option("--field", help="Store only these fields; repeatable. All otherwise.")]
DecimalComma = Annotated[list[str] | None, typer.Option(help="A field whose numbers have decimal commas; repeatable.")]
IndexFile = Annotated[
    Path | None, typer.Option("--index", help="A TOML file with [index]: honed.toml, or what  honed tune  printed.")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        help="A vector index on disk that changes: add, replace, delete, filter; every change is a whole new version.",
        no_args_is_help=True,
    )
    group.command("create", epilog="Example: honed store create products/ products.csv --bundle b --text title")(
        with_limits(create)
    )
    group.command("add", epilog="Example: honed store add products/ new.csv --text title --replace")(with_limits(add))
    group.command("delete", epilog="Example: honed store delete products/ p17 p18")(delete)
    group.command("search", epilog="Example: honed store search products/ 'usb hub' --where 'price<30'")(search)
    group.command("show", epilog="Example: honed store show products/ --verify")(show)
    group.command("compact", epilog="Example: honed store compact products/ --index tuned.toml")(compact)
    group.command("migrate", epilog="Example: honed store migrate products/ --bundle newer")(with_limits(migrate))
    app.add_typer(group, name="store")


def create(
    store: Place,
    files: Files,
    bundle: Bundle = None,
    model: Model = "",
    id_column: IdColumn = "id",
    text_column: TextColumn = "text",
    keep: Keep = None,
    index: IndexFile = None,
    memory_mb: Annotated[int, typer.Option(min=1, help="Memory for learning from a sample and for a block.")] = 1024,
    *,
    encoding: Encoding = None,
    delimiter: Delimiter = "",
    quoting: Quoting = "csv",
    decimal_comma: DecimalComma = None,
    json: Json = False,
) -> None:
    """Encode the texts of tables and make a store of them, as a stream; it is there when all is, or not at all."""
    from honed.project.store import create_store, settings_of

    form, source = table_format(encoding, delimiter, quoting), _source(bundle, model)
    columns = _columns(id_column, text_column, keep, decimal_comma, form)
    _tell(create_store(store, files, source, columns, settings_of(index), memory_mb), json=json)
    terminal.say(f"held at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:,.0f} MB, the model with it")


def add(
    store: Place,
    files: Files,
    bundle: Bundle = None,
    model: Model = "",
    id_column: IdColumn = "id",
    text_column: TextColumn = "text",
    keep: Keep = None,
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Records whose ids are there are replaced.")] = False,
    encoding: Encoding = None,
    delimiter: Delimiter = "",
    quoting: Quoting = "csv",
    decimal_comma: DecimalComma = None,
    json: Json = False,
) -> None:
    """Add the rows of tables: all, or none."""
    from honed.project.store import add_to_store

    form = table_format(encoding, delimiter, quoting)
    columns = _columns(id_column, text_column, keep, decimal_comma, form)
    _tell(add_to_store(store, files, _source(bundle, model), columns, replace=replace), json=json)


def delete(
    store: Place,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of records.")] = None,
    file: Annotated[Path | None, typer.Option(help="A text file with one id a line.")] = None,
    *,
    json: Json = False,
) -> None:
    """Delete records by id: all, or none."""
    from honed.project.store import delete_from_store

    _tell(delete_from_store(store, [*(ids or []), *(read_lines(file) if file else [])]), json=json)


def search(
    store: Place,
    text: Annotated[str, typer.Argument(help="What to look for.")],
    k: TopK = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only records whose field passes: brand=HP, brand=HP|LG, price<30; repeatable."),
    ] = None,
    bundle: Bundle = None,
    model: Model = "",
    *,
    json: Json = False,
) -> None:
    """Search by meaning."""
    from honed.project.store import search_store

    hits = search_store(store, [text], _source(bundle, model), k, parse_where(where or []))[0]
    if json:
        terminal.emit_json(
            [
                {
                    "rank": hit.rank,
                    "score": hit.score,
                    "id": hit.record.doc_id,
                    "text": hit.record.text,
                    "fields": dict(hit.record.fields),
                }
                for hit in hits
            ]
        )
        return
    rows = [[str(hit.rank), f"{hit.score:.4f}", hit.record.doc_id, hit.record.text] for hit in hits]
    terminal.table(["rank", "score", "id", "text"], rows)


def show(
    store: Place,
    record: Annotated[str | None, typer.Option(help="Show the record with this id.")] = None,
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Compare every byte with its hash.")] = False,
    json: Json = False,
) -> None:
    """Tell what is in a store."""
    from honed import Store
    from honed.project.store import record_of

    opened = Store.open(store, verify=verify)
    if record is None:
        _tell(opened, json=json)
        return
    wanted = record_of(opened, record)
    terminal.emit_json({"id": wanted.doc_id, "text": wanted.text, "fields": dict(wanted.fields)})


def compact(store: Place, index: IndexFile = None, *, json: Json = False) -> None:
    """Write all records into one part with an index anew, and free the place of those that are deleted."""
    from honed.project.store import compact_store

    _tell(compact_store(store, index), json=json)


def migrate(store: Place, bundle: Bundle = None, model: Model = "", *, json: Json = False) -> None:
    """Encode all texts with another model; the store answers as before until it is done."""
    from honed.project.store import migrate_store

    _tell(migrate_store(store, _source(bundle, model)), json=json)


def _columns(
    id_column: str, text_column: str, keep: list[str] | None, decimal_comma: list[str] | None, form: "TableFormat"
) -> "StoreColumns":
    from honed.project.store import StoreColumns

    return StoreColumns(
        doc_id=id_column,
        text=text_column,
        keep=tuple(keep or ()),
        decimal_comma=tuple(decimal_comma or ()),
        format=form,
    )


def _source(bundle: Path | None, model: str) -> "StoreModel":
    from honed.project.store import StoreModel

    return StoreModel(bundle=bundle, model=model)


def _tell(store: "Store", *, json: bool) -> None:
    from honed.project.store import facts_of

    facts = facts_of(store)
    if json:
        terminal.emit_json(facts)
        return
    terminal.emit(
        f"{store.path}: version {facts['version']}, {facts['records']:,} records of {facts['dim']} dimensions in "
        f"{len(facts['segments'])} parts, {facts['deleted']:,} deleted"
    )
    terminal.emit(f"index: {json_module.dumps(facts['settings'])}")
    terminal.emit(f"model: {json_module.dumps(facts['model'])}")
    if facts["fields"]:
        terminal.emit("fields: " + ", ".join(sorted(facts["fields"])))
