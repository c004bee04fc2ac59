"""One way to train whatever gives vectors: the sentence-transformers trainer with sparse embedding steps, checkpoints
that can be trusted, honest stopping, and the same on one process or several."""

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderTrainer,
    CrossEncoderTrainingArguments,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.trainer import BaseTrainer
from transformers import PrinterCallback, TrainerCallback

from honed.core.artifacts import write_json
from honed.core.errors import TrainingError
from honed.core.optional import is_installed, require
from honed.core.progress import Bar, progress
from honed.core.protocols import Encoder
from honed.core.records import EncoderSpec
from honed.encode.base_models import read_spec
from honed.encode.torch_encoder import TorchEncoder, choose_precision, quiet_libraries, save_model
from honed.train.checkpoint import clear_incomplete, last_complete, mark_complete
from honed.train.config import TrainConfig
from honed.train.lora import add_lora, merge_lora
from honed.train.optimizer import SparseAwareAdamW, make_embeddings_sparse
from honed.train.together import wait_for_all, world_size

DevScore = Callable[[Encoder], float]
_COLLAPSED = 0.1
_ALIKE = 0.9999
HISTORY, WEIGHTS = "history.json", "model.safetensors"


@dataclass(kw_only=True)
class Recipe:
    """What is trained: a model, and ``n`` rows that the loss and the collator know by their numbers.

    ``collator`` turns ``[{"label": row}, ...]`` into named features, ``loss`` takes those and the row numbers;
    ``evaluator`` gives ``{"dev": score}`` for a model, ``save`` writes the model to a folder. ``facts`` go into the
    history. With ``may_keep_base`` the model as it was given is kept when no step is better on dev.
    """

    model: Any
    n: int
    loss: torch.nn.Module
    collator: Any
    evaluator: "DevEvaluator"
    save: Callable[[Path], EncoderSpec]
    facts: dict[str, Any] = field(default_factory=dict)
    may_keep_base: bool = True


@dataclass(kw_only=True)
class Trained:
    """What training gave: the spec of the saved model and the story of the run, as plain data."""

    spec: EncoderSpec
    history: dict[str, Any]


def train_model(recipe: Recipe, config: TrainConfig, folder: Path, logs: Path | None = None) -> Trained:
    """Train a model and save the state that is best on dev to ``folder/model``.

    When no training step beats the model as it was given, that one is saved. Work in ``folder/checkpoints`` is taken up
    again after a crash. TensorBoard's files go to ``logs``.

    Raises `TrainingError` when the loss is not finite and when the model collapses; the last good checkpoint stays in
    the folder.
    """
    if (folder / HISTORY).is_file():  # everything was done when a crash came
        return _read_back(folder)
    checkpoints, model = folder / "checkpoints", recipe.model
    recipe.evaluator.checkpoints = checkpoints
    untouched = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(config.seed)
    adapted = add_lora(model, config.lora) if config.lora else None
    with quiet_libraries(), progress("fine-tune steps", total_steps(recipe.n, config)) as bar:
        watch = _Watch(recipe.evaluator, recipe.collator, bar, folder / "base_dev.json")
        trainer, facts = _trainer(recipe, config, checkpoints)
        for each in (watch, *_tracking(config.track, logs)):
            trainer.add_callback(each)
        first = trainer.is_world_process_zero()
        if first:
            clear_incomplete(checkpoints)
        wait_for_all()
        resume = last_complete(checkpoints)
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        history = {**_history(trainer, watch.base_score), **facts, "config": asdict(config)}
        if adapted is not None:
            merge_lora(model, adapted)
        if recipe.may_keep_base and not (trainer.state.best_metric or float("-inf")) > watch.base_score:
            model.load_state_dict(untouched)
            history |= {"kept": "base", "best_step": 0}
        if first:
            recipe.save(folder / "model")
            write_json(folder / HISTORY, history)
    wait_for_all()  # the others may still be reading the best checkpoint
    return _read_back(folder)


def _read_back(folder: Path) -> Trained:
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    history = json.loads((folder / HISTORY).read_text(encoding="utf-8"))
    return Trained(spec=read_spec(folder / "model"), history=history)


def total_steps(n_examples: int, config: TrainConfig) -> int:
    """Return how many optimiser steps a run takes."""
    return max(1, math.ceil(math.ceil(n_examples / config.batch_size) * config.epochs))


def _trainer(recipe: Recipe, config: TrainConfig, checkpoints: Path) -> tuple["_Checked", dict[str, Any]]:
    model = recipe.model
    _set_dropout(model, config.dropout)
    cross = isinstance(model, CrossEncoder)
    args = _arguments(config, recipe.n, checkpoints, model.device.type, cross=cross)
    _ = args.device  # several processes meet here
    if args.n_gpu > 1:  # one process takes one GPU
        args._n_gpu = 1
    sparse = world_size() == 1 and not config.lora and make_embeddings_sparse(model)
    optimizer = SparseAwareAdamW(
        model, lr=config.learning_rate, weight_decay=config.weight_decay, max_norm=config.max_grad_norm
    )
    kind = _CrossTrainer if cross else _Trainer
    trainer = kind(
        model=model,
        args=args,
        train_dataset=Dataset.from_dict({"label": list(range(recipe.n))}),
        loss=recipe.loss,
        evaluator=recipe.evaluator,
        data_collator=recipe.collator,
        optimizers=(optimizer, None),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer, recipe.facts | {"sparse_embeddings": sparse, "bf16": args.bf16, "processes": world_size()}


def _set_dropout(model: Any, share: float) -> None:
    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = share


def _tracking(track: str, logs: Path | None) -> list[TrainerCallback]:
    """Return what writes loss and dev curves elsewhere; "auto" is TensorBoard where it is installed."""
    if track == "none" or (track == "auto" and (logs is None or not is_installed("TensorBoard"))):
        return []
    from transformers import integrations

    if track in ("auto", "tensorboard"):
        require("TensorBoard")
        from torch.utils.tensorboard import SummaryWriter

        return [integrations.TensorBoardCallback(SummaryWriter(None if logs is None else str(logs)))]
    require({"mlflow": "MLflow", "wandb": "Weights & Biases"}[track])
    return [{"mlflow": integrations.MLflowCallback, "wandb": integrations.WandbCallback}[track]()]


def _arguments(config: TrainConfig, n_examples: int, checkpoints: Path, device: str, *, cross: bool) -> Any:
    steps = total_steps(n_examples, config)
    every = max(1, math.ceil(steps / max(1, config.evaluations)))
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    kind: Any = CrossEncoderTrainingArguments if cross else SentenceTransformerTrainingArguments
    return kind(
        output_dir=str(checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=math.ceil(config.batch_size / processes),
        learning_rate=config.learning_rate,
        warmup_steps=math.ceil(steps * config.warmup),
        lr_scheduler_type="linear",
        max_grad_norm=0.0,  # the optimizer clips, sparse gradients included
        bf16=choose_precision(config.precision, device) == "bf16",
        use_cpu=device == "cpu",
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_dev",
        greater_is_better=True,
        logging_steps=max(1, every // 10),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        seed=config.seed,
        data_seed=config.seed,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,  # batches are made where the model is
        prediction_loss_only=True,
    )


class DevEvaluator(BaseEvaluator):
    """Scores a model in training on dev; ``score`` takes the model and the step."""

    def __init__(self, score: Callable[[Any, int], float]) -> None:
        super().__init__()
        self.score, self.checkpoints = score, Path()
        self.primary_metric = "dev"

    def __call__(self, model: Any, output_path: Any = None, epoch: float = -1, steps: int = -1) -> dict[str, float]:
        """Return the score of a model on dev."""
        try:
            return {"dev": self.score(model, steps)}
        except TrainingError as error:
            raise TrainingError(error.code, f"{error.message} {_last_good(self.checkpoints)}") from None


def bi_encoder(base: TorchEncoder, probe: Sequence[str], dev_score: DevScore, config: TrainConfig) -> dict[str, Any]:
    """Return the parts of a `Recipe` that every bi-encoder shares: model, dev score with a watch for collapse, saving.

    Texts of ``probe`` must stay apart. Raises `TrainingError` when the base model does not tell them apart.
    """
    if base.precision != "fp32":
        raise ValueError("training starts from fp32 weights: load the base model with precision fp32")
    texts = list(dict.fromkeys(probe))[:256]
    apart = mean_cosine(base.encode(texts, "document"))
    if len(texts) > 1 and apart > _ALIKE:
        raise TrainingError(
            "E_TRAIN_BASE",
            f"the base model cannot tell these texts apart (mean cosine {apart:.4f}); its vocabulary may not know "
            "their script: take a multilingual model.base",
        )

    def score(model: Any, step: int) -> float:
        encoder = TorchEncoder.snapshot(model, base.spec, precision=config.precision)
        cosine = mean_cosine(encoder.encode(texts, "document"))
        if not cosine < 1 - _COLLAPSED * (1 - apart):  # also true for NaN
            raise TrainingError(
                "E_TRAIN_COLLAPSE",
                f"step {step}: the vectors of different texts have become alike (mean cosine {cosine:.3f}, base "
                f"{apart:.3f}); lower train.learning_rate.",
            )
        return dev_score(encoder)

    return {
        "model": base.model,
        "evaluator": DevEvaluator(score),
        "save": lambda folder: save_model(base.model, base.spec, folder),
    }


class _Checked(BaseTrainer):
    """What the trainers of sentence-transformers need: complete checkpoints, a finite loss, sparse gradients."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Leave the model card to the export: gathering widget examples costs time and writes to the terminal."""

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Return the loss; `TrainingError` when it is not finite."""
        loss = BaseTrainer.compute_loss(self, *args, **kwargs)
        value = loss[0] if isinstance(loss, tuple) else loss
        if not torch.isfinite(value):
            raise TrainingError(
                "E_TRAIN_NONFINITE",
                f"step {self.state.global_step + 1}: the loss is {float(value.detach())}; learning rate "
                f"{self.args.learning_rate:g} is likely too high. {_last_good(Path(str(self.args.output_dir)))}",
            )
        return loss

    def collect_features(self, inputs: Any) -> Any:
        """Split a batch by the names of its parts."""
        return BaseTrainer.collect_features(self, inputs)

    def _get_grad_norm(self, *args: Any, **kwargs: Any) -> None:
        """Leave the norm to the optimizer, which clips sparse gradients too."""

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save the weights alone, whatever was added to the model for training."""
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: each.contiguous().clone() for name, each in self.model.state_dict().items()}, folder / WEIGHTS)

    def _load_from_checkpoint(self, checkpoint_path: str, model: Any = None) -> None:
        self.model.load_state_dict(load_file(Path(checkpoint_path) / WEIGHTS))

    def _load_best_model(self) -> None:
        """Load the best checkpoint, or fail: the trainer's own would keep the last weights without a word."""
        self._load_from_checkpoint(str(self.state.best_model_checkpoint))

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        super()._save_checkpoint(*args, **kwargs)
        wait_for_all()  # every process writes its random state
        if self.is_world_process_zero():
            mark_complete(Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}")


class _Trainer(_Checked, SentenceTransformerTrainer):
    """Trains bi-encoders."""


class _CrossTrainer(_Checked, CrossEncoderTrainer):
    """Trains cross-encoders."""


def _last_good(checkpoints: Path) -> str:
    found = last_complete(checkpoints) if checkpoints.is_dir() else None
    return f"Last good checkpoint: {found}" if found else "Last good checkpoint: none yet (the base model is untouched)"


class _Watch(TrainerCallback):
    """Shows progress, remembers what the base model scored on dev, and tells the collator the epoch."""

    def __init__(self, evaluator: DevEvaluator, collator: Any, bar: Bar, start_file: Path) -> None:
        self.evaluator, self.collator, self.bar, self.start_file = evaluator, collator, bar, start_file
        self.base_score = float("-inf")

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.start_file.is_file():
            self.base_score = json.loads(self.start_file.read_text(encoding="utf-8"))["dev"]
        else:
            self.base_score = self.evaluator(kwargs["model"])["dev"]
            if state.is_world_process_zero:
                write_json(self.start_file, {"dev": self.base_score})
        self.bar.advance(state.global_step)

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.collator.epoch = int(state.epoch or 0)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.bar.note(f"loss {logs['loss']:.3f}")

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **kwargs: Any) -> None:
        if metrics and "eval_dev" in metrics:
            self.bar.note(f"dev {metrics['eval_dev']:.4f} (base {self.base_score:.4f})")


def mean_cosine(vectors: Any) -> float:
    """Return the mean cosine between different rows of unit vectors ``(n, dim)``; 1 means collapsed."""
    n = len(vectors)
    total = float(np.square(np.asarray(vectors, dtype=np.float64).sum(axis=0)).sum())
    return (total - n) / (n * (n - 1)) if n > 1 else 0.0


def _history(trainer: _Checked, base_score: float) -> dict[str, Any]:
    log = trainer.state.log_history
    return {
        "steps": trainer.state.global_step,
        "loss": [{"step": each["step"], "loss": round(each["loss"], 5)} for each in log if "loss" in each],
        "dev": [
            {"step": 0, "score": round(base_score, 6)},
            *({"step": each["step"], "score": round(each["eval_dev"], 6)} for each in log if "eval_dev" in each),
        ],
        "best_step": trainer.state.best_global_step or 0,
        "kept": "tuned",
    }
