"""LoRA: train small low-rank additions to the attention and leave the model's own weights as they are.

Hu et al. 2021 (arXiv 2106.09685). The additions are merged into the weights at the end, so nothing that loads the model
has to know of them.
"""

from typing import Any

from honed.core.errors import TrainingError
from honed.core.optional import require


def add_lora(model: Any, rank: int) -> Any:
    """Add adapters of a rank to every linear layer of the transformer of a sentence-transformers model.

    Returns what `merge_lora` needs. Raises `TrainingError` for a model without a transformer.
    """
    require("LoRA")
    from peft import LoraConfig, LoraModel

    transformer = getattr(model[0], "model", None)
    if transformer is None:
        raise TrainingError("E_TRAIN_LORA", "train.lora: the model has no transformer to adapt; leave lora out")
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    return LoraModel(transformer, {"default": config}, "default")  # works on the transformer itself


def merge_lora(model: Any, adapted: Any) -> None:
    """Add the adapters to the weights that they belong to, and remove them."""
    adapted.merge_and_unload()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
