"""SemEval-2010 Task 8's own files: a numbered sentence in quotes, its relation on the next line, then a comment."""

import re
from collections.abc import Iterator

from honed.data.lines import numbered_lines
from honed.data.source import Source
from honed.data.table import Reject, Row, Table, TableFormat

_SENTENCE = re.compile(r'(?P<id>\d+)\s+"(?P<text>.*<e1>.*)"\s*', re.DOTALL)
_COLUMNS = ["id", "text", "relation"]


def is_semeval(start: bytes) -> bool:
    """Tell whether a file begins with a sentence of SemEval's form."""
    return _SENTENCE.fullmatch(start.split(b"\n", 1)[0].decode("utf-8", "replace")) is not None


def open_semeval(source: Source, form: TableFormat) -> Table:
    """Open a file of sentences with tagged entities (``<e1>``, ``<e2>``) and their relations."""
    return Table(file=source.name, columns=list(_COLUMNS), rows=_rows(source, form), format=form)


def _rows(source: Source, form: TableFormat) -> Iterator[Row | Reject]:
    waiting: tuple[str, str, str] | None = None  # where, id, text
    for line in numbered_lines(source, form):
        text, where = line.text.strip(), f"line {line.number}"
        if line.problem:
            code, reason = line.problem
            yield Reject(file=source.name, where=where, field="", code=code, reason=reason, text=text)
        elif sentence := _SENTENCE.fullmatch(text):
            if waiting:
                yield _alone(source, waiting)
            waiting = (where, sentence["id"], sentence["text"])
        elif waiting and text and not text.startswith("Comment"):
            place, number, words = waiting
            values: dict[str, object] = {"id": number, "text": words, "relation": text}
            yield Row(file=source.name, where=place, values=values)
            waiting = None
        elif text and not text.startswith("Comment"):
            reason = "expected a number and a sentence in quotes"
            yield Reject(file=source.name, where=where, field="text", code="E_SEMEVAL", reason=reason, text=text)
    if waiting:
        yield _alone(source, waiting)


def _alone(source: Source, waiting: tuple[str, str, str]) -> Reject:
    where, _, text = waiting
    reason = "no relation stands below the sentence"
    return Reject(file=source.name, where=where, field="relation", code="E_SEMEVAL", reason=reason, text=text)
