"""Tables on disk as streams of rows: CSV, TSV, JSONL, JSON and Parquet, in bounded memory.

Strict by purpose: what the usual readers repair in silence (an open quote that eats the rest of a file, ``007`` read
as a number, ``NA`` read as nothing, text after a NUL) is a row with a counted reason here.
"""

import csv
import json
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.errors import DataError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_BOM = b"\xef\xbb\xbf"
_LINE_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One record of a table as it stands in the file; ``where`` is for people ("line 7", "row 0")."""

    file: str
    where: str
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reject:
    """One record that cannot be used, with its reason and its original text."""

    file: str
    where: str
    field: str
    code: str
    reason: str
    text: str

    def __str__(self) -> str:
        name = f", {self.field}" if self.field else ""
        return f"{self.file}, {self.where}{name}: {self.reason}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFormat:
    """How files are to be read. ``delimiter`` "" means: by the file's ending and its header line."""

    encoding: str = "utf-8"
    delimiter: str = ""
    quoting: str = "csv"
    max_text_chars: int = 100_000


@dataclass(kw_only=True)
class Table:
    """One open table: its columns, and its rows once."""

    file: str
    columns: list[str]
    rows: Iterator[Row | Reject]
    format: TableFormat = field(default_factory=TableFormat)
    open_columns: bool = False  # records may leave columns out


def skipped_files(path: Path) -> list[str]:
    """Return what of a folder is not read: subfolders and files of other endings (hidden ones aside)."""
    if not path.is_dir():
        return []
    return sorted(
        item.name for item in path.iterdir() if item.suffix.lower() not in SUFFIXES and not item.name.startswith(".")
    )


def table_files(path: Path) -> list[Path]:
    """Return the table files that a path names: itself, or those directly in a folder, by name.

    Raises `DataError` when there is none, or when it is not a regular file (a pipe, a device).
    """
    if path.is_dir():
        found = sorted(item for item in path.iterdir() if item.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError("E_NO_FILES", f"{path}: no table in this folder; known endings: {', '.join(SUFFIXES)}")
        return [item for each in found for item in table_files(each)]
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DataError("E_NO_FILE", f"{path}: no such file") from None
    if not stat.S_ISREG(mode):
        raise DataError("E_NOT_A_FILE", f"{path}: not a regular file (a pipe or a device cannot be imported)")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError("E_FILE_TYPE", f"{path}: unknown ending {path.suffix!r}; known: {', '.join(SUFFIXES)}")
    return [path]


def open_table(path: Path, form: TableFormat) -> Table:
    """Open one file as a table; errors of the whole file are `DataError`, errors of a row are `Reject` rows."""
    if path.stat().st_size == 0:
        raise DataError("E_EMPTY", f"{path.name}: the file is empty (0 bytes)")
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _open_parquet(path)
    _check_start(path, form)
    if suffix in (".csv", ".tsv"):
        return _open_csv(path, form)
    if suffix == ".json" and _first_sign(path, form) == "{":
        return Table(file=path.name, columns=list(_FEWREL), rows=_fewrel_rows(path, form), format=form)
    rows = _jsonl_rows(path, form) if suffix in (".jsonl", ".ndjson") else _json_rows(path, form)
    return _open_objects(path, rows, form)


def _check_start(path: Path, form: TableFormat) -> None:
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(_UTF16_BOMS) and not form.encoding.lower().startswith("utf-16"):
        raise DataError(
            "E_ENCODING", f"{path.name}: starts with a utf-16 byte order mark; give  --encoding utf-16  to read it"
        )
    if not start.strip(b"\0"):
        raise DataError("E_NUL", f"{path.name}: holds only NUL bytes (a file cut by a crash looks like this)")


# -- lines ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    problem: tuple[str, str] | None = None  # (code, reason)


def _lines(path: Path, form: TableFormat) -> Iterator[_Line]:
    if form.encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        yield from _wide_lines(path, form)
        return
    with path.open("rb") as file:
        for number, raw in enumerate(_byte_lines(file), start=1):
            if number == 1:
                raw = raw.removeprefix(_UTF8_BOM)
            yield _decode(number, raw, form)


def _byte_lines(file: BinaryIO) -> Iterator[bytes]:
    while raw := file.readline(_LINE_BYTES):
        yield raw


def _decode(number: int, raw: bytes, form: TableFormat) -> _Line:
    try:
        text = raw.decode(form.encoding)
    except UnicodeDecodeError as error:
        shown = raw.decode(form.encoding, errors="backslashreplace")
        reason = f"byte {raw[error.start]:#04x} is not {form.encoding}; if the file is in another encoding, name it"
        return _Line(number, shown, ("E_ENCODING", f"{reason} (--encoding latin-1)"))
    except LookupError:
        raise DataError("E_ENCODING", f"unknown encoding {form.encoding!r}") from None
    if "\0" in text:
        return _Line(number, text, ("E_NUL", "holds a NUL byte"))
    return _Line(number, text)


def _wide_lines(path: Path, form: TableFormat) -> Iterator[_Line]:
    try:
        with path.open(encoding=form.encoding, newline="") as file:
            for number, text in enumerate(file, start=1):
                yield _Line(number, text.removeprefix("\ufeff") if number == 1 else text)
    except UnicodeError as error:
        raise DataError("E_ENCODING", f"{path.name}: not {form.encoding}: {error}") from error


# -- csv -----------------------------------------------------------------------------------------


class _RecordReader:
    """Reads CSV records from lines; after a broken record it starts again at the next physical line."""

    def __init__(self, lines: Iterator[_Line], form: TableFormat, delimiter: str) -> None:
        self.lines = lines
        self.pending: deque[_Line] = deque()
        self.taken: list[_Line] = []
        self.options: dict[str, Any] = {"delimiter": delimiter, "strict": True}
        if form.quoting == "none":
            self.options["quoting"] = csv.QUOTE_NONE
        csv.field_size_limit(form.max_text_chars + 1)

    def __iter__(self) -> "_RecordReader":
        return self

    def __next__(self) -> str:
        line = self.pending.popleft() if self.pending else next(self.lines)
        self.taken.append(line)
        if line.problem:
            raise _BrokenLineError
        return line.text

    def record(self) -> tuple[list[_Line], list[str] | None, tuple[str, str] | None]:
        """Return (its lines, its fields or None, the problem or None); StopIteration at the end."""
        self.taken = []
        try:
            fields = next(csv.reader(self, **self.options))
        except StopIteration:
            if not self.taken:
                raise
            return self._back_off(("E_CSV_QUOTE", "a quote opens here and never closes"))
        except _BrokenLineError:
            return self._back_off(self.taken[0].problem or ("E_CSV_QUOTE", "a quote opens here and meets a bad line"))
        except csv.Error as error:
            return self._back_off(_csv_problem(str(error), len(self.taken)))
        return self.taken, fields, None

    def _back_off(self, problem: tuple[str, str]) -> tuple[list[_Line], None, tuple[str, str]]:
        first, *rest = self.taken
        self.pending.extendleft(reversed(rest))
        return [first], None, problem


class _BrokenLineError(Exception):
    pass


def _csv_problem(message: str, n_lines: int) -> tuple[str, str]:
    if "field larger" in message:
        if n_lines > 1:
            return "E_CSV_QUOTE", "a quote opens here and does not close within the limit of a field"
        return "E_FIELD_TOO_LONG", "a field is longer than max_text_chars"
    if "unexpected end" in message:
        return "E_CSV_QUOTE", "a quote opens here and never closes"
    if "expected after" in message:
        return "E_CSV_QUOTE", "text follows a closing quote; write a quote inside a quoted field twice"
    return "E_CSV", message


def _open_csv(path: Path, form: TableFormat) -> Table:
    lines = _lines(path, form)
    first = next(lines)
    while first.problem is None and not first.text.strip():
        try:
            first = next(lines)
        except StopIteration:
            raise DataError("E_EMPTY", f"{path.name}: holds only blank lines") from None
    if first.problem:
        raise DataError(first.problem[0], f"{path.name}, line {first.number}: {first.problem[1]}")
    delimiter = form.delimiter or _guess_delimiter(path, first.text)
    reader = _RecordReader(lines, form, delimiter)
    reader.pending.append(first)
    _, header, problem = reader.record()
    if header is None:
        code, reason = problem or ("E_CSV", "cannot be read")
        raise DataError(code, f"{path.name}, line {first.number}: {reason}")
    columns = [name.strip() for name in header]
    _check_header(path.name, columns)
    return Table(file=path.name, columns=columns, rows=_csv_rows(path.name, columns, reader), format=form)


def _guess_delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    counts = {mark: header.count(mark) for mark in (",", ";", "\t", "|")}
    best = max(counts, key=lambda mark: (counts[mark], mark == ","))
    return best if counts[best] else ","


def _check_header(file: str, columns: list[str]) -> None:
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError("E_HEADER_DUP", f"{file}: the header names {', '.join(twice)} twice; every column needs a name")


def _csv_rows(file: str, columns: list[str], reader: _RecordReader) -> Iterator[Row | Reject]:
    number = 0
    while True:
        try:
            lines, fields, problem = reader.record()
        except StopIteration:
            return
        if fields == []:
            continue
        number += 1
        where = f"line {lines[0].number}"
        if lines[0].number != number + 1:
            where += f", record {number}"
        text = "".join(line.text for line in lines).rstrip("\r\n")
        if fields is None:
            code, reason = problem or ("E_CSV", "cannot be read")
            column = _column_at(columns, lines[0].text, reader.options["delimiter"]) if code != "E_CSV_WIDTH" else ""
            yield Reject(file=file, where=where, field=column, code=code, reason=reason, text=text)
        elif len(fields) != len(columns):
            reason = f"expected {len(columns)} got {len(fields)} fields ({', '.join(columns)})"
            if len(fields) > len(columns):
                reason += "; a field that holds the delimiter must be quoted"
            yield Reject(file=file, where=where, field="", code="E_CSV_WIDTH", reason=reason, text=text)
        else:
            yield Row(file=file, where=where, values=dict(zip(columns, fields, strict=True)))


def _column_at(columns: list[str], line: str, delimiter: str) -> str:
    """Name the column in which a broken line most likely broke: where a quote or a NUL first stands."""
    marks = [position for mark in ('"', "\0", "\\x") if (position := line.find(mark)) >= 0]
    index = line.count(delimiter, 0, min(marks)) if marks else len(columns)
    return columns[index] if index < len(columns) else ""


# -- json ----------------------------------------------------------------------------------------


def _reject_constant(name: str) -> Any:
    raise _JsonProblemError("E_NONFINITE", "", f"{name} is not a finite number")


class _JsonProblemError(ValueError):
    def __init__(self, code: str, field: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.field, self.reason = code, field, reason


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise _JsonProblemError("E_JSON_DUPKEY", name, f"the key {name} stands twice")
        if isinstance(value, float) and value in (float("inf"), float("-inf")):
            raise _JsonProblemError("E_NONFINITE", name, "a number is not finite")
        values[name] = value
    return values


_DECODER = json.JSONDecoder(object_pairs_hook=_unique_pairs, parse_constant=_reject_constant)
_KINDS = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}


def json_kind(value: Any) -> str:
    """Return the JSON name of a value's type: object, array, string, number, boolean or null."""
    return "null" if value is None else _KINDS.get(type(value), type(value).__name__)


def _object_or_reject(file: str, where: str, text: str) -> Row | Reject:
    try:
        value = _DECODER.decode(text)
        if not isinstance(value, dict):
            raise _JsonProblemError("E_JSON_TYPE", "", f"expected object got {json_kind(value)}")
    except _JsonProblemError as error:
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
    for line in _lines(path, form):
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


def _array_elements(name: str, file: Any) -> Iterator[Row | Reject]:
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
            if len(buffer) > _LINE_BYTES:
                raise DataError("E_FIELD_TOO_LONG", f"{name}: record {number + 1} is too long")
            buffer = (buffer + more).lstrip()
            continue
        number, wants_comma = number + 1, True
        yield _object_or_reject(name, f"record {number}", buffer[:end])
        buffer = buffer[end:].lstrip()


def _open_objects(path: Path, rows: Iterator[Row | Reject], form: TableFormat) -> Table:
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
        relations = _DECODER.decode(path.read_text(encoding=form.encoding).lstrip("\ufeff"))
    except _JsonProblemError as error:
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


# -- parquet -------------------------------------------------------------------------------------


def _open_parquet(path: Path) -> Table:
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise DataError("E_PARQUET", f"{path.name}: not a readable Parquet file: {error}") from error
    if file.metadata.num_rows == 0:
        raise DataError("E_EMPTY", f"{path.name}: 0 rows")
    _check_header(path.name, schema.names)
    return Table(file=path.name, columns=list(schema.names), rows=_parquet_rows(path, file))


def _parquet_rows(path: Path, file: pq.ParquetFile) -> Iterator[Row | Reject]:
    number = 0
    try:
        for batch in file.iter_batches(batch_size=1024):
            for values in batch.to_pylist():
                yield Row(file=path.name, where=f"row {number}", values=values)
                number += 1
    except (pa.ArrowException, OSError) as error:
        raise DataError("E_PARQUET", f"{path.name}, row {number} or later: damaged: {error}") from error
