"""Attention within each of the texts of a batch that are laid end to end, and within padded rows.

It is an attention implementation as transformers calls one. Which token may look at which follows from where the texts
start, from the direction in which a model reads, and from its window.
"""

from typing import NamedTuple, TypeAlias, TypedDict, Unpack

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention, softmax

ATTENTION = "honed_packed"
_SHORT = 64
Features: TypeAlias = dict[str, Tensor | int]  # a model's input for one batch, by the names of its arguments


class AttentionOptions(TypedDict, total=False):
    """What transformers gives an attention besides its states, as far as it is used here.

    ``cu_seq_lens_q`` ``(n_texts + 1,)`` holds where each of the packed texts starts, then the end of the last;
    ``max_length_q`` is the length of the longest. Both are absent for an ordinary padded batch. A token sees only those
    less than ``sliding_window`` places away. ``position_bias`` ``(1, heads, longest, longest)`` is added to the scores.
    """

    dropout: float
    scaling: float | None
    sliding_window: int | None
    is_causal: bool | None
    position_bias: Tensor | None
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
    """Attend within each of the packed texts; query is ``(1, heads, tokens, head_dim)``.

    Key and value are alike or have fewer heads, each of which serves several of the query's. Returns ``(1, tokens,
    heads, head_dim)``, and None for the weights that transformers would take. ``attention_mask`` ``(n_texts, tokens)``
    is used for padded batches alone, whose states have a row for each text.
    """
    dropout, scaling = options.get("dropout", 0.0), options.get("scaling")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if (groups := query.shape[1] // key.shape[1]) > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    bounds, longest = options.get("cu_seq_lens_q"), options.get("max_length_q")
    if bounds is None or longest is None:
        inside = None if attention_mask is None else attention_mask.to(torch.bool)
        mask = _mask(module, query, inside, options)
        return _attend(query, key, value, mask, dropout, scale).transpose(1, 2), None
    heads, tokens, head_dim = query.shape[1:]
    states = torch.cat([query, key, value], dim=1)[0].transpose(0, 1)  # (tokens, 3 * heads, head_dim)
    n_texts = bounds.numel() - 1
    padding = None if n_texts * longest == tokens else _padding(bounds, int(longest), tokens)
    if padding is not None:
        states = states.index_select(0, padding.source)
    query, key, value = states.view(n_texts, int(longest), 3, heads, head_dim).permute(2, 0, 3, 1, 4)
    mask = _mask(module, query, None if padding is None else padding.inside, options)
    out = _attend(query, key, value, mask, dropout, scale).transpose(1, 2).reshape(-1, heads, head_dim)
    if padding is not None:
        out = out.index_select(0, padding.inside.reshape(-1).nonzero().squeeze(1))
    return out.unsqueeze(0), None


class _Padding(NamedTuple):
    """Texts of several lengths as a rectangle: which places hold a token, and which token each place takes."""

    inside: Tensor  # (n_texts, longest)
    source: Tensor  # (n_texts * longest,)


def _padding(bounds: Tensor, longest: int, tokens: int) -> _Padding:
    steps = torch.arange(longest, device=bounds.device)
    inside = steps[None, :] < bounds.diff()[:, None]
    source = (bounds[:-1][:, None] + steps[None, :]).clamp_(max=tokens - 1).reshape(-1)
    return _Padding(inside, source)


def _mask(module: torch.nn.Module, query: Tensor, inside: Tensor | None, options: AttentionOptions) -> Tensor | None:
    """Return what is added to the scores, to be spread over ``(n_texts, heads, longest, longest)``; None for nothing.

    It is minus infinity where a token must not look: outside of its text (``inside`` ``(n_texts, longest)`` tells the
    places that hold a token), after itself in a model that reads in one direction, and beyond its window.
    """
    length, bias = query.shape[2], options.get("position_bias")
    hidden = None if inside is None else ~inside[:, None, None, :]
    causal = options.get("is_causal")
    causal = bool(getattr(module, "is_causal", False)) if causal is None else causal
    window = options.get("sliding_window")
    if window is not None and window >= length and not torch.onnx.is_in_onnx_export():  # which is for any length
        window = None
    if causal or window is not None:
        steps = torch.arange(length, device=query.device)
        distance = steps[:, None] - steps[None, :]
        beyond = distance < 0 if causal else torch.zeros_like(distance, dtype=torch.bool)
        if window is not None:
            beyond = beyond | (distance.abs() >= window)
        if hidden is not None:  # softmax over nothing gives no numbers: a padding token sees itself
            hidden = hidden & (distance != 0)
        hidden = beyond if hidden is None else hidden | beyond
    if hidden is None:
        return bias
    mask = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device).masked_fill_(hidden, float("-inf"))
    return mask if bias is None else mask + bias


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
