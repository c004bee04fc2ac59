"""Token vectors added up: no layers, no PyTorch, microseconds a text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec
from honed.encode.numpy_encoder import Weights
from honed.encode.tokens import TextTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

STATIC = "static"
_TEXTS_A_BATCH = 2048


class StaticEncoder:
    """The sum of a text's token vectors at unit length; a text without a known token is the zero vector."""

    def __init__(self, weights: Weights, tokenizer: "Tokenizer", spec: EncoderSpec) -> None:
        self.weights, self._spec = weights, spec
        self.tokens = TextTokenizer(tokenizer, spec.max_length)

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        vectors = np.zeros((len(texts), self._spec.dim), dtype=np.float32)
        prompt = self._spec.prompt(role)
        for start in range(0, len(texts), _TEXTS_A_BATCH):
            block = texts[start : start + _TEXTS_A_BATCH]
            ids, lengths = self.tokens.concatenated([prompt + text for text in block] if prompt else block)
            rows = np.flatnonzero(lengths)  # of texts that have a token
            if len(rows):
                first = (np.cumsum(lengths) - lengths)[rows]
                sums = np.add.reduceat(self.weights.word_vectors(ids), first, axis=0)
                norms = np.linalg.norm(sums, axis=1, keepdims=True)
                vectors[start + rows] = sums / np.maximum(norms, 1e-12)
        return vectors
