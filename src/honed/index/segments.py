"""A part of a store that never changes: records, their vectors and the index over them, as arrays in files of a folder.

All arrays are ``.npy`` files, mapped when they are read. Which records are deleted changes, and stands in the version
of the store.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from honed.core.artifacts import refuse_others
from honed.core.errors import ArtifactError, DataError
from honed.core.filters import Column
from honed.core.fingerprint import sha256_file
from honed.core.json import Json, JsonObject, parse_object
from honed.core.plain import as_integer, as_list, as_object, as_text
from honed.core.progress import progress
from honed.core.protocols import Mask, VectorIndex, Vectors
from honed.core.ranking import Rows
from honed.core.tensors import Array
from honed.core.writing import sync
from honed.index.backends import build_index, is_saved, restore_index, tensors_of
from honed.index.composed import code_vectors
from honed.index.exact import exact_among
from honed.index.segment_columns import COLUMNS, ColumnWriter, read_value
from honed.index.settings import IndexSettings
from honed.index.store_records import Batch, Record, key_of, record_bytes, record_of_bytes, unit_vectors
from honed.index.stored import StoredVectors

VECTORS, _INDEX = "vectors.npy", "index-"
SMALL = 4096  # fewer vectors are compared one by one
log = logging.getLogger("honed.store")
_DTYPES = {"records": np.uint8, "record_ends": np.int64, "id_keys": np.uint64, "id_rows": np.int32}
_BYTES = 4  # of a number in fp32


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildLimits:
    """What a build may hold in memory beside about 70 bytes a record and the values of the fields: a sample, a block.

    ``memory_mb`` is shared by both: half for the sample with what learning from it takes, an eighth for a block.
    """

    memory_mb: int = 1024

    def sample(self, dim: int) -> int:
        """Return how many vectors may be learned from."""
        return max(1024, (self.memory_mb << 20) // 4 // (_BYTES * dim))

    def block(self, dim: int) -> int:
        """Return how many vectors may be coded at once."""
        return max(256, (self.memory_mb << 20) // 16 // (_BYTES * dim))


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentFacts:
    """A segment's entry in a version of a store: number of records, index settings, and the sha256 of each file."""

    n: int
    settings: IndexSettings
    files: Mapping[str, str]

    def as_dict(self) -> dict[str, Json]:
        """Return them as plain data."""
        return {"n": self.n, "settings": self.settings.as_dict(), "files": dict(self.files)}

    @classmethod
    def from_dict(cls, data: JsonObject) -> Self:
        """Read them back; `ArtifactError` for settings that cannot be, `KeyError` or `TypeError` for other data."""
        files = {name: as_text(digest) for name, digest in as_object(data["files"]).items()}
        return cls(n=as_integer(data["n"]), settings=IndexSettings.from_dict(as_object(data["settings"])), files=files)


def write_segment(
    folder: Path, batches: Iterable[Batch], dim: int, settings: IndexSettings, limits: BuildLimits
) -> SegmentFacts:
    """Write records as they come into an empty folder, then the index over them; return what a version says of it.

    Raises `DataError` for vectors that are no unit vectors of ``dim`` dimensions, and for an id that comes twice.
    """
    folder.mkdir(parents=True)
    n = _write_records(folder, batches, dim)
    if n >= SMALL and is_saved(settings):
        settings = _write_index(folder, n, dim, settings, limits)
    for path in folder.iterdir():
        sync(path)
    sync(folder)
    return SegmentFacts(
        n=n, settings=settings, files={path.name: sha256_file(path) for path in sorted(folder.iterdir())}
    )


def _write_index(folder: Path, n: int, dim: int, settings: IndexSettings, limits: BuildLimits) -> IndexSettings:
    """Write the index over the vectors of a folder; return its settings as they were resolved."""
    source = StoredVectors(np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False))
    if settings.is_coded:
        bounded = {"sample": min(settings.sample, limits.sample(dim))} if "sample" in settings.takes else {}
        settings = IndexSettings.from_dict({**settings.as_dict(), **bounded}).resolved(n, dim)
        with progress("code vectors", n) as bar:
            done = 0

            def report(coded: int, _: int) -> None:
                nonlocal done
                bar.advance(coded - done)
                done = coded

            tensors = code_vectors(source, settings, block=limits.block(dim), scratch=folder, progress=report)
    else:
        tensors = tensors_of(build_index(source, settings))
    for name, array in tensors.items():
        file = folder / f"{name}.npy"
        if isinstance(array, np.memmap) and file.is_file():  # written there already
            array.flush()
            file.rename(folder / f"{_INDEX}{name}.npy")
        else:
            np.save(folder / f"{_INDEX}{name}.npy", array, allow_pickle=False)
    return settings


def _write_records(folder: Path, batches: Iterable[Batch], dim: int) -> int:
    """Append vectors and records to files as they come; return how many there are."""
    n, keys, ends, columns = 0, [], [np.zeros(1, dtype=np.int64)], ColumnWriter()
    raw_vectors, raw_records = folder / "vectors.raw", folder / "records.raw"
    with raw_vectors.open("wb") as vectors, raw_records.open("wb") as records:
        for batch in batches:
            unit_vectors(batch, dim).tofile(vectors)
            lines = [record_bytes(record) for record in batch.records]
            records.write(b"".join(lines))
            ends.append(ends[-1][-1] + np.cumsum([len(line) for line in lines], dtype=np.int64))
            keys.append(np.array([key_of(record.doc_id) for record in batch.records], dtype=np.uint64))
            columns.add(batch.records)
            n += len(batch.records)
    _as_npy(raw_vectors, folder / VECTORS, np.dtype(np.float32), (n, dim))
    record_ends = np.concatenate(ends)
    _as_npy(raw_records, folder / "records.npy", np.dtype(np.uint8), (int(record_ends[-1]),))
    np.save(folder / "record_ends.npy", record_ends, allow_pickle=False)
    id_keys = np.concatenate([np.empty(0, np.uint64), *keys])
    order = np.argsort(id_keys, kind="stable")
    np.save(folder / "id_keys.npy", id_keys[order], allow_pickle=False)
    np.save(folder / "id_rows.npy", order.astype(np.int32), allow_pickle=False)
    columns.write(folder)
    _refuse_duplicate_ids(folder, id_keys[order], order)
    return n


def _refuse_duplicate_ids(folder: Path, keys: npt.NDArray[np.uint64], rows: Rows) -> None:
    """Raise `DataError` for two records of one id; of equal ``keys``, which are sorted, only equal ids are an error."""
    ends = np.load(folder / "record_ends.npy", mmap_mode="r", allow_pickle=False)
    records = np.load(folder / "records.npy", mmap_mode="r", allow_pickle=False) if len(keys) else ends
    for at in np.flatnonzero(keys[1:] == keys[:-1]).tolist():
        first, second = (
            record_of_bytes(bytes(records[ends[row] : ends[row + 1]])).doc_id for row in rows[at : at + 2].tolist()
        )
        if first == second:
            raise DataError("E_ID_TWICE", f"id {first!r} comes twice; ids of a store name one record each")


def _as_npy(raw: Path, target: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> None:
    """Turn a file of plain numbers into a ``.npy`` file, block by block."""
    with target.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        with raw.open("rb") as source:
            while block := source.read(1 << 22):
                file.write(block)
    raw.unlink()


def verify_segment(folder: Path, facts: SegmentFacts) -> None:
    """Check that a folder holds the files of a segment, byte by byte, and no other; `ArtifactError` names the first.

    A file that is gone is a `FileNotFoundError`.
    """
    for name, digest in facts.files.items():
        if sha256_file(folder / name) != digest:
            raise ArtifactError("E_CHECKSUM", f"{folder / name}: bytes differ from the version of the store")
    refuse_others(folder, facts.files)


class Segment:
    """Records, vectors and index of a folder that `write_segment` made."""

    def __init__(self, folder: Path, facts: SegmentFacts, dim: int) -> None:
        """Map the files; `ArtifactError` for arrays that do not fit together, `OSError` for a file that is gone."""
        self.folder, self.facts, self.n, self.settings = folder, facts, facts.n, facts.settings
        try:
            self.vectors = StoredVectors(self._map(VECTORS, np.dtype(np.float32), (self.n, dim)))
            self._arrays = {name: self._map(f"{name}.npy", np.dtype(dtype)) for name, dtype in _DTYPES.items()}
            self._check()
            columns = parse_object((folder / COLUMNS).read_text("utf-8"))
            self.columns = {name: self._column(as_object(column)) for name, column in columns.items()}
            # mapped now, since a later version may remove the files; put over the vectors when it is first searched
            self._saved = {
                Path(name).stem.removeprefix(_INDEX): np.load(
                    folder / Path(name).name, mmap_mode="r", allow_pickle=False
                )
                for name in facts.files
                if name.startswith(_INDEX)
            }
        except (KeyError, ValueError, TypeError, IndexError, EOFError) as error:
            raise ArtifactError("E_STORE", f"{folder}: cannot be read: {error}") from error

    def _map(self, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...] | None = None) -> Array:
        array: Array = np.load(self.folder / name, mmap_mode=None if self._is_empty(name) else "r", allow_pickle=False)
        if array.dtype != dtype or (shape is not None and array.shape != shape):
            raise ValueError(f"{name}: {array.dtype} {array.shape}")
        return array

    def _is_empty(self, name: str) -> bool:
        return (self.folder / name).stat().st_size <= 128  # a map of no bytes is refused by the system

    def _check(self) -> None:
        ends, rows = self._arrays["record_ends"], self._arrays["id_rows"]
        sound = (
            ends.shape == (self.n + 1,)
            and ends[0] == 0
            and ends[-1] == len(self._arrays["records"])
            and bool((np.diff(ends) >= 0).all())
            and rows.shape == self._arrays["id_keys"].shape == (self.n,)
            and (not self.n or 0 <= int(rows.min()) <= int(rows.max()) < self.n)
        )
        if not sound:
            raise ValueError("the records do not fit together")

    def _column(self, data: JsonObject) -> Column:
        name = Path(as_text(data["file"])).name
        values, codes = [read_value(value) for value in as_list(data["values"])], self._map(name, np.dtype(np.int32))
        if codes.shape != (self.n,) or (self.n and not -1 <= int(codes.min()) <= int(codes.max()) < len(values)):
            raise ValueError(f"{name}: numbers outside the values")
        return Column(values=values, codes=codes)

    def verify(self) -> None:
        """Check every file against its hash; `ArtifactError` names the first that differs."""
        verify_segment(self.folder, self.facts)

    @cached_property
    def index(self) -> VectorIndex:
        """The index over the vectors; a small segment has none of its own and is searched exactly."""
        return restore_index(self.vectors, self.settings, self._saved)

    @property
    def has_index(self) -> bool:
        """Whether the segment is searched by its index, or vector by vector."""
        return self.n >= SMALL

    def search(self, vectors: Vectors, k: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """Return scores and rows ``(n_queries, min(k, n))``, best first, of the rows that ``allowed`` lets pass."""
        if self.has_index:
            return self.index.search(vectors, k, allowed=allowed)
        rows = np.arange(self.n) if allowed is None else np.flatnonzero(allowed)
        return exact_among(self.vectors, rows, vectors, k)

    def record(self, row: int) -> Record:
        """Return a record by its row."""
        ends = self._arrays["record_ends"]
        return record_of_bytes(bytes(self._arrays["records"][ends[row] : ends[row + 1]]))

    def rows_of(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Return the rows of those of some ids that are here."""
        keys, rows = self._arrays["id_keys"], self._arrays["id_rows"]
        wanted = np.array([key_of(doc_id) for doc_id in doc_ids], dtype=np.uint64)
        starts, ends = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, side="right")
        row_of = {}
        for doc_id, start, end in zip(doc_ids, starts.tolist(), ends.tolist(), strict=True):
            for row in rows[start:end].tolist():
                if self.record(row).doc_id == doc_id:
                    row_of[doc_id] = row
        return row_of

    def batches(self, live: Mask, size: int) -> Iterator[Batch]:
        """Yield the records that are ``live`` ``(n,)``, with their vectors, ``size`` at a time."""
        rows = np.flatnonzero(live)
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            yield Batch(records=[self.record(int(row)) for row in block], vectors=self.vectors.take(block))
