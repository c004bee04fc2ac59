"""Training speed: honed beside the sentence-transformers trainer as people use it, in one run, on the same pairs.

Both see the same pairs in batches of 64 for the same number of steps; prints pairs per second and the last loss.
"""

import csv
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from honed.core.records import Example
from honed.encode import hardware
from honed.encode.base_models import resolve
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder, load_model, quiet_libraries
from honed.train.config import TrainConfig
from honed.train.fine_tune import fine_tune
from honed.train.history import TrainingRun

ROOT = Path(__file__).parent.parent
STEPS, BATCH = 24, 64


def pairs() -> list[Example]:
    with (ROOT / "examples" / "institutions" / "institutions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[: STEPS * BATCH]
    return [Example(anchor=row["alias"], positive=row["label"]) for row in rows]


def usual(examples: list[Example], *, bf16: bool) -> tuple[float, float]:
    model = load_model(resolve("minilm").folder)
    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        trainer = SentenceTransformerTrainer(
            model=model,
            args=SentenceTransformerTrainingArguments(
                output_dir=folder,
                num_train_epochs=1,
                per_device_train_batch_size=BATCH,
                learning_rate=1e-4,
                bf16=bf16,
                use_cpu=model.device.type == "cpu",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                logging_steps=STEPS // 4,
            ),
            train_dataset=Dataset.from_dict(
                {"anchor": [each.anchor for each in examples], "positive": [each.positive for each in examples]}
            ),
            loss=MultipleNegativesRankingLoss(
                model, directions=("query_to_doc", "doc_to_query"), partition_mode="per_direction"
            ),
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    losses = [each["loss"] for each in trainer.state.log_history if "loss" in each]
    return len(examples) / seconds, losses[-1]


def ours(examples: list[Example], **options) -> tuple[float, float]:
    config = TrainConfig(epochs=1, batch_size=BATCH, learning_rate=1e-4, evaluations=1, **options)
    base = TorchEncoder.load(EncoderConfig(precision="fp32"))
    clock = {"dev": 0.0}

    def no_dev(_) -> float:
        clock["dev"] = time.perf_counter()
        return 0.0 if not clock.get("started") and not clock.__setitem__("started", clock["dev"]) else 1.0

    with tempfile.TemporaryDirectory() as folder:
        trained = fine_tune(base, examples, no_dev, config, TrainingRun(folder=Path(folder)))
    return len(examples) / (clock["dev"] - clock["started"]), trained.history.loss[-1].loss


def main() -> None:
    examples = pairs()
    reference, loss = usual(examples, bf16=False)
    print(f"{'':<44}{'pairs/s':>9}{'ratio':>8}{'last loss':>11}")
    print(f"{'sentence-transformers trainer, fp32':<44}{reference:>9.0f}{1:>8.2f}{loss:>11.3f}")
    has_bf16 = hardware.cpu_has_bf16() or bool(hardware.gpus())
    if has_bf16:
        speed, loss = usual(examples, bf16=True)
        print(f"{'sentence-transformers trainer, bf16':<44}{speed:>9.0f}{speed / reference:>8.2f}{loss:>11.3f}")
    else:
        print("bf16: not run, this CPU multiplies in fp32 alone")
    default = "bf16" if has_bf16 else "fp32"
    for name, options in {
        "honed, fp32, dropout 0.1": {"precision": "fp32", "dropout": 0.1},
        "honed, bf16, dropout 0.1": {"precision": "bf16", "dropout": 0.1},
        f"honed, {default} (default)": {"precision": default},
    }.items():
        if options["precision"] == "bf16" and not has_bf16:
            continue
        speed, loss = ours(examples, **options)
        print(f"{name:<44}{speed:>9.0f}{speed / reference:>8.2f}{loss:>11.3f}")


if __name__ == "__main__":
    main()
