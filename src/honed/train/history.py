"""The history of a training run: what ``history.json`` holds, and the result that a run returns."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from honed.core.records import EncoderSpec
from honed.core.writing import write_json
from honed.train.config import TrainConfig

HISTORY = "history.json"
BASE, TUNED = "base", "tuned"


class LossPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The loss of a batch, or the mean over the batches since the last point, after ``step`` optimiser steps."""

    step: int
    loss: float


class DevPoint(msgspec.Struct, frozen=True, kw_only=True):
    """The score on dev after ``step`` optimiser steps, higher is better; step 0 is the model as it was given."""

    step: int
    score: float


class TrainingHistory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The history of one training run, the content of ``history.json``.

    ``steps`` is how many optimiser steps were taken, ``best_step`` the one whose weights were best on dev and ``kept``
    whether those were saved ("tuned") or the model as it was given ("base", step 0). ``objective`` is the loss that was
    trained and ``reason`` why it was chosen. ``packed`` tells whether batches had no padding, ``mini_batch_size`` the
    texts of a step of the gradient cache (0: none), ``mined_negatives`` how many all examples have, ``negatives`` how
    many a group of a cross-encoder has, ``head`` which head was trained. ``sparse_embeddings`` and ``bf16`` tell how
    the optimiser and the model computed, on ``processes`` processes. A field that does not apply to a run is None.
    """

    steps: int
    loss: list[LossPoint]
    dev: list[DevPoint]
    best_step: int
    kept: str
    packed: bool | None = None
    objective: str = ""
    reason: str | None = None
    mini_batch_size: int | None = None
    mined_negatives: int | None = None
    negatives: int | None = None
    head: str | None = None
    sparse_embeddings: bool | None = None
    bf16: bool | None = None
    processes: int | None = None
    config: TrainConfig

    @property
    def best_score(self) -> float:
        """The highest score on dev, that of the model as it was given included."""
        return max(point.score for point in self.dev)

    def write(self, folder: Path) -> None:
        """Write the history to ``folder/history.json``, whole or not at all; a number that is not finite is refused."""
        write_json(folder / HISTORY, msgspec.to_builtins(self))

    @classmethod
    def read(cls, folder: Path) -> "TrainingHistory":
        """Read ``folder/history.json``; `msgspec.ValidationError` for a file of another form."""
        return msgspec.json.decode((folder / HISTORY).read_bytes(), type=cls)


@dataclass(frozen=True, kw_only=True)
class HistoryFacts:
    """What the history of a run tells of its examples and its loss; the fields are those of `TrainingHistory`."""

    objective: str
    reason: str | None = None
    packed: bool | None = None
    mini_batch_size: int | None = None
    mined_negatives: int | None = None
    negatives: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """The result of a training run: the spec of the saved model and the history."""

    spec: EncoderSpec
    history: TrainingHistory


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """Where a run writes: checkpoints, model and history in ``folder``, TensorBoard's files in ``logs`` if given."""

    folder: Path
    logs: Path | None = None
