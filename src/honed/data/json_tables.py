"""JSON: one object a line, one array of objects, or FewRel's lists by relation; no value is repaired in silence."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, TextIO

from honed.core.errors import DataError
from honed.data.lines import MOST_BYTES, numbered_lines
from honed.data.table import Reject, Row, Table, TableFormat


def open_json(path: Path, form: TableFormat) -> Table:
    """Open a file of JSON: an array of objects, or FewRel's object of lists."""
    if _first_sign(path, form) == "{":
        return Table(file=path.name, columns=list(_FEWREL), rows=_fewrel_rows(path, form), format=form)
    return open_objects(path, _json_rows(path, form), form)


def open_json_lines(path: Path, form: TableFormat) -> Table:
    """Open a file of JSON objects, one a line."""
    return open_objects(path, _jsonl_rows(path, form), form)


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
    before, found, _ = text.partition(reason.split(" ", 1)[0])
    parts = before.rsplit('"', 2)
    return parts[1] if found and len(parts) == 3 else ""


def _jsonl_rows(path: Path, form: TableFormat) -> Iterator[Row | Reject]:
    for line in numbered_lines(path, form):
        text = line.text.strip()
        where = f"line {line.number}"
        if line.problem:
            code, reason = line.problem
            yield Reject(file=path.name, where=where, field="", code=code, reason=reason, text=line.text.rstrip("\n"))
        elif text:
            yield _object_or_reject(path.name, where, text)


def _json_rows(path: Path, form: TableFormat) -> Iterator[Row | Reject]:
    """Read one JSON array of objects element by element."""
    with path.open(encoding="utf-8-sig" if form.encoding == "utf-8" else form.encoding) as file:
        try:
            yield from _array_elements(path.name, file)
        except UnicodeDecodeError as error:
            raise DataError("E_ENCODING", f"{path.name}: not {form.encoding}: {error.reason}") from error


def _array_elements(name: str, file: TextIO) -> Iterator[Row | Reject]:
    buffer = file.read(1 << 16).lstrip()
    if not buffer.startswith("["):
        raise DataError("E_JSON_TYPE", f"{name}: expected an array of objects; one object a line is .jsonl")
    buffer, number, wants_comma = buffer[1:].lstrip(), 0, False
    scan = json.JSONDecoder()
    while True:
        if buffer.startswith("]") and (wants_comma or not number):
            if buffer[1:].strip() or file.read().strip():
                raise DataError("E_JSON", f"{name}: text follows the end of the array; one array a file")
            return
        if wants_comma and buffer.startswith(","):
            buffer, wants_comma = buffer[1:].lstrip(), False
            continue
        if wants_comma and buffer:
            raise DataError("E_JSON", f"{name}: a comma is missing after record {number}")
        try:
            end = scan.raw_decode(buffer)[1]
            complete = end < len(buffer)
        except RecursionError:
            raise DataError("E_JSON", f"{name}: record {number + 1} is nested too deeply") from None
        except ValueError:
            complete = False
        if not complete:
            more = file.read(1 << 16)
            if not more:
                raise DataError("E_JSON", f"{name}: the array breaks off or is damaged after record {number}")
            if len(buffer) > MOST_BYTES:
                raise DataError("E_FIELD_TOO_LONG", f"{name}: record {number + 1} is too long")
            buffer = (buffer + more).lstrip()
            continue
        number, wants_comma = number + 1, True
        yield _object_or_reject(name, f"record {number}", buffer[:end])
        buffer = buffer[end:].lstrip()


def open_objects(path: Path, rows: Iterator[Row | Reject], form: TableFormat) -> Table:
    """Open a stream of objects: the columns are the keys of the first hundred records, in their order."""
    ahead: list[Row | Reject] = []
    columns: dict[str, None] = {}
    for row in rows:
        ahead.append(row)
        if isinstance(row, Row):
            columns.update(dict.fromkeys(row.values))
        if len(ahead) >= 100:
            break
    if not ahead:
        raise DataError("E_EMPTY", f"{path.name}: no records")

    def all_rows() -> Iterator[Row | Reject]:
        yield from ahead
        yield from rows

    return Table(file=path.name, columns=list(columns), rows=all_rows(), format=form, open_columns=True)


# -- FewRel --------------------------------------------------------------------------------------

_FEWREL = ("tokens", "head", "head_id", "head_mentions", "tail", "tail_id", "tail_mentions", "relation")
_FEWREL_BYTES = 1 << 30


def _first_sign(path: Path, form: TableFormat) -> str:
    with path.open(encoding=form.encoding, errors="replace") as file:
        return file.read(4096).lstrip("\ufeff \t\r\n")[:1]


def _fewrel_rows(path: Path, form: TableFormat) -> Iterator[Row | Reject]:
    """Read FewRel's own JSON: relation -> list of {tokens, h: [name, id, mentions], t: the same}."""
    if path.stat().st_size > _FEWREL_BYTES:
        raise DataError("E_FILE_SIZE", f"{path.name}: over {_FEWREL_BYTES >> 20} MB as one JSON object; give .jsonl")
    try:
        relations = DECODER.decode(path.read_text(encoding=form.encoding).lstrip("\ufeff"))
    except JsonProblemError as error:
        raise DataError(error.code, f"{path.name}: {error.reason}") from None
    except (ValueError, RecursionError) as error:
        raise DataError("E_JSON", f"{path.name}: not JSON: {error}") from error
    if not all(isinstance(found, list) for found in relations.values()):
        raise DataError(
            "E_JSON_TYPE", f"{path.name}: expected an array of objects (one object a line is .jsonl), or FewRel's lists"
        )
    for relation, found in relations.items():
        for number, each in enumerate(found, 1):
            where = f"{relation} {number}"
            sides = [each.get(name) if isinstance(each, dict) else None for name in ("h", "t")]
            if not all(isinstance(side, list) and len(side) == 3 for side in sides) or "tokens" not in each:
                reason = "expected tokens, h and t, with name, id and mentions each"
                shown = json.dumps(each, ensure_ascii=True)[:2000]
                yield Reject(file=path.name, where=where, field="", code="E_JSON_TYPE", reason=reason, text=shown)
                continue
            values = (each["tokens"], *each["h"], *each["t"], relation)
            yield Row(file=path.name, where=where, values=dict(zip(_FEWREL, values, strict=True)))
