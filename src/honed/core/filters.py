"""Filters on metadata: a value, a set of values, or a range for each field; a document must pass all of them.

A filter is plain data: ``{"country": "MX", "type": ["school", "college"], "founded": {"gte": 1900, "lt": 2000}}``. A
number is compared as a number also where the data hold it as text; texts are compared as they are, so that dates in ISO
form have ranges. A document without a field passes no condition on it.
"""

import json
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from honed.core.errors import ConfigError, did_you_mean
from honed.core.protocols import Mask

Filter = Mapping[str, Any]
Value = str | float | int | bool
_BOUNDS = ("gte", "gt", "lte", "lt")
_SIGNS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}
_WHERE = re.compile(r"(?P<field>[^<>=]+)(?P<sign>>=|<=|=|>|<)(?P<value>.*)", re.DOTALL)
_DECIMAL_COMMA = re.compile(r"[-+]?\d[\d. '’]*,\d+\W*")
MAX_CONDITIONS, MAX_VALUES = 64, 10_000


class Column:
    """One field of all documents: distinct ``values``, and for each document the number of its own, -1 for none.

    What conditions need of the values is found out once; a condition then costs what it lists, not what there is.
    """

    def __init__(self, *, values: Sequence[Value], codes: Any) -> None:
        self.values, self.codes = values, codes

    @classmethod
    def of(cls, values: Iterable[Any]) -> "Column":
        """Number the distinct values of documents in their order; None, an empty text and what is no value are none."""
        numbers: dict[Any, int] = {}
        codes = [number_of(value, numbers) for value in values]
        return cls(values=[value for _, value in numbers], codes=np.array(codes, dtype=np.int32))

    @cached_property
    def _by_text(self) -> dict[str, int]:
        return {value: code for code, value in enumerate(self.values) if isinstance(value, str)}

    @cached_property
    def _by_flag(self) -> dict[str, list[int]]:
        codes: dict[str, list[int]] = {"true": [], "false": []}
        for code, value in enumerate(self.values):
            if isinstance(value, (str, bool)) and (shown := str(value).lower()) in codes:
                codes[shown].append(code)
        return codes

    @cached_property
    def _numbers(self) -> Any:
        return np.array([_number(value, math.nan) for value in self.values], dtype=np.float64)

    @cached_property
    def _by_number(self) -> dict[float, list[int]]:
        codes: dict[float, list[int]] = {}
        for code, number in enumerate(self._numbers.tolist()):
            if not math.isnan(number):
                codes.setdefault(number, []).append(code)
        return codes

    @cached_property
    def _in_order(self) -> tuple[list[str], Any]:
        """The values as texts in their order, and their codes."""
        shown = [str(value) for value in self.values]
        order = sorted(range(len(shown)), key=shown.__getitem__)
        return [shown[code] for code in order], np.array(order, dtype=np.int64)

    @cached_property
    def odd_numbers(self) -> list[str]:
        """The texts that a range of numbers cannot place: all that hold digits and are no numbers, such as "29,90"."""
        texts = [value for value in self.values if isinstance(value, str) and math.isnan(_number(value, math.nan))]
        odd = [text for text in texts if any(map(str.isdigit, text))]
        return odd or (texts if len(texts) == len(self.values) else [])

    def mask(self, condition: Any) -> Mask:
        """Return which documents ``(n,)`` pass a condition."""
        if isinstance(condition, Mapping):
            passes = np.ones(len(self.values) + 1, dtype=np.bool_)
            for name, bound in condition.items():
                passes[:-1] &= self._within(name, bound)
            passes[-1] = False  # -1, no value, is the last
        else:
            passes = np.zeros(len(self.values) + 1, dtype=np.bool_)
            for wanted in condition if isinstance(condition, (list, tuple)) else (condition,):
                passes[self._equal(wanted)] = True
        mask: Mask = passes[self.codes]
        return mask

    def _equal(self, wanted: Value) -> list[int]:
        """Return the codes of the values that equal one."""
        if isinstance(wanted, bool):
            return self._by_flag[str(wanted).lower()]
        if not isinstance(wanted, str):
            return [code for code in self._by_number.get(float(wanted), []) if not isinstance(self.values[code], bool)]
        codes = [self._by_text[wanted]] if wanted in self._by_text else []
        if wanted.lower() in self._by_flag:
            codes += [code for code in self._by_flag[wanted.lower()] if isinstance(self.values[code], bool)]
        number = _number(wanted, math.nan)
        equal_numbers = self._by_number.get(number, []) if not math.isnan(number) else []
        return codes + [code for code in equal_numbers if not isinstance(self.values[code], (str, bool))]

    def _within(self, name: str, bound: Value) -> Any:
        """Return which values pass one bound of a range."""
        if isinstance(bound, str):
            texts, order = self._in_order
            at = (bisect_left if name in ("gte", "lt") else bisect_right)(texts, bound)
            passes = np.zeros(len(texts), dtype=np.bool_)
            passes[order[at:] if name in ("gte", "gt") else order[:at]] = True
            return passes
        compare = {"gte": np.greater_equal, "gt": np.greater, "lte": np.less_equal, "lt": np.less}[name]
        return compare(self._numbers, float(bound))  # what is no number passes none


def number_of(value: Any, numbers: dict[Any, int]) -> int:
    """Return the number of a value among those that were seen, a new one for a new value; -1 for none."""
    if value is None or value == "" or not isinstance(value, (str, bool, int, float)):
        return -1
    return numbers.setdefault((type(value).__name__, value), len(numbers))


def allowed_rows(where: Filter, columns: Mapping[str, Column], n: int) -> Mask:
    """Return which of ``n`` documents pass all conditions; `ConfigError` for a field that no document has."""
    check_fields(where, columns)
    allowed = np.ones(n, dtype=np.bool_)
    for name, condition in where.items():
        _check_numbers(name, condition, columns[name])
        allowed &= columns[name].mask(condition)
    return allowed


def _check_numbers(name: str, condition: Any, column: Column) -> None:
    """Raise `ConfigError` for a range of numbers over a field whose texts are none: they would be left out unsaid."""
    numeric = isinstance(condition, Mapping) and any(not isinstance(bound, str) for bound in condition.values())
    if numeric and column.odd_numbers:
        odd = column.odd_numbers
        comma = any(_DECIMAL_COMMA.fullmatch(text.strip()) for text in odd)
        setting = f'; for decimal commas set  [data.decimal]  {json.dumps(name)} = ","  (stores: --decimal-comma)'
        raise ConfigError(
            "E_FILTER",
            f"filter: the field {name} holds values that are no numbers ({len(odd)}, such as {odd[0][:40]!r}), so that "
            f"it has no range of numbers{setting if comma else ''}",
        )


def check_fields(where: Filter, known: Iterable[str]) -> None:
    """Raise `ConfigError` for an invalid filter, and for a field that is not ``known``."""
    check_filter(where)
    names = sorted(known)
    for name in where:
        if name not in names:
            shown = ", ".join(names) or "none"
            raise ConfigError(
                "E_FILTER", f"filter: no field {name[:50]!a}{did_you_mean(name[:50], names)} (fields: {shown})"
            )


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
                f"filter.{str(name)[:50]!a}: allowed are a value, a list of up to {MAX_VALUES} values, or a range with "
                f"{', '.join(_BOUNDS)}",
            )


def parse_where(expressions: Sequence[str]) -> dict[str, Any]:
    """Read ``field=value``, ``field=one|two``, ``field>=3``, ``field<5`` as a filter; see the module.

    A value that looks like a number is one in a range, and stands for the text and the number after ``=``.
    """
    conditions: dict[str, Any] = {}
    for expression in expressions:
        match = _WHERE.fullmatch(expression)
        if match is None or not match["field"].strip() or not match["value"].strip():
            raise ConfigError(
                "E_FILTER", f"--where {expression!r}: write field=value, field=one|two, field>=3 or field<5"
            )
        name, sign, value = match["field"].strip(), match["sign"], match["value"].strip()
        if sign == "=":
            if name in conditions:
                raise ConfigError("E_FILTER", f"--where {expression!r}: {name} has a condition; for a set write a|b")
            values: list[Value] = []
            for choice in value.split("|"):
                number = _number(choice, math.nan)
                values += [choice.strip()] if math.isnan(number) else [choice.strip(), number]
            conditions[name] = values if len(values) > 1 else values[0]
            continue
        number = _number(value, math.nan)
        if _DECIMAL_COMMA.fullmatch(value):
            raise ConfigError("E_FILTER", f"--where {expression!r}: write {value} with a decimal point")
        bounds = conditions.setdefault(name, {})
        if not isinstance(bounds, dict) or _SIGNS[sign] in bounds:
            raise ConfigError("E_FILTER", f"--where {expression!r}: {name} has such a condition")
        bounds[_SIGNS[sign]] = value if math.isnan(number) else number
    return conditions


def _number(value: Any, otherwise: float) -> float:
    """Return a finite number that a value is, or is the text of."""
    if isinstance(value, bool):
        return otherwise
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return otherwise
    return number if math.isfinite(number) else otherwise


def _is_value(value: Any) -> bool:
    return isinstance(value, (str, bool)) or (
        isinstance(value, (int, float)) and not math.isnan(_number(value, math.nan))
    )
