"""Batches without padding: texts laid end to end, attention kept inside each text.

The linear layers, most of the work, then see no padding token; only attention is padded, for its own length
(`honed.encode.attention`, registered with transformers). Batches have the flattened form that sentence-transformers
knows from its FlashAttention support, so pooling and gradient caching work unchanged, on CPU and GPU.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from honed.encode.architectures import Architecture, architecture_of
from honed.encode.attention import ATTENTION, Features, packed_attention
from honed.encode.tokens import TokenIds, padded

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def model_architecture(model: "SentenceTransformer") -> Architecture:
    """Return the row of a model's transformer in the table; one that promises nothing for a model without any."""
    config = getattr(getattr(model[0], "model", None), "config", None)
    return architecture_of({"model_type": str(getattr(config, "model_type", ""))})


def use_packed_attention(model: "SentenceTransformer") -> bool:
    """Switch a sentence-transformers model to packed attention; False when its architecture cannot.

    The model must be one text transformer of `honed.encode.architectures`.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    transformer, kind = model[0], model_architecture(model).attention
    auto_model = getattr(transformer, "model", None)
    if auto_model is None or kind == "none":
        return False
    AttentionInterface.register(ATTENTION, packed_attention)
    AttentionMaskInterface.register(ATTENTION, _keep_padding_mask)
    if kind == "relative":
        from honed.encode.relative_attention import use_relative_attention  # imports MPNet of transformers

        use_relative_attention(transformer)
    elif getattr(auto_model, "is_backend_compatible", lambda: False)():
        auto_model.set_attn_implementation(ATTENTION)
    else:
        return False
    if getattr(auto_model.config, "use_cache", False):
        auto_model.config.use_cache = False  # nothing is generated, so that nothing need be kept
    if transformer.model_forward_params is not None:
        transformer.model_forward_params |= {"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"}
    return True


def _keep_padding_mask(*_: object, attention_mask: Tensor | None = None, **__: object) -> Tensor | None:
    """Pass the plain ``(batch, tokens)`` padding mask on to `packed_attention`."""
    return attention_mask


def packed_features(
    token_ids: Sequence[TokenIds], device: torch.device | str = "cpu", first_position: int = 0
) -> Features:
    """Return the input of one packed batch: texts laid end to end, as sentence-transformers flattens them.

    ``first_position`` is where the first token of a text stands in the model's table of positions.
    """
    lengths = np.fromiter((len(ids) for ids in token_ids), dtype=np.int64, count=len(token_ids))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    positions = np.arange(ends[-1]) - np.repeat(starts, lengths) + first_position
    bounds = torch.from_numpy(np.concatenate([[0], ends]).astype(np.int32)).to(device)
    longest = int(lengths.max())
    return {
        "input_ids": torch.from_numpy(np.concatenate(token_ids))[None].to(device),
        "position_ids": torch.from_numpy(positions)[None].to(device),
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def padded_features(token_ids: Sequence[TokenIds], padding_id: int, device: torch.device | str = "cpu") -> Features:
    """Return the input of an ordinary batch, padded to the longest text, for models that cannot be packed."""
    ids, mask = padded(token_ids, padding_id)
    return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}


def bag_features(token_ids: Sequence[TokenIds], device: torch.device | str = "cpu") -> Features:
    """Return the input of a model that adds up token vectors: texts laid end to end, with where each starts."""
    lengths = np.fromiter((len(ids) for ids in token_ids), dtype=np.int64, count=len(token_ids))
    return {
        "input_ids": torch.from_numpy(np.concatenate(token_ids)).to(device),
        "offsets": torch.from_numpy(np.cumsum(lengths) - lengths).to(device),
    }
