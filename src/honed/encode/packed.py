"""Batches without padding: texts laid end to end, attention kept inside each text.

The linear layers, most of the work, then see no padding token; only attention is padded, for its own length. It is an
attention implementation registered with transformers, and uses the flattened inputs that sentence-transformers knows
from its FlashAttention support, so pooling and gradient caching work unchanged, on CPU and GPU.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, softmax

from honed.encode.tokens import TokenIds, padded

ATTENTION = "honed_packed"
_SHORT = 64
_PACKABLE = ("bert",)  # attends to the whole text and counts positions from 0; others run padded


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attend within each of the packed texts; query, key, value are ``(1, heads, tokens, head_dim)``.

    ``cu_seq_lens_q`` ``(n_texts + 1,)`` holds where each text starts. Without it the input is an ordinary padded batch.
    Returns ``(1, tokens, heads, head_dim)``.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        mask = None if attention_mask is None else attention_mask[:, None, None, :].to(torch.bool)
        out = scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout, scale=scaling)
        return out.transpose(1, 2), None
    starts, lengths = cu_seq_lens_q[:-1], cu_seq_lens_q.diff()
    heads, tokens, head_dim = query.shape[1:]
    n_texts, longest = lengths.numel(), int(max_length_q)
    scale = head_dim**-0.5 if scaling is None else scaling
    states = torch.cat([query, key, value], dim=1)[0].transpose(0, 1)  # (tokens, 3 * heads, head_dim)
    even = n_texts * longest == tokens  # all of one length: nothing to pad
    mask = None
    if not even:
        steps = torch.arange(longest, device=query.device)
        inside = steps[None, :] < lengths[:, None]
        source = (starts[:, None] + steps[None, :]).clamp_(max=tokens - 1).reshape(-1)
        states = states.index_select(0, source)
        mask = torch.zeros(inside.shape, dtype=query.dtype, device=query.device).masked_fill_(~inside, float("-inf"))
        mask = mask[:, None, None, :]
    query, key, value = states.view(n_texts, longest, 3, heads, head_dim).permute(2, 0, 3, 1, 4)
    out = _attend(query, key, value, mask, dropout, scale).transpose(1, 2).reshape(-1, heads, head_dim)
    if not even:
        out = out.index_select(0, inside.reshape(-1).nonzero().squeeze(1))
    return out.unsqueeze(0), None


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scale: float) -> Tensor:
    """Attention of ``(n_texts, heads, longest, head_dim)``.

    On a CPU the fused kernel spends longer on short texts than plain products do (12 times as long backwards at 12
    tokens), so it is left to long texts, where it saves memory.
    """
    if query.device.type != "cpu" or query.shape[2] > _SHORT:
        return scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout, scale=scale)
    scores = torch.matmul(query * scale, key.transpose(2, 3))
    if mask is not None:
        scores = scores + mask
    weights = softmax(scores, dim=-1)
    if dropout:
        weights = torch.dropout(weights, dropout, True)
    return torch.matmul(weights.to(value.dtype), value)


def use_packed_attention(model: Any) -> bool:
    """Switch a sentence-transformers model to packed attention; False when its architecture cannot.

    The model must be one text transformer whose attention goes through the transformers attention interface and whose
    positions are counted from 0.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    transformer = model[0]
    auto_model = getattr(transformer, "model", None)
    if auto_model is None or not getattr(auto_model, "is_backend_compatible", lambda: False)():
        return False
    if getattr(auto_model.config, "model_type", "") not in _PACKABLE:
        return False
    AttentionInterface.register(ATTENTION, packed_attention)
    AttentionMaskInterface.register(ATTENTION, _keep_padding_mask)
    auto_model.set_attn_implementation(ATTENTION)
    if transformer.model_forward_params is not None:
        transformer.model_forward_params |= {"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"}
    return True


def _keep_padding_mask(*_: Any, attention_mask: Tensor | None = None, **__: Any) -> Tensor | None:
    """Pass the plain ``(batch, tokens)`` padding mask on to `packed_attention`."""
    return attention_mask


def pack(token_ids: Sequence[TokenIds], device: torch.device | str = "cpu") -> dict[str, Any]:
    """Lay texts end to end: the features of one packed batch, as sentence-transformers flattens them."""
    lengths = np.fromiter((len(ids) for ids in token_ids), dtype=np.int64, count=len(token_ids))
    ends = np.cumsum(lengths)
    starts = ends - lengths
    positions = np.arange(ends[-1]) - np.repeat(starts, lengths)
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


def pad(token_ids: Sequence[TokenIds], padding_id: int, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Pad texts to the longest: the features of an ordinary batch, for models that cannot be packed."""
    ids, mask = padded(token_ids, padding_id)
    return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}


def bags(token_ids: Sequence[TokenIds], device: torch.device | str = "cpu") -> dict[str, Any]:
    """Lay texts end to end with where each starts: the features of a model that adds up token vectors."""
    lengths = np.fromiter((len(ids) for ids in token_ids), dtype=np.int64, count=len(token_ids))
    return {
        "input_ids": torch.from_numpy(np.concatenate(token_ids)).to(device),
        "offsets": torch.from_numpy(np.cumsum(lengths) - lengths).to(device),
    }
