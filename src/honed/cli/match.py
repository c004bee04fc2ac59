"""honed match."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honed.cli import terminal
from honed.cli.options import Bundle, Delimiter, Encoding, Folder, Json, PublicKey, Quoting, table_format
from honed.cli.search import opened
from honed.core.errors import ConfigError

if TYPE_CHECKING:
    from honed.search.searcher import Searcher

Column = Annotated[str, typer.Option("--column", help="The column that holds the names.")]
With = Annotated[
    list[str] | None,
    typer.Option("--with", help="Columns as evidence, and the fields that say the same: city=city,country=country."),
]
Out = Annotated[
    Path | None, typer.Option(help="Where the table with its decisions goes: .csv, .tsv, .jsonl, .xlsx or .parquet.")
]
To = Annotated[Path | None, typer.Option(help="The catalogue: a project's folder, or a bundle.")]
MaxError = Annotated[float, typer.Option("--max-error", help="At most this share of the accepted rows is wrong.")]
MaxMissed = Annotated[
    float, typer.Option("--max-missed", help="At most this share of the rows said to have no counterpart has one.")
]
Confidence = Annotated[float, typer.Option(help="How sure the promise is.")]
Separator = Annotated[str, typer.Option(help="What stands between several names of one row.")]
OneToOne = Annotated[bool, typer.Option("--one-to-one", help="Give no entity to two rows.")]
Reviews = Annotated[
    Path | None, typer.Option(help="A table of reviews (columns name, id; an empty id: none) to be taken in first.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog="Example: honed match rows.csv --column name --with city=city --to bundle.zip --out matched.xlsx"
    )(match)


def match(
    table: Annotated[Path, typer.Argument(help="The table: CSV, TSV, JSON, Parquet, a spreadsheet.")],
    column: Column,
    project: Folder = Path(),
    bundle: Bundle = None,
    to: To = None,
    evidence: With = None,
    out: Out = None,
    reviews: Reviews = None,
    max_error: MaxError = 0.01,
    max_missed: MaxMissed = 0.05,
    confidence: Confidence = 0.9,
    separator: Separator = "",
    encoding: Encoding = None,
    delimiter: Delimiter = "",
    quoting: Quoting = "csv",
    require_signature: PublicKey = None,
    *,
    one_to_one: OneToOne = False,
    json: Json = False,
) -> None:
    """Match a whole table against a catalogue: each row accepted, to be reviewed, or without a counterpart.

    What is answered stands in TABLE.match beside the table, so that a stopped run goes on; so do the reviews. Of the
    accepted rows at most --max-error are wrong: borrowed from dev until enough rows of this table were reviewed.
    """
    from honed.core.sections import check_options
    from honed.match.decide import MatchOptions
    from honed.match.output import checked_ending, write_matches
    from honed.match.run import TableMatch, summary_lines
    from honed.match.table import TableColumns

    options = MatchOptions(max_error=max_error, max_missed=max_missed, confidence=confidence, one_to_one=one_to_one)
    check_options(options)
    place = out or table.with_name(f"{table.name.partition('.')[0]}.matched.csv")
    checked_ending(place)
    columns = TableColumns(name=column, evidence=_pairs(evidence or []), separator=separator)
    searcher = _catalogue(project, bundle, to, require_signature)
    run = TableMatch.start(table, columns, searcher, form=table_format(encoding, delimiter, quoting))
    if reviews is not None:
        terminal.say(f"{run.take_reviews(reviews)} reviews taken in")
    decided = run.decided(options)
    rows, summary = write_matches(run, decided, place), run.summary(decided)
    if json:
        terminal.emit_json({**summary, "out": str(place)})
    else:
        for line in [*summary_lines(summary, decided), f"{rows:,} rows are in {place}"]:
            terminal.emit(line)


def _catalogue(project: Path, bundle: Path | None, to: Path | None, public_key: Path | None) -> "Searcher":
    """Return the searcher of ``to``, a project or a bundle, or of the usual options."""
    if to is None:
        return opened(project, bundle, public_key)
    is_project = (to / "honed.toml").is_file()
    return opened(to if is_project else project, None if is_project else to, public_key)


def _pairs(given: list[str]) -> dict[str, str]:
    """Return the field of each column of evidence; a column alone is a field of its name."""
    pairs = {}
    for text in given:
        for part in text.split(","):
            column, _, name = (piece.strip() for piece in part.partition("="))
            if not column:
                raise ConfigError("E_OPTION", f"--with {text}: write column=field,column=field")
            pairs[column] = name or column
    return pairs
