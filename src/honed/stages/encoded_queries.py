"""Queries of a judged task as a searcher's encoder sees them, with the labels of the index that are right for them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.core.progress import progress
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.records import JudgedTask
from honed.data.split import unit_interval
from honed.index.hybrid import DEPTH, Candidates
from honed.search.searcher import Searcher

FOLDS, _FINER = 3, 4  # of cross-fitting; parts of a fold
_BLOCK = 256


@dataclass(frozen=True, kw_only=True)
class EncodedQueries:
    """Queries of a judged task: texts, vectors ``(n, dim)``, grades by label number, and what they belong to.

    ``groups`` ``(n,)`` number the queries that are not independent, ``parts`` ``(n,)`` are those of cross-fitting.
    ``own`` are the labels that a query is itself, which are no hits for it. Queries of one group are in one part; four
    parts are a fold.
    """

    texts: Sequence[str]
    vectors: Vectors
    grades: Sequence[Mapping[int, int]]
    groups: Rows
    parts: Rows
    own: Sequence[Sequence[int]]

    @classmethod
    def of(cls, searcher: Searcher, task: JudgedTask) -> "EncodedQueries":
        """Encode the queries of a judged task, and find its documents among the labels."""
        number = {searcher.label_text(at): at for at in range(len(searcher.labels))}
        rows: dict[str, list[int]] = {}
        for document in task.corpus:
            rows.setdefault(task.judged_as(document.doc_id), []).append(number[document.encoder_text()])
        n_parts = FOLDS * _FINER
        numbers = {group: at for at, group in enumerate(dict.fromkeys(task.groups.values()))}
        texts, own = [query.text for query in task.queries], task.own_documents()
        return cls(
            texts=texts,
            vectors=searcher.encoder.encode(texts, "query"),
            grades=[_by_label(task.qrels.grades.get(query.query_id, {}), rows) for query in task.queries],
            groups=np.array([numbers[task.groups[query.query_id]] for query in task.queries], dtype=np.int64),
            parts=np.array([int(n_parts * unit_interval(7, task.groups[query.query_id])) for query in task.queries]),
            own=[rows.get(own.get(query.query_id, ""), ()) for query in task.queries],
        )

    @property
    def folds(self) -> Rows:
        """The fold of each query ``(n,)``."""
        return self.parts // _FINER

    def only(self, rows: Rows) -> "EncodedQueries":
        """Return some of the queries."""
        texts, grades = [self.texts[at] for at in rows], [self.grades[at] for at in rows]
        own = [self.own[at] for at in rows]
        return EncodedQueries(
            texts=texts,
            vectors=self.vectors[rows],
            grades=grades,
            groups=self.groups[rows],
            parts=self.parts[rows],
            own=own,
        )

    def grades_of(self, at: int, rows: Rows) -> Vectors:
        """Return the grades ``(n_rows,)`` of some labels for a query, 0 for those that are not judged."""
        return np.array([self.grades[at].get(row, 0) for row in rows.tolist()], dtype=np.float32)

    def answerable(self) -> npt.NDArray[np.bool_]:
        """Tell which queries ``(n,)`` have a right label."""
        return np.array([bool(self.right(at)) for at in range(len(self.texts))], dtype=bool)

    def right(self, at: int) -> list[int]:
        """Return the labels that are right for a query."""
        return [number for number, grade in self.grades[at].items() if grade > 0]


def _by_label(grades: Mapping[str, int], rows: Mapping[str, Sequence[int]]) -> dict[int, int]:
    """Return the best grade of each label: several documents may have one text."""
    best: dict[int, int] = {}
    for doc, grade in grades.items():
        for row in rows[doc]:
            best[row] = max(best.get(row, grade), grade)
    return best


def gather_candidates(
    searcher: Searcher, asked: EncodedQueries, title: str, *, depth: int = DEPTH
) -> Iterator[Candidates]:
    """Yield the candidates of each query, as a searcher finds them."""
    with progress(title, len(asked.texts)) as bar:
        for start in range(0, len(asked.texts), _BLOCK):
            vectors = asked.vectors[start : start + _BLOCK]
            near = searcher.nearest(vectors, depth)
            for at, (vector, rows) in enumerate(zip(vectors, near, strict=True), start):
                yield searcher.gather(asked.texts[at], vector, rows, depth=depth, hidden=asked.own[at])
                bar.advance()
