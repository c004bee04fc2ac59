"""The files of a table without its duplicates: rows with their groups, pairs, proposed records, and what to review."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from honed.core.errors import DataError
from honed.core.json import Json, JsonObject
from honed.data.table import Reject, TableFormat
from honed.match.dedupe import Deduped, Said, TableDedupe
from honed.match.merge import proposed
from honed.match.output import write_rejected
from honed.match.rows import ComparedRows
from honed.match.table import opened, shown
from honed.match.writers import as_it_was, checked_ending, free_names, written_table

_LEAST_LISTED = 0.05  # the chance of a pair that is listed though it is not merged
_YES, _NO = frozenset({"1", "yes", "y", "true", "same"}), frozenset({"0", "no", "n", "false", "different"})


@dataclass(frozen=True, slots=True)
class DedupeFiles:
    """Where results go, beside each other: ``rows``, and the others named after it.

    ``exact``: in .csv and .tsv cells are as they are, also those that a spreadsheet takes for formulas.
    """

    rows: Path
    exact: bool = False

    @property
    def pairs(self) -> Path:
        """The pairs that were merged, or nearly."""
        return self._named("pairs")

    @property
    def records(self) -> Path:
        """A proposed record for each group."""
        return self._named("records")

    @property
    def review(self) -> Path:
        """The pairs that should be reviewed, the most useful first."""
        return self._named("review")

    @property
    def rejected(self) -> Path:
        """The rows that could not be read."""
        return self.rows.with_name(f"{self.rows.stem}.rejected.jsonl")

    def _named(self, what: str) -> Path:
        return self.rows.with_name(f"{self.rows.stem}.{what}{self.rows.suffix}")


def write_all(run: TableDedupe, done: Deduped, said: Said, files: DedupeFiles) -> None:
    """Write all files, each whole or not at all, the rows last; `ConfigError` for an ending that cannot be written."""
    checked_ending(files.rows)
    _write_pairs(run, done, said, files)
    _write_records(run.rows, done, files)
    _write_review(run, done, files)
    write_rejected(run.rows.rejected, files.rejected)
    _write_rows(run, done, files)


def _write_rows(run: TableDedupe, done: Deduped, files: DedupeFiles) -> None:
    """Write the first table with the group of each row, and its counterpart where there is another table."""
    rows, sizes = run.rows, done.sizes
    added = ["cluster", "cluster_size", *(["other_row", "other_name", "chance"] if rows.is_two else [])]
    other = _counterparts(run, done) if rows.is_two else {}
    with written_table(files.rows, [*rows.columns, *free_names(added, rows.columns)], exact=files.exact) as write:
        for row in range(rows.n_first):
            group = int(done.groups[row])
            cells = [str(group + 1), str(sizes[group])]
            if rows.is_two:
                cells += other.get(row, ["", "", ""])
            write([*rows.cells[row], *cells])


def _counterparts(run: TableDedupe, done: Deduped) -> dict[int, list[str]]:
    """Return for rows of the first table the number, the name and the chance of the row of the other one."""
    rows = run.rows
    chances = {tuple(pair): value for pair, value in zip(run.pairs.tolist(), done.values.tolist(), strict=True)}
    other = {}
    for members in _groups(done):
        if len(members) == 2:
            one, two = members
            other[one] = [str(rows.number(two)), rows.names[two], f"{chances.get((one, two), 1.0):.4f}"]
    return other


def _groups(done: Deduped) -> Iterator[list[int]]:
    """Yield the rows of each group, in the order of groups."""
    order = np.argsort(done.groups, kind="stable")
    ends = np.cumsum(done.sizes)
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        yield order[start:end].tolist()


def _write_pairs(run: TableDedupe, done: Deduped, said: Said, files: DedupeFiles) -> None:
    """Write pairs that are merged, that people spoke of, or whose chance is not small; the likeliest first."""
    rows, chances = run.rows, run.chances
    merged = done.groups[run.pairs[:, 0]] == done.groups[run.pairs[:, 1]]
    evidence = [f"{side}: {name}" for name in rows.evidence for side in ("left", "right")]
    header = ["left", "right", "left_name", "right_name", "chance", "merged", "by", *evidence]
    with written_table(files.pairs, header, exact=files.exact) as write:
        for at in np.argsort(-run.log_odds, kind="stable").tolist():
            one, two = (int(row) for row in run.pairs[at])
            word = said.get((one, two))
            if not merged[at] and chances[at] < _LEAST_LISTED and word is None:
                continue
            sides = chain.from_iterable(zip(rows.values[one], rows.values[two], strict=True))
            numbers = [str(rows.number(one)), str(rows.number(two))]
            by = "model" if word is None else "person"
            names = [rows.names[one], rows.names[two]]
            write([*numbers, *names, f"{chances[at]:.4f}", "yes" if merged[at] else "no", by, *sides])


def _write_records(rows: ComparedRows, done: Deduped, files: DedupeFiles) -> None:
    """Write the proposed record of each group, with its rows, and the row that each value is from."""
    added = ["cluster", "cluster_size", "rows", *(f"{name}_row" for name in rows.columns)]
    with written_table(files.records, [*rows.columns, *free_names(added, rows.columns)], exact=files.exact) as write:
        for group, members in enumerate(_groups(done)):
            record = proposed([rows.cells[row] for row in members])
            sources = ["" if at < 0 else _shown_row(rows, members[at]) for at in record.sources]
            listed = "; ".join(_shown_row(rows, row) for row in members)
            write([*record.cells, str(group + 1), str(len(members)), listed, *sources])


def _shown_row(rows: ComparedRows, row: int) -> str:
    """Return the number of a row; of two tables, with the table: "2:17"."""
    return f"{rows.table_of(row) + 1}:{rows.number(row)}" if rows.is_two else str(rows.number(row))


def _write_review(run: TableDedupe, done: Deduped, files: DedupeFiles) -> None:
    """Write the pairs to review, both records side by side, with an empty column ``same`` to be filled in."""
    rows = run.rows
    sides = [f"{side}: {name}" for name in rows.columns for side in ("left", "right")]
    with written_table(files.review, ["left", "right", "same", "chance", "drawn", *sides], exact=files.exact) as write:
        for at in done.queue:
            one, two = (int(row) for row in run.pairs[at])
            cells = chain.from_iterable(zip(rows.cells[one], rows.cells[two], strict=True))
            why = "random" if at in done.audit else "worth"
            write([str(rows.number(one)), str(rows.number(two)), "", f"{run.chances[at]:.4f}", why, *cells])


def read_reviews(paths: Sequence[Path], rows: ComparedRows, column: str) -> dict[tuple[int, int], bool]:
    """Read what people said: columns left and right (numbers of rows), and same (yes or no; empty for nothing said).

    The last word on a pair counts. Raises `DataError` for what is none, and for a file that was written of another
    table: one that holds names which are not those of its rows.
    """
    said = {}
    for path in paths:
        for row in opened(path, TableFormat()).rows:
            if isinstance(row, Reject):
                raise DataError("E_REVIEWS", str(row))
            values = {name: as_it_was(shown(value)) for name, value in row.values.items()}
            word = values.get("same", "").casefold()
            if word and word not in _YES | _NO:
                raise DataError("E_REVIEWS", f"{path.name}, {row.where}: same is {word[:40]!r}; write yes or no")
            if word:
                pair = _pair(values, rows, column, f"{path.name}, {row.where}")
                said[pair] = word in _YES
    return said


def _pair(values: dict[str, str], rows: ComparedRows, column: str, where: str) -> tuple[int, int]:
    found = []
    for table, side in enumerate(("left", "right")):
        number = values.get(side, "")
        if not number.isdecimal():
            raise DataError("E_REVIEWS", f"{where}: {side} is {number[:40]!r}, not the number of a row")
        at = rows.row(int(number), table if rows.is_two else 0)
        name = values.get(f"{side}: {column}")
        if name is not None and " ".join(name.split()) != rows.names[at]:
            raise DataError("E_REVIEWS", f"{where}: row {number} is {rows.names[at]!r}, not {name!r}: another table?")
        found.append(at)
    one, two = sorted(found)
    if one == two:
        raise DataError("E_REVIEWS", f"{where}: a row is compared with itself")
    return one, two


def summary(run: TableDedupe, done: Deduped, said: Said) -> JsonObject:
    """Return the numbers of rows, groups and pairs, and the promise."""
    merged = done.groups[run.pairs[:, 0]] == done.groups[run.pairs[:, 1]]
    counts: dict[str, Json] = {
        "rows": run.rows.n_first,
        "rows_of_other": len(run.rows) - run.rows.n_first,
        "rejected": len(run.rows.rejected),
        "compared": len(run.pairs),
        "clusters": len(done.sizes),
        "clusters_of_several": int((done.sizes > 1).sum()),
        "merged_pairs": int(merged.sum()),
        "to_review": len(done.queue),
        "said": len(said),
        "proved": done.promise.source == "this table",
        "promise": done.promise.as_dict(),
    }
    return counts


def summary_lines(facts: JsonObject, run: TableDedupe, done: Deduped) -> list[str]:
    """Return a summary for people."""
    if run.rows.is_two:
        first = (
            f"{facts['clusters_of_several']:,} of {facts['rows']:,} rows have a counterpart among "
            f"{facts['rows_of_other']:,}; {facts['compared']:,} pairs compared"
        )
    else:
        first = (
            f"{facts['rows']:,} rows, {facts['clusters']:,} after merging: {facts['clusters_of_several']:,} clusters "
            f"of several rows; {facts['compared']:,} pairs compared, {facts['merged_pairs']:,} merged"
        )
    lines = [first, done.sentence()]
    if done.queue:
        lines.append(f"{len(done.queue):,} pairs to review in this order, {len(done.audit)} of them drawn at random")
    if facts["rejected"]:
        lines.append(f"{facts['rejected']} rows could not be read")
    return lines
