"""Parts of a bundle's manifest that say how it was made and measured: they are read to be shown, not to answer."""

from typing import TypeVar

import msgspec

from honed.core.json import Json
from honed.core.plain import as_object
from honed.encode.vocabulary import VocabularyFacts

__all__ = ["DocumentSide", "Parity", "VocabularyFacts", "read"]

Facts = TypeVar("Facts", bound=msgspec.Struct)


def read(stated: Json, kind: type[Facts]) -> Facts:
    """Return a part of a manifest with its types; `TypeError` or `msgspec.MsgspecError` for any other."""
    return msgspec.convert(as_object(stated, kind.__name__), kind)


class Parity(msgspec.Struct, kw_only=True):
    """How far a bundle's answers are from the trained model's: shares of ``n_queries``, cosines of query vectors.

    ``top1_flips`` are first hits that the trained model scores lower than its own, ``top1_ties`` others that it scores
    alike.
    """

    n_queries: int
    engine: str
    top1_flips: float
    top1_ties: float
    top10_overlap: float
    mean_cosine: float
    min_cosine: float
    largest_top1_score_difference: float


class DocumentSide(msgspec.Struct, kw_only=True):
    """Who encoded the documents of an index: ``encoded_by`` "teacher", which is not in the bundle; its fingerprint.

    ``directions`` tells whether its vectors were projected on directions of the student's width.
    """

    encoded_by: str
    fingerprint: str
    directions: bool
