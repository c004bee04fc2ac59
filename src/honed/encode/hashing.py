"""A tiny fake encoder for tests: character n-grams hashed into a fixed number of dimensions, no weights."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec
from honed.core.text import fold


class HashEncoder:
    """Encodes text by its character trigrams; the same on every machine."""

    def __init__(self, dim: int = 64) -> None:
        self._spec = EncoderSpec(
            weights=f"hash-{dim}", pooling="sum", normalize=True, dim=dim, max_length=10_000, similarity="cosine"
        )

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)``."""
        vectors = np.zeros((len(texts), self._spec.dim), dtype=np.float32)
        for row, text in enumerate(texts):
            padded = f"  {self._spec.prompt(role)}{fold(text)}  "
            for at in range(len(padded) - 2):
                code = crc32(padded[at : at + 3].encode())
                vectors[row, code % self._spec.dim] += 1.0 if code & 0x10000 else -1.0
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = np.divide(vectors, norms, out=vectors, where=norms > 0)
        return unit
