"""A vector index on disk that changes: documents are added, replaced and deleted; every change is a new version.

A version is a small file that names the segments it is made of and the deleted rows of each (`honed.index.segments`).
Segments are never changed. A change writes new files beside the old ones, syncs them, and turns ``CURRENT`` to the new
version in one rename: a killed writer leaves the old version whole, and readers keep the version that they opened. One
writer at a time holds a lock that the system takes from a dead process; see `honed.index.store_writer`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError, ConfigError, DataError
from honed.core.filters import Filter, allowed_rows, check_fields
from honed.core.fingerprint import sha256_file
from honed.core.json import JsonObject
from honed.core.protocols import Mask, Vectors
from honed.core.ranking import Rows
from honed.core.writing import new_folder
from honed.index.exact import best_first
from honed.index.segments import SMALL, BuildLimits, Segment, write_segment
from honed.index.settings import IndexSettings
from honed.index.store_records import Batch, Record
from honed.index.store_version import (
    LOCK,
    SEGMENTS,
    VERSIONS,
    SegmentEntry,
    StoreVersion,
    commit_version,
    read_version,
    verify_version,
)

_BATCH = 4096
_ATTEMPTS = 5
DeadRows = npt.NDArray[np.int32]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreHit:
    """A hit of a store: the record, its score (cosine, higher is closer) and its rank, from 1."""

    record: Record
    score: float
    rank: int


class Store:
    """One version of a store, open for reading; make it with `Store.open` or `Store.create`.

    ``manifest`` is the version, ``model`` what it says of the encoder that made the vectors.
    """

    def __init__(
        self, path: Path, version: StoreVersion, segments: Sequence[Segment], dead: Sequence[DeadRows]
    ) -> None:
        self.path, self.manifest, self.segments = path, version, segments
        self.dim, self.version, self.settings = version.dim, version.version, version.settings
        self.model: JsonObject = version.model
        self._dead = dead  # deleted rows of each segment
        self._live: dict[int, Mask] = {}
        self._model_of_reader: str | None = None
        self._starts = np.cumsum([0, *(segment.n for segment in segments)])  # as if all segments were one

    @classmethod
    def create(
        cls,
        path: str | Path,
        batches: Iterable[Batch],
        *,
        dim: int,
        settings: IndexSettings | None = None,
        model: JsonObject | None = None,
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
        with new_folder(place) as beside:
            (beside / VERSIONS).mkdir()
            (beside / SEGMENTS).mkdir()
            (beside / LOCK).touch()
            facts = write_segment(beside / SEGMENTS / "1-0", batches, dim, settings, limits or BuildLimits())
            before = StoreVersion(version=0, dim=dim, settings=settings, model=dict(model or {}))
            commit_version(beside, before, [SegmentEntry(name="1-0", facts=facts)])
        return cls.open(place)

    @classmethod
    def open(cls, path: str | Path, *, model: str | None = None, verify: bool = True) -> Self:
        """Open the current version; with ``model``, the fingerprint of the encoder whose vectors will be searched with.

        Raises `ConfigError` for another model, `ArtifactError` for what is no store or was changed; ``verify`` compares
        every byte with its hash.
        """
        place = Path(path)
        for _ in range(_ATTEMPTS):  # a writer may clear away what was current a moment ago
            version = read_version(place)
            try:
                if verify:  # before anything is made of the bytes
                    verify_version(place, version)
                store = cls._of(place, version)
                store.check_model(model)
            except FileNotFoundError:
                if read_version(place) == version:
                    break
                continue
            store._model_of_reader = model
            return store
        raise ArtifactError("E_STORE", f"{place}: files of version {version.version} are missing")

    @classmethod
    def _of(cls, place: Path, version: StoreVersion) -> Self:
        segments = [Segment(place / SEGMENTS / entry.name, entry.facts, version.dim) for entry in version.segments]
        dead = [_dead_rows(place, entry) for entry in version.segments]
        return cls(place, version, segments, dead)

    def refresh(self) -> Self:
        """Return the current version: this one, or another that was written since; see `open` for another model."""
        if read_version(self.path) == self.manifest:
            return self
        return type(self).open(self.path, model=self._model_of_reader, verify=False)

    def check_model(self, model: str | None) -> None:
        """Raise `ConfigError` unless the vectors are of the model with this fingerprint; None passes."""
        if model is not None and self.model.get("fingerprint") not in (None, model):
            raise ConfigError(
                "E_MODEL",
                f"{self.path}: its vectors are of model {self.model['fingerprint']}, this is {model}: encode its texts "
                f"anew with  honed store migrate {self.path} --bundle BUNDLE",
            )

    def verify(self) -> None:
        """Check every file against its hash; `ArtifactError` names the first that differs."""
        verify_version(self.path, self.manifest)

    def __len__(self) -> int:
        return sum(segment.n - len(dead) for segment, dead in zip(self.segments, self._dead, strict=True))

    @property
    def n_deleted(self) -> int:
        """Deleted or replaced records whose place is not yet free; see `honed.index.store_writer`."""
        return sum(len(dead) for dead in self._dead)

    def fields(self) -> dict[str, int]:
        """Return the fields that can be filtered by, each with the number of its distinct values, at most."""
        counts: dict[str, int] = {}
        for segment in self.segments:
            for name, column in segment.columns.items():
                counts[name] = counts.get(name, 0) + len(column.values)
        return counts

    def live_mask(self, number: int) -> Mask:
        """Return which rows of a segment are not deleted ``(n,)``."""
        if number not in self._live:
            mask = np.ones(self.segments[number].n, dtype=np.bool_)
            mask[self._dead[number]] = False
            self._live[number] = mask
        return self._live[number]

    def search(self, vectors: Vectors, k: int = 10, *, where: Filter | None = None) -> list[list[StoreHit]]:
        """Return for each query vector up to ``k`` records, best first; ``where`` is a filter on their fields.

        There are fewer than ``k`` only where fewer are there, or pass the filter. Raises `DataError` for vectors that
        are not finite or of another length, `ConfigError` for a filter on a field that no record has.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dim or not np.isfinite(vectors).all():
            raise DataError("E_VECTORS", f"queries need finite vectors of {self.dim} dimensions, not {vectors.shape}")
        if where is not None:
            check_fields(where, self.fields())
        scores, places = [], []
        for number, segment in enumerate(self.segments):
            segment_scores, rows = segment.search(vectors, k, self._allowed(number, where))
            scores.append(segment_scores)
            places.append(np.where(rows < 0, -1, rows + self._starts[number]))
        if not scores:
            return [[] for _ in vectors]
        best = best_first(np.hstack(scores), np.hstack(places), k)
        return [self._hits(*line) for line in zip(*best, strict=True)]

    def _hits(self, scores: Vectors, places: Rows) -> list[StoreHit]:
        """Return the hits of one query; ``places`` ``(k,)`` number the rows of all segments, -1 for none."""
        hits: list[StoreHit] = []
        for score, place in zip(scores.tolist(), places.tolist(), strict=True):
            if place >= 0:
                number = int(np.searchsorted(self._starts, place, side="right")) - 1
                record = self.segments[number].record(place - int(self._starts[number]))
                hits.append(StoreHit(record=record, score=round(max(-1.0, min(score, 1.0)), 6), rank=len(hits) + 1))
        return hits

    def _allowed(self, number: int, where: Filter | None) -> Mask | None:
        """Return the rows of a segment that are live and pass a filter; None for all."""
        live = self.live_mask(number) if len(self._dead[number]) else None
        if not where:
            return live
        segment = self.segments[number]
        if set(where) - set(segment.columns):  # no record of the segment has the field
            return np.zeros(segment.n, dtype=np.bool_)
        mask = allowed_rows(where, segment.columns, segment.n)
        return mask if live is None else mask & live

    def get(self, doc_id: str) -> Record | None:
        """Return a record by its id, or None."""
        place = self.locate([doc_id]).get(doc_id)
        return None if place is None else self.segments[place[0]].record(place[1])

    def locate(self, doc_ids: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        """Return (segment, row) of those of some ids that are there."""
        places: dict[str, tuple[int, int]] = {}
        for number, segment in enumerate(self.segments):
            live = self.live_mask(number)
            places |= {doc_id: (number, row) for doc_id, row in segment.rows_of(doc_ids).items() if live[row]}
        return places

    def batches(self, size: int = _BATCH) -> Iterator[Batch]:
        """Yield all records with their vectors, ``size`` at a time."""
        for number, segment in enumerate(self.segments):
            yield from segment.batches(self.live_mask(number), size)


def _dead_rows(place: Path, entry: SegmentEntry) -> DeadRows:
    """Return the deleted rows of a segment; `ArtifactError` for a file that was changed."""
    if entry.deleted is None:
        return np.empty(0, np.int32)
    file = place / VERSIONS / entry.deleted.file
    if sha256_file(file) != entry.deleted.sha256:
        raise ArtifactError("E_CHECKSUM", f"{file}: bytes differ from the version of the store")
    rows: DeadRows = np.load(file, allow_pickle=False)
    if rows.dtype != np.int32 or rows.ndim != 1 or (len(rows) and not 0 <= rows.min() <= rows.max() < entry.facts.n):
        raise ArtifactError("E_STORE", f"{file}: no rows of its segment")
    return rows
