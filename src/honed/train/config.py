"""How to fine-tune; free of heavy imports."""

from dataclasses import dataclass, field

from honed.core.config import limits
from honed.core.errors import ConfigError
from honed.encode.config import PRECISIONS

OBJECTIVES = (
    "auto", "ranking", "triplet", "contrastive", "multi-similarity", "cosine", "mse", "cosent", "margin-mse", "kl",
)  # fmt: skip
TRACKERS = ("auto", "tensorboard", "mlflow", "wandb", "none")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The section ``[train]``.

    ``objective`` is one of `OBJECTIVES`; "auto" chooses by what the examples hold. ``margin`` (cosine) and
    ``negatives`` ("semi-hard", "hard") belong to "triplet". ``scale`` is 1 / temperature of the softmax over in-batch
    negatives; ``symmetric`` adds the loss label -> alias; ``warmup`` is the share of steps over which the learning rate
    rises; ``mini_batch_size`` > 0 caches gradients, so that a batch of any size fits (0 does so above 512);
    ``evaluations`` is how often dev is looked at. ``hard_negatives`` is how many of an example's mined negatives stand
    in a batch with it. ``matryoshka`` lists shorter widths at which the vectors must work too; ``lora`` > 0 trains
    adapters of that rank instead of the weights. ``processes`` > 1 trains on several processes (or GPUs) whose batches
    count as one; ``track`` "auto" writes TensorBoard logs beside the model.
    """

    objective: str = field(default="auto", metadata=limits(one_of=OBJECTIVES))
    margin: float = field(default=0.2, metadata=limits(low=0, high=2))
    negatives: str = field(default="semi-hard", metadata=limits(one_of=("semi-hard", "hard")))
    epochs: float = field(default=4.0, metadata=limits(low=0.001, high=1000))
    batch_size: int = field(default=128, metadata=limits(low=2, high=65536))
    learning_rate: float = field(default=2e-4, metadata=limits(low=0))
    warmup: float = field(default=0.1, metadata=limits(low=0, high=1))
    weight_decay: float = field(default=0.01, metadata=limits(low=0, high=1))
    max_grad_norm: float = field(default=1.0, metadata=limits(low=0))
    scale: float = field(default=20.0, metadata=limits(low=0.1, high=1000))
    symmetric: bool = True
    mini_batch_size: int = field(default=0, metadata=limits(low=0))
    dropout: float = field(default=0.0, metadata=limits(low=0, high=0.9))
    evaluations: int = field(default=4, metadata=limits(low=1, high=1000))
    hard_negatives: int = field(default=1, metadata=limits(low=0, high=64))
    matryoshka: tuple[int, ...] = ()
    lora: int = field(default=0, metadata=limits(low=0, high=1024))
    processes: int = field(default=1, metadata=limits(low=1, high=1024))
    track: str = field(default="auto", metadata=limits(one_of=TRACKERS))
    precision: str = field(default="auto", metadata=limits(one_of=PRECISIONS))
    seed: int = field(default=0, metadata=limits(low=0))


SOURCES = ("encoder", "bm25", "tfidf")


@dataclass(frozen=True, kw_only=True, slots=True)
class MineConfig:
    """The section ``[mine]``: hard negatives for training.

    ``candidates`` come from the vectors of the encoder, from words ("bm25") or from character n-grams ("tfidf"), or
    from several of them; ``encoder`` is the base model or one that was fine-tuned first without mined negatives
    ("tuned"). Of the ``depth`` nearest, up to ``negatives`` are kept for each anchor, so that the estimated share of
    those that are right after all stays within ``false_negatives``. ``rescore`` judges them with the cross-encoder.
    """

    candidates: tuple[str, ...] = ("encoder",)
    encoder: str = field(default="tuned", metadata=limits(one_of=("tuned", "base")))
    depth: int = field(default=30, metadata=limits(low=1, high=1000))
    negatives: int = field(default=4, metadata=limits(low=1, high=100))
    false_negatives: float = field(default=0.02, metadata=limits(low=0, high=1))
    rescore: bool = False
    seed: int = field(default=0, metadata=limits(low=0))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for candidates from nowhere."""
        unknown = [each for each in self.candidates if each not in SOURCES]
        if unknown or not self.candidates:
            shown = unknown[0] if unknown else "empty"
            raise ConfigError("E_CONFIG_RANGE", f"{file}: mine.candidates: {shown} is not one of {', '.join(SOURCES)}")
