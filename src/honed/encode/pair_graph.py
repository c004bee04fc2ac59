"""An exported cross-encoder: a query and a document read together, one score for the pair; without PyTorch."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from honed.core.protocols import Vectors
from honed.encode.graph_encoder import Forward, load_graph
from honed.encode.tokens import Tokens, padded, token_batches

_TOKENS_A_BATCH, _PAIRS_A_LOOK = 2048, 8


class PairGraph:
    """Scores pairs through one graph; its mask is 1 over the first text of a pair and 2 over the second."""

    def __init__(self, forward: Forward, tokens: Tokens) -> None:
        self._forward, self._tokens = forward, tokens

    @classmethod
    def load(cls, model: bytes, tokenizer: Any, max_length: int, *, threads: int = 0) -> "PairGraph":
        """Load an ONNX file's bytes; `honed.core.errors.ArtifactError` when onnxruntime cannot read the graph."""
        return cls(load_graph(model, "onnxruntime", threads), Tokens(tokenizer, max_length))

    def score(self, pairs: Sequence[tuple[str, str]]) -> Vectors:
        """Return the scores ``(n_pairs,)``, higher is closer."""
        found = self._tokens.pairs(pairs)
        scores = np.empty(len(pairs), dtype=np.float32)
        for rows in token_batches([ids for ids, _ in found], _TOKENS_A_BATCH):
            ids, mask = padded([found[row][0] for row in rows])
            types, _ = padded([found[row][1] for row in rows])
            scores[rows] = self._forward(ids, mask + types)[:, 0]
        return scores


def scored_in_time(scorer: Any, pairs: Sequence[tuple[str, str]], until: float) -> Vectors:
    """Return the scores of as many of the first pairs as are begun before a time (of ``time.perf_counter``)."""
    if until == float("inf"):
        found: Vectors = scorer.score(pairs)
        return found
    parts = []
    for start in range(0, len(pairs), _PAIRS_A_LOOK):
        if time.perf_counter() >= until:
            break
        parts.append(scorer.score(pairs[start : start + _PAIRS_A_LOOK]))
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
