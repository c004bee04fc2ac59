"""Work in this process alone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar, cast

from honed.core.executor import ModelSource
from honed.core.protocols import Encoder, Role, Vectors

T = TypeVar("T")
R = TypeVar("R")
E = TypeVar("E", bound=Encoder)


class InProcess:
    """Does everything in this process; a model is loaded once until `close` is called."""

    def __init__(self) -> None:
        self._models: dict[ModelSource[object], object] = {}

    def model(self, source: ModelSource[T]) -> T:
        """Return the model of a source; it must not be changed."""
        if source not in self._models:
            self._models[source] = source.load()
        return cast(T, self._models[source])

    def encode(self, source: ModelSource[E], texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` of texts."""
        return self.model(source).encode(texts, role)

    def over(self, parts: Iterable[T], work: Callable[[T], R]) -> Iterator[R]:
        """Yield the result of the same work on each part, one after the other."""
        return map(work, parts)

    def in_processes(self, stage: str, work: object, processes: int) -> None:
        """Refuse: this process is one of several already."""
        raise RuntimeError(f"{stage}: one of {processes} processes cannot start others")

    def close(self) -> None:
        """Forget the models that were loaded."""
        self._models.clear()
