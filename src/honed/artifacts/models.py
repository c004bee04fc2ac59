"""Artifacts of training: models with their histories, mined negatives with their reports."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from honed.artifacts.data import Examples
from honed.core.artifacts import Artifact
from honed.core.protocols import Vectors
from honed.encode.config import EncoderConfig
from honed.encode.models import BaseModel, CrossEncoderModel, FrozenBase, TrainedModel
from honed.train.history import TrainingHistory
from honed.train.reports import MiningReport, StudentReport

MODEL, HISTORY, STUDENT, MINING, CANDIDATES = "model", "history.json", "student.json", "mining.json", "candidates.npz"
DIRECTIONS = "directions.npy"  # on which the joined vectors of teachers are what a student learns
HEAD, FROZEN = "head.npy", "frozen.json"  # the map over a frozen base model, and the section [model] of that


class ModelArtifact(Artifact):
    """An artifact with a trained model."""

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.folder / MODEL

    def source(self, precision: str = "auto") -> TrainedModel:
        """Return where its encoder is loaded from."""
        return TrainedModel(folder=self.model, precision=precision)


class DraftArtifact(ModelArtifact):
    """A first model, trained without mined negatives, that mining is done with."""


class ShippedModel(ModelArtifact):
    """A model that may be shipped: the student where there is one, else the fine-tuned model."""


class TrainArtifact(ShippedModel):
    """The fine-tuned model."""

    def source(self, precision: str = "auto") -> TrainedModel:
        """Return where its encoder is loaded from, and the base model that it is a linear map over, if it is one."""
        source = super().source(precision)
        if not (self.has(FROZEN) and self.has(HEAD)):
            return source
        stated = self.read(FROZEN, dict[str, Any])
        weights = str(stated.pop("weights"))
        model = BaseModel(EncoderConfig(**stated, prompts="none"), precision)
        return replace(source, frozen=FrozenBase(model, weights, self.path(HEAD)))

    def history(self) -> TrainingHistory:
        """Return the training history."""
        return self.read(HISTORY, TrainingHistory)


class DistilArtifact(ShippedModel):
    """The student."""

    def student(self) -> StudentReport:
        """Return sizes, times and dev scores of the teacher, the student and all that were tried."""
        return self.read(STUDENT, StudentReport)

    def directions(self) -> Vectors | None:
        """Return what the joined vectors of the teachers are multiplied with ``(width, dim)``; None: as they are."""
        if not self.has(DIRECTIONS):
            return None
        values: Vectors = np.load(self.path(DIRECTIONS), allow_pickle=False)
        return values


class CrossEncoderArtifact(ModelArtifact):
    """The cross-encoder."""

    def scorer(self, precision: str = "auto") -> CrossEncoderModel:
        """Return where its scorer of pairs is loaded from."""
        return CrossEncoderModel(folder=self.model, precision=precision)


class Mined(Examples):
    """Training examples with mined negatives."""

    def mining(self) -> MiningReport:
        """Return how the negatives were chosen, with samples."""
        return self.read(MINING, MiningReport)


class MineArtifact(Mined):
    """Mined negatives, with all candidates and their scores."""

    def candidates(self) -> dict[str, Any]:
        """Return the arrays of the candidates by name, see `honed.train.mine.Candidates`."""
        with np.load(self.path(CANDIDATES), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


class RescoreArtifact(Mined):
    """Training examples with a cross-encoder's scores."""
