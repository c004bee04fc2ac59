"""Typed values of tables as plain ones: exact decimals, ISO dates and bytes are texts, what is missing is None."""

import base64
import json
import math
import re
import unicodedata
import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal

_NO_LABEL = frozenset({"[]", "nan", "nat", "null", "<na>"})  # what other tools write for "not labelled"
_GROUPED = re.compile(r"[-+]?(\d{1,3}([., '’]\d{3})+|\d+)")
WHOLE_FLOATS = 2**53  # from here on floats no longer hold every whole number


def plain_value(value: object) -> object:
    """Return a value of a typed column as JSON could hold it; NaN and NaT are None, a decimal keeps its digits."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, Mapping):
        return {str(name): plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain_value(inner) for inner in value]
    return _text_of(value)


def _text_of(value: object) -> object:
    if isinstance(value, Decimal):
        return None if value.is_nan() else f"{value:f}"
    if isinstance(value, datetime | date | time):
        return None if str(value) == "NaT" else value.isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, timedelta | uuid.UUID):
        return str(value)
    return value


def plain_text(value: object) -> str:
    """Return a value of a table as a string: itself, or as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def is_missing(value: object) -> bool:
    """Tell whether a value says that there is none: null, NaN, an empty list or object, blanks do not count."""
    return value is None or value in ([], {}) or (isinstance(value, float) and math.isnan(value))


def only_value(value: object) -> object:
    """Return the element of a list of one, None for what is missing, a whole number for a float that is one."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < WHOLE_FLOATS:
        return int(value)
    return value


def holds_nul(value: object) -> bool:
    """Tell whether a text, or one in a list or object, holds a NUL character."""
    if isinstance(value, str):
        return "\0" in value
    if value is None:
        return False
    if isinstance(value, Mapping):
        return any(holds_nul(name) or holds_nul(inner) for name, inner in value.items())
    return isinstance(value, list) and any(map(holds_nul, value))


def label_texts(value: object) -> list[str]:
    """Return the classes that a value names: of a list its elements, none for what is missing, floats that are whole.

    A text that is a list as Python or JSON writes it (``['Sport']``) counts as one.
    """
    if isinstance(value, str):
        if value.strip().lower() in _NO_LABEL:
            return []
        listed = _listed(value.strip())
        return [value] if listed is None else label_texts(listed)
    value = only_value(value)
    if isinstance(value, list):
        return [text for inner in value for text in label_texts(inner)]
    return [] if value is None else label_texts(value) if isinstance(value, str) else [plain_text(value)]


def _listed(text: str) -> list[object] | None:
    if not (text.startswith("[") and text.endswith("]") and len(text) > 2 and text[1] in "\"'"):
        return None
    for quoted in (text, text.replace("'", '"')):
        try:
            value = json.loads(quoted)
        except ValueError:
            continue
        return value if isinstance(value, list) else None
    return None


def decimal_text(text: str, mark: str) -> str | None:
    """Return a number with a decimal point for one that is written with another mark ("1.299,00 €"), else None."""
    shown = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Sc").strip()
    whole, comma, part = shown.partition(mark)
    if mark in part or (comma and not part.isdigit()) or not _GROUPED.fullmatch(whole):
        return None
    digits = re.sub(r"[^\d+-]", "", whole)
    return f"{digits}.{part}" if comma else digits
