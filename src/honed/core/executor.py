"""Where work runs: what stages ask for a model, and for the same work over many parts."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from honed.core.protocols import Encoder, Role, Vectors

T = TypeVar("T")
R = TypeVar("R")
Model = TypeVar("Model", covariant=True)
E = TypeVar("E", bound=Encoder)


class ModelSource(Hashable, Protocol[Model]):
    """Names a model on disk and loads it; two that are equal load the same. Can be sent to another process."""

    def load(self) -> Model:
        """Return the model."""
        ...


class Executor(Protocol):
    """Who does the work of a stage: this process, others on this machine, or other machines."""

    def model(self, source: ModelSource[T]) -> T:
        """Return the model of a source in this process, loaded once while the stage runs; it must not be changed."""
        ...

    def encoder(self, source: ModelSource[E]) -> Encoder:
        """Return the encoder of a source, which makes the vector of a text once: it is kept, and found by any stage.

        For vectors that are used; to time an encoder, or to look inside it, ask for its `model`.
        """
        ...

    def encode(self, source: ModelSource[E], texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` of texts, wherever and whenever they were made."""
        ...

    def over(self, parts: Iterable[T], work: Callable[[T], R]) -> Iterator[R]:
        """Yield the result of the same work on each part, in their order; parts may be done at the same time."""
        ...

    def in_processes(self, stage: str, work: object, processes: int) -> None:
        """Do the `honed.core.stage.Work` of a stage in processes that train one model together, until all are done."""
        ...
