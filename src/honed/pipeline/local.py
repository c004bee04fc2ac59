"""Work in this process alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from honed.core.executor import ModelSource
from honed.core.protocols import Encoder, Role, Vectors
from honed.encode.mapped import MappedEncoder
from honed.encode.models import PluginModel, TrainedModel
from honed.encode.vector_store import VectorStore

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=Encoder)


VECTORS = Path("cache") / "vectors"  # in the folder of results


class InProcess:
    """Does everything in this process; a model is loaded once until `close` is called.

    Vectors of texts are kept in the folder of results, ``output``, for every stage and every later run.
    """

    def __init__(self, output: Path) -> None:
        self.vectors = VectorStore(output / VECTORS)
        self._models: dict[ModelSource[object], object] = {}
        self._encoders: dict[ModelSource[Encoder], Encoder] = {}

    def model(self, source: ModelSource[T]) -> T:
        """Return the model of a source; it must not be changed."""
        if source not in self._models:
            self._models[source] = source.load()
        return cast(T, self._models[source])

    def encoder(self, source: ModelSource[E]) -> Encoder:
        """Return the encoder of a source, which makes the vector of a text once."""
        if source not in self._encoders:
            self._encoders[source] = self._mapped(source) or self._stored(source)
        return self._encoders[source]

    def _stored(self, source: ModelSource[E]) -> Encoder:
        settings = source.config.settings() if isinstance(source, PluginModel) else None
        return self.vectors.encoder(self.model(source), settings)

    def _mapped(self, source: ModelSource[E]) -> Encoder | None:
        """Return the encoder of a model that is a linear map over its base model; None for any other."""
        if not isinstance(source, TrainedModel) or source.frozen is None:
            return None
        base = self.encoder(source.frozen.model)
        if base.spec.weights != source.frozen.weights:  # the base model has been changed since
            return None
        return MappedEncoder(base, np.load(source.frozen.head, allow_pickle=False), self.model(source).spec)

    def encode(self, source: ModelSource[E], texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` of texts."""
        return self.encoder(source).encode(texts, role)

    def over(self, parts: Iterable[T], work: Callable[[T], R]) -> Iterator[R]:
        """Yield the result of the same work on each part, one after the other."""
        return map(work, parts)

    def in_processes(self, stage: str, work: object, processes: int) -> None:
        """Refuse: this process is one of several already."""
        raise RuntimeError(f"{stage}: one of {processes} processes cannot start others")

    def close(self) -> None:
        """Forget the models that were loaded."""
        self._models.clear()
        self._encoders.clear()
