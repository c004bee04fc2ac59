"""CSV and TSV: records that are broken are rejects, and reading goes on at the next line."""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from honed.core.errors import DataError
from honed.data.lines import Line, numbered_lines
from honed.data.table import Reject, Row, Table, TableFormat


class _RecordReader:
    """Reads CSV records from lines; after a broken record it starts again at the next physical line."""

    def __init__(self, lines: Iterator[Line], form: TableFormat, delimiter: str) -> None:
        self.lines = lines
        self.pending: deque[Line] = deque()
        self.taken: list[Line] = []
        self.delimiter = delimiter
        self.quoting: Literal[0, 3] = csv.QUOTE_NONE if form.quoting == "none" else csv.QUOTE_MINIMAL
        csv.field_size_limit(form.max_text_chars + 1)

    def __iter__(self) -> "_RecordReader":
        return self

    def __next__(self) -> str:
        line = self.pending.popleft() if self.pending else next(self.lines)
        self.taken.append(line)
        if line.problem:
            raise _BrokenLineError
        return line.text

    def record(self) -> tuple[list[Line], list[str] | None, tuple[str, str] | None]:
        """Return (its lines, its fields or None, the problem or None); StopIteration at the end."""
        self.taken = []
        try:
            fields = next(csv.reader(self, delimiter=self.delimiter, strict=True, quoting=self.quoting))
        except StopIteration:
            if not self.taken:
                raise
            return self._back_off(("E_CSV_QUOTE", "a quote opens here and never closes"))
        except _BrokenLineError:
            return self._back_off(self.taken[0].problem or ("E_CSV_QUOTE", "a quote opens here and meets a bad line"))
        except csv.Error as error:
            return self._back_off(_csv_problem(str(error), len(self.taken)))
        return self.taken, fields, None

    def _back_off(self, problem: tuple[str, str]) -> tuple[list[Line], None, tuple[str, str]]:
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


def open_csv(path: Path, form: TableFormat) -> Table:
    """Open a CSV or TSV file; the first line that is not blank is the header."""
    lines = numbered_lines(path, form)
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
    check_header(path.name, columns)
    return Table(file=path.name, columns=columns, rows=_csv_rows(path.name, columns, reader), format=form)


def _guess_delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    counts = {mark: header.count(mark) for mark in (",", ";", "\t", "|")}
    best = max(counts, key=lambda mark: (counts[mark], mark == ","))
    return best if counts[best] else ","


def check_header(file: str, columns: list[str]) -> None:
    """Raise `DataError` when two columns have one name."""
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
            column = _column_at(columns, lines[0].text, reader.delimiter) if code != "E_CSV_WIDTH" else ""
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
