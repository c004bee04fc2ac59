"""Text files as numbered lines, each decoded on its own, so that one bad byte costs one line."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO

from honed.core.errors import DataError
from honed.data.encodings import advice
from honed.data.source import UNREADABLE, Source, damaged
from honed.data.table import TableFormat

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
MOST_BYTES = 64 << 20  # of one line, and of one record of a JSON array
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, from 1; ``problem`` is (code, reason) where it cannot be read."""

    number: int
    text: str
    problem: tuple[str, str] | None = None


def codec_name(encoding: str) -> str:
    """Return Python's name of an encoding ("utf-16" of "utf16"); `DataError` for one that is none."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise DataError("E_ENCODING", f"unknown encoding {encoding!r}") from None


def is_wide(encoding: str) -> bool:
    """Tell whether an encoding has several bytes for each character, so that bytes are no lines."""
    return codec_name(encoding).startswith(("utf-16", "utf-32"))


def numbered_lines(source: Source, form: TableFormat) -> Iterator[Line]:
    """Yield the lines of a file with their ends; `DataError` for an encoding that is none."""
    try:
        yield from _wide_lines(source, form) if is_wide(form.encoding) else _LineReader(source, form)
    except UNREADABLE as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise damaged(source, error) from error


class _LineReader:
    """Decodes lines one by one; what encoding would fit is found out once, when it is needed."""

    def __init__(self, source: Source, form: TableFormat) -> None:
        self.source, self.form = source, form
        self.encoding = "utf-8" if codec_name(form.encoding) == "utf-8-sig" else form.encoding

    def __iter__(self) -> Iterator[Line]:
        with self.source.open() as file:
            for number, raw in enumerate(_byte_lines(file), start=1):
                yield self._decoded(number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw)

    def _decoded(self, number: int, raw: bytes) -> Line:
        try:
            text = raw.decode(self.encoding)
        except UnicodeDecodeError as error:
            shown = raw.decode(self.encoding, errors="backslashreplace")
            reason = f"byte {raw[error.start]:#04x} is not {self.form.encoding}; {self._advice}"
            return Line(number, shown, ("E_ENCODING", reason))
        if "\0" in text:
            return Line(number, text, ("E_NUL", "holds a NUL byte"))
        return Line(number, text)

    @cached_property
    def _advice(self) -> str:
        with self.source.open() as file:
            return advice(file, self.form.encoding)


def _byte_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines with their ends; where the first block has carriage returns alone, those end lines."""
    start = file.read(_BLOCK)
    rest = _Joined(start, file)
    if b"\r" not in start or b"\n" in start or (start.count(b"\r") == 1 and start.endswith(b"\r")):
        while raw := rest.readline(MOST_BYTES):
            yield raw
        return
    text = b""
    while block := rest.read(_BLOCK):
        *lines, text = (text + block).splitlines(keepends=True)
        yield from lines
        if text.endswith(b"\n"):
            yield text
            text = b""
    if text:
        yield text


class _Joined:
    """The first bytes of a file that were looked at, and the rest of it."""

    def __init__(self, start: bytes, file: BinaryIO) -> None:
        self.start, self.file = io.BytesIO(start), file

    def readline(self, most: int) -> bytes:
        """Return the next line with its end."""
        line = self.start.readline(most)
        return line if line.endswith(b"\n") or len(line) >= most else line + self.file.readline(most - len(line))

    def read(self, size: int) -> bytes:
        """Return the next bytes, none at the end."""
        return self.start.read(size) or self.file.read(size)


def _wide_lines(source: Source, form: TableFormat) -> Iterator[Line]:
    try:
        with io.TextIOWrapper(source.open(), encoding=form.encoding, newline="") as file:
            for number, text in enumerate(file, start=1):
                text = text.removeprefix("\ufeff") if number == 1 else text
                yield Line(number, text, ("E_NUL", "holds a NUL character") if "\0" in text else None)
    except UnicodeError as error:
        raise DataError("E_ENCODING", f"{source.name}: not {form.encoding}: {error}") from error
