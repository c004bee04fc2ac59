"""The rows of one table, or of two, with what of them is compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import DataError
from honed.core.text import fold
from honed.data.table import Reject, TableFormat
from honed.match.table import opened, shown

Numbers: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class ComparedColumns:
    """Which columns are compared, each with its name in the other table: that of the ``name``, and the evidence."""

    name: str
    name_there: str
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class ComparedRows:
    """All rows, those of the second table after those of the first, in the columns of the first.

    ``cells`` are the rows as they stand; ``names`` and ``values`` what is compared, values of the columns ``evidence``.
    Rows that are equal in all that is compared are of one *form*: ``forms`` ``(n_rows,)`` numbers them, -1 for a row
    without a name, and ``firsts`` ``(n_tables, n_forms)`` is the first row of each form in each table, -1 for none.
    Memory: the table, as text.
    """

    columns: Sequence[str]
    evidence: Sequence[str]
    cells: list[tuple[str, ...]]
    names: list[str]
    values: list[tuple[str, ...]]
    forms: Numbers
    firsts: Numbers
    n_first: int
    rejected: list[Reject]

    @property
    def is_two(self) -> bool:
        """Whether there are two tables, so that pairs are of a row of each."""
        return len(self.firsts) == 2

    def __len__(self) -> int:
        return len(self.cells)

    def table_of(self, row: int) -> int:
        """Return 0 or 1: the table that a row is of."""
        return int(row >= self.n_first)

    def number(self, row: int) -> int:
        """Return the number of a row in its own table, from 1."""
        return row - self.n_first * self.table_of(row) + 1

    def row(self, number: int, table: int) -> int:
        """Return the row with a number in its table; `DataError` for one that is not there."""
        size = self.n_first if table == 0 else len(self) - self.n_first
        if not 1 <= number <= size:
            raise DataError("E_REVIEWS", f"there is no row {number}: the table has {size}")
        return number - 1 + table * self.n_first

    def of_forms(self) -> Numbers:
        """Return a row of each form ``(n_forms,)``, the first of all."""
        rows: Numbers = self.firsts[0]
        return np.where(rows >= 0, rows, self.firsts[1]) if self.is_two else rows


def read_rows(table: Path, columns: ComparedColumns, form: TableFormat, against: Path | None = None) -> ComparedRows:
    """Read a table, and the other one where it is compared with that.

    Raises `ConfigError` for a column that is not there, `DataError` for tables without a name.
    """
    own = opened(table, form)
    header = tuple(own.columns)
    cells, rejected = _cells(table, form, dict(zip(header, header, strict=True)), [columns.name, *columns.evidence])
    n_first = len(cells)
    if against is not None:
        there = {columns.name: columns.name_there, **columns.evidence}
        known = set(opened(against, form).columns)
        source = {name: there.get(name, name) for name in header if there.get(name, name) in known}
        more, bad = _cells(against, form, source, [columns.name_there, *columns.evidence.values()], header)
        cells, rejected = cells + more, rejected + bad
    at = [header.index(name) for name in (columns.name, *columns.evidence)]
    names = [" ".join(row[at[0]].split()) for row in cells]
    values = [tuple(row[place] for place in at[1:]) for row in cells]
    if not any(names):
        raise DataError("E_EMPTY", f"{table.name}: no row has anything in the column {columns.name!r}")
    forms, firsts = _forms(names, values, n_first, 1 if against is None else 2)
    return ComparedRows(
        columns=header,
        evidence=tuple(columns.evidence),
        cells=cells,
        names=names,
        values=values,
        forms=forms,
        firsts=firsts,
        n_first=n_first,
        rejected=rejected,
    )


def _cells(
    path: Path, form: TableFormat, source: Mapping[str, str], needed: Sequence[str], header: Sequence[str] = ()
) -> tuple[list[tuple[str, ...]], list[Reject]]:
    """Return the rows of a table in the columns ``header``, each from the column that ``source`` names, and rejects."""
    table = opened(path, form, needed)
    taken = [source.get(name) for name in header or source]
    cells: list[tuple[str, ...]] = []
    rejected = []
    for row in table.rows:
        if isinstance(row, Reject):
            rejected.append(row)
        else:
            cells.append(tuple("" if name is None else shown(row.values.get(name)) for name in taken))
    return cells, rejected


def _forms(
    names: Sequence[str], values: Sequence[tuple[str, ...]], n_first: int, n_tables: int
) -> tuple[Numbers, Numbers]:
    """Return the form of each row, and the first row of each form in each table."""
    known: dict[tuple[str, ...], int] = {}
    forms = np.full(len(names), -1, dtype=np.int64)
    for row, (name, value) in enumerate(zip(names, values, strict=True)):
        if name:
            forms[row] = known.setdefault((fold(name), *map(fold, value)), len(known))
    firsts = np.full((n_tables, len(known)), -1, dtype=np.int64)
    for row in range(len(names) - 1, -1, -1):
        if forms[row] >= 0:
            firsts[int(n_tables == 2 and row >= n_first), forms[row]] = row
    return forms, firsts
