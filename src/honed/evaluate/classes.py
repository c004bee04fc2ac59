"""Measures for texts in classes: all texts of the query's class are relevant.

What is relevant to a query is all of its class, which may be thousands of texts, so that rankings are arrays here and
are scored in blocks.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from honed.core.ranking import Rows, top_rows
from honed.evaluate.measures import Measure, Scores

MAP = Measure("mAP", 0)
_BLOCK = 256


class Ranking(NamedTuple):
    """The rankings of some queries: corpus rows ``(n, depth)``, best first, and their similarities ``(n, depth)``."""

    rows: Rows
    likeness: npt.NDArray[np.float32]


def nearest(asked: Any, corpus: Any, own_rows: Rows | None = None, depth: int = 0) -> Iterator[Ranking]:
    """Yield the rankings of queries ``(n, dim)`` over a corpus ``(m, dim)``, in blocks, ties by row number.

    ``own_rows`` ``(n,)`` names the row of each query that stands in the corpus itself; it is left out of its ranking.
    ``depth`` > 0 ends the rankings there.
    """
    depth = min(depth or len(corpus), len(corpus) - (own_rows is not None))
    for start in range(0, len(asked), _BLOCK):
        likeness = asked[start : start + _BLOCK] @ corpus.T
        if own_rows is not None:
            likeness[np.arange(len(likeness)), own_rows[start : start + _BLOCK]] = -np.inf
        if 4 * depth < len(corpus):
            rows = np.stack([top_rows(line, depth) for line in likeness])
        else:
            rows = np.argsort(-likeness, axis=1, kind="stable")[:, :depth]
        yield Ranking(rows, np.take_along_axis(likeness, rows, axis=1))


def completed(
    hits_of_queries: Sequence[Sequence[tuple[int, float]]],
    n: int,
    random: np.random.Generator,
    own_rows: Rows | None = None,
) -> Iterator[Ranking]:
    """Yield rankings of the whole corpus from hits; documents without a hit come last, in random order."""
    for start in range(0, len(hits_of_queries), _BLOCK):
        block = hits_of_queries[start : start + _BLOCK]
        rows = np.empty((len(block), n - (own_rows is not None)), dtype=np.int64)
        likeness = np.zeros(rows.shape, dtype=np.float32)
        for at, hits in enumerate(block):
            left_out = int(own_rows[start + at]) if own_rows is not None else -1
            kept = [(row, score) for row, score in hits if row != left_out]
            rest = np.ones(n, dtype=bool)
            rest[[left_out] if own_rows is not None else []] = False
            rest[[row for row, _ in kept]] = False
            rows[at] = [*(row for row, _ in kept), *random.permutation(np.flatnonzero(rest))]
            likeness[at, : len(kept)] = [score for _, score in kept]
        yield Ranking(rows, likeness)


class _Block(NamedTuple):
    """Some rankings with the classes of the queries ``(n,)``, and where each ranking is right ``(n, depth)``."""

    rankings: Ranking
    wanted: Rows
    classes: Rows  # of the rankings' rows (n, depth)
    right: npt.NDArray[np.bool_]


def class_scores(
    rankings: Iterable[Ranking], asked: Rows, corpus: Rows, measures: Sequence[Measure]
) -> dict[Measure, Scores]:
    """Return for each measure the scores ``(n_queries,)`` of rankings, given the classes of queries and corpus.

    Hit@k tells whether the class is among the first k, P@k is its share of them, R@k the share of the class that they
    hold; mAP is the average precision over the whole ranking; kNN@k tells whether the class has most of the
    similarity of the first k. Other measures are those of `honed.evaluate.measures`, whose relevant documents are the
    texts of the class in the ranking. A query whose class has no text in the corpus scores 0.
    """
    scores: dict[Measure, list[Scores]] = {measure: [] for measure in measures}
    start = 0
    for ranking in rankings:
        wanted, classes = asked[start : start + len(ranking.rows)], corpus[ranking.rows]
        start += len(wanted)
        block = _Block(ranking, wanted, classes, classes == wanted[:, None])
        for measure in measures:
            cut = min(measure.cut, block.right.shape[1])
            vectorised = _OF_CLASSES.get(measure.name)
            values = vectorised(block, cut) if vectorised else _one_by_one(block, measure)
            scores[measure].append(values.astype(np.float64))
    return {measure: np.concatenate(values) for measure, values in scores.items()}


def _right_until(block: _Block, cut: int) -> Rows:
    """Return how many of the first rows of each ranking are right ``(n,)``."""
    return np.asarray(np.count_nonzero(block.right[:, :cut], axis=1), dtype=np.int64)


def _share_of_class(block: _Block, cut: int) -> Scores:
    total = np.maximum(np.count_nonzero(block.right, axis=1), 1)
    return np.asarray(_right_until(block, cut) / total)


def _average_precision(block: _Block, cut: int) -> Scores:
    counted = np.cumsum(block.right, axis=1)
    precision = counted / np.arange(1, block.right.shape[1] + 1)
    return np.asarray((precision * block.right).sum(axis=1) / np.maximum(counted[:, -1], 1))


def _one_by_one(block: _Block, measure: Measure) -> Scores:
    """Return the scores ``(n,)`` of a measure that knows documents by their ids and grades alone."""
    scores = []
    for rows, right in zip(block.rankings.rows.tolist(), block.right.tolist(), strict=True):
        ranking = [str(row) for row in rows]
        scores.append(
            measure.score(ranking, {row: int(is_right) for row, is_right in zip(ranking, right, strict=True)})
        )
    return np.array(scores)


def _voted(classes: Rows, likeness: Any) -> Rows:
    """Return the class with most of the similarity among neighbours ``(n, k)``; of equal ones the nearest."""
    same = classes[:, :, None] == classes[:, None, :]
    votes = (same * np.maximum(likeness, 0)[:, None, :]).sum(axis=2)
    best = np.argmax(votes >= votes.max(axis=1, keepdims=True), axis=1)
    return np.asarray(classes[np.arange(len(classes)), best], dtype=np.int64)


_OF_CLASSES: Mapping[str, Callable[[_Block, int], npt.NDArray[np.generic]]] = {
    "Hit": lambda block, cut: _right_until(block, cut) > 0,
    "P": lambda block, cut: _right_until(block, cut) / cut,
    "R": _share_of_class,
    "mAP": _average_precision,
    "kNN": lambda block, cut: _voted(block.classes[:, :cut], block.rankings.likeness[:, :cut]) == block.wanted,
}
