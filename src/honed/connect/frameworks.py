"""What the retrievers and embeddings for other frameworks share: a searcher that one thread at a time may ask."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from honed.core.filters import Filter
from honed.core.protocols import Role
from honed.core.records import Hit
from honed.search.searcher import Searcher

Metadata: TypeAlias = dict[str, str | int | float]


class SharedSearcher:
    """A bundle, by its path, or a searcher; frameworks ask from several threads."""

    def __init__(self, source: str | Path | Searcher) -> None:
        """Load a bundle; see `honed.bundle.load.load_bundle` for what is checked."""
        self._searcher = source if isinstance(source, Searcher) else Searcher.load(source)
        self._lock = threading.Lock()

    def search(self, text: str, k: int, where: Filter | None) -> Sequence[Hit]:
        """Return up to ``k`` hits for a text, best first."""
        with self._lock:
            return self._searcher.answer_many([text], k, where=where)[0].hits

    def vectors(self, texts: Sequence[str], role: Role) -> list[list[float]]:
        """Return the unit vectors of texts as lists of numbers."""
        if not texts:
            return []
        with self._lock:
            vectors: list[list[float]] = self._searcher.encoder.encode(list(texts), role).tolist()
        return vectors


def metadata_of(hit: Hit) -> Metadata:
    """Return the fields of a hit with its id, score, what matched, and its chance where it is known.

    A field of one of these names gives way.
    """
    fields: Mapping[str, str] = hit.fields
    known: Metadata = {"doc_id": hit.doc_id, "score": hit.score, "cosine": hit.cosine, "matched": hit.matched}
    return {**fields, **known, **({} if hit.chance is None else {"chance": hit.chance})}
