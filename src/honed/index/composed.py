"""Clusters, codes and full vectors in one index, each stage with its width: near clusters first, codes next, full last.

The stages are those of Jégou et al. 2011 (IVFADC) with a refinement as in Jégou et al. 2011, "Searching in one billion
vectors: re-rank with source coding": ``nprobe`` clusters, in them the best ``rescore`` by their codes, of those the
best ``k`` by their full vectors, which may lie in a memory map. One cluster, whole vectors or no rescoring are the ends
of the same index: inverted file, scalar and product codes, sign codes, RaBitQ.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.optional import require
from honed.core.protocols import Mask, Vectors, VectorSource
from honed.core.ranking import Rows
from honed.index.clusters import Clusters, nearest_clusters, train_clusters
from honed.index.exact import NARROW, exact_among, in_order
from honed.index.fastscan import fast_lists
from honed.index.ivf import full_lists
from honed.index.lists import CodedLists
from honed.index.product import product_lists
from honed.index.rabitq import rabitq_lists
from honed.index.scalar import scalar_lists
from honed.index.settings import FULL, IndexSettings
from honed.index.sign import SignLists

LISTS: Mapping[str, Callable[[Vectors, int], CodedLists]] = {
    FULL: full_lists,
    "scalar": scalar_lists,
    "product": product_lists,
    "fastscan": fast_lists,
    "sign": SignLists,
    "rabitq": rabitq_lists,
}
_BLOCK = 16_384
_ID_BYTES = 8  # of a row number, in FAISS and numpy alike


class ComposedIndex:
    """Clusters x codes x rescoring over unit vectors by inner product; see `IndexSettings` for the widths."""

    def __init__(self, source: VectorSource, settings: IndexSettings, lists: CodedLists, saved: Mapping[str, Any]):
        self.settings, self.n, self.dim = settings, *source.shape
        self._source, self._lists, self._saved = source, lists, saved

    @classmethod
    def build(cls, source: VectorSource, settings: IndexSettings, *, clusters: Clusters | None = None) -> Self:
        """Learn clusters and codes of vectors, and make them ready to be searched; ``clusters`` may be given."""
        return cls.from_tensors(source, settings, code_vectors(source, settings, clusters=clusters))

    def tensors(self) -> dict[str, Any]:
        """Return the index as named arrays; the full vectors are not among them."""
        return dict(self._saved)

    @classmethod
    def from_tensors(cls, source: VectorSource, settings: IndexSettings, tensors: Mapping[str, Any]) -> Self:
        """Put a saved index over its vectors; `ArtifactError` when the arrays do not fit together."""
        n, dim = source.shape
        settings = settings.check().resolved(n, dim)
        _require(settings)
        centroids, offsets, rows, codes = (tensors[name] for name in ("centroids", "offsets", "rows", "codes"))
        fits = (
            centroids.dtype == np.float32
            and offsets.ndim == 1
            and centroids.shape == (len(offsets) - 1, settings.dims)
            and len(centroids) >= 1
            and bool(np.isfinite(centroids).all())
            and offsets.dtype == np.int64
            and int(offsets[0]) == 0
            and int(offsets[-1]) == n
            and bool((np.diff(offsets) >= 0).all())
            and rows.dtype == np.int32
            and rows.shape == (n,)
            and (not n or 0 <= int(rows.min()) <= int(rows.max()) < n)
            and bool((np.bincount(rows, minlength=n) == 1).all())
        )
        if not fits:
            raise ArtifactError("E_INDEX", "the clusters of the index do not fit its vectors")
        lists = LISTS[settings.kind](centroids, settings.bits)
        if codes.dtype != np.uint8 or codes.shape != (n, lists.code_size):
            raise ArtifactError("E_INDEX", "the codes of the index do not fit its vectors")
        lists.restore(tensors)
        lists.fill(codes, offsets, rows)
        return cls(source, settings, lists, tensors)

    @property
    def code_bytes(self) -> int:
        """What a search holds in memory, in bytes: codes, row numbers, centroids and what the codes learned."""
        return self.held_bytes(np.diff(self._saved["offsets"]))

    def held_bytes(self, sizes: Any) -> int:
        """Return what such codes would take in clusters of other sizes ``(nlist,)``, see `code_bytes`."""
        counted = ("codes", "rows", "centroids", "offsets")
        learned = sum(each.nbytes for name, each in self._saved.items() if name not in counted)
        blocks = int((-(-sizes // self._lists.together)).sum())
        codes = self._lists.code_size * self._lists.together * blocks
        return int(codes + _ID_BYTES * int(sizes.sum()) + (4 * self.settings.dims + 8) * len(sizes) + 8 + learned)

    def scanned(self, vectors: Vectors, nprobe: int = 0) -> Any:
        """Return how many vectors each query is compared with ``(n_queries,)``: centroids, codes in near clusters."""
        centroids, offsets = self._saved["centroids"], self._saved["offsets"]
        near = nearest_clusters(cut(vectors, self.settings.dims), centroids, nprobe or self.settings.nprobe)
        return len(centroids) * (len(centroids) > 1) + np.diff(offsets)[near].sum(axis=1)

    def search(
        self, vectors: Vectors, k: int, *, allowed: Mask | None = None, nprobe: int = 0, rescore: int | None = None
    ) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number.

        Scores are cosines, or what the codes estimate where nothing is rescored. ``allowed`` ``(n,)`` leaves out the
        rows where it is False: few allowed rows are all compared, for many so many more clusters are searched that as
        many allowed ones are compared as without it. Where the near clusters hold fewer than ``k``, more are searched.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        n = self.n if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, n)
        if allowed is not None and n <= max(NARROW, k):
            return exact_among(self._source, np.flatnonzero(allowed), vectors, k)
        if k == 0 or not len(vectors):
            return np.empty((len(vectors), k), np.float32), np.empty((len(vectors), k), np.int64)
        rescore = self.settings.rescore if rescore is None else rescore
        nlist = len(self._saved["centroids"])
        nprobe = min(nlist, -(-(nprobe or self.settings.nprobe) * self.n // n))
        scores = np.empty((len(vectors), k), dtype=np.float32)
        rows = np.empty((len(vectors), k), dtype=np.int64)
        asked = cut(vectors, self.settings.dims)
        waiting = np.arange(len(vectors))
        while len(waiting):
            found = self._lists.search(asked[waiting], min(max(k, rescore), n), nprobe, allowed)
            if rescore:
                found = (self._rescored(vectors[waiting], found[1]), found[1])
            scores[waiting], rows[waiting] = in_order(*found, k)
            waiting = waiting[rows[waiting, -1] < 0]
            if nprobe >= nlist:
                break
            nprobe = min(4 * nprobe, nlist)
        if len(waiting):  # codes that estimate the least there is are passed over by some comparisons
            every = np.arange(self.n) if allowed is None else np.flatnonzero(allowed)
            scores[waiting], rows[waiting] = exact_among(self._source, every, vectors[waiting], k)
        return scores, rows

    def _rescored(self, vectors: Vectors, rows: Rows) -> Vectors:
        scores = np.full(rows.shape, -2.0, dtype=np.float32)
        for at, vector in enumerate(vectors):
            some = rows[at] >= 0
            scores[at, some] = self._source.take(rows[at, some]) @ vector
        return scores


def code_vectors(
    source: VectorSource,
    settings: IndexSettings,
    *,
    block: int = _BLOCK,
    scratch: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    clusters: Clusters | None = None,
) -> dict[str, Any]:
    """Learn clusters and codes from a sample, code all vectors ``block`` at a time; return the index as named arrays.

    ``scratch`` is a folder for the codes, which are held in memory otherwise. ``progress`` is told how many of how many
    vectors are coded. Beside the codes, 24 bytes a vector are held, and the sample. ``clusters`` are learned unless
    they are given.
    """
    n, dim = source.shape
    settings = settings.check().resolved(n, dim)
    _require(settings)
    if clusters is not None and clusters.centroids.shape[1] != settings.dims:
        clusters = None  # of vectors that were not cut
    rows = np.arange(n)
    if settings.sample < n:
        rows = np.sort(np.random.default_rng(settings.seed).choice(n, settings.sample, replace=False))
    sample = cut(source.take(rows), settings.dims)
    centroids = clusters.centroids if clusters else train_clusters(sample, settings.nlist, settings.seed)
    lists = LISTS[settings.kind](centroids, settings.bits)
    lists.train(sample)
    del sample, rows
    numbers = clusters.numbers if clusters else np.empty(n, dtype=np.int32)
    codes = _array(scratch, "unsorted", (n, lists.code_size))
    for start in range(0, n, block):
        some = slice(start, min(start + block, n))
        vectors = cut(source.take(some), settings.dims)
        if clusters is None:
            numbers[some] = nearest_clusters(vectors, centroids)[:, 0]
        codes[some] = lists.encode(vectors, numbers[some].astype(np.int64))
        if progress is not None:
            progress(some.stop, n)
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=len(centroids)))]).astype(np.int64)
    in_clusters = _array(scratch, "codes", codes.shape)
    for start in range(0, n, block):
        in_clusters[start : start + block] = codes[order[start : start + block]]
    if scratch is not None:
        (scratch / "unsorted.npy").unlink(missing_ok=True)
    return {"centroids": centroids, "offsets": offsets, "rows": order, "codes": in_clusters, **lists.tensors()}


def cut(vectors: Vectors, dims: int) -> Vectors:
    """Return the first ``dims`` dimensions of unit vectors, made unit vectors again."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if dims >= vectors.shape[1]:
        return vectors
    vectors = vectors[:, :dims]
    shorter: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return shorter


def _require(settings: IndexSettings) -> None:
    if settings.kind != "sign" or settings.nlist > 1:
        require("vector index")


def _array(scratch: Path | None, name: str, shape: tuple[int, int]) -> Any:
    if scratch is None or 0 in shape:
        return np.empty(shape, dtype=np.uint8)
    return np.lib.format.open_memmap(scratch / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
