"""A TOML table to a frozen dataclass: unknown keys, wrong types and values out of range are errors with a hint."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from honed.core.errors import ConfigError, did_you_mean
from honed.core.json import Json

Section = TypeVar("Section")


def table_of(section: Any) -> dict[str, Any]:
    """Return a dataclass as the TOML table that `read_section` makes it of."""
    keys = {field.name: key_of(field) for field in dataclasses.fields(section)}
    return {keys[name]: value for name, value in dataclasses.asdict(section).items()}


def limits(*, low: float | None = None, high: float | None = None, one_of: Collection[str] = ()) -> dict[str, Any]:
    """Return dataclass field metadata that bounds a value; ``low`` and ``high`` are allowed values.

    ``one_of`` holds the allowed words; a `honed.core.registry.Registry` allows the names of plug-ins too.
    """
    return {"low": low, "high": high, "one_of": one_of}


def named(key: str) -> dict[str, Any]:
    """Return metadata of a dataclass field whose key in TOML is a word that Python keeps for itself, such as "from"."""
    return {**limits(), "key": key}


def key_of(field: "dataclasses.Field[Any]") -> str:
    """Return the key in TOML of a dataclass field."""
    return str(field.metadata.get("key", field.name))


def toml_string(text: str) -> str:
    """Return a TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_value(value: Json) -> str:
    """Return a value as TOML: strings, numbers, booleans, lists and inline tables of them."""
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{toml_string(key)} = {toml_value(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(toml_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_section(cls: type[Section], table: Any, name: str, file: str) -> Section:
    """Build a dataclass from a TOML table; `ConfigError` names ``section.key``, the file and what is allowed."""
    if not isinstance(table, Mapping):
        raise ConfigError("E_CONFIG_TYPE", f"{file}: {name}: expected a table [{name}], got {_kind(table)}")
    hints = typing.get_type_hints(cls)
    fields = {key_of(field): field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise ConfigError(
                "E_CONFIG_KEY",
                f"{file}: {name}.{key}: unknown key{did_you_mean(key, fields)} (known: {', '.join(fields)})",
            )
    values = {key: _value(value, hints[fields[key].name], f"{file}: {name}.{key}") for key, value in table.items()}
    for key, value in values.items():
        _check_limits(value, fields[key].metadata, f"{file}: {name}.{key}")
    missing = [
        key
        for key, field in fields.items()
        if key not in values and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError("E_CONFIG_MISSING", f"{file}: {name}.{missing[0]}: missing")
    return cls(**{fields[key].name: value for key, value in values.items()})


def _value(value: Any, hint: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        items = value if isinstance(value, list) else [value]
        return tuple(_value(item, arguments[0], where) for item in items)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ConfigError("E_CONFIG_TYPE", f"{where}: expected a table, got {_kind(value)}")
        return {key: _value(item, arguments[1], f"{where}.{key}") for key, item in value.items()}
    if origin in (typing.Union, types.UnionType):
        hint = next(argument for argument in arguments if argument is not type(None))
    if dataclasses.is_dataclass(hint):
        return read_section(typing.cast(type, hint), value, where.rsplit(": ", 1)[-1], where.split(": ", 1)[0])
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError("E_CONFIG_RANGE", f"{where}: {value} is not a finite number")
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError("E_CONFIG_TYPE", f"{where}: expected {hint.__name__}, got {_kind(value)} {value!r}")
    return value


def _check_limits(value: Any, metadata: Mapping[str, Any], where: str) -> None:
    if not metadata:
        return
    if metadata["one_of"] and value not in metadata["one_of"]:
        near = did_you_mean(value, metadata["one_of"]) if isinstance(value, str) else ""
        raise ConfigError("E_CONFIG_RANGE", f"{where}: {value!r} is not one of {', '.join(metadata['one_of'])}{near}")
    low, high = metadata["low"], metadata["high"]
    if (low is not None and not value >= low) or (high is not None and not value <= high):
        bounds = f"{'-inf' if low is None else format(low, 'g')} to {'inf' if high is None else format(high, 'g')}"
        raise ConfigError("E_CONFIG_RANGE", f"{where}: {value} is out of range; allowed: {bounds}")


def check_options(options: Any) -> None:
    """Raise `ConfigError` for a value of a dataclass that is out of its limits, named as the option of a command."""
    for option in dataclasses.fields(options):
        _check_limits(getattr(options, option.name), option.metadata, f"--{option.name.replace('_', '-')}")


def _kind(value: Any) -> str:
    return type(value).__name__
