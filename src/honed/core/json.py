"""Plain data, as JSON holds it."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    Json: TypeAlias = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
else:
    Json = Any  # what is decoded is checked by nothing more than its syntax
JsonObject: TypeAlias = Mapping[str, Json]


def parse(text: str | bytes) -> Json:
    """Return the value of a JSON text; `ValueError` for invalid JSON."""
    return cast(Json, json.loads(text))


def parse_object(text: str | bytes) -> dict[str, Json]:
    """Return the object that a JSON text holds; `ValueError` for anything else."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {type(value).__name__}")
    return value
