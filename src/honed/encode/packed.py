"""Batches without padding: texts laid end to end, attention kept inside each text.

The linear layers, most of the work, then see no padding token; only attention is padded, for its own length. It is an
attention implementation registered with transformers, and uses the flattened inputs that sentence-transformers knows
from its FlashAttention support, so pooling and gradient caching work unchanged, on CPU and GPU.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, softmax

from honed.encode.tokens import TokenIds, padded

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

ATTENTION = "honed_packed"
_SHORT = 64
_PACKABLE = ("bert",)  # attends to the whole text and counts positions from 0; others run padded
Features: TypeAlias = dict[str, Tensor | int]  # a model's input for one batch, by the names of its arguments


class AttentionOptions(TypedDict, total=False):
    """What transformers gives an attention besides its states, as far as it is used here.

    ``cu_seq_lens_q`` ``(n_texts + 1,)`` holds where each of the packed texts starts, then the end of the last;
    ``max_length_q`` is the length of the longest. Both are absent for an ordinary padded batch.
    """

    dropout: float
    scaling: float | None
    cu_seq_lens_q: Tensor | None
    max_length_q: int | None


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Unpack[AttentionOptions],
) -> tuple[Tensor, None]:
    """Attend within each of the packed texts; query, key and value are ``(1, heads, tokens, head_dim)``.

    Returns ``(1, tokens, heads, head_dim)``, and None for the weights that transformers would take. ``attention_mask``
    ``(n_texts, tokens)`` is used for padded batches alone.
    """
    dropout, scaling = options.get("dropout", 0.0), options.get("scaling")
    bounds, longest = options.get("cu_seq_lens_q"), options.get("max_length_q")
    if bounds is None or longest is None:
        mask = None if attention_mask is None else attention_mask[:, None, None, :].to(torch.bool)
        out = scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout, scale=scaling)
        return out.transpose(1, 2), None
    heads, tokens, head_dim = query.shape[1:]
    states = torch.cat([query, key, value], dim=1)[0].transpose(0, 1)  # (tokens, 3 * heads, head_dim)
    n_texts = bounds.numel() - 1
    padding = None if n_texts * longest == tokens else _padding(bounds, int(longest), tokens)
    if padding is not None:
        states = states.index_select(0, padding.source)
    query, key, value = states.view(n_texts, int(longest), 3, heads, head_dim).permute(2, 0, 3, 1, 4)
    mask = None if padding is None else padding.mask(query.dtype)
    scale = head_dim**-0.5 if scaling is None else scaling
    out = _attend(query, key, value, mask, dropout, scale).transpose(1, 2).reshape(-1, heads, head_dim)
    if padding is not None:
        out = out.index_select(0, padding.inside.reshape(-1).nonzero().squeeze(1))
    return out.unsqueeze(0), None


class _Padding(NamedTuple):
    """Texts of several lengths as a rectangle: which places hold a token, and which token each place takes."""

    inside: Tensor  # (n_texts, longest)
    source: Tensor  # (n_texts * longest,)

    def mask(self, dtype: torch.dtype) -> Tensor:
        """Return the additive attention mask ``(n_texts, 1, 1, longest)``: 0, and minus infinity on padding."""
        mask = torch.zeros(self.inside.shape, dtype=dtype, device=self.inside.device)
        return mask.masked_fill_(~self.inside, float("-inf"))[:, None, None, :]


def _padding(bounds: Tensor, longest: int, tokens: int) -> _Padding:
    steps = torch.arange(longest, device=bounds.device)
    inside = steps[None, :] < bounds.diff()[:, None]
    source = (bounds[:-1][:, None] + steps[None, :]).clamp_(max=tokens - 1).reshape(-1)
    return _Padding(inside, source)


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


def use_packed_attention(model: "SentenceTransformer") -> bool:
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


def _keep_padding_mask(*_: object, attention_mask: Tensor | None = None, **__: object) -> Tensor | None:
    """Pass the plain ``(batch, tokens)`` padding mask on to `packed_attention`."""
    return attention_mask


def packed_features(token_ids: Sequence[TokenIds], device: torch.device | str = "cpu") -> Features:
    """Return the input of one packed batch: texts laid end to end, as sentence-transformers flattens them."""
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
