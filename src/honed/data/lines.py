"""Text files as numbered lines, each decoded on its own, so that one bad byte costs one line."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from honed.core.errors import DataError
from honed.data.table import TableFormat

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF8_MARK = b"\xef\xbb\xbf"
MOST_BYTES = 64 << 20  # of one line, and of one record of a JSON array


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, from 1; ``problem`` is (code, reason) where it cannot be read."""

    number: int
    text: str
    problem: tuple[str, str] | None = None


def numbered_lines(path: Path, form: TableFormat) -> Iterator[Line]:
    """Yield the lines of a file with their ends; `DataError` for an encoding that is none."""
    if form.encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        yield from _wide_lines(path, form)
        return
    with path.open("rb") as file:
        for number, raw in enumerate(_byte_lines(file), start=1):
            if number == 1:
                raw = raw.removeprefix(_UTF8_MARK)
            yield _decode(number, raw, form)


def _byte_lines(file: BinaryIO) -> Iterator[bytes]:
    while raw := file.readline(MOST_BYTES):
        yield raw


def _decode(number: int, raw: bytes, form: TableFormat) -> Line:
    try:
        text = raw.decode(form.encoding)
    except UnicodeDecodeError as error:
        shown = raw.decode(form.encoding, errors="backslashreplace")
        reason = f"byte {raw[error.start]:#04x} is not {form.encoding}; if the file is in another encoding, name it"
        return Line(number, shown, ("E_ENCODING", f"{reason} (--encoding latin-1)"))
    except LookupError:
        raise DataError("E_ENCODING", f"unknown encoding {form.encoding!r}") from None
    if "\0" in text:
        return Line(number, text, ("E_NUL", "holds a NUL byte"))
    return Line(number, text)


def _wide_lines(path: Path, form: TableFormat) -> Iterator[Line]:
    try:
        with path.open(encoding=form.encoding, newline="") as file:
            for number, text in enumerate(file, start=1):
                yield Line(number, text.removeprefix("\ufeff") if number == 1 else text)
    except UnicodeError as error:
        raise DataError("E_ENCODING", f"{path.name}: not {form.encoding}: {error}") from error
