"""A vector index on disk that changes: documents are added, replaced and deleted; every change is a new version.

A version is a small file that names the segments it is made of and the deleted rows of each (`honed.index.segments`).
Segments are never changed. A change writes new files beside the old ones, syncs them, and turns ``CURRENT`` to the new
version in one rename: a killed writer leaves the old version whole, and readers keep the version that they opened. One
writer at a time holds a lock that the system takes from a dead process.
"""

import contextlib
import fcntl
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import numpy as np

from honed.core.artifacts import sync, write_text
from honed.core.errors import ArtifactError, ConfigError, DataError, HonedError
from honed.core.filters import Filter, allowed_rows, check_fields
from honed.core.fingerprint import sha256_file
from honed.core.protocols import Mask, Vectors
from honed.index.exact import in_order
from honed.index.segments import SMALL, Batch, BuildLimits, Record, Segment, write_segment
from honed.index.settings import IndexSettings

log = logging.getLogger("honed.store")
FORMAT, LAYOUT = "honed-store", 1
CURRENT, LOCK = "CURRENT", "LOCK"
_KEPT = 2  # versions whose files are there: the current one, and the one that a reader may be about to open
_MOST_SEGMENTS = 12
_BATCH = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A hit of a store: the record, its score (cosine, higher is closer) and its rank, from 1."""

    record: Record
    score: float
    rank: int


class Store:
    """One version of a store, open for reading; make it with `Store.open` or `Store.create`."""

    def __init__(
        self, path: Path, version: Mapping[str, Any], segments: Sequence[Segment], dead: Sequence[Any]
    ) -> None:
        self.path, self.manifest, self.segments = path, version, segments
        self._asked_by: str | None = None
        self._dead = dead  # deleted rows of each segment
        self._live: dict[int, Mask] = {}
        self.dim, self.version = int(version["dim"]), int(version["version"])
        self.settings = IndexSettings.from_dict(version["settings"])
        self.model: Mapping[str, Any] = version["model"]

    @classmethod
    def create(
        cls,
        path: str | Path,
        batches: Iterable[Batch],
        *,
        dim: int,
        settings: IndexSettings | None = None,
        model: Mapping[str, Any] | None = None,
        limits: BuildLimits | None = None,
    ) -> Self:
        """Make a store of a stream of records; it is there when all is written, or not at all.

        ``model`` holds the "fingerprint" of the encoder that made the vectors, and whatever tells people about it.
        Raises `ConfigError` when something is there already.
        """
        place = Path(path)
        if place.exists():
            raise ConfigError("E_STORE_EXISTS", f"{place}: exists; add to it with  honed store add  or name another")
        settings = (settings or IndexSettings(backend="composed", codes="rabitq", bits=2)).check()
        settings.resolved(SMALL, dim)
        beside = place.with_name(f".{place.name}.{os.getpid()}.new")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            (beside / "versions").mkdir(parents=True)
            (beside / "segments").mkdir()
            (beside / LOCK).touch()
            base = {
                "format": FORMAT,
                "layout": LAYOUT,
                "version": 0,
                "dim": dim,
                "settings": settings.as_dict(),
                "model": dict(model or {}),
                "segments": [],
            }
            facts = write_segment(beside / "segments" / "1-0", batches, dim, settings, limits or BuildLimits())
            _commit(beside, base, [{"name": "1-0", **facts, "deleted": None}])
            beside.rename(place)
            sync(place.parent)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return cls.open(place)

    @classmethod
    def open(cls, path: str | Path, *, model: str | None = None, verify: bool = True) -> Self:
        """Open the current version; with ``model``, the fingerprint of the encoder that will ask.

        Raises `ConfigError` for another model, `ArtifactError` for what is no store or was changed; ``verify`` compares
        every byte with its hash.
        """
        place = Path(path)
        for _ in range(5):  # a writer may clear away what was current a moment ago
            version = read_version(place)
            try:
                found = cls._of(place, version)
                found.check_model(model)
                if verify:
                    found.verify()
            except FileNotFoundError:
                if read_version(place) == version:
                    break
                continue
            found._asked_by = model
            return found
        raise ArtifactError("E_STORE", f"{place}: files of version {version['version']} are missing")

    @classmethod
    def _of(cls, place: Path, version: Mapping[str, Any]) -> Self:
        dim = int(version["dim"])
        segments = [Segment(place / "segments" / each["name"], each, dim) for each in version["segments"]]
        dead = []
        for each, segment in zip(version["segments"], segments, strict=True):
            rows = np.empty(0, np.int32)
            if each["deleted"] is not None:
                file = place / "versions" / Path(each["deleted"]["file"]).name
                if sha256_file(file) != each["deleted"]["sha256"]:
                    raise ArtifactError("E_CHECKSUM", f"{file}: bytes differ from the version of the store")
                rows = np.load(file, allow_pickle=False)
                if (
                    rows.dtype != np.int32
                    or rows.ndim != 1
                    or (len(rows) and not 0 <= rows.min() <= rows.max() < segment.n)
                ):
                    raise ArtifactError("E_STORE", f"{file}: no rows of its segment")
            dead.append(rows)
        return cls(place, version, segments, dead)

    def refresh(self) -> Self:
        """Return the current version: this one, or another that was written since; see `open` for another model."""
        if read_version(self.path) == self.manifest:
            return self
        return type(self).open(self.path, model=self._asked_by, verify=False)

    def check_model(self, model: str | None) -> None:
        """Raise `ConfigError` unless the vectors are of the model with this fingerprint; None is not asked."""
        if model is not None and self.model.get("fingerprint") not in (None, model):
            raise ConfigError(
                "E_MODEL",
                f"{self.path}: its vectors are of model {self.model['fingerprint']}, this is {model}: encode its texts "
                f"anew with  honed store migrate {self.path} --bundle BUNDLE",
            )

    def verify(self) -> None:
        """Check every file against its hash; `ArtifactError` names the first that differs."""
        for segment in self.segments:
            segment.verify()

    def __len__(self) -> int:
        return sum(segment.n - len(dead) for segment, dead in zip(self.segments, self._dead, strict=True))

    @property
    def n_deleted(self) -> int:
        """Deleted or replaced records whose place is not yet free; see `Writer.compact`."""
        return sum(len(each) for each in self._dead)

    def fields(self) -> dict[str, int]:
        """Return the fields that can be filtered by, each with the number of its distinct values, at most."""
        found: dict[str, int] = {}
        for segment in self.segments:
            for name, column in segment.columns.items():
                found[name] = found.get(name, 0) + len(column.values)
        return found

    def live(self, number: int) -> Mask:
        """Return which rows of a segment are not deleted ``(n,)``."""
        if number not in self._live:
            mask = np.ones(self.segments[number].n, dtype=np.bool_)
            mask[self._dead[number]] = False
            self._live[number] = mask
        return self._live[number]

    def search(self, vectors: Vectors, k: int = 10, *, where: Filter | None = None) -> list[list[Found]]:
        """Return for each query vector up to ``k`` records, best first; ``where`` is a filter on their fields.

        There are fewer than ``k`` only where fewer are there, or pass the filter.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dim or not np.isfinite(vectors).all():
            raise DataError("E_VECTORS", f"queries need finite vectors of {self.dim} dimensions, not {vectors.shape}")
        if where is not None:
            check_fields(where, self.fields())
        scores, rows, owners = [], [], []
        for number, segment in enumerate(self.segments):
            allowed = self._allowed(number, where)
            own_scores, own = segment.search(vectors, k, allowed)
            scores.append(own_scores)
            rows.append(own)
            owners.append(np.full(own.shape, number))
        if not scores:
            return [[] for _ in vectors]
        joined, owner = np.hstack(rows), np.hstack(owners)
        starts = np.cumsum([0, *(segment.n for segment in self.segments)])
        best, places = in_order(np.hstack(scores), np.where(joined < 0, -1, joined + starts[owner]), k)
        return [self._found(*line) for line in zip(best, places, strict=True)]

    def _found(self, scores: Any, places: Any) -> list[Found]:
        starts = np.cumsum([0, *(segment.n for segment in self.segments)])
        found: list[Found] = []
        for score, place in zip(scores.tolist(), places.tolist(), strict=True):
            if place >= 0:
                number = int(np.searchsorted(starts, place, side="right")) - 1
                record = self.segments[number].record(place - int(starts[number]))
                found.append(Found(record=record, score=round(max(-1.0, min(score, 1.0)), 6), rank=len(found) + 1))
        return found

    def _allowed(self, number: int, where: Filter | None) -> Mask | None:
        live = self.live(number) if len(self._dead[number]) else None
        if not where:
            return live
        segment = self.segments[number]
        if set(where) - set(segment.columns):  # no record of the segment has the field
            return np.zeros(segment.n, dtype=np.bool_)
        mask = allowed_rows(where, segment.columns, segment.n)
        return mask if live is None else mask & live

    def get(self, doc_id: str) -> Record | None:
        """Return a record by its id, or None."""
        place = self.places([doc_id]).get(doc_id)
        return None if place is None else self.segments[place[0]].record(place[1])

    def places(self, doc_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return (segment, row) of those of some ids that are there."""
        found: dict[str, tuple[int, int]] = {}
        for number, segment in enumerate(self.segments):
            live = self.live(number)
            found |= {key: (number, row) for key, row in segment.rows_of(doc_ids).items() if live[row]}
        return found

    def batches(self, size: int = _BATCH) -> Iterator[Batch]:
        """Yield all records with their vectors."""
        for number, segment in enumerate(self.segments):
            yield from segment.batches(self.live(number), size)


def read_version(path: Path) -> dict[str, Any]:
    """Return the current version of a store as plain data; `ArtifactError` for what is no store."""
    for _ in range(5):
        try:
            name, _, digest = (path / CURRENT).read_text("utf-8").strip().partition(" ")
        except OSError:
            raise ArtifactError("E_NOT_A_STORE", f"{path}: not a store of honed") from None
        try:
            raw = (path / "versions" / Path(name).name).read_bytes()
            if sha256(raw).hexdigest() != digest:
                raise ArtifactError("E_CHECKSUM", f"{path}: version {name}: bytes differ from {CURRENT}")
            data: dict[str, Any] = json.loads(raw)
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise ArtifactError("E_STORE", f"{path}: version {name} cannot be read: {error}") from error
        if data.get("format") != FORMAT or data.get("layout") != LAYOUT:
            raise ArtifactError("E_STORE", f"{path}: not a store of this honed: {data.get('format')}")
        return data
    raise ArtifactError("E_STORE", f"{path}: the version that is current is missing")


@contextmanager
def writing(path: str | Path, *, limits: BuildLimits | None = None) -> Iterator["Writer"]:
    """Give the one writer of a store; `ConfigError` at once, naming the other, when there is one."""
    place = Path(path)
    read_version(place)
    with (place / LOCK).open("r+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                "E_STORE_LOCKED",
                f"{place}: {lock.read().strip() or 'another process'} is writing; one writer at a time",
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S %z')}")
        lock.flush()
        try:
            yield Writer(place, limits or BuildLimits())
        finally:
            lock.seek(0)
            lock.truncate()


class Writer:
    """Changes a store; each method is one change, all of it or nothing. See `writing`."""

    def __init__(self, path: Path, limits: BuildLimits) -> None:
        self.path, self._limits = path, limits
        self.store = Store.open(path, verify=False)
        _clear(path)

    def add(self, batches: Iterable[Batch], *, replace: bool = False) -> Store:
        """Add records; with ``replace`` those whose ids are there take their place (upsert).

        Without it an id that is there is a `DataError`, and nothing is added.
        """
        self._check_mutable()
        name = f"{self.store.version + 1}-0"
        facts = self._write(name, batches)
        added = Segment(self.path / "segments" / name, facts, self.store.dim)
        ids = [added.record(row).doc_id for row in range(added.n)]
        old = self.store.places(ids)
        if old and not replace:
            shutil.rmtree(added.folder)
            raise DataError("E_ID_EXISTS", f"id {next(iter(old))!r} is in the store; replace it with  --replace")
        return self._done([*self._deleted(old.values()), {"name": name, **facts, "deleted": None}])

    def delete(self, doc_ids: Sequence[str]) -> Store:
        """Delete records by id; an id that is not there is a `DataError`, and nothing is deleted."""
        self._check_mutable()
        places = self.store.places(doc_ids)
        missing = [each for each in doc_ids if each not in places]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError("E_ID_UNKNOWN", f"no record {missing[0]!r}{more} in {self.path}; nothing was deleted")
        return self._done(self._deleted(places.values()))

    def compact(self, settings: IndexSettings | None = None) -> Store:
        """Write all that is live into one segment with an index anew, with other settings if they are given."""
        return self._rewrite(self.store.batches(), self.store.dim, settings or self.store.settings, self.store.model)

    def migrate(self, encode: Callable[[Sequence[str]], Vectors], dim: int, model: Mapping[str, Any]) -> Store:
        """Encode the texts of all records with another model; `DataError` when a record has no text."""

        def encoded() -> Iterator[Batch]:
            for batch in self.store.batches():
                for record in batch.records:
                    if not record.text:
                        raise DataError("E_NO_TEXT", f"record {record.doc_id!r} has no text to encode")
                yield Batch(records=batch.records, vectors=encode([each.text for each in batch.records]))

        return self._rewrite(encoded(), dim, self.store.settings, model)

    def _check_mutable(self) -> None:
        if self.store.settings.backend == "annoy":
            raise ConfigError(
                "E_READ_ONLY",
                f"{self.path}: trees of Annoy are read-only; first  honed store compact  to another index",
            )

    def _rewrite(self, batches: Iterable[Batch], dim: int, settings: IndexSettings, model: Mapping[str, Any]) -> Store:
        settings.check().resolved(SMALL, dim)
        name = f"{self.store.version + 1}-0"
        facts = self._write(name, batches, dim, settings)
        changed = {"dim": dim, "settings": settings.as_dict(), "model": dict(model)}
        return self._done([{"name": name, **facts, "deleted": None}], changed)

    def _write(
        self, name: str, batches: Iterable[Batch], dim: int | None = None, settings: IndexSettings | None = None
    ) -> dict[str, Any]:
        folder = self.path / "segments" / name
        partial = folder.with_name(f"{name}.partial")
        try:
            facts = write_segment(
                partial, batches, dim or self.store.dim, settings or self.store.settings, self._limits
            )
            shutil.rmtree(folder, ignore_errors=True)  # of a change that failed before it was one
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync(folder.parent)
        return facts

    def _deleted(self, places: Iterable[tuple[int, int]]) -> list[dict[str, Any]]:
        """Return the segments of the next version, where more rows are deleted; one without any live is left out."""
        rows: dict[int, list[int]] = {}
        for number, row in places:
            rows.setdefault(number, []).append(row)
        found = []
        for number, each in enumerate(self.store.manifest["segments"]):
            if number in rows:
                live = self.store.live(number).copy()
                live[rows[number]] = False
                if not live.any():
                    continue
                file = self.path / "versions" / f"{self.store.version + 1}-{number}.npy"
                np.save(file, np.flatnonzero(~live).astype(np.int32), allow_pickle=False)
                sync(file)
                each = {**each, "deleted": {"file": file.name, "sha256": sha256_file(file)}}
            found.append(each)
        return found

    def _done(self, segments: Sequence[Mapping[str, Any]], changed: Mapping[str, Any] | None = None) -> Store:
        _commit(self.path, {**self.store.manifest, **(changed or {})}, segments)
        self.store = Store.open(self.path, verify=False)
        _clear(self.path)
        if len(self.store.segments) > _MOST_SEGMENTS:
            try:
                self._gather()
            except (HonedError, OSError) as error:  # the change itself is made
                log.warning("%s: its parts could not be gathered: %s", self.path, error)
        return self.store

    def _gather(self) -> None:
        """Make one segment of the small ones, so that a search does not ask many."""
        small = [number for number, each in enumerate(self.store.segments) if not each.has_index]
        if len(small) < 2:
            self.compact()
            return
        name = f"{self.store.version + 1}-0"
        batches = (
            batch for number in small for batch in self.store.segments[number].batches(self.store.live(number), _BATCH)
        )
        facts = self._write(name, batches)
        kept = [each for number, each in enumerate(self.store.manifest["segments"]) if number not in small]
        self._done([*kept, {"name": name, **facts, "deleted": None}])


def _commit(path: Path, base: Mapping[str, Any], segments: Sequence[Mapping[str, Any]]) -> None:
    """Write the next version, then turn to it; the rename is the moment at which the change is made."""
    number = int(base["version"]) + 1
    name = f"{number:08d}.json"
    version = {**base, "version": number, "segments": list(segments)}
    text = json.dumps(version, ensure_ascii=False, indent=1)
    write_text(path / "versions" / name, text)
    write_text(path / CURRENT, f"{name} {sha256(text.encode()).hexdigest()}\n")


def _clear(path: Path) -> None:
    """Remove what neither the current version nor the one before it holds, such as what a killed writer left."""
    current = read_version(path)
    versions = sorted((path / "versions").glob("*.json"))
    kept = [each for each in versions if int(each.stem) <= current["version"]][-_KEPT:]
    held: set[str] = {each.name for each in kept}
    for each in kept:
        for segment in json.loads(each.read_text("utf-8"))["segments"]:
            held |= {segment["name"], (segment["deleted"] or {}).get("file", "")}
    for folder in (path / "versions", path / "segments"):
        for each in folder.iterdir():
            if each.name not in held:
                if each.is_dir():
                    shutil.rmtree(each, ignore_errors=True)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        each.unlink()
