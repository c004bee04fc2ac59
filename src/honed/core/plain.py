"""Reading plain data: values of a JSON file as the types that they must have; anything else is a `TypeError`.

``name`` is how messages name the value.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from honed.core.json import Json, JsonObject


def as_object(value: Json, name: str = "value") -> JsonObject:
    """Return an object of JSON, a mapping of names to values."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected an object, got {_shown(value)}")
    return value


def as_list(value: Json, name: str = "value") -> Sequence[Json]:
    """Return a list of JSON."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name}: expected a list, got {_shown(value)}")
    return value


def as_text(value: Json, name: str = "value") -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise TypeError(f"{name}: expected a text, got {_shown(value)}")
    return value


def as_texts(value: Json, name: str = "value") -> list[str]:
    """Return a list of texts."""
    return [as_text(item, name) for item in as_list(value, name)]


def as_integer(value: Json, name: str = "value") -> int:
    """Return an integer; a truth value is none."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: expected an integer, got {_shown(value)}")
    return value


def as_number(value: Json, name: str = "value") -> float:
    """Return a number, which may be infinite or NaN; a truth value is none."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name}: expected a number, got {_shown(value)}")
    return float(value)


def as_floats(value: Json) -> npt.NDArray[np.float64]:
    """Return nested lists of numbers as an array; also a `ValueError` where the lists are not of one length."""
    return np.array(as_list(value), dtype=np.float64)


def _shown(value: Json) -> str:
    return f"{type(value).__name__} {value!r:.80}"
