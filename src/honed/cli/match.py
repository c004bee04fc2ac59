"""honed match."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import (
    Bundle,
    Collection,
    Delimiter,
    Encoding,
    Exact,
    Folder,
    Json,
    PublicKey,
    Quoting,
    Schema,
    column_pairs,
    table_format,
)
from honed.cli.search import opened
from honed.cli.serve import AllowedHosts, KeyFile, api_key_of
from honed.core.optional import require
from honed.core.progress import log_to_stderr

if TYPE_CHECKING:
    from honed.data.table import TableFormat
    from honed.match.decide import MatchOptions
    from honed.match.run import TableMatch
    from honed.match.table import TableColumns
    from honed.search.searcher import Searcher
    from honed.serve.local_page import PageAddress

Column = Annotated[str, typer.Option("--column", help="The column that holds the names.")]
With = Annotated[
    list[str] | None,
    typer.Option("--with", help="Columns as evidence, and the fields that say the same: city=city,country=country."),
]
Out = Annotated[
    Path | None, typer.Option(help="Where the table with its decisions goes: .csv, .tsv, .jsonl, .xlsx or .parquet.")
]
To = Annotated[
    str | None,
    typer.Option(
        help="The catalogue: a project's folder, a bundle, or a database that honed push wrote to, as "
        "postgresql://user@host:5432/name (its model is that of --bundle or --project)."
    ),
]
MaxError = Annotated[float, typer.Option("--max-error", help="At most this share of the accepted rows is wrong.")]
MaxMissed = Annotated[
    float, typer.Option("--max-missed", help="At most this share of the rows said to have no counterpart has one.")
]
Confidence = Annotated[float, typer.Option(help="How sure the promise is.")]
Separator = Annotated[str, typer.Option(help="What stands between several names of one row.")]
OneToOne = Annotated[
    bool, typer.Option("--one-to-one", help="Give no entity to two rows; who loses one gets its next best.")
]
Reviews = Annotated[
    Path | None, typer.Option(help="A table of reviews (columns name, id; an empty id: none) to be taken in first.")
]
Pairs = Annotated[Path | None, typer.Option(help="Write what was reviewed as pairs for  honed update, a CSV file.")]
Queries = Annotated[
    Path | None, typer.Option(help="Write what was reviewed as dev queries for [queries], a CSV file; see --pairs.")
]
Serve = Annotated[bool, typer.Option("--serve", help="Open the page to review rows by keyboard.")]
Host = Annotated[str, typer.Option(help="With --serve: the address; a public one needs a key.")]
Port = Annotated[int, typer.Option(help="With --serve: the port; 0 takes a free one.", min=0, max=65535)]
Twice = Annotated[float, typer.Option(help="With --serve: the share of rows that two people review.", min=0, max=1)]


_SCHEMES = ("postgresql://", "postgres://")
_NO_CHANCES = "this catalogue estimates no chances, so that no row is accepted until reviews prove a cut"


class _Catalogue(NamedTuple):
    """Where the catalogue is, by the options: ``to``, or else a bundle or a project; a collection of a database."""

    to: str | None
    bundle: Path | None
    project: Path
    collection: str
    schema: str
    public_key: Path | None

    @property
    def database(self) -> str:
        """The address of the database that is the catalogue; "" for none."""
        return self.to if self.to is not None and self.to.startswith(_SCHEMES) else ""

    def folder(self) -> Path | None:
        """Return the folder of the project that is the catalogue, or is named with a database; None for a bundle."""
        if self.to is not None and not self.database:
            return Path(self.to) if (Path(self.to) / "honed.toml").is_file() else None
        return self.project if self.bundle is None else None

    def opened(self) -> "Searcher":
        """Return the searcher of the catalogue, and tell where it estimates no chances."""
        folder, database = self.folder(), self.database
        if database:
            require("PostgreSQL")
        bundle = Path(self.to) if self.to is not None and not database else self.bundle
        found = opened(folder or self.project, None if folder else bundle, self.public_key)
        if database:
            from honed.connect.catalogue import read_catalogue
            from honed.connect.database import CollectionRef

            ref = CollectionRef(dsn=database, schema=self.schema, collection=self.collection)
            found = read_catalogue(ref, found.encoder)
        if found.answers is None:
            again = ", then run  honed push  again" if database else ""
            terminal.say(f"{_NO_CHANCES}: put [hybrid] and [answers] into honed.toml, run  honed run{again}")
        return found


class _Files(NamedTuple):
    """What is written: the table with its decisions, with exact cells or guarded ones, and what was reviewed."""

    out: Path
    pairs: Path | None
    queries: Path | None
    exact: bool


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: honed match rows.csv --column name --with city=city --to bundle.zip --out matched.xlsx"
    )(with_limits(match))


def match(
    table: Annotated[Path, typer.Argument(help="The table: CSV, TSV, JSON, Parquet, a spreadsheet.")],
    column: Column,
    project: Folder = Path(),
    bundle: Bundle = None,
    to: To = None,
    evidence: With = None,
    out: Out = None,
    reviews: Reviews = None,
    pairs: Pairs = None,
    queries: Queries = None,
    collection: Collection = "items",
    schema: Schema = "honed",
    max_error: MaxError = 0.01,
    max_missed: MaxMissed = 0.05,
    confidence: Confidence = 0.9,
    separator: Separator = "",
    encoding: Encoding = None,
    delimiter: Delimiter = "",
    quoting: Quoting = "csv",
    require_signature: PublicKey = None,
    host: Host = "127.0.0.1",
    port: Port = 8082,
    api_key_file: KeyFile = None,
    allow_host: AllowedHosts = None,
    twice: Twice = 0.05,
    *,
    serve: Serve = False,
    one_to_one: OneToOne = False,
    exact: Exact = False,
    json: Json = False,
) -> None:
    """Match a whole table against a catalogue: each row accepted, to be reviewed, or without a counterpart.

    What is answered stands in TABLE.match beside the table, so that a stopped run goes on; so do the reviews. Of the
    accepted rows at most --max-error are wrong: borrowed from dev until enough rows of this table were reviewed.
    """
    options = _options(max_error, max_missed, confidence, one_to_one=one_to_one)
    page = _page(host, port, api_key_file, allow_host) if serve else None
    files = _Files(_out(table, out), pairs, queries, exact)
    form, columns = table_format(encoding, delimiter, quoting), _columns(column, evidence or [], separator)
    catalogue = _Catalogue(to, bundle, project, collection, schema, require_signature)
    run = _started(table, columns, catalogue.opened(), form, reviews)
    if page is not None:
        _review(run, options, files.out, page, twice)
    _finish(run, options, files, _pair_columns(catalogue) if pairs else None, json=json)


def _options(max_error: float, max_missed: float, confidence: float, *, one_to_one: bool) -> "MatchOptions":
    from honed.core.sections import check_options
    from honed.match.decide import MatchOptions

    options = MatchOptions(max_error=max_error, max_missed=max_missed, confidence=confidence, one_to_one=one_to_one)
    check_options(options)
    return options


def _columns(name: str, evidence: list[str], separator: str) -> "TableColumns":
    from honed.match.table import TableColumns

    return TableColumns(name=name, evidence=column_pairs(evidence, "column=field,column=field"), separator=separator)


def _page(host: str, port: int, key_file: Path | None, allow_hosts: list[str] | None) -> "PageAddress":
    """Return where the review page is served; `ConfigError` for a public address without a key."""
    from honed.serve.local_page import PageAddress
    from honed.serve.review_server import WHAT

    address = PageAddress(host=host, port=port, api_key=api_key_of(key_file), allow_hosts=allow_hosts or ())
    address.check(WHAT)
    return address


def _out(table: Path, out: Path | None) -> Path:
    """Return where the table with its decisions goes; `ConfigError` for an ending that cannot be written."""
    from honed.match.writers import checked_ending

    place = out or table.with_name(f"{table.name.partition('.')[0]}.matched.csv")
    checked_ending(place)
    return place


def _started(
    table: Path, columns: "TableColumns", searcher: "Searcher", form: "TableFormat", reviews: Path | None
) -> "TableMatch":
    """Return the match of a table, with the reviews of a file taken in."""
    from honed.match.run import TableMatch

    run = TableMatch.start(table, columns, searcher, form=form)
    if reviews is not None:
        terminal.say(f"{run.take_reviews(reviews)} reviews taken in")
    return run


def _review(run: "TableMatch", options: "MatchOptions", out: Path, page: "PageAddress", twice: float) -> None:
    """Serve the review page until Ctrl-C."""
    from honed.serve.review_server import serve_reviews
    from honed.serve.review_session import ReviewOptions, ReviewSession

    log_to_stderr({"honed.server": logging.INFO, "honed.access": logging.ERROR})
    serve_reviews(ReviewSession(run, options, out, ReviewOptions(twice=twice)), page)


def _finish(
    run: "TableMatch", options: "MatchOptions", files: _Files, pair_columns: Mapping[str, str] | None, *, json: bool
) -> None:
    """Write the table and what was reviewed, and tell of it."""
    from honed.match.output import write_matches
    from honed.match.run import summary_lines
    from honed.match.teaching import write_lessons

    decided = run.decided(options)
    rows, summary = write_matches(run, decided, files.out, exact=files.exact), dict(run.summary(decided))
    lines = [*summary_lines(summary, decided), f"{rows:,} rows are in {files.out}"]
    if files.pairs or files.queries:
        taught = write_lessons(run, files.pairs, files.queries, pair_columns)
        summary |= {"pairs": taught.pairs, "queries": taught.queries}
        lines.append(
            f"reviewed: {taught.pairs:,} pairs, {taught.queries:,} dev queries; {taught.known:,} known already"
        )
    if json:
        terminal.emit_json({**summary, "out": str(files.out)})
        return
    for line in lines:
        terminal.emit(line)


def _pair_columns(catalogue: _Catalogue) -> Mapping[str, str] | None:
    """Return the columns of the pairs that the project reads, by role; None where the catalogue is a bundle."""
    folder = catalogue.folder()
    if folder is None:
        return None
    from honed.project.workspace import Workspace

    columns = Workspace(folder).config.data.columns
    return columns if {"alias", "label"} <= set(columns) else None
