"""A part of a store that never changes: records, their vectors and the index over them, as arrays in files of a folder.

All arrays are ``.npy`` files, mapped when they are read. What changes, which records are deleted, stands in the version
of the store.
"""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from honed.core.artifacts import sync
from honed.core.errors import ArtifactError, DataError
from honed.core.filters import Column, Value, number_of
from honed.core.fingerprint import sha256_file
from honed.core.progress import progress
from honed.core.protocols import Mask, VectorIndex, Vectors
from honed.core.ranking import Rows
from honed.index.backends import SAVED, build_index, restore_index, tensors_of
from honed.index.composed import code_vectors
from honed.index.exact import exact_among
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors

VECTORS, COLUMNS, _INDEX = "vectors.npy", "columns.json", "index-"
SMALL = 4096  # fewer vectors are compared one by one
MOST_VALUES = 200_000  # distinct ones of a field that can be filtered by: they are held in memory
log = logging.getLogger("honed.store")
_KINDS = {"records": np.uint8, "record_ends": np.int64, "id_keys": np.uint64, "id_rows": np.int32}
_BYTES = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A document of a store: its id, the text that its vector is of, and fields to show and to filter by."""

    doc_id: str
    text: str = ""
    fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some records with their vectors ``(len(records), dim)``."""

    records: Sequence[Record]
    vectors: Vectors


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


def write_segment(
    folder: Path, batches: Iterable[Batch], dim: int, settings: IndexSettings, limits: BuildLimits
) -> dict[str, Any]:
    """Write records as they come into an empty folder, then the index over them; return what a version says of it.

    Raises `DataError` for vectors that are no unit vectors of ``dim`` dimensions, and for an id that comes twice.
    """
    folder.mkdir(parents=True)
    n, columns = _write_records(folder, batches, dim)
    (folder / COLUMNS).write_text(json.dumps(columns, ensure_ascii=False), encoding="utf-8")
    if n >= SMALL and settings.backend in SAVED:
        source = StoredVectors(np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False))
        if settings.is_coded:
            bounded = {"sample": min(settings.sample, limits.sample(dim))} if "sample" in settings.as_dict() else {}
            settings = IndexSettings.from_dict({**settings.as_dict(), **bounded}).resolved(n, dim)
            with progress("code vectors", n) as bar:
                done = [0]

                def told(at: int, _: int) -> None:
                    bar.advance(at - done[0])
                    done[0] = at

                tensors = code_vectors(source, settings, block=limits.block(dim), scratch=folder, progress=told)
        else:
            tensors = tensors_of(build_index(source, settings))
        for name, array in tensors.items():
            if (folder / f"{name}.npy").is_file():  # written there already
                array.flush()
                (folder / f"{name}.npy").rename(folder / f"{_INDEX}{name}.npy")
            else:
                np.save(folder / f"{_INDEX}{name}.npy", array, allow_pickle=False)
    for path in folder.iterdir():
        sync(path)
    sync(folder)
    files = {path.name: sha256_file(path) for path in sorted(folder.iterdir())}
    return {"n": n, "settings": settings.as_dict(), "files": files}


def _write_records(folder: Path, batches: Iterable[Batch], dim: int) -> tuple[int, dict[str, Any]]:
    """Append vectors and records to files as they come; return how many, and the distinct values of each field."""
    n, keys, ends = 0, [], [np.zeros(1, dtype=np.int64)]
    numbers: dict[str, dict[Any, int]] = {}
    codes: dict[str, list[Any]] = {}
    wide: set[str] = set()
    raw, blob = folder / "vectors.raw", folder / "records.raw"
    with raw.open("wb") as vectors, blob.open("wb") as records:
        for batch in batches:
            checked(batch, dim).tofile(vectors)
            shown = [_shown(each) for each in batch.records]
            records.write(b"".join(shown))
            ends.append(ends[-1][-1] + np.cumsum([len(each) for each in shown], dtype=np.int64))
            keys.append(np.array([key_of(each.doc_id) for each in batch.records], dtype=np.uint64))
            for name in {name for each in batch.records for name in each.fields} - numbers.keys():
                numbers[name], codes[name] = {}, [np.full(n, -1, dtype=np.int32)] if n else []
            for name, own in numbers.items():
                if name not in wide:
                    codes[name].append(_numbered((each.fields.get(name) for each in batch.records), own))
                if len(own) > MOST_VALUES:
                    wide.add(name)
                    own.clear()
                    codes[name].clear()
            n += len(batch.records)
    _as_npy(raw, folder / VECTORS, np.float32, (n, dim))
    record_ends = np.concatenate(ends)
    _as_npy(blob, folder / "records.npy", np.uint8, (int(record_ends[-1]),))
    np.save(folder / "record_ends.npy", record_ends, allow_pickle=False)
    joined = np.concatenate([np.empty(0, np.uint64), *keys])
    order = np.argsort(joined, kind="stable")
    np.save(folder / "id_keys.npy", joined[order], allow_pickle=False)
    np.save(folder / "id_rows.npy", order.astype(np.int32), allow_pickle=False)
    columns = {}
    if wide:
        log.warning("more than %d values, so that no filter can use it: %s", MOST_VALUES, ", ".join(sorted(wide)))
    for at, (name, own) in enumerate(sorted(each for each in numbers.items() if each[0] not in wide)):
        np.save(folder / f"column{at}.npy", np.concatenate(codes[name]).astype(np.int32), allow_pickle=False)
        columns[name] = {"file": f"column{at}.npy", "values": [value for _, value in own]}
    twice = np.flatnonzero(joined[order][1:] == joined[order][:-1])
    for at in twice.tolist():  # of equal keys only equal ids are an error
        first, second = (_record(folder, int(order[at + step])).doc_id for step in (0, 1))
        if first == second:
            raise DataError("E_ID_TWICE", f"id {first!r} comes twice; ids of a store name one record each")
    return n, columns


def _numbered(values: Iterable[Any], numbers: dict[Any, int]) -> Any:
    return np.array([number_of(value, numbers) for value in values], dtype=np.int32)


def _shown(record: Record) -> bytes:
    return json.dumps([record.doc_id, record.text, dict(record.fields)], ensure_ascii=False).encode()


def _record(folder: Path, row: int) -> Record:
    ends = np.load(folder / "record_ends.npy", mmap_mode="r", allow_pickle=False)
    blob = np.load(folder / "records.npy", mmap_mode="r", allow_pickle=False)
    doc_id, text, own = json.loads(bytes(blob[ends[row] : ends[row + 1]]))
    return Record(doc_id=doc_id, text=text, fields=own)


def _as_npy(raw: Path, target: Path, dtype: Any, shape: tuple[int, ...]) -> None:
    """Turn a file of plain numbers into a ``.npy`` file, block by block."""
    with target.open("wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        with raw.open("rb") as source:
            while block := source.read(1 << 22):
                file.write(block)
    raw.unlink()


def checked(batch: Batch, dim: int) -> Vectors:
    """Return the vectors of a batch as unit vectors in fp32; `DataError` names the first record that has none."""
    vectors = np.asarray(batch.vectors, dtype=np.float32)
    if vectors.shape != (len(batch.records), dim):
        raise DataError(
            "E_VECTORS",
            f"{len(batch.records)} records need vectors of shape ({len(batch.records)}, {dim}), not {vectors.shape}",
        )
    lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        raise DataError("E_VECTORS", f"record {batch.records[int(bad[0])].doc_id!r}: its vector is zero or not finite")
    return np.ascontiguousarray(vectors / lengths[:, None])


def key_of(doc_id: str) -> int:
    """Return the 64 bits under which an id is looked up."""
    return int.from_bytes(blake2b(doc_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


class Segment:
    """Records, vectors and index of a folder that `write_segment` made."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], dim: int) -> None:
        """Map the files; `ArtifactError` for arrays that do not fit together, `OSError` for a file that is gone."""
        self.folder, self.facts, self.n = folder, facts, int(facts["n"])
        self.settings = IndexSettings.from_dict(facts["settings"])
        try:
            self.vectors = StoredVectors(self._map(VECTORS, np.float32, (self.n, dim)))
            self._arrays = {name: self._map(f"{name}.npy", kind) for name, kind in _KINDS.items()}
            self._check()
            columns = json.loads((folder / COLUMNS).read_text("utf-8"))
            self.columns = {name: self._column(each) for name, each in columns.items()}
            # mapped now, since a later version may remove the files; put over the vectors when it is first asked
            self._saved = {
                Path(name).stem.removeprefix(_INDEX): np.load(
                    folder / Path(name).name, mmap_mode="r", allow_pickle=False
                )
                for name in facts["files"]
                if name.startswith(_INDEX)
            }
        except (KeyError, ValueError, TypeError, IndexError, EOFError) as error:
            raise ArtifactError("E_STORE", f"{folder}: cannot be read: {error}") from error

    def _map(self, name: str, dtype: Any, shape: tuple[int, ...] | None = None) -> Any:
        array = np.load(self.folder / name, mmap_mode=None if self._is_empty(name) else "r", allow_pickle=False)
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

    def _column(self, facts: Mapping[str, Any]) -> Column:
        values, codes = facts["values"], self._map(Path(facts["file"]).name, np.int32, (self.n,))
        if self.n and not -1 <= int(codes.min()) <= int(codes.max()) < len(values):
            raise ValueError(f"{facts['file']}: numbers outside the values")
        return Column(values=values, codes=codes)

    def verify(self) -> None:
        """Check every file against its hash; `ArtifactError` names the first that differs."""
        for name, wanted in self.facts["files"].items():
            if sha256_file(self.folder / name) != wanted:
                raise ArtifactError("E_CHECKSUM", f"{self.folder / name}: bytes differ from the version of the store")

    @cached_property
    def index(self) -> VectorIndex:
        """The index over the vectors; a small segment has none of its own and is searched exactly."""
        return restore_index(self.vectors, self.settings, self._saved)

    @property
    def has_index(self) -> bool:
        """Whether the segment is searched by its index, or vector by vector."""
        return self.n >= SMALL

    def search(self, vectors: Vectors, k: int, allowed: Mask | None) -> tuple[Vectors, Rows]:
        """Return scores and rows ``(n_queries, min(k, n))`` of what is allowed, best first."""
        if self.has_index:
            return self.index.search(vectors, k, allowed=allowed)
        rows = np.arange(self.n) if allowed is None else np.flatnonzero(allowed)
        return exact_among(self.vectors, rows, vectors, k)

    def record(self, row: int) -> Record:
        """Return a record by its row."""
        ends = self._arrays["record_ends"]
        doc_id, text, own = json.loads(bytes(self._arrays["records"][ends[row] : ends[row + 1]]))
        return Record(doc_id=doc_id, text=text, fields=own)

    def rows_of(self, doc_ids: Sequence[str]) -> dict[str, int]:
        """Return the rows of those of some ids that are here."""
        keys, rows = self._arrays["id_keys"], self._arrays["id_rows"]
        wanted = np.array([key_of(each) for each in doc_ids], dtype=np.uint64)
        starts, ends = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, side="right")
        found = {}
        for doc_id, start, end in zip(doc_ids, starts.tolist(), ends.tolist(), strict=True):
            for row in rows[start:end].tolist():
                if self.record(row).doc_id == doc_id:
                    found[doc_id] = row
        return found

    def batches(self, live: Mask, size: int) -> Iterator[Batch]:
        """Yield the records that are live, with their vectors, ``size`` at a time."""
        rows = np.flatnonzero(live)
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            yield Batch(records=[self.record(int(row)) for row in some], vectors=self.vectors.take(some))
