"""A filter on the fields of entities (`honed.core.filters`) as a condition of PostgreSQL over a column of JSON."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from psycopg import sql

from honed.core.filters import Filter, Value

Condition: TypeAlias = Value | Sequence[Value] | Mapping[str, Value]
_OPERATORS = {"gte": sql.SQL(">="), "gt": sql.SQL(">"), "lte": sql.SQL("<="), "lt": sql.SQL("<")}
MOST_TEXTS = 1000
# what is a number as data write it, and a numeric of PostgreSQL without an error
_NUMBER = r"^[+-]?([0-9]{1,255}(\.[0-9]{0,255})?|\.[0-9]{1,255})([eE][+-]?[0-9]{1,2})?$"
_BLANKS = "".join(char for char in map(chr, range(0x3001)) if char.isspace())  # what Python takes off a number


def as_sql(where: Filter) -> sql.Composable:
    """Return the condition for a filter that was checked; values are literals, quoted by psycopg."""
    parts = [_passes(name, condition) for name, condition in where.items()]
    return sql.SQL(" AND ").join(parts) if parts else sql.SQL("TRUE")


def texts_without_a_number(name: str, view: sql.Composable) -> sql.Composed:
    """Return the query for the distinct texts of a field that are no numbers, as many as a message needs to count."""
    return sql.SQL("SELECT DISTINCT {0} FROM {1} WHERE {0} IS NOT NULL AND {2} IS NULL ORDER BY 1 LIMIT {3}").format(
        _text(name), view, _number(name), MOST_TEXTS
    )


def has_numbers(name: str, view: sql.Composable) -> sql.Composed:
    """Return the query for whether a field holds a number anywhere."""
    return sql.SQL("SELECT EXISTS (SELECT FROM {} WHERE {} IS NOT NULL)").format(view, _number(name))


def _passes(name: str, condition: Condition) -> sql.Composable:
    """Return the condition that a field is a value, one of several, or within a range."""
    if isinstance(condition, Mapping):
        parts = [_within(name, bound, value) for bound, value in condition.items()]
        return sql.SQL("({})").format(sql.SQL(" AND ").join(parts))
    wanted = condition if isinstance(condition, (list, tuple)) else (condition,)
    parts = [_equal(name, value) for value in wanted]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(parts)) if parts else sql.SQL("FALSE")


def _equal(name: str, value: Value) -> sql.Composable:
    if isinstance(value, bool):
        return sql.SQL("lower({}) = {}").format(_text(name), str(value).lower())
    if isinstance(value, str):
        return sql.SQL("{} = {}").format(_text(name), value)
    return sql.SQL("{} = {}::numeric").format(_number(name), str(value))


def _within(name: str, bound: str, value: Value) -> sql.Composable:
    if isinstance(value, str):  # by code points, as everywhere in honed
        return sql.SQL('{} COLLATE "C" {} {}').format(_text(name), _OPERATORS[bound], value)
    return sql.SQL("{} {} {}::numeric").format(_number(name), _OPERATORS[bound], str(float(value)))


def _text(name: str) -> sql.Composable:
    """Return the text of a field; an empty one is none."""
    return sql.SQL("NULLIF(fields->>{}, '')").format(name)


def _number(name: str) -> sql.Composable:
    """Return the number that a field holds, or is the text of; NULL for what is none."""
    text = sql.SQL("btrim(fields->>{}, {})").format(name, _BLANKS)
    return sql.SQL("(CASE WHEN {0} ~ {1} THEN ({0})::numeric END)").format(text, _NUMBER)
