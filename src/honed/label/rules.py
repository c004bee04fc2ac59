"""Rules: plain functions from a record to a class or nothing, written by the user in ``rules.py``.

A rule sees one record and must always answer the same for it; it can change nothing. Any function named ``lf_...`` is
one, and any with the decorator::

    from honed import rule

    @rule("Sports")
    def names_a_league(row):
        return "premier league" in row.text.lower()
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import overload

from honed.core.errors import DataError

RuleFunction = Callable[["RuleRecord"], object]
"""Written by the user, so that it may return anything; a class, None, or a truth value for the test of one class."""
_MARK = "__honed_rule__"


class RowChangedError(Exception):
    """A rule tried to change its record."""


class RuleRecord:
    """A record as a rule sees it: ``id``, ``title``, ``text`` and every other column, all strings, all read-only."""

    __slots__ = ("_values",)
    _values: Mapping[str, str]

    def __init__(self, values: Mapping[str, str]) -> None:
        object.__setattr__(self, "_values", MappingProxyType(dict(values)))

    def __getattr__(self, name: str) -> str:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the record has no column {name}; it has {', '.join(self._values)}") from None

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __setattr__(self, name: str, value: object) -> None:
        raise RowChangedError(f"a record is read-only: the rule sets {name}")

    def __setitem__(self, name: str, value: object) -> None:
        raise RowChangedError(f"a record is read-only: the rule sets {name}")

    def __delattr__(self, name: str) -> None:
        raise RowChangedError(f"a record is read-only: the rule deletes {name}")

    def get(self, name: str, default: str = "") -> str:
        """Return the value of a column, or ``default`` where there is none."""
        return self._values.get(name, default)


@overload
def rule(label: RuleFunction) -> RuleFunction: ...
@overload
def rule(label: str) -> Callable[[RuleFunction], RuleFunction]: ...
def rule(label: str | RuleFunction) -> RuleFunction | Callable[[RuleFunction], RuleFunction]:
    """Mark a function as a rule: ``@rule`` for one that returns a class or None, ``@rule("Sports")`` for a test.

    With a class the function answers true or false; true is a vote for the class, false abstains.
    """
    if not isinstance(label, str):
        setattr(label, _MARK, "")
        return label

    def mark(function: RuleFunction) -> RuleFunction:
        setattr(function, _MARK, label)
        return function

    return mark


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of a file; ``label`` is the class that a test votes for, empty for a rule that returns the class."""

    name: str
    label: str
    function: RuleFunction


def load_rules(path: Path) -> list[Rule]:
    """Run a file of rules and return them in the order of the file; whatever it raises is raised."""
    module = ModuleType(f"honed_rules_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickles look for it there
    code = compile(path.read_text(encoding="utf-8-sig"), str(path), "exec")
    exec(code, module.__dict__)  # noqa: S102 - the user's own rules
    rules = []
    for name, value in vars(module).copy().items():
        if callable(value) and getattr(value, "__module__", "") == module.__name__:
            label = getattr(value, _MARK, None)
            if label is not None or name.startswith("lf_"):
                rules.append(Rule(name=name, label=label or "", function=value))
    return rules


def check_syntax(path: Path) -> None:
    """Raise `DataError` with file and line for rules that do not parse; nothing of them runs."""
    try:
        ast.parse(path.read_text(encoding="utf-8-sig"), filename=str(path))
    except FileNotFoundError:
        raise DataError("E_LF_FILE", f"label.rules: {path}: no such file") from None
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise DataError("E_LF_SYNTAX", f"{path.name}{line}: {message}") from None
