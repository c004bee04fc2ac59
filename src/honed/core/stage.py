"""What a stage is: its inputs and its result by type, what shapes the result, and one function that makes it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from honed.core.artifacts import Artifact
from honed.core.effort import DataFacts, Effort
from honed.core.executor import Executor
from honed.core.json import JsonObject

C = TypeVar("C")
A = TypeVar("A", bound=Artifact)


class Inputs:
    """The artifacts that a stage reads, asked for by kind; several stages may provide one kind (training examples)."""

    def __init__(self, artifacts: Mapping[str, Artifact]) -> None:
        self._by_stage = dict(artifacts)

    def find(self, kind: type[A]) -> A | None:
        """Return the artifact of a kind; of several, that of the last stage; None where none was made.

        Its bytes are compared with its manifest when it is first asked for in a process: `ArtifactError` names a file
        that is not as it was written.
        """
        artifact = next((item for item in reversed(self._by_stage.values()) if isinstance(item, kind)), None)
        if artifact is not None:
            artifact.verify_once()
        return artifact

    def need(self, kind: type[A]) -> A:
        """Return the artifact of a kind that must be there."""
        artifact = self.find(kind)
        if artifact is None:
            raise LookupError(f"no artifact of the kind {kind.__name__} among {', '.join(self._by_stage) or 'none'}")
        return artifact

    def by_stage(self) -> Mapping[str, Artifact]:
        """Return all artifacts by the name of their stage, in the order of the stages."""
        return self._by_stage


@dataclass(frozen=True, kw_only=True, slots=True)
class Work(Generic[C]):
    """The arguments of a stage: configuration, folder of honed.toml, inputs, output folder, and the executor."""

    config: C
    root: Path
    inputs: Inputs
    folder: Path
    logs: Path
    executor: Executor


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage(Generic[C]):
    """One step of the way from files to a bundle.

    ``needs`` are kinds of artifacts; a stage reads every earlier stage whose artifact is of one of them. ``settings``
    returns all that shapes the result besides the inputs, as plain data; with the keys of the inputs it names the
    artifact. A stage that ``resumes`` finds what a crash left in its folder; the others start from an empty one.
    ``command`` is the help of ``honed NAME``, for stages that people run alone; ``draws`` says that the section of its
    name holds the seed of what is drawn in training. ``effort`` tells how much it will do with some data; None: next to
    nothing. A stage that ``settle``s decides what honed.toml left open: it returns the configuration that all later
    stages get.
    """

    name: str
    artifact: type[Artifact]
    needs: tuple[type[Artifact], ...]
    wanted: Callable[[C], bool]
    settings: Callable[[C, Path], JsonObject]
    run: Callable[[Work[C]], JsonObject]
    version: int = 1
    resumes: bool = False
    draws: bool = False
    command: str = ""
    effort: Callable[[C, DataFacts], Effort] | None = None
    settle: Callable[[C, Artifact], C] | None = None

    def reads(self, other: "Stage[C]") -> bool:
        """Tell whether the artifact of an earlier stage is an input."""
        return issubclass(other.artifact, self.needs)

    def inputs(self, artifacts: Mapping[str, A], stages: Iterable["Stage[C]"]) -> dict[str, A]:
        """Return those of some artifacts, by the name of their stage, that are inputs."""
        return {stage.name: artifacts[stage.name] for stage in stages if stage.name in artifacts and self.reads(stage)}
