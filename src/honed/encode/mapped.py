"""An encoder that is a linear map over the vectors of another one: no text is encoded for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from honed.core.protocols import Encoder, Role, Vectors
from honed.core.records import EncoderSpec


@dataclass(frozen=True)
class MappedEncoder:
    """The vectors of an encoder times a matrix ``(dim, dim)`` from column to row, at unit length."""

    base: Encoder
    matrix: Vectors
    spec: EncoderSpec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        mapped = self.base.encode(texts, role) @ self.matrix.T
        mapped /= np.maximum(np.linalg.norm(mapped, axis=1, keepdims=True), 1e-12)
        return mapped
