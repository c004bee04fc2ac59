"""Filters on metadata: a value, a set of values, or a range for each field; a document must pass all of them.

A filter is plain data: ``{"country": "MX", "type": ["school", "college"], "founded": {"gte": 1900, "lt": 2000}}``. A
number is compared as a number also where the data hold it as text; texts are compared as they are, so that dates in ISO
form have ranges. A document without a field passes no condition on it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from honed.core.errors import ConfigError, did_you_mean
from honed.core.protocols import Mask

Filter = Mapping[str, Any]
Value = str | float | int | bool
_BOUNDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gte": lambda value, bound: value >= bound,
    "gt": lambda value, bound: value > bound,
    "lte": lambda value, bound: value <= bound,
    "lt": lambda value, bound: value < bound,
}
_SIGNS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}
_WHERE = re.compile(r"(?P<field>[^<>=]+)(?P<sign>>=|<=|=|>|<)(?P<value>.*)", re.DOTALL)
MAX_CONDITIONS, MAX_VALUES = 64, 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One field of all documents: distinct ``values``, and for each document the number of its own, -1 for none."""

    values: Sequence[Value]
    codes: Any

    @classmethod
    def of(cls, values: Iterable[Value | None]) -> "Column":
        """Number the distinct values of documents in their order; None and an empty text are none."""
        numbers: dict[Any, int] = {}
        distinct: list[Value] = []
        codes = []
        for value in values:
            if value is None or value == "":
                codes.append(-1)
                continue
            key = (type(value), value)
            if key not in numbers:
                numbers[key] = len(distinct)
                distinct.append(value)
            codes.append(numbers[key])
        return cls(values=distinct, codes=np.array(codes, dtype=np.int32))

    def mask(self, condition: Any) -> Mask:
        """Return which documents ``(n,)`` pass a condition."""
        passes = np.array([*(_passes(value, condition) for value in self.values), False], dtype=np.bool_)
        found: Mask = passes[self.codes]  # -1 is the last, which is False
        return found


def allowed_rows(where: Filter, columns: Mapping[str, Column], n: int) -> Mask:
    """Return which of ``n`` documents pass all conditions; `ConfigError` for a field that no document has."""
    check_filter(where)
    found = np.ones(n, dtype=np.bool_)
    for name, condition in where.items():
        if name not in columns:
            known = ", ".join(sorted(columns)) or "none"
            raise ConfigError("E_FILTER", f"filter: no field {name!r}{did_you_mean(name, columns)} (fields: {known})")
        found &= columns[name].mask(condition)
    return found


def check_filter(where: Any) -> None:
    """Raise `ConfigError` for what is no filter; it says what is allowed."""
    if not isinstance(where, Mapping) or len(where) > MAX_CONDITIONS:
        raise ConfigError("E_FILTER", f"filter: expected a table of up to {MAX_CONDITIONS} fields and conditions")
    for name, condition in where.items():
        if isinstance(condition, Mapping):
            sound = bool(condition) and set(condition) <= set(_BOUNDS) and all(map(_is_value, condition.values()))
        elif isinstance(condition, (list, tuple)):
            sound = len(condition) <= MAX_VALUES and all(map(_is_value, condition))
        else:
            sound = _is_value(condition)
        if not sound:
            raise ConfigError(
                "E_FILTER",
                f"filter.{name}: allowed are a value, a list of up to {MAX_VALUES} values, or a range with "
                f"{', '.join(_BOUNDS)}",
            )


def parse_where(expressions: Sequence[str]) -> dict[str, Any]:
    """Read ``field=value``, ``field=one|two``, ``field>=3``, ``field<5`` as a filter; see the module.

    A value in a range that looks like a number is one; one after ``=`` is compared as text and as a number.
    """
    found: dict[str, Any] = {}
    for expression in expressions:
        match = _WHERE.fullmatch(expression)
        if match is None or not match["field"].strip() or not match["value"].strip():
            raise ConfigError(
                "E_FILTER", f"--where {expression!r}: write field=value, field=one|two, field>=3 or field<5"
            )
        name, sign, value = match["field"].strip(), match["sign"], match["value"].strip()
        if sign == "=":
            values = [each.strip() for each in value.split("|")]
            condition: Any = values if len(values) > 1 else value
            if name in found:
                raise ConfigError("E_FILTER", f"--where {expression!r}: {name} has a condition; for a set write a|b")
            found[name] = condition
            continue
        number = _number(value)
        bounds = found.setdefault(name, {})
        if not isinstance(bounds, dict) or _SIGNS[sign] in bounds:
            raise ConfigError("E_FILTER", f"--where {expression!r}: {name} has such a condition")
        bounds[_SIGNS[sign]] = value if number is None else number
    return found


def _passes(value: Value, condition: Any) -> bool:
    if isinstance(condition, Mapping):
        return all(_within(value, name, bound) for name, bound in condition.items())
    if isinstance(condition, (list, tuple)):
        return any(_equal(value, each) for each in condition)
    return _equal(value, condition)


def _within(value: Value, name: str, bound: Any) -> bool:
    if isinstance(bound, str):
        return _BOUNDS[name](str(value), bound)
    number = _number(value)
    return number is not None and _BOUNDS[name](number, bound)


def _equal(value: Value, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return str(value).lower() == str(wanted).lower()
    if isinstance(value, str) and isinstance(wanted, str):
        return value == wanted
    left, right = _number(value), _number(wanted)
    return left is not None and left == right


def _number(value: Any) -> float | None:
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if np.isfinite(found) else None


def _is_value(value: Any) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and bool(np.isfinite(value)))
