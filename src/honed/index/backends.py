"""All vector indexes by name: built over vectors, and put back over them from saved arrays.

A package adds a backend by an entry point of the group ``honed.backends`` that names an `IndexBackend`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from honed.core.errors import ArtifactError, ConfigError
from honed.core.protocols import VectorIndex, VectorSource
from honed.core.tensors import Array, Tensors
from honed.index.composed import ComposedIndex
from honed.index.exact import ExactIndex, FlatIndex
from honed.index.hnsw import HnswIndex
from honed.index.settings import BACKENDS, BackendFacts, IndexSettings

Build: TypeAlias = Callable[[VectorSource, IndexSettings], VectorIndex]
Restore: TypeAlias = Callable[[VectorSource, IndexSettings, Tensors], VectorIndex]
_ALL = slice(None)


@dataclass(frozen=True, kw_only=True, slots=True)
class IndexBackend(BackendFacts):
    """How an index is built over vectors, and how it is put back over them from arrays that its ``tensors()`` returned.

    ``restore`` is None for an index that is built anew each time.
    """

    build: Build
    restore: Restore | None = None


@runtime_checkable
class SavedIndex(Protocol):
    """An index that can be saved."""

    def tensors(self) -> dict[str, Array]:
        """Return the index as named arrays; the vectors are not among them."""
        ...


_IMPLEMENTED: Mapping[str, tuple[Build, Restore | None]] = {
    "exact": (lambda source, settings: ExactIndex(source.take(_ALL)), None),
    "flat": (lambda source, settings: FlatIndex(source.take(_ALL)), None),
    "hnsw": (HnswIndex, HnswIndex.from_tensors),
}


def backend_of(settings: IndexSettings) -> IndexBackend:
    """Return the backend that settings name; `ConfigError` for an unknown one and for a plug-in that is none."""
    facts = BACKENDS[settings.backend]
    if isinstance(facts, IndexBackend):
        return facts
    if settings.backend in _IMPLEMENTED:
        build, restore = _IMPLEMENTED[settings.backend]
    elif settings.is_coded and settings.backend in BACKENDS.built_in:
        build, restore = ComposedIndex.build, ComposedIndex.from_tensors
    else:
        raise ConfigError(
            "E_PLUGIN", f"index backend {settings.backend!r}: its package names no honed.index.backends.IndexBackend"
        )
    return IndexBackend(takes=facts.takes, codes=facts.codes, build=build, restore=restore)


def build_index(source: VectorSource, settings: IndexSettings) -> VectorIndex:
    """Build an index over vectors ``(n, dim)``; `ConfigError` for settings that its backend does not take."""
    return backend_of(settings.check()).build(source, settings)


def is_saved(settings: IndexSettings) -> bool:
    """Tell whether an index with such settings is worth saving: not one that is built in no time."""
    return backend_of(settings).restore is not None


def tensors_of(index: VectorIndex) -> dict[str, Array]:
    """Return the arrays by name that an index is restored from; empty for one that is built anew each time."""
    return index.tensors() if isinstance(index, SavedIndex) else {}


def restore_index(source: VectorSource, settings: IndexSettings, tensors: Tensors) -> VectorIndex:
    """Put what `tensors_of` returned over its vectors; `ArtifactError` for arrays that do not fit them."""
    restore = backend_of(settings).restore
    if restore is None:
        return build_index(source, settings)
    try:
        return restore(source, settings, tensors)
    except (AttributeError, KeyError, TypeError, IndexError, ValueError, OverflowError) as error:
        shown = f"{type(error).__name__}: {error}"
        raise ArtifactError("E_INDEX", f"the arrays of the index do not fit its vectors: {shown}") from error
