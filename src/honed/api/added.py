"""Columns that are added to a table of any kind, which stays of its kind."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from honed.api import frames
from honed.match.writers import free_names


class Column(NamedTuple):
    """The values of a column, None for nothing, and what they are in an Arrow table."""

    values: list[object]
    type: pa.DataType


Columns: TypeAlias = Mapping[str, Column]  # by name


def with_columns(data: Any, names: Sequence[str], added: Columns) -> Any:
    """Return data with columns added under names that are free, as the kind of table that it is.

    ``names`` are those of the values of rows that are tuples.
    """
    library = type(data).__module__.partition(".")[0]
    if isinstance(data, Mapping):
        return {**data, **_renamed(added, data)}
    if library == "pandas":
        return data.assign(**_renamed(added, data.columns))
    if library == "polars":
        return data.hstack(type(data)(_renamed(added, data.columns)))
    if isinstance(data, Iterable) and not hasattr(data, "__arrow_c_stream__") and not hasattr(data, "__dataframe__"):
        return _rows_with(list(data), names, added)
    return arrow_with(frames.table_of(data, ()), added)


def arrow_with(table: pa.Table, added: Columns) -> pa.Table:
    """Return an Arrow table with columns added under names that are free."""
    for name, column in zip(free_names(list(added), table.column_names), added.values(), strict=True):
        table = table.append_column(name, pa.array(column.values, column.type))
    return table


def _renamed(added: Columns, taken: Iterable[object]) -> dict[str, list[object]]:
    values = [column.values for column in added.values()]
    return dict(zip(free_names(list(added), taken), values, strict=True))


def _rows_with(rows: Sequence[object], names: Sequence[str], added: Columns) -> list[dict[str, object]]:
    """Return rows as mappings with columns added; tuples and single names get the ``names`` of their values."""
    mappings = [dict(row) if isinstance(row, Mapping) else dict(zip(names, _values(row), strict=False)) for row in rows]
    renamed = _renamed(added, dict.fromkeys(name for row in mappings for name in row))
    return [{**row, **{name: values[at] for name, values in renamed.items()}} for at, row in enumerate(mappings)]


def _values(row: object) -> Iterable[object]:
    return (row,) if isinstance(row, str) or not isinstance(row, Iterable) else row
