"""Clusters, codes and full vectors in one index, each stage with its width: near clusters first, codes next, full last.

The stages are those of Jégou et al. 2011 (IVFADC) with a refinement as in Jégou et al. 2011, "Searching in one billion
vectors: re-rank with source coding": ``nprobe`` clusters, in them the best ``rescore`` by their codes, of those the
best ``k`` by their full vectors, which may lie in a memory map. One cluster, whole vectors or no rescoring are the ends
of the same index: inverted file, scalar and product codes, sign codes, RaBitQ.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.optional import require
from honed.core.protocols import Mask, Vectors, VectorSource
from honed.core.ranking import Rows
from honed.core.tensors import Array, Tensors, unit_rows
from honed.index.clusters import Clusters, nearest_clusters, train_clusters
from honed.index.codes import CODES
from honed.index.exact import NARROW, best_first, exact_among
from honed.index.lists import CodedLists, Codes
from honed.index.settings import IndexSettings

_BLOCK = 16_384
_ID_BYTES = 8  # of a row number, in FAISS and numpy alike


class ComposedIndex:
    """Clusters x codes x rescoring over unit vectors by inner product; see `IndexSettings` for the widths."""

    def __init__(self, source: VectorSource, settings: IndexSettings, lists: CodedLists, saved: Tensors) -> None:
        self.settings, self.n, self.dim = settings, *source.shape
        self._source, self._lists, self._saved = source, lists, saved

    @classmethod
    def build(cls, source: VectorSource, settings: IndexSettings, *, clusters: Clusters | None = None) -> Self:
        """Learn clusters and codes of vectors; ``clusters`` that were learned already are used.

        Raises `honed.core.errors.ConfigError` for settings that cannot be, see `IndexSettings.check` and ``resolved``.
        """
        return cls.from_tensors(source, settings, code_vectors(source, settings, clusters=clusters))

    def tensors(self) -> dict[str, Array]:
        """Return the index as named arrays; the full vectors are not among them."""
        return dict(self._saved)

    @classmethod
    def from_tensors(cls, source: VectorSource, settings: IndexSettings, tensors: Tensors) -> Self:
        """Put a saved index over its vectors; `ArtifactError` when the arrays do not fit together."""
        n, dim = source.shape
        settings = settings.check().resolved(n, dim)
        _require_parts(settings)
        centroids, offsets, rows, codes = (tensors[name] for name in ("centroids", "offsets", "rows", "codes"))
        if not (_clusters_fit(centroids, offsets, n, settings.dims) and _rows_fit(rows, n)):
            raise ArtifactError("E_INDEX", "the clusters of the index do not fit its vectors")
        lists = CODES[settings.kind].lists(centroids, settings.bits)
        if codes.dtype != np.uint8 or codes.shape != (n, lists.code_size):
            raise ArtifactError("E_INDEX", "the codes of the index do not fit its vectors")
        lists.restore(tensors)
        lists.fill(codes, offsets, rows)
        return cls(source, settings, lists, tensors)

    @property
    def memory_bytes(self) -> int:
        """Memory of a search in bytes: codes, row numbers, centroids and codebooks."""
        return self.memory_with(np.diff(self._saved["offsets"]))

    def memory_with(self, sizes: npt.NDArray[np.integer]) -> int:
        """Return `memory_bytes` as they would be with clusters of other sizes ``(nlist,)``."""
        counted = ("codes", "rows", "centroids", "offsets")
        learned = sum(array.nbytes for name, array in self._saved.items() if name not in counted)
        blocks = int((-(-sizes // self._lists.block_size)).sum())
        codes = self._lists.code_size * self._lists.block_size * blocks
        return int(codes + _ID_BYTES * int(sizes.sum()) + (4 * self.settings.dims + 8) * len(sizes) + 8 + learned)

    def scanned(self, vectors: Vectors, nprobe: int = 0) -> Rows:
        """Return with how many vectors each query is compared ``(n_queries,)``: centroids, and codes in near clusters.

        ``nprobe`` 0 is that of the settings.
        """
        centroids, offsets = self._saved["centroids"], self._saved["offsets"]
        near = nearest_clusters(cut(vectors, self.settings.dims), centroids, nprobe or self.settings.nprobe)
        compared: Rows = len(centroids) * (len(centroids) > 1) + np.diff(offsets)[near].sum(axis=1)
        return compared

    def search(
        self, vectors: Vectors, k: int, *, allowed: Mask | None = None, nprobe: int = 0, rescore: int | None = None
    ) -> tuple[Vectors, Rows]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, best first, ties by row number.

        Scores are cosines, or what the codes estimate where nothing is rescored. ``allowed`` ``(n,)`` leaves out the
        rows where it is False: few allowed rows are all compared, for many so many more clusters are searched that as
        many allowed ones are compared as without it. Where the near clusters hold fewer than ``k``, more are searched.
        ``nprobe`` 0 and ``rescore`` None are those of the settings.
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
        queries = cut(vectors, self.settings.dims)
        waiting = np.arange(len(vectors))  # queries with fewer than k hits so far
        while len(waiting):
            estimates, near = self._lists.search(queries[waiting], min(max(k, rescore), n), nprobe, allowed)
            if rescore:
                estimates = self._rescored(vectors[waiting], near)
            scores[waiting], rows[waiting] = best_first(estimates, near, k)
            waiting = waiting[rows[waiting, -1] < 0]
            if nprobe >= nlist:
                break
            nprobe = min(4 * nprobe, nlist)
        if len(waiting):  # codes that estimate the least there is are passed over by some comparisons
            everything = np.arange(self.n) if allowed is None else np.flatnonzero(allowed)
            scores[waiting], rows[waiting] = exact_among(self._source, everything, vectors[waiting], k)
        return scores, rows

    def _rescored(self, vectors: Vectors, rows: Rows) -> Vectors:
        """Return the cosines of queries with the full vectors of rows ``(n_queries, width)``; -2 for the row -1."""
        scores = np.full(rows.shape, -2.0, dtype=np.float32)
        for at, vector in enumerate(vectors):
            hits = rows[at] >= 0
            scores[at, hits] = self._source.take(rows[at, hits]) @ vector
        return scores


def code_vectors(
    source: VectorSource,
    settings: IndexSettings,
    *,
    block: int = _BLOCK,
    scratch: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    clusters: Clusters | None = None,
) -> dict[str, Array]:
    """Learn clusters and codes from a sample, code all vectors ``block`` at a time; return the index as named arrays.

    ``scratch`` is a folder for the codes, which are held in memory otherwise. ``progress`` is told how many of how many
    vectors are coded. Beside the codes, 24 bytes a vector are held, and the sample. ``clusters`` are learned unless
    they are given.
    """
    n, dim = source.shape
    settings = settings.check().resolved(n, dim)
    _require_parts(settings)
    if clusters is not None and clusters.centroids.shape[1] != settings.dims:
        clusters = None  # of vectors that were not cut
    centroids, lists = _trained(source, settings, clusters)
    numbers = clusters.numbers if clusters else np.empty(n, dtype=np.int32)
    codes = _codes_array(scratch, "unsorted", (n, lists.code_size))
    for start in range(0, n, block):
        rows = slice(start, min(start + block, n))
        vectors = cut(source.take(rows), settings.dims)
        if clusters is None:
            numbers[rows] = nearest_clusters(vectors, centroids)[:, 0]
        codes[rows] = lists.encode(vectors, numbers[rows].astype(np.int64))
        if progress is not None:
            progress(rows.stop, n)
    order = np.argsort(numbers, kind="stable").astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=len(centroids)))]).astype(np.int64)
    sorted_codes = _codes_array(scratch, "codes", (n, lists.code_size))
    for start in range(0, n, block):
        sorted_codes[start : start + block] = codes[order[start : start + block]]
    if scratch is not None:
        (scratch / "unsorted.npy").unlink(missing_ok=True)
    return {"centroids": centroids, "offsets": offsets, "rows": order, "codes": sorted_codes, **lists.tensors()}


def cut(vectors: Vectors, dims: int) -> Vectors:
    """Return the first ``dims`` dimensions of unit vectors, made unit vectors again."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if dims >= vectors.shape[1]:
        return vectors
    return unit_rows(vectors[:, :dims])


def _trained(source: VectorSource, settings: IndexSettings, clusters: Clusters | None) -> tuple[Vectors, CodedLists]:
    """Return centroids, and lists that have learned their codes, from a sample of the vectors."""
    n = source.shape[0]
    rows = np.arange(n)
    if settings.sample < n:
        rows = np.sort(np.random.default_rng(settings.seed).choice(n, settings.sample, replace=False))
    sample = cut(source.take(rows), settings.dims)
    centroids = clusters.centroids if clusters else train_clusters(sample, settings.nlist, settings.seed)
    lists = CODES[settings.kind].lists(centroids, settings.bits)
    lists.train(sample)
    return centroids, lists


def _clusters_fit(centroids: Array, offsets: Array, n: int, dims: int) -> bool:
    """Tell whether centroids are finite vectors of ``dims``, and offsets divide ``n`` vectors among them."""
    return (
        centroids.dtype == np.float32
        and offsets.ndim == 1
        and centroids.shape == (len(offsets) - 1, dims)
        and len(centroids) >= 1
        and bool(np.isfinite(centroids).all())
        and offsets.dtype == np.int64
        and int(offsets[0]) == 0
        and int(offsets[-1]) == n
        and bool((np.diff(offsets) >= 0).all())
    )


def _rows_fit(rows: Array, n: int) -> bool:
    """Tell whether row numbers name each of ``n`` vectors once."""
    return (
        rows.dtype == np.int32
        and rows.shape == (n,)
        and (not n or 0 <= int(rows.min()) <= int(rows.max()) < n)
        and bool((np.bincount(rows, minlength=n) == 1).all())
    )


def _require_parts(settings: IndexSettings) -> None:
    part = CODES[settings.kind].part or ("vector index" if settings.nlist > 1 else "")
    if part:
        require(part)


def _codes_array(scratch: Path | None, name: str, shape: tuple[int, int]) -> Codes:
    """Return an array to write codes into: in memory, or mapped from a file of a folder."""
    if scratch is None or 0 in shape:
        return np.empty(shape, dtype=np.uint8)
    codes: Codes = np.lib.format.open_memmap(scratch / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape)
    return codes
