"""Bodies and query strings to requests: strict JSON, then a class that says which fields there are and of what type.

What does not fit is a `RequestError` that names the field and says what is allowed.
"""

import json
import re
import typing
from collections.abc import Sequence
from types import UnionType
from typing import Literal, TypeVar, Union

import msgspec

from honed.core.json import Json, JsonObject
from honed.serve.errors import RequestError

Request = TypeVar("Request", bound=msgspec.Struct)
_MAX_DEPTH = 16
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
# messages of msgspec
_WRONG_TYPE = re.compile(r"Expected `(?P<expected>[^`]*)`, got `(?P<actual>[^`]*)`(?: - at `\$\.(?P<path>[^`]*)`)?")
_WRONG_VALUE = re.compile(r"Invalid enum value .* - at `\$\.(?P<path>[^`]*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<path>[^`]*)`")
_EXPECTED = {
    "str": "a text",
    "int": "a whole number",
    "bool": "true or false",
    "array": "a list of texts",
    "object": "an object",
}
_ACTUAL = {
    "str": "a text",
    "int": "a number",
    "float": "a fraction",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
}


def strict_json(body: bytes) -> dict[str, Json]:
    """Return the object of a JSON body; `RequestError` (400) for anything that is not plain, unambiguous JSON."""
    content = strict_value(body)
    if not isinstance(content, dict):
        raise RequestError(422, "E_TYPE", f"the body is {_kind(content)}; expected an object")
    return content


def strict_value(body: bytes) -> Json:
    """Return what a JSON body holds; `RequestError` (400) for anything that is not plain, unambiguous JSON."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(400, "E_ENCODING", f"the body is not UTF-8: byte {error.start}") from None
    if _depth(text) > _MAX_DEPTH:
        raise RequestError(400, "E_JSON", f"not JSON that is answered here: nested deeper than {_MAX_DEPTH}")
    try:
        content: Json = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise RequestError(400, "E_JSON", f"not JSON: {error.msg} at position {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise RequestError(400, "E_JSON", f"not JSON that is answered here: {str(error)[:200]}") from None
    return content


def _depth(text: str) -> int:
    """Return how deep arrays and objects are nested, strings left out."""
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return 0
    depth = deepest = 0
    for char in _STRINGS.sub("", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is no JSON number")


def _without_duplicates(pairs: Sequence[tuple[str, Json]]) -> dict[str, Json]:
    """Return the fields of an object; `ValueError` for one that is there twice."""
    fields: dict[str, Json] = {}
    for key, value in pairs:
        if key in fields:
            raise ValueError(f"duplicate field {key[:50]!r}")
        fields[key] = value
    return fields


def _kind(value: Json) -> str:
    names = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object"}
    return _ACTUAL.get(names.get(type(value), ""), "null")


def decode(fields: JsonObject, kind: type[Request]) -> Request:
    """Return a request of a class that forbids unknown fields; `RequestError` (422) names the field that is wrong."""
    return _convert(fields, kind, strict=True)


def decode_leniently(fields: JsonObject, kind: type[Request]) -> Request:
    """Return a request as `decode` does; texts of numbers, and of true and false, count too, as in a query string."""
    return _convert(fields, kind, strict=False)


def decode_known(fields: JsonObject, kind: type[Request]) -> Request:
    """Return a request as `decode` does; fields that its class does not have are passed over."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError as error:
        raise _explained(kind, str(error)) from None


def _convert(fields: JsonObject, kind: type[Request], *, strict: bool) -> Request:
    known = kind.__struct_encode_fields__
    for name in fields:
        if name not in known:
            raise RequestError(422, "E_UNKNOWN_FIELD", f"unknown field {name[:50]!a} (known: {', '.join(known)})")
    try:
        return msgspec.convert(fields, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _explained(kind, str(error)) from None


def _explained(kind: type[msgspec.Struct], message: str) -> RequestError:
    """Return msgspec's message in the words of this interface, with the field's name and what is allowed."""
    if match := _MISSING.match(message):
        return RequestError(422, "E_MISSING", f"{match['path']} is missing")
    wrong_type = _WRONG_TYPE.match(message)
    match = wrong_type or _WRONG_VALUE.match(message)
    if match is None or not match["path"]:
        return RequestError(422, "E_TYPE", message)
    path = match["path"]
    if choices := _choices(kind, path):
        return RequestError(422, "E_RANGE", f"{path} is not one of {', '.join(choices)}")
    if wrong_type is None:
        return RequestError(422, "E_RANGE", message)
    actual, expected = wrong_type["actual"], wrong_type["expected"]
    return RequestError(
        422, "E_TYPE", f"{path} is {_ACTUAL.get(actual, actual)}; expected {_EXPECTED.get(expected, expected)}"
    )


def _choices(kind: type[msgspec.Struct], path: str) -> tuple[str, ...]:
    """Return the values that a field can have, where its type lists them."""
    hint = typing.get_type_hints(kind).get(path)
    parts = typing.get_args(hint) if typing.get_origin(hint) in (UnionType, Union) else (hint,)
    return next((typing.get_args(part) for part in parts if typing.get_origin(part) is Literal), ())
