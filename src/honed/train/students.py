"""Students before their training: layers dropped, every layer narrower, token vectors alone, or another base model."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from honed.core.errors import TrainingError
from honed.core.records import EncoderSpec
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
from honed.train.config import KINDS


def make_student(teacher: TorchEncoder, kind: str, *, layers: int = 0, dim: int = 0) -> TorchEncoder:
    """Return a student of a teacher: one of `KINDS`, or the name of a base model.

    ``layers`` 0 keeps half of them; ``dim`` 0 is two thirds of the teacher's width for "narrow" and 256 for "static".
    Raises `TrainingError` for a teacher that has no layers to take from.
    """
    if kind not in KINDS:
        found = TorchEncoder.load(EncoderConfig(base=kind, precision="fp32"))
        spec = replace(found.spec, query_prompt=teacher.spec.query_prompt, document_prompt=teacher.spec.document_prompt)
        if spec.dim > teacher.spec.dim:
            raise TrainingError(
                "E_DISTIL_STUDENT",
                f"distil.student {kind}: its vectors have {spec.dim} numbers, the teacher's {teacher.spec.dim}",
            )
        return TorchEncoder(found.model, spec, precision="fp32")
    if kind == "static":
        if dim > teacher.spec.dim:
            raise TrainingError("E_DISTIL_STUDENT", f"distil.dim: {dim}; the teacher's vectors have {teacher.spec.dim}")
        return static_student(teacher, dim or min(256, teacher.spec.dim))
    if not layer_count(teacher):
        raise TrainingError("E_DISTIL_STUDENT", f"distil.student {kind}: only BERT can be cut; name a base model")
    model: Any = copy.deepcopy(teacher.model).float()
    if layers or kind == "layers":
        drop_layers(model, layers or max(1, layer_count(teacher) // 2))
    if kind == "narrow":
        narrow(model, dim or model[0].model.config.hidden_size * 2 // 3)
    return TorchEncoder(model, _spec(teacher, model.get_embedding_dimension()), precision="fp32")


def _spec(teacher: TorchEncoder, dim: int) -> EncoderSpec:
    return replace(teacher.spec, weights="student", dim=min(int(dim), teacher.spec.dim))


def drop_layers(model: Any, keep: int) -> None:
    """Keep ``keep`` layers of a BERT, evenly spaced and with the last."""
    bert = model[0].model
    layers = bert.encoder.layer
    if not 1 <= keep <= len(layers):
        raise TrainingError("E_DISTIL_STUDENT", f"distil.layers: {keep}; the teacher has {len(layers)}")
    chosen = [round((number + 1) * len(layers) / keep) - 1 for number in range(keep)]
    bert.encoder.layer = nn.ModuleList([layers[number] for number in chosen])
    bert.config.num_hidden_layers = keep


def narrow(model: Any, dim: int) -> None:
    """Make every layer of a BERT ``dim`` wide: its states on the main directions of the word vectors.

    Heads are kept evenly spaced, inner neurons by the size of their weights; what is lost, distillation mends.
    """
    bert = model[0].model
    config = bert.config
    heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    if not 0 < dim < config.hidden_size or dim % width:
        raise TrainingError(
            "E_DISTIL_STUDENT",
            f"distil.dim: {dim}; a multiple of {width} (the width of a head) below {config.hidden_size} is needed",
        )
    words = bert.embeddings.word_embeddings.weight.detach()
    basis = torch.linalg.svd(words - words.mean(dim=0), full_matrices=False).Vh[:dim].T.contiguous()
    kept = [round((number + 0.5) * heads / (dim // width) - 0.5) for number in range(dim // width)]
    rows = torch.cat([torch.arange(head * width, (head + 1) * width) for head in kept])
    inner = config.intermediate_size * dim // config.hidden_size
    for table in (bert.embeddings.word_embeddings, bert.embeddings.position_embeddings):
        _set(table, table.weight.detach() @ basis)
    _set(bert.embeddings.token_type_embeddings, bert.embeddings.token_type_embeddings.weight.detach() @ basis)
    _narrow_norm(bert.embeddings.LayerNorm, basis)
    for layer in bert.encoder.layer:
        attention = layer.attention
        for part in (attention.self.query, attention.self.key, attention.self.value):
            _set(part, part.weight.detach()[rows] @ basis, part.bias.detach()[rows])
        attention.self.num_attention_heads, attention.self.all_head_size = len(kept), dim
        out = attention.output.dense
        _set(out, basis.T @ out.weight.detach()[:, rows], basis.T @ out.bias.detach())
        first, second = layer.intermediate.dense, layer.output.dense
        size = first.weight.detach().norm(dim=1) * second.weight.detach().norm(dim=0)
        strongest = size.topk(inner).indices.sort().values
        _set(first, first.weight.detach()[strongest] @ basis, first.bias.detach()[strongest])
        _set(second, basis.T @ second.weight.detach()[:, strongest], basis.T @ second.bias.detach())
        _narrow_norm(attention.output.LayerNorm, basis)
        _narrow_norm(layer.output.LayerNorm, basis)
    if getattr(bert, "pooler", None) is not None:
        bert.pooler = None
    config.hidden_size, config.num_attention_heads, config.intermediate_size = dim, len(kept), inner
    for part in list(model)[1:]:
        if hasattr(part, "embedding_dimension"):
            part.embedding_dimension = dim
        if hasattr(part, "pooling_output_dimension"):
            part.pooling_output_dimension = dim


def _set(part: Any, weight: Tensor, bias: Tensor | None = None) -> None:
    part.weight = nn.Parameter(weight.contiguous())
    if bias is not None:
        part.bias = nn.Parameter(bias.contiguous())
    for name, value in zip(("num_embeddings", "embedding_dim"), weight.shape, strict=True):
        if hasattr(part, name):
            setattr(part, name, value)
    for name, value in zip(("out_features", "in_features"), weight.shape, strict=True):
        if hasattr(part, name):
            setattr(part, name, value)


def _narrow_norm(part: Any, basis: Tensor) -> None:
    weight, bias = part.weight.detach(), part.bias.detach()
    part.weight = nn.Parameter((basis.square().T @ weight.square()).sqrt())
    part.bias = nn.Parameter(basis.T @ bias)
    part.normalized_shape = (basis.shape[1],)


def static_student(teacher: TorchEncoder, dim: int) -> TorchEncoder:
    """Return a model that adds up token vectors: each is what the teacher makes of the token alone, cut to ``dim``.

    Frequent tokens come first in a vocabulary; weights that grow with the rank stand for their information (as in
    Model2Vec; Arora et al. 2017 for the idea).
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_str(teacher.tokens.tokenizer.to_str())
    tokenizer.post_processor = None  # token vectors need no [CLS] and [SEP]
    tokenizer.no_truncation()
    size = tokenizer.get_vocab_size()
    start, end = _frame(teacher)
    single = [np.array([*start, token, *end], dtype=np.int64) for token in range(size)]
    found = np.concatenate([teacher.encode_ids(single[at : at + 512]) for at in range(0, size, 512)])
    basis = main_directions(found, dim)
    weights = np.log1p(np.arange(size, dtype=np.float32) + 1)[:, None] / np.log1p(np.float32(size))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=_padding(teacher))
    module = StaticEmbedding(fast, embedding_weights=((found @ basis) * weights).astype(np.float32))
    return TorchEncoder(SentenceTransformer(modules=[module], device="cpu"), _spec(teacher, dim), precision="fp32")


def _frame(teacher: TorchEncoder) -> tuple[list[int], list[int]]:
    """Return the ids that the teacher's tokenizer puts before and after a text."""
    ids = teacher.tokens(["a"])[0].tolist()
    return ids[:1] if len(ids) > 1 else [], ids[2:]


def _padding(teacher: TorchEncoder) -> str:
    return str(teacher.tokens.tokenizer.id_to_token(teacher.padding_id))


def main_directions(vectors: Any, dim: int) -> Any:
    """Return the ``dim`` orthonormal directions ``(width, dim)`` that keep most of the vectors' inner products."""
    values, directions = np.linalg.eigh(vectors.T.astype(np.float64) @ vectors.astype(np.float64))
    return directions[:, np.argsort(-values)[:dim]].astype(np.float32)


def size_in_mb(model: Any, bytes_a_number: int = 1) -> float:
    """Return the size of a model's weights in MB, as shipped in int8 unless said otherwise."""
    numbers: int = sum(parameter.numel() for parameter in model.parameters())
    return numbers * bytes_a_number / 1e6


def layer_count(teacher: TorchEncoder) -> int:
    """Return how many layers a BERT teacher has, 0 for others."""
    config: Any = getattr(getattr(teacher.model[0], "model", None), "config", None)
    return int(config.num_hidden_layers) if getattr(config, "model_type", "") == "bert" else 0


def student_ladder(teacher: TorchEncoder) -> Sequence[tuple[str, int, int]]:
    """Return the students that "auto" tries, smallest first, as (kind, layers, dim)."""
    layers = layer_count(teacher)
    cut = [("layers", keep, 0) for keep in range(1, layers)]
    return [("static", 0, 0), *cut]
