"""Callbacks of the trainer: the progress bar with the base model's score on dev, and experiment trackers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from honed.core.optional import is_installed, require
from honed.core.progress import Bar
from honed.core.records import EncoderSpec
from honed.core.writing import new_folder, write_json
from honed.train.dev import DevEvaluator, TrainedModel


class HasEpoch(Protocol):
    """A collator that picks other negatives in each epoch."""

    epoch: int


class ProgressCallback(TrainerCallback):
    """Moves the bar, scores the model on dev before the first step, and tells the collator the epoch.

    ``base_score`` is the dev score of the model as it was given. It is kept in ``base_score_file``, since a training
    that is taken up again starts from other weights.
    """

    def __init__(self, evaluator: DevEvaluator, collator: HasEpoch, bar: Bar, base_score_file: Path) -> None:
        self.evaluator, self.collator, self.bar, self.base_score_file = evaluator, collator, bar, base_score_file
        self.base_score = float("-inf")

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, *, model: TrainedModel, **_: object
    ) -> None:
        """Score the model on dev, or read the score of the run that is taken up; move the bar to its step."""
        if self.base_score_file.is_file():
            self.base_score = float(json.loads(self.base_score_file.read_text(encoding="utf-8"))["dev"])
        else:
            self.base_score = self.evaluator(model)["dev"]
            if state.is_world_process_zero:
                write_json(self.base_score_file, {"dev": self.base_score})
        self.bar.advance(state.global_step)

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Tell the collator the epoch."""
        self.collator.epoch = int(state.epoch or 0)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Move the bar."""
        self.bar.advance()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        logs: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Show the loss beside the bar."""
        if logs and "loss" in logs:
            self.bar.note(f"loss {logs['loss']:.3f}")

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        metrics: dict[str, float] | None = None,
        **_: object,
    ) -> None:
        """Show the score on dev beside the bar."""
        if metrics and "eval_dev" in metrics:
            self.bar.note(f"dev {metrics['eval_dev']:.4f} (base {self.base_score:.4f})")


class KeepCallback(TrainerCallback):
    """Keeps the model at every checkpoint, as a folder ``step-N`` that can be trained on or searched with."""

    def __init__(self, save: Callable[[Path], EncoderSpec], folder: Path) -> None:
        self.save, self.folder = save, folder

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Save the model of this step, whole or not at all."""
        if not state.is_world_process_zero:
            return
        with new_folder(self.folder / f"step-{state.global_step}") as folder:
            self.save(folder)


def trackers(track: str, logs: Path | None) -> list[TrainerCallback]:
    """Return the callback that ``train.track`` names, which writes the loss and dev curves elsewhere, or none.

    "auto" is TensorBoard where it is installed and ``logs`` says where its files go. Raises `MissingPartError` for a
    tracker that is not installed.
    """
    if track == "none" or (track == "auto" and (logs is None or not is_installed("TensorBoard"))):
        return []
    from transformers import integrations

    if track in ("auto", "tensorboard"):
        require("TensorBoard")
        from torch.utils.tensorboard import SummaryWriter

        return [integrations.TensorBoardCallback(SummaryWriter(None if logs is None else str(logs)))]
    require({"mlflow": "MLflow", "wandb": "Weights & Biases"}[track])
    return [{"mlflow": integrations.MLflowCallback, "wandb": integrations.WandbCallback}[track]()]
