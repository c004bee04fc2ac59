"""An encoder without weights, for tests: character trigrams hashed into a fixed number of dimensions."""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from honed.core.errors import ConfigError
from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec
from honed.core.text import fold
from honed.encode.config import EncoderConfig

_MAX_DIM = 1 << 16


class HashEncoder:
    """Encodes text by its character trigrams; the same on every machine."""

    role_is_prompt = True  # and nothing else: two roles with one prompt have the same vectors

    def __init__(self, dim: int = 64, *, query_prompt: str = "", document_prompt: str = "") -> None:
        self._spec = EncoderSpec(
            weights=f"hash-{dim}",
            pooling="sum",
            normalize=True,
            dim=dim,
            max_length=10_000,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            similarity="cosine",
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


def load_hash_encoder(argument: str, config: EncoderConfig) -> HashEncoder:
    """Return the encoder of ``base = "hash:DIM"``; `ConfigError` for an option of ``[model]`` that it does not take."""
    if not argument.isdecimal() or not 1 <= int(argument) <= _MAX_DIM:
        raise ConfigError("E_BASE_MODEL", f"model.base: hash:{argument}: write hash:DIM, with 1 to {_MAX_DIM}")
    for name, is_set in (
        ("max_length", config.max_length > 0),
        ("dim", config.dim > 0),
        ("precision", config.precision == "bf16"),
    ):
        if is_set:
            raise ConfigError("E_BASE_MODEL", f"model.{name}: the encoder 'hash' does not take it")
    return HashEncoder(int(argument), query_prompt=config.query_prompt, document_prompt=config.document_prompt)
