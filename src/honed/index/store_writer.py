"""Changes of a store, one writer at a time: each is a new version, all of it or nothing; see `honed.index.store`."""

import fcntl
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from honed.core.errors import ConfigError, DataError, HonedError
from honed.core.fingerprint import sha256_file
from honed.core.json import JsonObject
from honed.core.protocols import Vectors
from honed.core.writing import naming, sync
from honed.index.segments import SMALL, BuildLimits, Segment, SegmentFacts, write_segment
from honed.index.settings import IndexSettings
from honed.index.store import Store
from honed.index.store_records import Batch
from honed.index.store_version import (
    LOCK,
    SEGMENTS,
    VERSIONS,
    DeletedRows,
    SegmentEntry,
    StoreVersion,
    commit_version,
    read_version,
    remove_unused,
)

log = logging.getLogger("honed.store")
_MOST_SEGMENTS = 12
_BATCH = 4096


@contextmanager
def writing(path: str | Path, *, limits: BuildLimits | None = None) -> Iterator["StoreWriter"]:
    """Give the one writer of a store; `ConfigError` at once, naming the other, when there is one."""
    place = Path(path)
    read_version(place)
    with naming(place), (place / LOCK).open("r+", encoding="utf-8") as lock:
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
            yield StoreWriter(place, limits or BuildLimits())
        finally:
            lock.seek(0)
            lock.truncate()


class StoreWriter:
    """Changes a store; each method is one change, all of it or nothing, and returns the new version. See `writing`."""

    def __init__(self, path: Path, limits: BuildLimits) -> None:
        self.path, self._limits = path, limits
        self.store = Store.open(path, verify=False)
        remove_unused(path)

    def add(self, batches: Iterable[Batch], *, replace: bool = False) -> Store:
        """Add records; with ``replace`` those whose ids are there take their place (upsert).

        Without it an id that is there is a `DataError`, and nothing is added.
        """
        entry = self._write(batches, self.store.manifest)
        added = Segment(self.path / SEGMENTS / entry.name, entry.facts, self.store.dim)
        ids = [added.record(row).doc_id for row in range(added.n)]
        places = self.store.locate(ids)
        if places and not replace:
            shutil.rmtree(added.folder)
            raise DataError("E_ID_EXISTS", f"id {next(iter(places))!r} is in the store; replace it with  --replace")
        return self._commit([*self._without(places.values()), entry])

    def delete(self, doc_ids: Sequence[str]) -> Store:
        """Delete records by id; an id that is not there is a `DataError`, and nothing is deleted."""
        places = self.store.locate(doc_ids)
        missing = [doc_id for doc_id in doc_ids if doc_id not in places]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise DataError("E_ID_UNKNOWN", f"no record {missing[0]!r}{more} in {self.path}; nothing was deleted")
        return self._commit(self._without(places.values()))

    def compact(self, settings: IndexSettings | None = None) -> Store:
        """Write all that is live into one segment with an index anew, with other settings if they are given."""
        base = self.store.manifest
        return self._rewrite(self.store.batches(), replace(base, settings=settings or base.settings))

    def migrate(self, encode: Callable[[Sequence[str]], Vectors], dim: int, model: JsonObject) -> Store:
        """Encode the texts of all records with another model; `DataError` when a record has no text.

        ``encode`` returns vectors ``(n_texts, dim)``; ``model`` is what `Store.create` takes.
        """

        def encoded() -> Iterator[Batch]:
            for batch in self.store.batches():
                for record in batch.records:
                    if not record.text:
                        raise DataError("E_NO_TEXT", f"record {record.doc_id!r} has no text to encode")
                yield Batch(records=batch.records, vectors=encode([record.text for record in batch.records]))

        return self._rewrite(encoded(), replace(self.store.manifest, dim=dim, model=dict(model)))

    def _rewrite(self, batches: Iterable[Batch], base: StoreVersion) -> Store:
        """Make one segment of some records, with the dimensions, settings and model of a version."""
        base.settings.check().resolved(SMALL, base.dim)
        self.store.verify()  # what was damaged must not get a hash that fits
        return self._commit([self._write(batches, base)], base)

    def _write(self, batches: Iterable[Batch], base: StoreVersion) -> SegmentEntry:
        """Write a segment for the next version."""
        name = f"{self.store.version + 1}-0"
        folder = self.path / SEGMENTS / name
        partial = folder.with_name(f"{name}.partial")
        try:
            facts: SegmentFacts = write_segment(partial, batches, base.dim, base.settings, self._limits)
            shutil.rmtree(folder, ignore_errors=True)  # of a change that failed before it was one
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        sync(folder.parent)
        return SegmentEntry(name=name, facts=facts)

    def _without(self, places: Iterable[tuple[int, int]]) -> list[SegmentEntry]:
        """Return the segments without some records, (segment, row) each; one without any live is left out."""
        rows_of: dict[int, list[int]] = {}
        for number, row in places:
            rows_of.setdefault(number, []).append(row)
        entries = []
        for number, entry in enumerate(self.store.manifest.segments):
            if number not in rows_of:
                entries.append(entry)
                continue
            live = self.store.live_mask(number).copy()
            live[rows_of[number]] = False
            if live.any():
                file = self.path / VERSIONS / f"{self.store.version + 1}-{number}.npy"
                np.save(file, np.flatnonzero(~live).astype(np.int32), allow_pickle=False)
                sync(file)
                entries.append(replace(entry, deleted=DeletedRows(file=file.name, sha256=sha256_file(file))))
        return entries

    def _commit(self, segments: Sequence[SegmentEntry], base: StoreVersion | None = None) -> Store:
        """Turn to a version of some segments; merge small ones where they have become many."""
        commit_version(self.path, base or self.store.manifest, segments)
        self.store = Store.open(self.path, verify=False)
        remove_unused(self.path)
        if len(self.store.segments) > _MOST_SEGMENTS:
            try:
                self._merge_small()
            except (HonedError, OSError) as error:  # the change itself is made
                log.warning("%s: its parts could not be gathered: %s", self.path, error)
        return self.store

    def _merge_small(self) -> None:
        """Make one segment of the small ones, so that a search does not visit many."""
        store = self.store
        small = [number for number, segment in enumerate(store.segments) if not segment.has_index]
        if len(small) < 2:
            self.compact()
            return
        for number in small:
            store.segments[number].verify()
        batches = (
            batch for number in small for batch in store.segments[number].batches(store.live_mask(number), _BATCH)
        )
        merged = self._write(batches, store.manifest)
        kept = [entry for number, entry in enumerate(store.manifest.segments) if number not in small]
        self._commit([*kept, merged])
