"""CSV and TSV: records that are broken are rejects, and reading goes on at the next line."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Literal

from honed.core.errors import DataError
from honed.core.text import visible
from honed.data.lines import Line, numbered_lines
from honed.data.source import Source
from honed.data.table import Notes, Reject, Row, Table, TableFormat, is_headerless

_AHEAD = 30  # lines that are looked at to find the header
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_QUOTE_AFTER_BLANKS = re.compile(r'\s+"')
_NUMBER = re.compile(r"[-+]?\d[\d.,]*")
PLAIN_QUOTES = 'if quotes are plain signs in this file, say so: quoting = "none"'


@dataclass(kw_only=True)
class RecordReader:
    """Reads CSV records from lines; after a broken record it starts again at the next physical line.

    ``padded`` says that blanks follow the delimiters, ``width`` is the number of fields of the header, 0 before it.
    """

    lines: Iterator[Line]
    form: TableFormat
    delimiter: str
    padded: bool = False
    width: int = 0
    pending: deque[Line] = field(default_factory=deque)
    taken: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.quoting: Literal[0, 3] = csv.QUOTE_NONE if self.form.quoting == "none" else csv.QUOTE_MINIMAL
        csv.field_size_limit(self.form.max_text_chars + 1)

    def __iter__(self) -> "RecordReader":
        return self

    def __next__(self) -> str:
        line = self.pending.popleft() if self.pending else next(self.lines)
        self.taken.append(line)
        if line.problem:
            raise _BrokenLineError
        return line.text

    def record(self) -> tuple[list[Line], list[str] | None, tuple[str, str] | None]:
        """Return (its lines, its fields or None, the problem or None); StopIteration at the end."""
        lines, fields, problem = self._read(padded=self.padded)
        if fields is None or self.quoting == csv.QUOTE_NONE:
            return lines, fields, problem
        if not self.padded and any(map(_QUOTE_AFTER_BLANKS.match, fields)):
            lines, fields, problem = self._read_padded(lines, fields)
        if fields is not None and self.form.quoting == "csv" and self._swallows(lines):
            reason = f"a quote opens here and swallows the rows that follow, to line {lines[-1].number}; {PLAIN_QUOTES}"
            return self._back_off(("E_CSV_QUOTE", reason))
        return lines, fields, problem

    def _read(self, *, padded: bool) -> tuple[list[Line], list[str] | None, tuple[str, str] | None]:
        self.taken = []
        try:
            reader = csv.reader(
                self, delimiter=self.delimiter, strict=True, quoting=self.quoting, skipinitialspace=padded
            )
            fields = next(reader)
        except StopIteration:
            if not self.taken:
                raise
            return self._back_off(("E_CSV_QUOTE", f"a quote opens here and never closes; {PLAIN_QUOTES}"))
        except _BrokenLineError:
            return self._back_off(self.taken[0].problem or ("E_CSV_QUOTE", "a quote opens here and meets a bad line"))
        except csv.Error as error:
            return self._back_off(_csv_problem(str(error), len(self.taken)))
        return self.taken, fields, None

    def _read_padded(
        self, lines: list[Line], fields: list[str]
    ) -> tuple[list[Line], list[str] | None, tuple[str, str] | None]:
        """Read a record again whose quotes follow blanks; as it was where that does not fit or changes other fields."""
        self.pending.extendleft(reversed(lines))
        again = self._read(padded=True)
        if again[1] is not None and len(again[1]) == self.width:
            pairs = zip(fields, again[1], strict=False)
            if len(fields) != self.width or all(a == b or _QUOTE_AFTER_BLANKS.match(a) for a, b in pairs):
                return again
        self.pending.extendleft(reversed(again[0]))
        return self._read(padded=False)

    def _swallows(self, lines: list[Line]) -> bool:
        """Tell whether the lines within a quoted field are rows of their own: a stray quote opened in the first."""
        texts = [line.text for line in lines if line.text.strip()]
        if len(texts) < 2 or self.width < 2:
            return False
        first, *inner, last = texts
        whole = next(csv.reader([first], delimiter=self.delimiter))
        if self.width not in (len(whole), len(self._cells(first))):
            return False
        rows = [self._cells(text) for text in inner or [last]]
        numbered = _NUMBER.fullmatch(whole[0].strip()) is not None
        return all(
            len(cells) == self.width and (not numbered or _NUMBER.fullmatch(cells[0].strip('" ')) is not None)
            for cells in rows
        )

    def _cells(self, text: str) -> list[str]:
        return text.rstrip("\r\n").split(self.delimiter)

    def _back_off(self, problem: tuple[str, str]) -> tuple[list[Line], None, tuple[str, str]]:
        first, *rest = self.taken
        self.pending.extendleft(reversed(rest))
        return [first], None, problem


class _BrokenLineError(Exception):
    pass


def _csv_problem(message: str, n_lines: int) -> tuple[str, str]:
    if "field larger" in message:
        if n_lines > 1:
            return "E_CSV_QUOTE", f"a quote opens here and does not close within the limit of a field; {PLAIN_QUOTES}"
        return "E_FIELD_TOO_LONG", "a field is longer than max_text_chars"
    if "unexpected end" in message:
        return "E_CSV_QUOTE", f"a quote opens here and never closes; {PLAIN_QUOTES}"
    if "expected after" in message:
        reason = "text follows a closing quote; write a quote inside a quoted field twice, or,"
        return "E_CSV_QUOTE", f"{reason} {PLAIN_QUOTES}"
    return "E_CSV", message


def open_csv(source: Source, form: TableFormat) -> Table:
    """Open a CSV or TSV file; the first line that is not blank is the header.

    A line ``sep=;`` before it names the delimiter; a title above the table is skipped with a warning.
    """
    lines, notes = numbered_lines(source, form), Notes()
    ahead = deque(islice(lines, _AHEAD))
    delimiter = _skip_to_header(source, ahead, form, notes)
    reader = RecordReader(
        lines=chain(ahead, lines), form=form, delimiter=delimiter, padded=_is_padded(ahead[0].text, delimiter)
    )
    columns = list(form.header) or _header(source.name, reader)
    reader.width = len(columns)
    named = [name for name in columns if name]
    if not is_headerless(named):
        check_header(source.name, named)
    else:
        shown = ", ".join(f"column{place}" for place in range(1, len(named) + 1))
        text = f"{source.name}: its first line looks like a row; without a line of names set  header = [{shown}]"
        notes.warn("W_NO_HEADER", text)
    rows = _CsvRows(file=source.name, columns=columns, reader=reader, notes=notes)
    return Table(file=source.name, columns=named, rows=iter(rows), format=form, notes=notes)


def _skip_to_header(source: Source, ahead: deque[Line], form: TableFormat, notes: Notes) -> str:
    """Drop what stands before the header and return the delimiter."""
    named = form.delimiter
    while True:
        while ahead and ahead[0].problem is None and not ahead[0].text.strip():
            ahead.popleft()
        if not ahead:
            raise DataError("E_EMPTY", f"{source.name}: holds only blank lines")
        first = ahead[0]
        if first.problem:
            raise DataError(first.problem[0], f"{source.name}, line {first.number}: {first.problem[1]}")
        delimiter = named or guess_delimiter(source.ending, first.text)
        if separator := _SEPARATOR_LINE.fullmatch(first.text.strip()):
            named = form.delimiter or separator[1]
        elif not first.text.replace(delimiter, "").strip() and len(ahead) > 1:
            notes.blank_rows += 1
        elif not form.header and _is_title(source.ending, ahead, named):
            notes.warn("W_TITLE_LINE", f"{source.name}, line {first.number}: taken for a title, not for column names")
        else:
            return delimiter
        ahead.popleft()


def _is_title(ending: str, ahead: Sequence[Line], named: str) -> bool:
    """Tell whether the first line is one text above a table: after it names of columns, and rows as wide as they."""
    first, *others = (line.text.strip("\r\n") for line in ahead if line.problem is None)
    others = [text for text in others if text.strip(" \t,;|")]
    if len(others) < 2:
        return False
    delimiter = named or guess_delimiter(ending, others[0])
    title, header = _split(first, delimiter), _split(others[0], delimiter)
    if sum(map(bool, title)) != 1 or (len(title) == 1 and not (" " in first and title[0])):
        return False
    names = [name for name in header if name]
    if len(names) < 2 or len(set(names)) < len(names) or any(map(_NUMBER.fullmatch, names)):
        return False
    return all(len(_split(text, delimiter)) == len(header) for text in others[1:4])


def _split(text: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([text], delimiter=delimiter, skipinitialspace=True))]
    except (csv.Error, StopIteration):
        return []


def _header(file: str, reader: RecordReader) -> list[str]:
    lines, header, problem = reader.record()
    if header is None:
        code, reason = problem or ("E_CSV", "cannot be read")
        raise DataError(code, f"{file}, line {lines[0].number}: {reason}")
    return [visible(name).strip() for name in header]


def guess_delimiter(ending: str, header: str) -> str:
    """Return the delimiter of a header line: a tab in .tsv, else the commonest of comma, semicolon, tab and bar."""
    if ending == ".tsv":
        return "\t"
    counts = {mark: header.count(mark) for mark in (",", ";", "\t", "|")}
    best = max(counts, key=lambda mark: (counts[mark], mark == ","))
    return best if counts[best] else ","


def _is_padded(header: str, delimiter: str) -> bool:
    """Tell whether every delimiter of a header line is followed by a blank."""
    return delimiter in header and header.count(delimiter) == header.count(f"{delimiter} ")


def check_header(file: str, columns: list[str]) -> None:
    """Raise `DataError` when two columns have one name."""
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise DataError("E_HEADER_DUP", f"{file}: the header names {', '.join(twice)} twice; every column needs a name")


@dataclass(kw_only=True)
class _CsvRows:
    """The rows below the header; ``columns`` are its names, "" for those without one."""

    file: str
    columns: list[str]
    reader: RecordReader
    notes: Notes

    def __iter__(self) -> Iterator[Row | Reject]:
        number = 0
        while True:
            try:
                lines, fields, problem = self.reader.record()
            except StopIteration:
                return
            if fields == []:
                continue
            if fields and len(self.columns) > 1 and not any(map(str.strip, fields)):
                self.notes.blank_rows += 1
                continue
            number += 1
            where = f"line {lines[0].number}"
            if lines[0].number != number + 1:
                where += f", record {number}"
            yield self._row(lines, fields, where) if fields is not None else self._broken(lines, problem, where)

    def _broken(self, lines: list[Line], problem: tuple[str, str] | None, where: str) -> Reject:
        code, reason = problem or ("E_CSV", "cannot be read")
        column = _column_at(self.columns, lines[0].text, self.reader.delimiter)
        return Reject(file=self.file, where=where, field=column, code=code, reason=reason, text=_text(lines))

    def _row(self, lines: list[Line], fields: list[str], where: str) -> Row | Reject:
        columns = self.columns
        if len(fields) == len(columns):
            if "" in columns:
                self._note_unnamed(fields, where)
            values: dict[str, object] = {name: value for name, value in zip(columns, fields, strict=True) if name}
            return Row(file=self.file, where=where, values=values)
        shown = ", ".join(name or "(no name)" for name in columns)
        reason = f"expected {len(columns)} got {len(fields)} fields ({shown})"
        if len(fields) > len(columns):
            reason += "; a field that holds the delimiter must be quoted"
        return Reject(file=self.file, where=where, field="", code="E_CSV_WIDTH", reason=reason, text=_text(lines))

    def _note_unnamed(self, fields: list[str], where: str) -> None:
        """Warn once about a column without a name that has values, such as the index that pandas writes."""
        for place, (name, value) in enumerate(zip(self.columns, fields, strict=True), 1):
            if not name and value.strip() and not any(code == "W_COLUMN_UNNAMED" for code, _ in self.notes.warnings):
                text = f"{self.file}, {where}: column {place} has no name; what it holds is left out"
                self.notes.warn("W_COLUMN_UNNAMED", text)


def _text(lines: list[Line]) -> str:
    return "".join(line.text for line in lines).rstrip("\r\n")


def _column_at(columns: list[str], line: str, delimiter: str) -> str:
    """Name the column in which a broken line most likely broke: where a quote or a NUL first stands."""
    marks = [position for mark in ('"', "\0", "\\x") if (position := line.find(mark)) >= 0]
    index = line.count(delimiter, 0, min(marks)) if marks else len(columns)
    return columns[index] if index < len(columns) else ""
