"""The vectors, queries and judgments that an index is tuned on: of a project, or of files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed.artifacts.data import CheckArtifact
from honed.core.errors import ConfigError, DataError
from honed.core.protocols import Vectors, VectorSource
from honed.index.hybrid import DEPTH
from honed.index.stored import StoredVectors
from honed.project.workspace import Workspace
from honed.shapes.registry import shape_of
from honed.stages.encoded_queries import EncodedQueries

_DRAWN = "drawn from the documents themselves"
_ASKED = 40  # a search for ten hits asks for so many, since one entity may bear several


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneData:
    """Vectors with queries ``(n_queries, dim)``; ``relevant`` rows of each, none without judgements.

    ``width`` is how many a search of theirs asks the index for.
    """

    source: VectorSource
    queries: Vectors
    relevant: Sequence[Any]
    title: str
    asked: str
    seed: int = 0
    width: int = 0


def project_data(project: Workspace, most: int) -> TuneData:
    """Return the labels' vectors of a project's index and its dev queries; the test queries are never asked.

    Where the shape has no judged dev queries, documents are drawn as queries.
    """
    searcher = project.searcher()
    source, seed = searcher.searched_vectors(), project.config.seed
    labels_alone = project.config.index is None or project.config.index.names == "labels"
    width = DEPTH if project.config.hybrid else _ASKED
    title, directions = project.title, shape_of(project.config).directions(project.config)
    rng = np.random.default_rng(seed)
    if directions:
        dev = project.runner.latest(CheckArtifact).task(directions[0].name, "dev")
        asked = EncodedQueries.of(searcher, dev)
        if len(asked.texts) > most:
            asked = asked.only(np.sort(rng.choice(len(asked.texts), most, replace=False)))
        relevant = [np.array(asked.right(at), dtype=np.int64) for at in range(len(asked.texts))]
        return TuneData(
            source=source,
            queries=asked.vectors,
            relevant=relevant if labels_alone else (),
            title=title,
            asked="of dev, which the model was chosen on",
            seed=seed,
            width=width,
        )
    rows = np.sort(rng.choice(source.shape[0], min(most, source.shape[0]), replace=False))
    return TuneData(
        source=source, queries=source.take(rows), relevant=(), title=title, asked=_DRAWN, seed=seed, width=width
    )


def file_data(vectors: Path, queries: Path | None, relevant: Path | None, most: int) -> TuneData:
    """Return vectors of ``.npy`` files, mapped; ``relevant`` has a JSON list of rows of documents for each query."""
    source = StoredVectors(_vectors(vectors))
    rng = np.random.default_rng(0)
    n, dim = source.shape
    if queries is None:
        if relevant is not None:
            raise ConfigError("E_OPTION", "--relevant goes with --queries")
        asked = source.take(np.sort(rng.choice(n, min(most, n), replace=False)))
        return TuneData(source=source, queries=asked, relevant=(), title=vectors.name, asked=_DRAWN)
    asked = np.array(_vectors(queries), dtype=np.float32)
    if asked.shape[1] != dim:
        raise DataError("E_VECTORS", f"{queries}: vectors of {asked.shape[1]} dimensions; the documents have {dim}")
    lists = _relevant(relevant, len(asked), n) if relevant is not None else []
    chosen = np.sort(rng.choice(len(asked), min(most, len(asked)), replace=False))
    return TuneData(
        source=source,
        queries=asked[chosen],
        relevant=[lists[at] for at in chosen.tolist()] if lists else (),
        title=vectors.name,
        asked=f"of {queries.name}",
    )


def _vectors(path: Path) -> Any:
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise DataError("E_VECTORS", f"{path}: not a .npy file of vectors: {error}") from None
    if vectors.ndim != 2 or vectors.dtype != np.float32 or not len(vectors):
        raise DataError("E_VECTORS", f"{path}: {vectors.dtype} of shape {vectors.shape}; float32 (n, dim) is needed")
    return vectors


def _relevant(path: Path, n_queries: int, n: int) -> list[Any]:
    rows_of_queries = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            rows = json.loads(line)
        except ValueError:
            rows = None
        if not isinstance(rows, list) or not all(type(row) is int and 0 <= row < n for row in rows):
            raise DataError("E_VALUE", f"{path}: line {number}: expected a JSON list of rows, 0 to {n - 1}")
        rows_of_queries.append(np.array(rows, dtype=np.int64))
    if len(rows_of_queries) != n_queries:
        raise DataError("E_VALUE", f"{path}: {len(rows_of_queries)} lines for {n_queries} queries")
    return rows_of_queries
