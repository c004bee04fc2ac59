"""A bundle as one zip: written stored, unpacked with every name and size checked first."""

import lzma
import os
import shutil
import stat
import tempfile
import weakref
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from honed.core.errors import ArtifactError
from honed.core.writing import new_file

_MAX_FILES, _MAX_BYTES = 64, 8 << 30
_BLOCK = 1 << 20


def pack(folder: Path, target: Path) -> Path:
    """Write a bundle's folder as a zip, uncompressed: weights and vectors do not shrink."""
    with new_file(target) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return target


class Unpacked:
    """A temporary folder with the content of a zip; removed with this object, at the latest with the process."""

    def __init__(self, file: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="honed-bundle-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        unpack(file, self.folder)


def unpack(file: Path, folder: Path) -> Path:
    """Unpack a zip into an empty folder; `ArtifactError` names what is wrong with a member, before it is written."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check_members(file, members)
            for member in members:
                target = folder / member.filename
                target.parent.mkdir(parents=True, exist_ok=True)
                _copy(archive, member, target)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArtifactError("E_ARCHIVE", f"{file}: {error}") from error
    except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
        raise ArtifactError("E_ARCHIVE", f"{file}: two members get in each other's way") from error
    return folder


def _check_members(file: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise `ArtifactError` for a member that leads outside, comes twice, is no plain file, or is too much."""
    seen: set[str] = set()
    for member in members:
        name = member.filename
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not name.isprintable():
            raise ArtifactError("E_BUNDLE_PATH", f"{file}: the member {name!r} leads outside")
        if os.path.normpath(name).casefold() in seen:
            raise ArtifactError("E_ARCHIVE_DUP", f"{file}: holds {name} twice")
        seen.add(os.path.normpath(name).casefold())
        mode = member.external_attr >> 16
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ArtifactError("E_BUNDLE_LINK", f"{file}: {name} is no plain file")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArtifactError("E_ARCHIVE", f"{file}: {name} is encrypted, or packed in another way than deflate")
    if len(members) > _MAX_FILES or sum(member.file_size for member in members) > _MAX_BYTES:
        raise ArtifactError("E_ARCHIVE", f"{file}: over {_MAX_FILES} files or {_MAX_BYTES >> 30} GiB")
    packed = file.stat().st_size
    if sum(member.file_size for member in members) > 100 * max(packed, 1 << 20):
        raise ArtifactError("E_ARCHIVE", f"{file}: would swell more than a hundredfold")


def _copy(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a member to a file, and stop when it holds more than it says."""
    left = member.file_size
    with archive.open(member) as source, target.open("wb") as out:
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise ArtifactError("E_ARCHIVE", f"{member.filename}: holds more than it says")
            out.write(block)
