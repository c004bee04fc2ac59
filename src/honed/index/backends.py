"""All vector indexes by name: built over vectors, and put back over them from what was saved."""

from collections.abc import Callable, Mapping
from typing import Any

from honed.core.errors import ArtifactError
from honed.core.protocols import VectorIndex, VectorSource
from honed.index.annoy import AnnoyIndex
from honed.index.composed import ComposedIndex
from honed.index.exact import ExactIndex, FlatIndex
from honed.index.hnsw import HnswIndex
from honed.index.settings import TAKEN, IndexSettings

_ALL = slice(None)


def _hnsw(source: VectorSource, settings: IndexSettings) -> VectorIndex:
    return HnswIndex(source, settings)


def _composed(source: VectorSource, settings: IndexSettings) -> VectorIndex:
    return ComposedIndex.build(source, settings)


# backend -> how it is built
BACKENDS: Mapping[str, Callable[[VectorSource, IndexSettings], VectorIndex]] = {
    "exact": lambda source, settings: ExactIndex(source.take(_ALL)),
    "flat": lambda source, settings: FlatIndex(source.take(_ALL)),
    "hnsw": _hnsw,
    "annoy": lambda source, settings: AnnoyIndex(source.take(_ALL), settings),
    **{name: _composed for name in TAKEN if IndexSettings(backend=name).is_coded},
}
SAVED: Mapping[str, Any] = {
    "hnsw": HnswIndex,
    **{name: ComposedIndex for name, build in BACKENDS.items() if build is _composed},
}


def build_index(source: VectorSource, settings: IndexSettings) -> VectorIndex:
    """Build an index over vectors; what could not be used is a `honed.core.errors.ConfigError`."""
    return BACKENDS[settings.check().backend](source, settings)


def tensors_of(index: VectorIndex) -> dict[str, Any]:
    """Return what of an index is worth saving, as named arrays; nothing of one that is built in no time."""
    return index.tensors() if isinstance(index, (HnswIndex, ComposedIndex)) else {}


def restore_index(source: VectorSource, settings: IndexSettings, tensors: Mapping[str, Any]) -> VectorIndex:
    """Put what `tensors_of` returned over its vectors; `honed.core.errors.ArtifactError` for what does not fit."""
    if settings.backend not in SAVED:
        return build_index(source, settings)
    try:
        found: VectorIndex = SAVED[settings.backend].from_tensors(source, settings, tensors)
    except (AttributeError, KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        shown = f"{type(error).__name__}: {error}"
        raise ArtifactError("E_INDEX", f"the arrays of the index do not fit its vectors: {shown}") from error
    return found
