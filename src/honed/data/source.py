"""Where the bytes of a table come from: a file, a packed file, a member of an archive, or a URL."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from honed.core.errors import DataError
from honed.core.optional import require

START_BYTES = 8192


class _Opened(io.BufferedReader):
    """An open file that closes with itself what it reads from, also where it is merely let go."""

    def __init__(self, raw: BinaryIO | io.FileIO, *below: BinaryIO | zipfile.ZipFile) -> None:
        super().__init__(cast(io.RawIOBase, raw))
        self._below = below

    def close(self) -> None:
        super().close()
        for file in self._below:
            file.close()

    def __del__(self) -> None:
        self.close()


PACKED_ENDINGS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2", ".xz": "xz"}
_PACKED_MARKS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
ZIP_MARK = b"PK\x03\x04"


@dataclass(frozen=True, kw_only=True)
class Source:
    """The bytes of one table, which may be read several times.

    ``name`` is what people call it, ``ending`` that of its format in lower case (".csv" of ``names.csv.gz``), ``path``
    the local file where the bytes are one as they stand, ``part`` the sheet or table that is wanted of several.
    """

    name: str
    ending: str
    open: Callable[[], BinaryIO]
    path: Path | None = None
    part: str = ""

    def start(self) -> bytes:
        """Return the first bytes; `DataError` when they cannot be unpacked."""
        try:
            with self.open() as file:
                return file.read(START_BYTES)
        except UNREADABLE as error:
            raise damaged(self, error) from error

    def seekable(self) -> BinaryIO:
        """Return the bytes open for reading at any place: what is packed is unpacked into a temporary file."""
        if self.path is not None:
            return _Opened(io.FileIO(self.path))
        with self.open() as file, tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
            copy.seek(0)
            return _Opened(io.FileIO(os.dup(copy.fileno())))


UNREADABLE = (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, RuntimeError)


def damaged(source: Source, error: Exception) -> DataError:
    """Return the error for bytes that cannot be read or unpacked to their end."""
    return DataError("E_PACKED", f"{source.name}: cannot be unpacked: {str(error) or type(error).__name__}")


def ending_of(name: str) -> str:
    """Return the ending of a table's format in lower case, that of its packing aside: ".csv" of ``names.csv.gz``."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    while len(suffixes) > 1 and suffixes[-1] in PACKED_ENDINGS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def file_source(path: Path, part: str = "") -> Source:
    """Return a local file as a source."""
    return Source(name=path.name, ending=ending_of(path.name), open=lambda: path.open("rb"), path=path, part=part)


def unpacked(source: Source) -> Iterator[Source]:
    """Yield the tables of a source: itself, unpacked where its first bytes say it is packed, or the members of a zip.

    What decides is the content: a gzip file named ``.csv`` is unpacked too.
    """
    start = source.start()
    packing = next((name for mark, name in _PACKED_MARKS.items() if start.startswith(mark)), None)
    if packing == "zstd":
        require("zstd files")
    if packing:
        opened = replace(source, open=_unpacker(packing, source), path=None)
        yield from unpacked(opened)
    elif start.startswith(ZIP_MARK) and not is_workbook(source):
        yield from _members(source)
    else:
        yield source


def _unpacker(packing: str, source: Source) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        file = source.open()
        if packing == "gzip":
            return _Opened(cast(BinaryIO, gzip.GzipFile(fileobj=file)), file)
        if packing == "bzip2":
            return _Opened(cast(BinaryIO, bz2.BZ2File(file)), file)
        if packing == "xz":
            return _Opened(cast(BinaryIO, lzma.LZMAFile(file)), file)
        import zstandard

        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return _Opened(cast(BinaryIO, stream), file)

    return opened


def _zip_names(source: Source) -> list[str]:
    with source.seekable() as file, zipfile.ZipFile(file) as archive:
        return [info.filename for info in archive.infolist() if not info.is_dir()]


def is_workbook(source: Source) -> bool:
    """Tell whether a zip file is a spreadsheet's."""
    try:
        names = _zip_names(source)
    except UNREADABLE:
        return source.ending in (".xlsx", ".xlsm", ".ods")
    return "xl/workbook.xml" in names or "xl/workbook.bin" in names or {"mimetype", "content.xml"} <= set(names)


def _members(source: Source) -> Iterator[Source]:
    """Yield the files of a zip archive, by name; hidden ones, and what macOS adds, are left out."""
    try:
        names = sorted(name for name in _zip_names(source) if not is_hidden(name))
    except UNREADABLE as error:
        raise damaged(source, error) from error
    if not names:
        raise DataError("E_EMPTY", f"{source.name}: an archive with no files")
    for name in names:

        def opened(name: str = name) -> BinaryIO:
            file = source.seekable()
            archive = zipfile.ZipFile(file)
            return _Opened(cast(BinaryIO, archive.open(name)), archive, file)

        yield Source(name=f"{source.name}/{name}", ending=ending_of(name), open=opened)


def is_hidden(name: str) -> bool:
    """Tell whether a path has a part that systems hide, or that macOS writes beside files (``._t.csv``, __MACOSX)."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts if part != "..")
