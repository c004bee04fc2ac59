"""How to fine-tune; free of heavy imports."""

from dataclasses import dataclass, field

from honed.core.config import limits
from honed.encode.config import PRECISIONS

OBJECTIVES = ("auto", "ranking", "triplet", "contrastive", "multi-similarity", "cosine", "mse", "cosent")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """The section ``[train]``.

    ``objective`` is one of `OBJECTIVES`; "auto" chooses by what the examples hold. ``margin`` (cosine) and
    ``negatives`` ("semi-hard", "hard") belong to "triplet". ``scale`` is 1 / temperature of the softmax over in-batch
    negatives; ``symmetric`` adds the loss label -> alias; ``warmup`` is the share of steps over which the learning rate
    rises; ``mini_batch_size`` > 0 caches gradients, so that a batch of any size fits (0 does so above 512);
    ``evaluations`` is how often dev is looked at.
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
    precision: str = field(default="auto", metadata=limits(one_of=PRECISIONS))
    seed: int = field(default=0, metadata=limits(low=0))
