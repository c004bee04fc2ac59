"""What an encoder and an index must offer to the other rooms."""

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from honed.core.ranking import RowSelection
from honed.core.records import EncoderSpec

Vectors = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Role = Literal["query", "document"]


@runtime_checkable
class Encoder(Protocol):
    """Text to vectors."""

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        ...

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        ...


class VectorIndex(Protocol):
    """Vectors to nearest neighbours."""

    def search(self, vectors: Vectors, k: int, *, allowed: Mask | None = None) -> tuple[Vectors, npt.NDArray[np.int64]]:
        """Return scores and row numbers, both ``(n_queries, min(k, n))``, higher is closer, ties by row number.

        ``allowed`` ``(n,)`` leaves out the rows where it is False; ``n`` is the number of those that are left then.
        """
        ...


class VectorSource(Protocol):
    """Vectors that may lie on disk."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of vectors and of dimensions."""
        ...

    def take(self, rows: RowSelection) -> Vectors:
        """Return some rows, an array of numbers or a slice, in fp32."""
        ...


class TextIndex(Protocol):
    """Query texts to scored documents, without vectors."""

    def search(self, texts: Sequence[str], k: int) -> list[list[tuple[int, float]]]:
        """Return for each text up to ``k`` (row number, score > 0), best first, ties by row number."""
        ...


class PairScorer(Protocol):
    """What gives a pair of texts one score: a cross-encoder."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the scores ``(n_pairs,)`` of (query, document) pairs, higher is closer."""
        ...
