"""honed dedupe."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.limits import with_limits
from honed.cli.options import Bundle, Delimiter, Encoding, Exact, Json, PublicKey, Quoting, column_pairs, table_format

if TYPE_CHECKING:
    from honed.core.protocols import Encoder

Column = Annotated[
    str, typer.Option("--column", help="The column that holds the names; NAME=OTHER: in the other table.")
]
With = Annotated[
    list[str] | None,
    typer.Option("--with", help="Columns as evidence: city,country; city=town where the other table calls it so."),
]
Against = Annotated[
    Path | None, typer.Option("--against", help="Another table: pairs of a row of each, none has two counterparts.")
]
Project = Annotated[
    Path | None, typer.Option("--project", "-p", help="A project whose encoder compares names too (or --bundle).")
]
Out = Annotated[
    Path | None,
    typer.Option(help="Where the rows with their clusters go, and beside it pairs, records and what to review."),
]
Reviews = Annotated[
    list[Path] | None,
    typer.Option("--reviews", help="Tables of what people said (columns left, right, same); repeatable."),
]
MaxError = Annotated[float, typer.Option("--max-error", help="At most this share of the merged pairs is wrong.")]
Confidence = Annotated[float, typer.Option(help="How sure the promise is.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed dedupe rows.csv --column name --with city,country --out clean.xlsx")(
        with_limits(dedupe)
    )


def dedupe(
    table: Annotated[Path, typer.Argument(help="The table: CSV, TSV, JSON, Parquet, a spreadsheet.")],
    column: Column,
    evidence: With = None,
    against: Against = None,
    bundle: Bundle = None,
    project: Project = None,
    out: Out = None,
    reviews: Reviews = None,
    max_error: MaxError = 0.01,
    confidence: Confidence = 0.9,
    encoding: Encoding = None,
    delimiter: Delimiter = "",
    quoting: Quoting = "csv",
    require_signature: PublicKey = None,
    *,
    exact: Exact = False,
    json: Json = False,
) -> None:
    """Find the rows of a table that mean the same, or those of two tables.

    Each row gets a cluster, and each cluster a proposed record. Of the merged pairs at most --max-error are wrong: an
    estimate, until enough of the pairs in the file of what to review were reviewed and given back with --reviews.
    """
    from honed.core.sections import check_options
    from honed.match.dedupe import DedupeOptions, TableDedupe
    from honed.match.dedupe_files import DedupeFiles, read_reviews, summary, summary_lines, write_all
    from honed.match.rows import ComparedColumns, read_rows
    from honed.match.writers import checked_ending

    options = DedupeOptions(max_error=max_error, confidence=confidence)
    check_options(options)
    files = DedupeFiles(out or table.with_name(f"{table.name.partition('.')[0]}.deduped.csv"), exact=exact)
    checked_ending(files.rows)
    name, _, there = column.partition("=")
    columns = ComparedColumns(
        name=name, name_there=there or name, evidence=column_pairs(evidence or [], "column,column, or column=other")
    )
    rows = read_rows(table, columns, table_format(encoding, delimiter, quoting), against)
    said = read_reviews(reviews or [], rows, name)
    run = TableDedupe(rows, _encoder(project, bundle, require_signature))
    done = run.decided(options, said)
    write_all(run, done, said, files)
    facts = summary(run, done, said)
    if json:
        terminal.emit_json({**facts, "out": str(files.rows)})
    else:
        places = f"{files.rows}, with {files.pairs.name}, {files.records.name} and {files.review.name}"
        for line in [*summary_lines(facts, run, done), f"the rows are in {places}"]:
            terminal.emit(line)


def _encoder(project: Path | None, bundle: Path | None, public_key: Path | None) -> "Encoder | None":
    """Return the encoder of a project or a bundle; None where none is named."""
    if project is None and bundle is None:
        return None
    from honed.cli.search import opened

    return opened(project or Path(), bundle, public_key).encoder
