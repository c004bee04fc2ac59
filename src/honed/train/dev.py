"""Scores on dev while a model trains, and the watch for a model whose vectors collapse."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator

from honed.core.errors import TrainingError
from honed.core.protocols import Encoder, Vectors
from honed.encode.torch_encoder import TorchEncoder
from honed.train.checkpoint import latest_checkpoint

DevScore = Callable[[Encoder], float]
"""The score of an encoder on dev, higher is better."""
TrainedModel: TypeAlias = SentenceTransformer | CrossEncoder
_COLLAPSED = 0.1  # of what the base model's vectors are apart
_INDISTINCT = 0.9999
_MOST_PROBED = 256


class DevEvaluator(BaseEvaluator):
    """Scores a model in training on dev, as the trainer of sentence-transformers asks for it.

    ``score`` takes the model and the number of steps, -1 before the first. ``checkpoints`` is the folder in which an
    error names the last good checkpoint.
    """

    def __init__(self, score: Callable[[TrainedModel, int], float]) -> None:
        super().__init__()
        self.score, self.checkpoints = score, Path()
        self.primary_metric = "dev"

    def __call__(
        self, model: TrainedModel, output_path: str | None = None, epoch: float = -1, steps: int = -1
    ) -> dict[str, float]:
        """Return ``{"dev": score}``; `TrainingError` of the score names the last good checkpoint too."""
        try:
            return {"dev": self.score(model, steps)}
        except TrainingError as error:
            raise TrainingError(error.code, f"{error.message} {last_good_checkpoint(self.checkpoints)}") from None


def watched_score(base: TorchEncoder, probe: Sequence[str], dev_score: DevScore, precision: str) -> DevEvaluator:
    """Return an evaluator of bi-encoders that stops a training whose vectors collapse.

    The first 256 texts of ``probe`` must stay apart: when the mean cosine between them comes within a tenth of the base
    model's distance from 1, scoring raises `TrainingError`. Models are scored in ``precision``. Raises `TrainingError`
    at once when the base model does not tell the texts apart.
    """
    texts = list(dict.fromkeys(probe))[:_MOST_PROBED]
    base_cosine = mean_cosine(base.encode(texts, "document"))
    if len(texts) > 1 and base_cosine > _INDISTINCT:
        raise TrainingError(
            "E_TRAIN_BASE",
            f"the base model cannot tell these texts apart (mean cosine {base_cosine:.4f}); its vocabulary may not "
            "know their script: take a multilingual model.base",
        )

    def score(model: TrainedModel, step: int) -> float:
        encoder = TorchEncoder.snapshot(model, base.spec, precision=precision)
        cosine = mean_cosine(encoder.encode(texts, "document"))
        if not cosine < 1 - _COLLAPSED * (1 - base_cosine):  # also true for NaN
            raise TrainingError(
                "E_TRAIN_COLLAPSE",
                f"step {step}: the vectors of different texts have become alike (mean cosine {cosine:.3f}, base "
                f"{base_cosine:.3f}); lower train.learning_rate.",
            )
        return dev_score(encoder)

    return DevEvaluator(score)


def mean_cosine(vectors: Vectors) -> float:
    """Return the mean cosine between different rows of unit vectors ``(n, dim)``; 1 means collapsed."""
    n = len(vectors)
    total = float(np.square(np.asarray(vectors, dtype=np.float64).sum(axis=0)).sum())
    return (total - n) / (n * (n - 1)) if n > 1 else 0.0


def last_good_checkpoint(checkpoints: Path) -> str:
    """Return a sentence for error messages that names the checkpoint from which training can go on."""
    latest = latest_checkpoint(checkpoints) if checkpoints.is_dir() else None
    return f"Last good checkpoint: {latest or 'none yet (the base model is untouched)'}"
