"""The exported encoder under a fast engine; see `honed.encode.engines`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import numpy as np

from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec
from honed.encode.engines import Forward, load_graph
from honed.encode.tokens import TextTokenizer, padded, token_batches

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TOKENS_A_BATCH = 2048


class GraphEncoder:
    """Texts to unit vectors through one graph, which holds pooling and normalisation."""

    def __init__(self, forward: Forward, tokens: TextTokenizer, spec: EncoderSpec) -> None:
        self._forward, self.tokens, self._spec = forward, tokens, spec

    @classmethod
    def load(cls, model: bytes, tokenizer: "Tokenizer", spec: EncoderSpec, *, engine: str, threads: int = 0) -> Self:
        """Load an ONNX file's bytes under an engine; see `honed.encode.engines.load_graph` for what is raised."""
        return cls(load_graph(model, engine, threads), TextTokenizer(tokenizer, spec.max_length), spec)

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        prompt = self._spec.prompt(role)
        ids = self.tokens([prompt + text for text in texts])
        vectors = np.empty((len(texts), self._spec.dim), dtype=np.float32)
        for rows in token_batches(ids, _TOKENS_A_BATCH):
            vectors[rows] = self._forward(*padded([ids[row] for row in rows]))
        return vectors
