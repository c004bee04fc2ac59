"""The table with its decisions, as CSV, XLSX or Parquet: every row in its order, as a stream."""

import json
from collections.abc import Sequence
from pathlib import Path

from honed.core.json import Json
from honed.core.writing import write_text
from honed.data.table import Reject, Row
from honed.match.answers import Found
from honed.match.decide import ACCEPT, NO_MATCH, REVIEW, Decided
from honed.match.run import TableMatch
from honed.match.table import opened, shown
from honed.match.writers import free_names, written_table

COLUMNS = ("match_id", "match_name", "match_chance", "match_decision", "match_by", "match_candidates")
_ORDER = (REVIEW, NO_MATCH, ACCEPT)  # of a row of several names, what the first of these says


def write_matches(match: TableMatch, decided: Decided, path: Path, *, exact: bool = False) -> int:
    """Write the table with its decisions to a file, whole or not at all; returns the number of rows.

    Its ending says how: .csv, .tsv, .jsonl, .xlsx or .parquet. A row of several names has the ids of all that are
    accepted, with the separator between them, and the most careful of their decisions. In .csv and .tsv no cell is a
    formula unless they shall be ``exact``. Rows that could not be read are
    in ``rejected.jsonl`` of the match's folder. Raises `ConfigError` for another ending.
    """
    table = opened(match.table, match.form)
    header = [*table.columns, *free_names(COLUMNS, table.columns)]
    count = 0
    with written_table(path, header, exact=exact) as write:
        rows = (row for row in table.rows if isinstance(row, Row))
        for number, row in enumerate(rows):
            write([*(shown(row.values.get(name)) for name in table.columns), *decided_cells(match, decided, number)])
            count += 1
    write_rejected(match.entries.rejected, match.folder / "rejected.jsonl")
    return count


def decided_cells(match: TableMatch, decided: Decided, row: int) -> list[str]:
    """Return what is decided of a row, in the order of `COLUMNS`; empty for a row without a name."""
    numbers = match.entries.of_row(row).tolist()
    if not numbers:
        return ["", "", "", NO_MATCH, "", ""]
    decisions = [decided.decision(at) for at in numbers]
    decision = next(one for one in _ORDER if one in decisions)
    if decision == NO_MATCH and ACCEPT in decisions:
        decision = ACCEPT  # one name of several has no counterpart
    given = [one for at in numbers if decided.decision(at) != NO_MATCH and (one := decided.chosen[at]) is not None]
    between = match.columns.separator or "; "
    by = {("person" if decided.by_people[at] else "model") for at in numbers}
    return [
        between.join(one.id for one in given),
        between.join(one.name for one in given),
        f"{min((one.chance for one in given), default=0.0):.4f}" if given else "",
        decision,
        " and ".join(sorted(by)),
        json.dumps([_listed(decided.found[at]) for at in numbers], ensure_ascii=False) if decision == REVIEW else "",
    ]


def _listed(found: Found) -> list[Json]:
    return [{"id": one.id, "name": one.name, "chance": one.chance} for one in found.candidates]


def write_rejected(rejected: Sequence[Reject], path: Path) -> None:
    """Write the rows that could not be read, with their reasons; nothing where there are none."""
    if not rejected:
        return
    lines = [
        json.dumps({"where": row.where, "code": row.code, "reason": row.reason, "text": row.text}, ensure_ascii=False)
        for row in rejected
    ]
    write_text(path, "\n".join(lines) + "\n")
