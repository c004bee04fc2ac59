"""Collections as TREC and SMART wrote them: records in SGML (``<DOC>``, ``<top>``), or below lines ``.I``, ``.T``."""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from honed.data.lines import Line, numbered_lines
from honed.data.source import Source
from honed.data.table import Reject, Row, Table, TableFormat

_AHEAD = 50  # records that are looked at for their fields
_BEFORE = r"\s|<\?xml[^>]*>|<!--.*?-->|<!DOCTYPE[^>]*>|<(?!doc\b|top\b|topic\b)\w[^>]*>"
_SGML = re.compile(rf"(?:{_BEFORE})*<(doc|top|topic)\b[^>]*>", re.IGNORECASE | re.DOTALL)
_SMART = re.compile(r"\s*\.I +\d+\s*\n\s*\.[A-Z]\s*\n")
_OPENING = re.compile(r"<(doc|top|topic)\b([^>]*)>", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][\w.:-]*)([^<>]*)>")
_ATTRIBUTE = re.compile(r"([\w-]+)\s*=\s*[\"']([^\"']*)[\"']")
_CAPTION = re.compile(r"\s*(?:Number|Topic|Domain|Description|Narrative|Concept\(s\))\s*:\s*")
_MARK = re.compile(r"\.([A-Z])(?:\s+(\S.*))?")
_SMART_FIELDS = {"T": "title", "W": "text", "A": "author", "B": "source", "K": "keywords"}
_LOOSE = "text"  # what stands between the fields of a record


def is_marked_up(start: bytes) -> bool:
    """Tell whether a file begins with a record of TREC's or SMART's collections."""
    text = start.decode("utf-8", "replace").removeprefix("\ufeff")
    return _SGML.match(text) is not None or _SMART.match(text) is not None


def open_marked_up(source: Source, form: TableFormat) -> Table:
    """Open a file of such records; its columns are the fields of the first of them, in lower case.

    SMART's records have their place, from 1, as ``number`` where that is not their id: judgements may mean either.
    """
    lines = numbered_lines(source, form)
    text = source.start().decode("utf-8", "replace").removeprefix("\ufeff")
    smart = _SMART.match(text) is not None
    records = _smart_records(source, lines) if smart else _sgml_records(source, lines)
    first = list(islice(records, _AHEAD))
    rows = [record for record in first if isinstance(record, Row)]
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    if smart and all(row.values["id"] == row.values["number"] for row in rows):
        columns.remove("number")
    return Table(
        file=source.name,
        columns=columns,
        rows=_filled(chain(first, records), columns),
        format=form,
        open_columns=True,
    )


def _filled(records: Iterable[Row | Reject], columns: Sequence[str]) -> Iterator[Row | Reject]:
    """Yield records with all columns, None for those that they lack; fields of later records alone are left out."""
    for record in records:
        if isinstance(record, Row):
            values: dict[str, object] = {name: record.values.get(name) for name in columns}
            yield Row(file=record.file, where=record.where, values=values)
        else:
            yield record


@dataclass(kw_only=True)
class _Open:
    """A record whose end was not seen yet: its first line, its tag, its text, and what is wrong with a line of it."""

    number: int
    tag: str = ""
    lines: list[str] = field(default_factory=list)
    problem: tuple[str, str] | None = None

    def add(self, line: Line, text: str) -> None:
        self.lines.append(text)
        self.problem = self.problem or line.problem

    def outcome(self, source: Source, values: dict[str, object]) -> Row | Reject:
        where = f"line {self.number}"
        if self.problem is None:
            return Row(file=source.name, where=where, values=values)
        code, reason = self.problem
        return Reject(file=source.name, where=where, field="", code=code, reason=reason, text="".join(self.lines))


def _sgml_records(source: Source, lines: Iterable[Line]) -> Iterator[Row | Reject]:
    record: _Open | None = None
    for line in lines:
        text = line.text
        while text:
            if record is None:
                opening = _OPENING.search(text)
                if opening is None:
                    break
                record, text = _Open(number=line.number, tag=opening[1].lower()), text[opening.start() :]
            end = re.search(rf"</{record.tag}\s*>", text, re.IGNORECASE)
            record.add(line, text[: end.end()] if end else text)
            if end is None:
                break
            yield record.outcome(source, _fields("".join(record.lines)))
            record, text = None, text[end.end() :]
    if record is not None:
        record.problem = ("E_SGML", f"<{record.tag}> opens here and never closes")
        yield record.outcome(source, {})


def _fields(text: str) -> dict[str, object]:
    """Return the fields of a record in SGML, also those that a next one ends; fields of one name are joined."""
    opening = _OPENING.match(text)
    assert opening is not None  # a record begins with it
    parts: dict[str, list[str]] = {name.lower(): [value] for name, value in _ATTRIBUTE.findall(opening[2])}
    inner = text[opening.end() : text.rindex("</")]
    place = 0
    while tag := _TAG.search(inner, place):
        parts.setdefault(_LOOSE, []).append(inner[place : tag.start()])
        name = tag[2].lower()
        end = re.compile(rf"</{re.escape(tag[2])}\s*>", re.IGNORECASE).search(inner, tag.end())
        following = _TAG.search(inner, tag.end())
        stop = end.start() if end else following.start() if following else len(inner)
        if not tag[1]:
            parts.setdefault(name, []).append(inner[tag.end() : stop])
        place = tag.end() if tag[1] else end.end() if end else stop
    parts.setdefault(_LOOSE, []).append(inner[place:])
    fields = {name: " ".join(filter(None, map(_plain, texts))) for name, texts in parts.items()}
    return {name: text for name, text in fields.items() if text or name != _LOOSE}


def _plain(text: str) -> str:
    """Return a field without tags within it, caption and entities, its blanks folded."""
    bare = _CAPTION.sub("", _TAG.sub(" ", text), count=1) if _CAPTION.match(text) else _TAG.sub(" ", text)
    return " ".join(html.unescape(bare).split())


def _smart_records(source: Source, lines: Iterable[Line]) -> Iterator[Row | Reject]:
    record: _Open | None = None
    number = 0
    for line in lines:
        if line.text.startswith(".I "):
            if record is not None:
                yield record.outcome(source, _smart_fields(record.lines, number))
            record, number = _Open(number=line.number), number + 1
        if record is not None:
            record.add(line, line.text)
    if record is not None:
        yield record.outcome(source, _smart_fields(record.lines, number))


def _smart_fields(lines: Sequence[str], number: int) -> dict[str, object]:
    head = lines[0][2:].strip()
    parts: dict[str, list[str]] = {}
    name = ""
    for line in lines[1:]:
        if mark := _MARK.fullmatch(line.strip()):
            name = _SMART_FIELDS.get(mark[1], mark[1].lower())
            parts.setdefault(name, []).extend([mark[2]] if mark[2] else [])
        elif name:
            parts[name].append(line)
    place = str(int(head)) if head.isdigit() else head
    return {
        "id": place,
        "number": str(number),
        **{key: " ".join(" ".join(texts).split()) for key, texts in parts.items()},
    }
