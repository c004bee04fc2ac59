"""A table that Python holds, matched against a catalogue: the same table with decisions, and what they rest on."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from honed.api import frames
from honed.api.added import Column, Columns, arrow_with, with_columns
from honed.api.create import NewFolder
from honed.api.frames import Data
from honed.core.errors import ConfigError
from honed.core.json import JsonObject
from honed.core.sections import check_options
from honed.match.answers import Candidate
from honed.match.decide import Decided, MatchOptions
from honed.match.output import COLUMNS, decided_cells, write_matches
from honed.match.promise import TablePromise
from honed.match.run import TableMatch, summary_lines
from honed.match.table import TableColumns
from honed.search.searcher import Searcher

_CANDIDATES = pa.list_(pa.struct([("id", pa.string()), ("name", pa.string()), ("chance", pa.float64())]))
_TYPES = dict(zip(COLUMNS, [pa.string()] * 2 + [pa.float64()] + [pa.string()] * 2 + [_CANDIDATES], strict=True))


@dataclass(frozen=True, kw_only=True, slots=True)
class ToReview:
    """A distinct row that a person should look at; ``drawn`` tells that a random draw of rows asks for it.

    ``evidence`` are its values by column, ``count`` is how often it stands in the table.
    """

    name: str
    evidence: Mapping[str, str]
    count: int
    candidates: Sequence[Candidate]
    drawn: bool


@dataclass(frozen=True, kw_only=True)
class Matched:
    """A table with what was decided of its rows.

    ``table`` is of the kind that was given (of a file an Arrow table, of a list a list of rows), with the columns
    match_id, match_name, match_chance, match_decision (accept, review or none), match_by and match_candidates (of rows
    to review). ``summary`` has the numbers, ``promise`` tells how many of the accepted rows are wrong at most and on
    what that rests, ``queue`` what should be reviewed, the most useful first.
    """

    table: Any
    summary: JsonObject
    promise: TablePromise
    queue: Sequence[ToReview]
    match: TableMatch
    decided: Decided
    place: NewFolder | None = None

    def __str__(self) -> str:
        return "\n".join(summary_lines(self.summary, self.decided))

    def write(self, path: str | Path) -> int:
        """Write the table with its decisions to a file, by its ending; see `honed.match.output.write_matches`."""
        return write_matches(self.match, self.decided, Path(path))


def match_table(
    searcher: Searcher,
    data: Data,
    *,
    column: str = "name",
    evidence: Mapping[str, str] | Sequence[str] = (),
    max_error: float = 0.01,
    max_missed: float = 0.05,
    confidence: float = 0.9,
    one_to_one: bool = False,
    separator: str = "",
    reviews: Data | None = None,
    folder: str | Path | None = None,
) -> Matched:
    """Match the names of a table against a catalogue.

    Args:
        searcher: The catalogue: of a bundle, or of a project.
        data: A data frame (pandas, polars, pyarrow or anything else with the Arrow or the interchange protocol), rows
            (names, mappings, or tuples of the name and its evidence), columns by name, or the path of a table.
        column: The column of the names.
        evidence: Columns that say the same as fields of the catalogue: a mapping, or a list where names are the same.
        max_error: Of the accepted rows at most this share is wrong.
        max_missed: Of the rows said to have no counterpart at most this share has one.
        confidence: How sure the promise is.
        one_to_one: Give no entity to two rows; who loses one gets its next best, see `honed.match.one_to_one`.
        separator: What stands between several names of one row.
        reviews: What people said: rows of name and id ("": none), and where there are such the columns of evidence.
        folder: Where answers and reviews are kept; by default beside a file, else a temporary folder that goes with
            the result.

    Returns:
        The table with its decisions, and what they rest on.

    Raises:
        honed.core.errors.ConfigError: For a column or a field that is not there, and a share out of its limits.
        honed.core.errors.DataError: For data that is no table.
    """
    options = MatchOptions(max_error=max_error, max_missed=max_missed, confidence=confidence, one_to_one=one_to_one)
    check_options(options)
    kinds = frames.pairs_of_columns(evidence)
    columns = TableColumns(name=column, evidence=kinds, separator=separator)
    return _matched(searcher, data, columns, options, reviews, folder)


def _matched(
    searcher: Searcher,
    data: Data,
    columns: TableColumns,
    options: MatchOptions,
    reviews: Data | None,
    folder: str | Path | None,
) -> Matched:
    data = list(data) if isinstance(data, Iterator) else data
    is_file = isinstance(data, str | Path)
    place = None if is_file and not folder else NewFolder(folder)
    match = _started(searcher, data, columns, place)
    if reviews is not None:
        _take_reviews(match, reviews)
    decided = match.decided(options)
    return Matched(
        table=_file_with(match, decided)
        if is_file
        else with_columns(data, [columns.name, *columns.evidence], _cells(match, decided)),
        summary=match.summary(decided),
        promise=decided.accepted,
        queue=[_to_review(match, decided, number) for number in decided.queue],
        match=match,
        decided=decided,
        place=place,
    )


def _started(searcher: Searcher, data: Data, columns: TableColumns, place: NewFolder | None) -> TableMatch:
    """Return the match of data, which is kept in ``place``, or beside the file that it is."""
    folder = place.path if place is not None else None
    if isinstance(data, str | Path):
        return TableMatch.start(Path(data), columns, searcher, folder=folder)
    assert folder is not None  # what is no file has a place
    return TableMatch.start(_written(data, columns, folder), columns, searcher, folder=folder)


def _to_review(match: TableMatch, decided: Decided, number: int) -> ToReview:
    entry = match.entries.entries[number]
    return ToReview(
        name=entry.name,
        evidence=dict(zip(match.columns.evidence, entry.values, strict=True)),
        count=int(match.counts[number]),
        candidates=decided.found[number].candidates,
        drawn=number in decided.audit,
    )


def _take_reviews(match: TableMatch, reviews: Data) -> None:
    """Add reviews of any kind of table to those of a match."""
    if isinstance(reviews, str | Path):
        match.take_reviews(Path(reviews))
        return
    names = ["name", "id", *match.columns.evidence, "who"]
    with TemporaryDirectory() as folder:
        match.take_reviews(frames.write_parquet(reviews, Path(folder) / "reviews.parquet", names))


# -- the table, there and back ---------------------------------------------------------------------


def _written(data: Data, columns: TableColumns, folder: Path) -> Path:
    """Write the columns that are matched as a Parquet file; returns its path."""
    names = [columns.name, *columns.evidence]
    return frames.write_parquet(_selected(data, names), folder / "table.parquet", names)


def _selected(data: Any, names: Sequence[str]) -> Data:
    """Return the columns of data that are matched; what else it holds need be no table's. `ConfigError` for none."""
    if isinstance(data, Sequence) and _is_names(data):
        return [(name,) for name in data]
    known = (
        list(data)
        if isinstance(data, Mapping)
        else getattr(data, "column_names", None) or getattr(data, "columns", None)
    )
    if known is None:
        return data
    for name in names:
        if name not in known:
            raise ConfigError("E_OPTION", f"no column {name!r}; found: {', '.join(map(str, known))}")
    if isinstance(data, Mapping):
        return {name: data[name] for name in names}
    return data.select(names) if isinstance(data, pa.Table) else data[list(names)]


def _is_names(data: Sequence[object]) -> bool:
    return all(isinstance(row, str) for row in data)


def _cells(match: TableMatch, decided: Decided) -> Columns:
    """Return the columns that are added, each with a value for every row; None for nothing."""
    rows = [decided_cells(match, decided, number) for number in range(match.entries.n_rows)]
    texts = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    cells: dict[str, list[object]] = {name: [text or None for text in column] for name, column in texts.items()}
    cells["match_chance"] = [float(text) if text else None for text in texts["match_chance"]]
    cells["match_candidates"] = [
        [one for found in json.loads(text) for one in found] if text else None for text in texts["match_candidates"]
    ]
    return {name: Column(values, _TYPES[name]) for name, values in cells.items()}


def _file_with(match: TableMatch, decided: Decided) -> pa.Table:
    """Return the table of a file with columns added; its own cells are texts."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "matched.parquet"
        write_matches(match, decided, file)
        table = pq.read_table(file)
    return arrow_with(table.select(table.column_names[: -len(COLUMNS)]), _cells(match, decided))
