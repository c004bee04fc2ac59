"""One way to train whatever gives vectors or scores: the trainer of sentence-transformers with sparse embedding steps,
checkpoints that can be trusted, the best weights on dev, and the same on one process or several."""

import math
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    CrossEncoderTrainingArguments,
    SentenceTransformerTrainingArguments,
)
from torch import Tensor, nn
from transformers import PrinterCallback

from honed.core.progress import progress
from honed.core.records import EncoderSpec
from honed.encode.base_models import read_spec
from honed.encode.torch_encoder import TorchEncoder, choose_precision, quiet_libraries, save_model
from honed.train.callbacks import KeepCallback, ProgressCallback, trackers
from honed.train.checked_trainer import BiEncoderTrainer, PairScorerTrainer
from honed.train.checkpoint import latest_checkpoint, remove_incomplete
from honed.train.config import TrainConfig
from honed.train.dev import DevEvaluator, TrainedModel
from honed.train.history import (
    BASE,
    HISTORY,
    TUNED,
    DevPoint,
    HistoryFacts,
    LossPoint,
    TrainingHistory,
    TrainingResult,
    TrainingRun,
)
from honed.train.lora import add_lora, merge_lora
from honed.train.optimizer import SparseAwareAdamW, make_embeddings_sparse
from honed.train.processes import wait_for_all, world_size

Trainer = BiEncoderTrainer | PairScorerTrainer


class Collator(Protocol):
    """Makes batches: ``[{"label": row}, ...]`` to features by name, with other negatives in each ``epoch``."""

    epoch: int

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> Mapping[str, Tensor | int]:
        """Return the features of one batch; the part of a name before the first "_" says which text they are of."""
        ...


@dataclass(kw_only=True)
class TrainingSetup:
    """A model and all that its training needs; examples are known to loss and collator by number, 0 to ``n_examples``.

    ``loss`` takes the features of ``collator`` and its labels, ``evaluator`` scores the model on dev, ``save`` writes
    it to a folder and returns its spec, ``facts`` go into the history. With ``may_keep_base`` the model as it was given
    is saved when no step is better on dev.
    """

    model: TrainedModel
    n_examples: int
    loss: nn.Module
    collator: Collator
    evaluator: DevEvaluator
    save: Callable[[Path], EncoderSpec]
    facts: HistoryFacts
    may_keep_base: bool = True


def bi_encoder_setup(
    base: TorchEncoder,
    n_examples: int,
    loss: nn.Module,
    collator: Collator,
    evaluator: DevEvaluator,
    facts: HistoryFacts,
) -> TrainingSetup:
    """Return the setup that trains the weights of a bi-encoder; `ValueError` for weights that are not fp32."""
    if base.precision != "fp32":
        raise ValueError("training starts from fp32 weights: load the base model with precision fp32")
    return TrainingSetup(
        model=base.model,
        n_examples=n_examples,
        loss=loss,
        collator=collator,
        evaluator=evaluator,
        save=lambda folder: save_model(base.model, base.spec, folder),
        facts=facts,
    )


def train_model(setup: TrainingSetup, config: TrainConfig, run: TrainingRun) -> TrainingResult:
    """Train a model and save the weights that are best on dev to ``run.folder/model``, with the history beside it.

    When no training step beats the model as it was given, that one is saved. Work in ``run.folder/checkpoints`` is
    taken up again after a crash; a run that was finished is read back.

    Raises `TrainingError` when the loss is not finite and when the model collapses; the last good checkpoint stays in
    the folder.
    """
    folder = run.folder
    if (folder / HISTORY).is_file():  # everything was done when a crash came
        return _finish(folder)
    checkpoints, model = folder / "checkpoints", setup.model
    setup.evaluator.checkpoints = checkpoints
    untouched = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(config.seed)
    adapted = add_lora(model, config.lora) if config.lora else None
    with quiet_libraries(), progress("fine-tune steps", total_steps(setup.n_examples, config)) as bar:
        watch = ProgressCallback(setup.evaluator, setup.collator, bar, folder / "base_dev.json")
        arguments = _arguments(setup, config, checkpoints)
        sparse = world_size() == 1 and not config.lora and make_embeddings_sparse(model)
        trainer = _make_trainer(setup, config, arguments)
        keep = [KeepCallback(setup.save, folder / "kept")] if config.keep_checkpoints else []
        for callback in (watch, *keep, *trackers(config.track, run.logs)):
            trainer.add_callback(callback)
        _train(trainer, checkpoints)
        if adapted is not None:
            merge_lora(model, adapted)
        tuned = not setup.may_keep_base or (trainer.state.best_metric or float("-inf")) > watch.base_score
        if not tuned:
            model.load_state_dict(untouched)
        if trainer.is_world_process_zero():
            setup.save(folder / "model")
            _history(setup, config, trainer, watch.base_score, tuned=tuned, sparse=sparse).write(folder)
    wait_for_all()  # the others may still be reading the best checkpoint
    return _finish(folder)


def _train(trainer: Trainer, checkpoints: Path) -> None:
    """Train from the latest complete checkpoint, or from the start."""
    if trainer.is_world_process_zero():
        remove_incomplete(checkpoints)
    wait_for_all()
    latest = latest_checkpoint(checkpoints)
    trainer.train(resume_from_checkpoint=str(latest) if latest else None)


def _finish(folder: Path) -> TrainingResult:
    """Remove the checkpoints of a finished run and read back what it saved."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return TrainingResult(spec=read_spec(folder / "model"), history=TrainingHistory.read(folder))


def total_steps(n_examples: int, config: TrainConfig) -> int:
    """Return how many optimiser steps a run takes."""
    return max(1, math.ceil(math.ceil(n_examples / config.batch_size) * config.epochs))


def _arguments(setup: TrainingSetup, config: TrainConfig, checkpoints: Path) -> SentenceTransformerTrainingArguments:
    """Return the trainer's arguments; with several processes, all have met when this returns."""
    is_cross_encoder = isinstance(setup.model, CrossEncoder)
    arguments_class = CrossEncoderTrainingArguments if is_cross_encoder else SentenceTransformerTrainingArguments
    device = setup.model.device.type
    steps = total_steps(setup.n_examples, config)
    evaluation_steps = max(1, math.ceil(steps / max(1, config.evaluations)))
    processes = int(os.environ.get("WORLD_SIZE", "1"))  # of torchrun; there is no process group yet
    arguments = arguments_class(
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
        eval_steps=evaluation_steps,
        save_strategy="steps",
        save_steps=evaluation_steps,
        save_total_limit=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_dev",
        greater_is_better=True,
        logging_steps=max(1, evaluation_steps // 10),
        logging_nan_inf_filter=False,
        disable_tqdm=True,
        report_to="none",
        seed=config.seed,
        data_seed=config.seed,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,  # batches are made where the model is
        prediction_loss_only=True,
    )
    _ = arguments.device  # several processes meet here
    if arguments.n_gpu > 1:  # one process takes one GPU
        arguments._n_gpu = 1
    return arguments


def _make_trainer(
    setup: TrainingSetup, config: TrainConfig, arguments: SentenceTransformerTrainingArguments
) -> Trainer:
    for module in setup.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = config.dropout
    optimizer = SparseAwareAdamW(
        setup.model, lr=config.learning_rate, weight_decay=config.weight_decay, max_norm=config.max_grad_norm
    )
    trainer_class = PairScorerTrainer if isinstance(setup.model, CrossEncoder) else BiEncoderTrainer
    trainer = trainer_class(
        model=setup.model,
        args=arguments,
        train_dataset=Dataset.from_dict({"label": list(range(setup.n_examples))}),
        loss=setup.loss,
        evaluator=setup.evaluator,
        data_collator=setup.collator,
        optimizers=(optimizer, None),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _history(
    setup: TrainingSetup, config: TrainConfig, trainer: Trainer, base_score: float, *, tuned: bool, sparse: bool
) -> TrainingHistory:
    log, facts = trainer.state.log_history, setup.facts
    points = [DevPoint(step=entry["step"], score=round(entry["eval_dev"], 6)) for entry in log if "eval_dev" in entry]
    return TrainingHistory(
        steps=trainer.state.global_step,
        loss=[LossPoint(step=entry["step"], loss=round(entry["loss"], 5)) for entry in log if "loss" in entry],
        dev=[DevPoint(step=0, score=round(base_score, 6)), *points],
        best_step=(trainer.state.best_global_step or 0) if tuned else 0,
        kept=TUNED if tuned else BASE,
        packed=facts.packed,
        objective=facts.objective,
        reason=facts.reason,
        mini_batch_size=facts.mini_batch_size,
        mined_negatives=facts.mined_negatives,
        negatives=facts.negatives,
        sparse_embeddings=sparse,
        bf16=bool(trainer.args.bf16),
        processes=world_size(),
        config=config,
    )
