"""Packed attention for MPNet, which adds to its scores a number that depends on how far apart two tokens are.

transformers has no interface for that, so its layers are replaced by these, over the same weights under the same names.
"""

from contextvars import ContextVar
from typing import NamedTuple

from torch import Tensor, nn
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder, MPNetModel, MPNetSelfAttention

from honed.encode.attention import ATTENTION, Features, packed_attention


class _Packing(NamedTuple):
    """Where the texts of a packed batch start, ``(n_texts + 1,)``, and the length of the longest."""

    bounds: Tensor
    longest: int


_packing: ContextVar[_Packing | None] = ContextVar("packing of the batch in hand", default=None)


class _RelativeEncoder(MPNetEncoder):
    """The layers of MPNet, which compute the bias of positions for one text and not for a whole packed batch."""

    def compute_position_bias(self, x: Tensor, position_ids: Tensor | None = None, num_buckets: int = 32) -> Tensor:
        """Return the bias ``(1, heads, longest, longest)`` by the distance of two tokens."""
        packing = _packing.get()
        length = x.shape[1] if packing is None else packing.longest
        bias: Tensor = super().compute_position_bias(x[:1, :1].expand(1, length, -1), num_buckets=num_buckets)
        return bias.to(x.dtype)


class _RelativeAttention(MPNetSelfAttention):
    """The attention of a layer of MPNet, within each of the packed texts."""

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        *_: object,
        **__: object,
    ) -> tuple[Tensor]:
        """Return the states after attention ``(n_texts, tokens, width)``."""
        shape = (*hidden_states.shape[:-1], self.num_attention_heads, self.attention_head_size)
        query, key, value = (part(hidden_states).view(shape).transpose(1, 2) for part in (self.q, self.k, self.v))
        packing = _packing.get()
        attended = packed_attention(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.dropout.p if self.training else 0.0,
            position_bias=position_bias,
            cu_seq_lens_q=None if packing is None else packing.bounds,
            max_length_q=None if packing is None else packing.longest,
        )[0]
        out: Tensor = self.o(attended.reshape(*hidden_states.shape[:-1], -1))
        return (out,)


def use_relative_attention(transformer: nn.Module) -> None:
    """Switch the MPNet of a sentence-transformers model's first module to packed attention, in place.

    Its weights and their names stay.
    """
    model: MPNetModel = transformer.model
    model.config._attn_implementation = ATTENTION  # the mask is passed on as it is
    model.encoder = _as(_RelativeEncoder, model.encoder)
    for layer in model.encoder.layer:
        layer.attention.attn = _as(_RelativeAttention, layer.attention.attn)
    transformer.register_forward_pre_hook(_remember_packing)
    transformer.register_forward_hook(_forget_packing, always_call=True)


def _as(kind: type[nn.Module], module: nn.Module) -> nn.Module:
    """Return a module of another class over the same weights."""
    made = kind.__new__(kind)
    made.__dict__ = module.__dict__
    return made


def _remember_packing(module: nn.Module, inputs: tuple[Features, ...]) -> None:
    bounds, longest = inputs[0].get("cu_seq_lens_q"), inputs[0].get("max_length_q")
    if isinstance(bounds, Tensor) and isinstance(longest, int):
        _packing.set(_Packing(bounds, longest))


def _forget_packing(*_: object) -> None:
    _packing.set(None)
