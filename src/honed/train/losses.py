"""The losses that ``[train] objective`` may name, and what examples must have for each; free of heavy imports.

A package adds a loss by an entry point of the group ``honed.losses`` that names an `Objective`.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from honed.core.registry import Registry, instance_of, load_place

if TYPE_CHECKING:
    from honed.train.batch import BatchLoss

AUTO = "auto"
SYNONYMS = {"mse": "cosine"}  # other word in honed.toml -> objective that it names
_OF_STUDENTS = ("pairs",)  # a method of [distil]: the teacher is the model that is distilled


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """A loss over batches, and what examples must have for it.

    ``loss`` is a function from a `honed.train.batch.Batch` and the settings ``[train]`` to a scalar tensor, or its
    place, "module:function", so that torch is imported by training alone. ``learns_from`` "pairs" needs nothing but
    anchor and positive, "scores" the similarity that a pair should have (`Example.score`), "teacher" a cross-encoder's
    scores of positive and negatives (`Example.teacher`).
    """

    loss: "BatchLoss | str"
    learns_from: Literal["pairs", "scores", "teacher"] = "pairs"

    def batch_loss(self) -> "BatchLoss":
        """Return the function, imported where ``loss`` is its place."""
        if not isinstance(self.loss, str):
            return self.loss
        function: BatchLoss = load_place(self.loss)
        return function


OBJECTIVES: Registry[Objective] = Registry(
    "objective",
    group="honed.losses",
    built_in={
        "ranking": Objective(loss="honed.train.batch_losses:ranking"),
        "triplet": Objective(loss="honed.train.batch_losses:triplet"),
        "contrastive": Objective(loss="honed.train.batch_losses:contrastive"),
        "multi-similarity": Objective(loss="honed.train.batch_losses:multi_similarity"),
        "cosine": Objective(loss="honed.train.batch_losses:cosine", learns_from="scores"),
        "cosent": Objective(loss="honed.train.batch_losses:cosent", learns_from="scores"),
        "margin-mse": Objective(loss="honed.train.batch_losses:margin_mse", learns_from="teacher"),
        "kl": Objective(loss="honed.train.batch_losses:kl", learns_from="teacher"),
        "pairs": Objective(loss="honed.train.batch_losses:pairs", learns_from="teacher"),
    },
    accepts=instance_of(Objective),
)


class ObjectiveNames(Collection[str]):
    """The values of ``train.objective``: "auto", the names of objectives, plug-ins included, and synonyms."""

    def __contains__(self, name: object) -> bool:
        return name in (AUTO, *SYNONYMS) or (name in OBJECTIVES and name not in _OF_STUDENTS)

    def __iter__(self) -> Iterator[str]:
        yield AUTO
        yield from (name for name in OBJECTIVES if name not in _OF_STUDENTS)
        yield from SYNONYMS

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return True  # without counting the plug-ins


def find_objective(name: str) -> Objective:
    """Return the objective of a name or synonym; `ConfigError` for one that is unknown."""
    return OBJECTIVES[SYNONYMS.get(name, name)]


def needs_teacher(name: str) -> bool:
    """Tell whether an objective, or "auto", learns from a cross-encoder's scores."""
    return name != AUTO and find_objective(name).learns_from == "teacher"
