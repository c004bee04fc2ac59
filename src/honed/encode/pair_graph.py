"""An exported cross-encoder: a query and a document read together, one score for the pair; without PyTorch."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np

from honed.core.protocols import Vectors
from honed.encode.engines import Forward, load_graph
from honed.encode.tokens import TextTokenizer, padded, token_batches

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TOKENS_A_BATCH, _PAIRS_A_LOOK = 2048, 8


class ScoresPairs(Protocol):
    """A cross-encoder, whatever runs it."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the scores ``(n_pairs,)`` of (query, document) pairs, higher is closer."""
        ...


class GraphCrossEncoder:
    """Scores pairs through one graph; its mask is 1 over the first text of a pair and 2 over the second."""

    def __init__(self, forward: Forward, tokens: TextTokenizer) -> None:
        self._forward, self._tokens = forward, tokens

    @classmethod
    def load(cls, model: bytes, tokenizer: "Tokenizer", max_length: int, *, threads: int = 0) -> Self:
        """Load an ONNX file's bytes; `honed.core.errors.ArtifactError` when onnxruntime cannot read the graph.

        ``max_length`` counts the tokens of a pair; ``threads`` 0 uses all cores of the process.
        """
        return cls(load_graph(model, "onnxruntime", threads), TextTokenizer(tokenizer, max_length))

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the scores ``(n_pairs,)`` of (query, document) pairs, higher is closer."""
        tokens = self._tokens.pairs(pairs)
        scores = np.empty(len(pairs), dtype=np.float32)
        for rows in token_batches([ids for ids, _ in tokens], _TOKENS_A_BATCH):
            ids, mask = padded([tokens[row][0] for row in rows])
            segments, _ = padded([tokens[row][1] for row in rows])
            scores[rows] = self._forward(ids, mask + segments)[:, 0]
        return scores


def score_until(scorer: ScoresPairs, pairs: Sequence[tuple[str, str]], deadline: float) -> Vectors:
    """Return the scores of the first pairs: of as many as are begun before ``deadline``, a ``time.perf_counter()``.

    Pairs are scored eight at a time, so the last of them may end after the deadline. Infinity scores all.
    """
    if deadline == math.inf:
        return scorer.score(pairs)
    parts = []
    for start in range(0, len(pairs), _PAIRS_A_LOOK):
        if time.perf_counter() >= deadline:
            break
        parts.append(scorer.score(pairs[start : start + _PAIRS_A_LOOK]))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
