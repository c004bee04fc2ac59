"""Encoders made of others: several teachers whose vectors are laid side by side, and queries apart from documents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from honed.core.fingerprint import fingerprint
from honed.core.protocols import Encoder, Role, Vectors
from honed.core.records import EncoderSpec
from honed.core.tensors import unit_rows


def joined_vectors(parts: Sequence[Vectors]) -> Vectors:
    """Return unit vectors ``(n_texts, widths added up)`` whose cosine is the mean of the cosines of the parts.

    Each part holds the unit vectors ``(n_texts, width)`` of the same texts by one model. Adding vectors of different
    models up instead would add products of numbers that have nothing to do with each other: every model has axes of its
    own.
    """
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts, axis=1, dtype=np.float32) / np.float32(np.sqrt(len(parts)))


@dataclass(frozen=True)
class JoinedEncoder:
    """Several encoders as one, each with its own prompts: their joined vectors, on ``directions`` ``(width, dim)``."""

    parts: Sequence[Encoder]
    directions: Vectors | None = None

    @cached_property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used; the prompts named are those of the first part."""
        first = self.parts[0].spec
        if len(self.parts) == 1 and self.directions is None:
            return first
        shown = [] if self.directions is None else [fingerprint(self.directions.tobytes().hex())]
        weights = fingerprint([*(part.spec.as_dict() for part in self.parts), *shown])
        width = sum(part.spec.dim for part in self.parts)
        return replace(first, weights=weights, dim=width if self.directions is None else self.directions.shape[1])

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        vectors = joined_vectors([part.encode(texts, role) for part in self.parts])
        return vectors if self.directions is None else unit_rows(vectors @ self.directions)


class AsymmetricEncoder:
    """Queries by one encoder, documents by another, whose space the first has learned; the latter is loaded late."""

    def __init__(self, queries: Encoder, load_documents: Callable[[], Encoder]) -> None:
        self.queries, self._load = queries, load_documents

    @property
    def spec(self) -> EncoderSpec:
        """How queries are to be encoded."""
        return self.queries.spec

    @cached_property
    def documents(self) -> Encoder:
        """What encodes documents."""
        return self._load()

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        return (self.queries if role == "query" else self.documents).encode(texts, role)
