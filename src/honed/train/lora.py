"""LoRA: train small low-rank additions to the attention and leave the model's own weights as they are.

Hu et al. 2021 (arXiv 2106.09685). The additions are merged into the weights at the end, so nothing that loads the model
has to know of them.
"""

from typing import TYPE_CHECKING

from honed.core.errors import TrainingError
from honed.core.optional import require

if TYPE_CHECKING:
    from peft import LoraModel
    from sentence_transformers import SentenceTransformer


def add_lora(model: "SentenceTransformer", rank: int) -> "LoraModel":
    """Add adapters of ``rank`` to every linear layer of the transformer of a model, in place.

    Returns the transformer with its adapters, which `merge_lora` takes. Raises `TrainingError` for a model without a
    transformer.
    """
    require("LoRA")
    from peft import LoraConfig, LoraModel

    transformer = getattr(model[0], "model", None)
    if transformer is None:
        raise TrainingError("E_TRAIN_LORA", "train.lora: the model has no transformer to adapt; leave lora out")
    config = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear")
    return LoraModel(transformer, {"default": config}, "default")


def merge_lora(model: "SentenceTransformer", adapted: "LoraModel") -> None:
    """Add the adapters to the weights that they belong to, remove them, and let all weights be trained again."""
    adapted.merge_and_unload()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
