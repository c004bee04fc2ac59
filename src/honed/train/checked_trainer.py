"""The trainers of sentence-transformers with complete checkpoints, a finite loss and sparse gradients."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoderTrainer, SentenceTransformerTrainer
from sentence_transformers.base.trainer import BaseTrainer
from torch import Tensor

from honed.core.errors import TrainingError
from honed.train.checkpoint import mark_complete
from honed.train.dev import last_good_checkpoint
from honed.train.processes import wait_for_all

WEIGHTS = "model.safetensors"


class _CheckedTrainer(BaseTrainer):
    """Overrides of the trainer that both kinds of model need."""

    def add_model_card_callback(self, default_args_dict: Mapping[str, object]) -> None:
        """Leave the model card to the export: gathering widget examples costs time and writes to the terminal."""

    def compute_loss(self, *args: object, **kwargs: object) -> Tensor | tuple[Tensor, object]:
        """Return the loss, with the model's output if requested; `TrainingError` when it is not finite."""
        loss: Tensor | tuple[Tensor, object] = BaseTrainer.compute_loss(self, *args, **kwargs)
        value = loss[0] if isinstance(loss, tuple) else loss
        if not torch.isfinite(value):
            raise TrainingError(
                "E_TRAIN_NONFINITE",
                f"step {self.state.global_step + 1}: the loss is {float(value.detach())}; learning rate "
                f"{self.args.learning_rate:g} is likely too high. "
                f"{last_good_checkpoint(Path(str(self.args.output_dir)))}",
            )
        return loss

    def collect_features(self, inputs: Mapping[str, object]) -> tuple[list[dict[str, object]], Tensor | None]:
        """Split a batch by the names of its parts, for cross-encoders too: their own trainer reads texts."""
        features: tuple[list[dict[str, object]], Tensor | None] = BaseTrainer.collect_features(self, inputs)
        return features

    def _get_grad_norm(self, *args: object, **kwargs: object) -> None:
        """Leave the norm to the optimizer, which clips sparse gradients too."""

    def _save(self, output_dir: str | None = None, state_dict: object = None) -> None:
        """Save the weights alone, whatever was added to the model for training."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: value.contiguous().clone() for name, value in self.model.state_dict().items()}
        save_file(weights, folder / WEIGHTS)

    def _load_from_checkpoint(self, checkpoint_path: str, model: object = None) -> None:
        self.model.load_state_dict(load_file(Path(checkpoint_path) / WEIGHTS))

    def _load_best_model(self) -> None:
        """Load the best checkpoint, or fail: the trainer's own would keep the last weights without a word."""
        self._load_from_checkpoint(str(self.state.best_model_checkpoint))

    def _save_checkpoint(self, *args: object, **kwargs: object) -> None:
        super()._save_checkpoint(*args, **kwargs)
        wait_for_all()  # every process writes its random state
        if self.is_world_process_zero():
            mark_complete(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")


class BiEncoderTrainer(_CheckedTrainer, SentenceTransformerTrainer):
    """Trains bi-encoders."""


class PairScorerTrainer(_CheckedTrainer, CrossEncoderTrainer):
    """Trains cross-encoders."""
