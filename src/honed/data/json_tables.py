"""JSON: objects one a line, one after the other, in an array, or in a wrapper; no value is repaired in silence.

What decides is the content: JSON lines in ``.json`` and an array in ``.jsonl`` are read as what they are.
"""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import NoReturn, TextIO

from honed.core.errors import DataError
from honed.data.annotations import flattened
from honed.data.lines import MOST_BYTES, numbered_lines
from honed.data.source import UNREADABLE, Source, damaged
from honed.data.table import Reject, Row, Table, TableFormat

_BLOCK = 1 << 16
_WHOLE_BYTES = 1 << 30  # of a file that is one object
_LINE_ENDINGS = (".jsonl", ".ndjson")


def open_json(source: Source, form: TableFormat) -> Table:
    """Open a file of JSON objects; `DataError` for JSON that is no table."""
    layout = _layout(source, form)
    if layout == "object":
        return _open_whole(source, form)
    rows = _line_rows(source, form) if layout == "lines" else _stream_rows(source, form, array=layout == "array")
    return open_objects(source.name, rows, form)


def _layout(source: Source, form: TableFormat) -> str:
    """Tell how objects stand in a file: "array", "lines", "stream" (one after the other) or one "object"."""
    with _opened(source, form, errors="replace") as file:
        start = file.read(_BLOCK).lstrip("\ufeff \t\r\n")
    first, _, rest = start.partition("\n")
    if not start.startswith("{") and source.ending not in _LINE_ENDINGS:
        return "array"
    if start.startswith("["):
        return "lines" if _is_json(first) and rest.strip() else "array"
    if source.ending in _LINE_ENDINGS:
        return "stream" if first.strip() == "{" else "lines"
    return "lines" if _is_json(first) and rest.lstrip().startswith("{") else "object"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _opened(source: Source, form: TableFormat, errors: str = "strict") -> TextIO:
    encoding = "utf-8-sig" if form.encoding == "utf-8" else form.encoding
    return io.TextIOWrapper(source.open(), encoding=encoding, errors=errors)


def _reject_constant(name: str) -> NoReturn:
    raise JsonProblemError("E_NONFINITE", "", f"{name} is not a finite number")


class JsonProblemError(ValueError):
    """What is wrong with one object: code, key and reason."""

    def __init__(self, code: str, field: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.field, self.reason = code, field, reason


def _unique_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values: dict[str, object] = {}
    for name, value in pairs:
        if name in values:
            raise JsonProblemError("E_JSON_DUPKEY", name, f"the key {name} stands twice")
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise JsonProblemError("E_NONFINITE", name, "a number is not finite")
        values[name] = value
    return values


DECODER = json.JSONDecoder(object_pairs_hook=_unique_pairs, parse_constant=_reject_constant)
_KINDS = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}


def json_kind(value: object) -> str:
    """Return the JSON name of a value's type: object, array, string, number, boolean or null."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def _object_or_reject(file: str, where: str, text: str) -> Row | Reject:
    try:
        value = DECODER.decode(text)
        if not isinstance(value, dict):
            raise JsonProblemError("E_JSON_TYPE", "", f"expected object got {json_kind(value)}")
    except JsonProblemError as error:
        name = error.field or _field_before(text, error.reason)
        return Reject(file=file, where=where, field=name, code=error.code, reason=error.reason, text=text)
    except (ValueError, RecursionError) as error:
        reason = f"not JSON: {error}"
        return Reject(file=file, where=where, field="", code="E_JSON", reason=reason, text=text)
    return Row(file=file, where=where, values=value)


def _field_before(text: str, reason: str) -> str:
    """Name the key before a bare NaN or Infinity."""
    before, constant, _ = text.partition(reason.split(" ", 1)[0])
    parts = before.rsplit('"', 2)
    return parts[1] if constant and len(parts) == 3 else ""


def _line_rows(source: Source, form: TableFormat) -> Iterator[Row | Reject]:
    for line in numbered_lines(source, form):
        text = line.text.strip()
        where = f"line {line.number}"
        if line.problem:
            code, reason = line.problem
            yield Reject(file=source.name, where=where, field="", code=code, reason=reason, text=line.text.rstrip("\n"))
        elif text:
            yield _object_or_reject(source.name, where, text)


def _stream_rows(source: Source, form: TableFormat, *, array: bool) -> Iterator[Row | Reject]:
    """Read one JSON array of objects element by element, or objects one after the other."""
    try:
        with _opened(source, form) as file:
            yield from _array_elements(source.name, file) if array else _values(source.name, file)
    except UnicodeDecodeError as error:
        raise DataError("E_ENCODING", f"{source.name}: not {form.encoding}: {error.reason}") from error
    except UNREADABLE as error:
        raise damaged(source, error) from error


class _Scanner:
    """The text of a file of which JSON values are taken one by one."""

    def __init__(self, name: str, file: TextIO) -> None:
        self.name, self.file, self.number = name, file, 0
        self.text = file.read(_BLOCK).lstrip()

    def skip(self, n_signs: int) -> None:
        """Drop some signs, and the blanks after them."""
        self.text = self.text[n_signs:].lstrip()
        if not self.text:
            self.text = self.file.read(_BLOCK).lstrip()

    def value(self, whole: str) -> str:
        """Return the text of the next value; ``whole`` says what breaks off where it is not complete."""
        scan = json.JSONDecoder()
        while True:
            try:
                end = scan.raw_decode(self.text)[1]
                if end < len(self.text) or self.text.endswith("}"):
                    break
            except RecursionError:
                raise DataError("E_JSON", f"{self.name}: record {self.number + 1} is nested too deeply") from None
            except ValueError:
                pass
            more = self.file.read(_BLOCK)
            if not more:
                raise DataError("E_JSON", f"{self.name}: {whole} breaks off or is damaged after record {self.number}")
            if len(self.text) > MOST_BYTES:
                raise DataError("E_FIELD_TOO_LONG", f"{self.name}: record {self.number + 1} is too long")
            self.text = (self.text + more).lstrip()
        self.number += 1
        text = self.text[:end]
        self.skip(end)
        return text


def _array_elements(name: str, file: TextIO) -> Iterator[Row | Reject]:
    scanner = _Scanner(name, file)
    if not scanner.text.startswith("["):
        raise DataError("E_JSON_TYPE", f"{name}: expected an array of objects; one object a line is .jsonl")
    scanner.skip(1)
    while not scanner.text.startswith("]"):
        if scanner.number:
            if not scanner.text.startswith(","):
                missing = "a comma is missing" if scanner.text else "the array breaks off or is damaged"
                raise DataError("E_JSON", f"{name}: {missing} after record {scanner.number}")
            scanner.skip(1)
        text = scanner.value("the array")
        yield _object_or_reject(name, f"record {scanner.number}", text)
    scanner.skip(1)
    if scanner.text:
        raise DataError("E_JSON", f"{name}: text follows the end of the array; one array a file")


def _values(name: str, file: TextIO) -> Iterator[Row | Reject]:
    scanner = _Scanner(name, file)
    while scanner.text:
        if not scanner.text.startswith("{"):
            raise DataError("E_JSON", f"{name}: no object follows record {scanner.number}")
        text = scanner.value("the file")
        yield _object_or_reject(name, f"record {scanner.number}", text)


def open_objects(name: str, rows: Iterator[Row | Reject], form: TableFormat) -> Table:
    """Open a stream of objects, those of labelling tools flat.

    The columns are the keys of the first hundred records, in their order.
    """
    ahead: list[Row | Reject] = []
    columns: dict[str, None] = {}
    rows = map(_flat, rows)
    for row in rows:
        ahead.append(row)
        if isinstance(row, Row):
            columns.update(dict.fromkeys(row.values))
        if len(ahead) >= 100:
            break
    if not ahead:
        raise DataError("E_EMPTY", f"{name}: no records")

    def all_rows() -> Iterator[Row | Reject]:
        yield from ahead
        yield from rows

    return Table(file=name, columns=list(columns), rows=all_rows(), format=form, open_columns=True)


def _flat(row: Row | Reject) -> Row | Reject:
    """Return a row of a labelling tool as its fields and its label, any other row as it is."""
    values = flattened(row.values) if isinstance(row, Row) else None
    return replace(row, values=values) if isinstance(row, Row) and values is not None else row


# -- one object ----------------------------------------------------------------------------------

_FEWREL = ("tokens", "head", "head_id", "head_mentions", "tail", "tail_id", "tail_mentions", "relation")


def _open_whole(source: Source, form: TableFormat) -> Table:
    """Open a file that is one object: FewRel's lists by relation, or a wrapper around one list of objects."""
    with _opened(source, form) as file:
        try:
            text = file.read(_WHOLE_BYTES)
        except UnicodeDecodeError as error:
            raise DataError("E_ENCODING", f"{source.name}: not {form.encoding}: {error.reason}") from error
    if len(text) == _WHOLE_BYTES:
        raise DataError("E_FILE_SIZE", f"{source.name}: over {_WHOLE_BYTES >> 20} MB as one JSON object; give .jsonl")
    try:
        whole = DECODER.decode(text)
    except JsonProblemError as error:
        raise DataError(error.code, f"{source.name}: {error.reason}") from None
    except RecursionError as error:
        raise DataError("E_JSON", f"{source.name}: not JSON: {error}") from error
    except ValueError as error:
        if str(error).startswith("Extra data"):  # several objects
            return open_objects(source.name, _stream_rows(source, form, array=False), form)
        raise DataError("E_JSON", f"{source.name}: not JSON: {error}") from error
    lists = {name: value for name, value in whole.items() if isinstance(value, list)}
    if len(lists) == len(whole) and any(_is_fewrel(item) for value in lists.values() for item in value):
        return Table(file=source.name, columns=list(_FEWREL), rows=_fewrel_rows(source.name, lists), format=form)
    return open_objects(source.name, _wrapped_rows(source.name, whole), form)


def _wrapped_rows(file: str, whole: dict[str, object]) -> Iterator[Row | Reject]:
    """Yield the objects of the one list of objects in an object."""
    records = [value for value in whole.values() if isinstance(value, list) and all(isinstance(x, dict) for x in value)]
    records = [value for value in records if value]
    if len(records) != 1:
        keys = ", ".join(list(whole)[:5])
        raise DataError(
            "E_JSON_TYPE",
            f"{file}: expected an array of objects (one object a line is .jsonl), one array of objects under a key, or "
            f"FewRel's lists; found an object with the keys {keys}, of which {len(records)} hold an array of objects",
        )
    for number, values in enumerate(records[0], 1):
        yield Row(file=file, where=f"record {number}", values=values)


def _is_fewrel(item: object) -> bool:
    return isinstance(item, dict) and ("tokens" in item and ("h" in item or "t" in item))


def _fewrel_rows(file: str, relations: dict[str, list[object]]) -> Iterator[Row | Reject]:
    """Read FewRel's own JSON: relation -> list of {tokens, h: [name, id, mentions], t: the same}."""
    for relation, items in relations.items():
        for number, item in enumerate(items, 1):
            where = f"{relation} {number}"
            head, tail = (item.get(name) if isinstance(item, dict) else None for name in ("h", "t"))
            sides = [side for side in (head, tail) if isinstance(side, list) and len(side) == 3]
            if len(sides) < 2 or not isinstance(item, dict) or "tokens" not in item:
                reason = "expected tokens, h and t, with name, id and mentions each"
                shown = json.dumps(item, ensure_ascii=True)[:2000]
                yield Reject(file=file, where=where, field="", code="E_JSON_TYPE", reason=reason, text=shown)
                continue
            values = (item["tokens"], *sides[0], *sides[1], relation)
            yield Row(file=file, where=where, values=dict(zip(_FEWREL, values, strict=True)))
