"""A table that Python holds, and its duplicates: the same table with clusters, their records, and what is promised."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from honed.api import frames
from honed.api.added import Column, arrow_with, with_columns
from honed.api.frames import Data
from honed.core.json import JsonObject
from honed.core.protocols import Encoder
from honed.core.sections import check_options
from honed.data.table import TableFormat
from honed.match.dedupe import Deduped, DedupeOptions, TableDedupe
from honed.match.dedupe_files import DedupeFiles, read_reviews, summary, summary_lines, write_all
from honed.match.promise import TablePromise
from honed.match.rows import ComparedColumns, ComparedRows, read_rows

_TYPES = {"cluster": pa.int64(), "cluster_size": pa.int64(), "other_row": pa.int64(), "chance": pa.float64()}


@dataclass(frozen=True, kw_only=True)
class DedupedTable:
    """A table with the cluster of each row, and what was found.

    ``table`` is of the kind that was given (of a file an Arrow table, of a list a list of rows), with the columns
    cluster and cluster_size; where it was compared with another table also other_row, other_name and chance. ``pairs``,
    ``records`` and ``review`` are the other tables that ``honed dedupe`` writes, as Arrow tables of texts. ``summary``
    has the numbers, ``promise`` tells how many of the merged pairs are wrong at most and on what that rests.
    """

    table: Any
    pairs: pa.Table
    records: pa.Table
    review: pa.Table
    summary: JsonObject
    promise: TablePromise
    run: TableDedupe
    decided: Deduped
    said: Mapping[tuple[int, int], bool]

    def __str__(self) -> str:
        return "\n".join(summary_lines(self.summary, self.run, self.decided))

    def write(self, path: str | Path) -> DedupeFiles:
        """Write the rows with their clusters, and beside them pairs, records and what to review; returns the places."""
        files = DedupeFiles(Path(path))
        write_all(self.run, self.decided, self.said, files)
        return files


def dedupe_table(
    data: Data,
    *,
    column: str = "name",
    evidence: Mapping[str, str] | Sequence[str] = (),
    against: Data | None = None,
    against_column: str = "",
    encoder: Encoder | None = None,
    max_error: float = 0.01,
    confidence: float = 0.9,
    reviews: Data | None = None,
) -> DedupedTable:
    """Find the rows of a table that mean the same, or those of two tables.

    Args:
        data: A data frame (pandas, polars, pyarrow or anything else with the Arrow or the interchange protocol), rows
            (mappings, or tuples of the name and its evidence), columns by name, or the path of a table.
        column: The column of the names.
        evidence: Columns that are compared too: a list, or a mapping to their names in the other table.
        against: Another table, of which each row has at most one counterpart.
        against_column: What the column of the names is called there; by default the same.
        encoder: A model that compares names too.
        max_error: Of the merged pairs at most this share is wrong.
        confidence: How sure the promise is.
        reviews: What people said: rows of left, right (numbers of rows, from 1) and same (yes or no), or a path.

    Returns:
        The table with its clusters, their records, the pairs, and what should be reviewed.

    Raises:
        honed.core.errors.ConfigError: For a column that is not there, and a share out of its limits.
        honed.core.errors.DataError: For data that is no table, and reviews of rows that are not there.
    """
    data = list(data) if isinstance(data, Iterator) else data
    options = DedupeOptions(max_error=max_error, confidence=confidence)
    check_options(options)
    kinds = frames.pairs_of_columns(evidence)
    columns = ComparedColumns(name=column, name_there=against_column or column, evidence=kinds)
    with TemporaryDirectory() as folder:
        table = _file(data, Path(folder) / "table.parquet", [column, *kinds])
        there = [columns.name_there, *kinds.values()]
        other = None if against is None else _file(against, Path(folder) / "other.parquet", there)
        rows = read_rows(table, columns, TableFormat(), other)
        said = {} if reviews is None else _said(reviews, Path(folder), rows, column)
    run = TableDedupe(rows, encoder)
    return _deduped(data, run, run.decided(options, said), said)


def _file(data: Data, place: Path, names: Sequence[str]) -> Path:
    """Return the path of a table, which is written where data is none."""
    return Path(data) if isinstance(data, str | Path) else frames.write_parquet(data, place, names)


def _said(reviews: Data, folder: Path, rows: ComparedRows, column: str) -> dict[tuple[int, int], bool]:
    return read_reviews([_file(reviews, folder / "reviews.parquet", ["left", "right", "same"])], rows, column)


def _deduped(data: Data, run: TableDedupe, decided: Deduped, said: Mapping[tuple[int, int], bool]) -> DedupedTable:
    names = run.rows.columns
    with TemporaryDirectory() as folder:
        files = DedupeFiles(Path(folder) / "rows.parquet")
        write_all(run, decided, said, files)
        rows, pairs, records, review = map(pq.read_table, (files.rows, files.pairs, files.records, files.review))
    own, cells = rows.select(range(len(names))), rows.select(range(len(names), rows.num_columns))
    titles = ["cluster", "cluster_size", *(["other_row", "other_name", "chance"] if run.rows.is_two else [])]
    added = {title: _typed(title, values) for title, values in zip(titles, cells.columns, strict=True)}
    is_file = isinstance(data, str | Path)
    return DedupedTable(
        table=arrow_with(own, added)
        if is_file
        else with_columns(data, [run.rows.columns[0], *run.rows.evidence], added),
        pairs=pairs,
        records=records,
        review=review,
        summary=summary(run, decided, said),
        promise=decided.promise,
        run=run,
        decided=decided,
        said=said,
    )


def _typed(title: str, texts: pa.ChunkedArray) -> Column:
    """Return a column of texts as what it holds; "" is nothing."""
    kind = _TYPES.get(title, pa.string())
    return Column(pc.if_else(pc.equal(texts, ""), None, texts).cast(kind).to_pylist(), kind)
