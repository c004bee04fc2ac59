"""Students before their training: layers dropped, every layer narrower, token vectors alone, or another base model."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers import BertModel, PretrainedConfig
from transformers.models.bert.modeling_bert import BertAttention, BertLayer

from honed.core.errors import TrainingError
from honed.core.records import EncoderSpec
from honed.encode.architectures import architecture_of
from honed.encode.config import EncoderConfig
from honed.encode.torch_encoder import TorchEncoder
from honed.train.config import STUDENT_KINDS
from honed.train.targets import principal_directions

_OF_EACH_LAYER = ("layer_types", "mlp_layer_types", "no_rope_layers")  # lists in a configuration, an entry a layer


def make_student(teacher: TorchEncoder, kind: str, *, layers: int = 0, dim: int = 0) -> TorchEncoder:
    """Return an untrained student of a teacher: one of `STUDENT_KINDS`, or the base model of that name.

    ``layers`` is how many of the teacher's are kept, 0: half of them; ``dim`` is the width of "narrow" (0: two thirds
    of the teacher's) and of "static" (0: 256, at most the teacher's). Raises `TrainingError` for a teacher that has no
    layers to take from, or whose layers cannot be made narrower.
    """
    if kind not in STUDENT_KINDS:
        return _base_model_student(teacher, kind)
    if kind == "static":
        if dim > teacher.spec.dim:
            raise TrainingError("E_DISTIL_STUDENT", f"distil.dim: {dim}; the teacher's vectors have {teacher.spec.dim}")
        return static_student(teacher, dim or min(256, teacher.spec.dim))
    if not layer_count(teacher):
        raise TrainingError(
            "E_DISTIL_STUDENT",
            f"distil.student {kind}: {_model_type(teacher.model) or 'this model'} has no layers that can be left out; "
            "name a base model",
        )
    model: SentenceTransformer = copy.deepcopy(teacher.model).float()
    if layers or kind == "layers":
        drop_layers(model, layers or max(1, layer_count(teacher) // 2))
    if kind == "narrow":
        narrow_layers(model, dim or model[0].model.config.hidden_size * 2 // 3)
    return TorchEncoder(model, _student_spec(teacher, model.get_embedding_dimension()), precision="fp32")


def _base_model_student(teacher: TorchEncoder, name: str) -> TorchEncoder:
    base = TorchEncoder.load(EncoderConfig(base=name, precision="fp32"))
    spec = replace(base.spec, query_prompt=teacher.spec.query_prompt, document_prompt=teacher.spec.document_prompt)
    return TorchEncoder(base.model, spec, precision="fp32")


def _student_spec(teacher: TorchEncoder, dim: int) -> EncoderSpec:
    return replace(teacher.spec, weights="student", dim=min(int(dim), teacher.spec.dim))


def drop_layers(model: SentenceTransformer, keep: int) -> None:
    """Keep ``keep`` layers of a transformer, evenly spaced and with the last, in place.

    Where the first layer is made otherwise than the others (ModernBERT) it stays the first. Raises `TrainingError` when
    there are not as many.
    """
    transformer, path = model[0].model, architecture_of(model[0].model.config.to_dict()).layers
    layers = transformer.get_submodule(path)
    if not 1 <= keep <= len(layers):
        raise TrainingError("E_DISTIL_STUDENT", f"distil.layers: {keep}; the teacher has {len(layers)}")
    kept = [round((number + 1) * len(layers) / keep) - 1 for number in range(keep)]
    if layers[kept[0]].state_dict().keys() != layers[0].state_dict().keys():
        kept[0] = 0
    for place, number in enumerate(kept):
        for module in layers[number].modules():
            if isinstance(getattr(module, "layer_idx", None), int):
                module.layer_idx = place
    parent, _, name = path.rpartition(".")
    setattr(transformer.get_submodule(parent), name, nn.ModuleList([layers[number] for number in kept]))
    config = transformer.config
    for setting, value in vars(config).copy().items():  # such as which layers attend to neighbours alone
        if isinstance(value, list | tuple) and setting in _OF_EACH_LAYER and len(value) == len(layers):
            setattr(config, setting, [value[number] for number in kept])
    config.num_hidden_layers = keep


def narrow_layers(model: SentenceTransformer, dim: int) -> None:
    """Make every layer of a BERT ``dim`` wide, in place: its states on the principal directions of the word vectors.

    Heads are kept evenly spaced, inner neurons by the size of their weights; distillation mends what is lost. Raises
    `TrainingError` for a model whose modules are not named as BERT's are, and unless ``dim`` is a multiple of the width
    of a head and below the model's own.
    """
    bert: BertModel = model[0].model
    config = bert.config
    if architecture_of(config.to_dict()).bert != {} or hasattr(bert, "embeddings_project"):
        raise TrainingError(
            "E_DISTIL_STUDENT",
            f"distil.student narrow: {_model_type(model)} cannot be made narrower; take layers, static or a base model",
        )
    heads, width = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    if not 0 < dim < config.hidden_size or dim % width:
        raise TrainingError(
            "E_DISTIL_STUDENT",
            f"distil.dim: {dim}; a multiple of {width} (the width of a head) below {config.hidden_size} is needed",
        )
    words = bert.embeddings.word_embeddings.weight.detach()
    basis = torch.linalg.svd(words - words.mean(dim=0), full_matrices=False).Vh[:dim].T.contiguous()
    kept = [round((number + 0.5) * heads / (dim // width) - 0.5) for number in range(dim // width)]
    head_rows = torch.cat([torch.arange(head * width, (head + 1) * width) for head in kept])
    inner = config.intermediate_size * dim // config.hidden_size
    embeddings = bert.embeddings
    for table in (embeddings.word_embeddings, embeddings.position_embeddings, embeddings.token_type_embeddings):
        _set_weights(table, table.weight.detach() @ basis)
    _narrow_norm(embeddings.LayerNorm, basis)
    for layer in bert.encoder.layer:
        _narrow_attention(layer.attention, basis, head_rows, len(kept))
        _narrow_feed_forward(layer, basis, inner)
    if getattr(bert, "pooler", None) is not None:
        bert.pooler = None
    config.hidden_size, config.num_attention_heads, config.intermediate_size = dim, len(kept), inner
    if hasattr(config, "embedding_size"):
        config.embedding_size = dim
    for module in list(model)[1:]:
        if hasattr(module, "embedding_dimension"):
            module.embedding_dimension = dim
        if hasattr(module, "pooling_output_dimension"):
            module.pooling_output_dimension = dim


def _narrow_attention(attention: BertAttention, basis: Tensor, head_rows: Tensor, n_heads: int) -> None:
    """Keep the heads at ``head_rows`` of a layer's attention, between states on ``basis`` ``(width, dim)``."""
    heads, dense = attention.self, attention.output.dense
    for linear in (heads.query, heads.key, heads.value):
        _set_weights(linear, linear.weight.detach()[head_rows] @ basis, linear.bias.detach()[head_rows])
    heads.num_attention_heads, heads.all_head_size = n_heads, basis.shape[1]
    _set_weights(dense, basis.T @ dense.weight.detach()[:, head_rows], basis.T @ dense.bias.detach())
    _narrow_norm(attention.output.LayerNorm, basis)


def _narrow_feed_forward(layer: BertLayer, basis: Tensor, inner: int) -> None:
    """Keep the ``inner`` neurons of largest weights of a layer, between states on ``basis`` ``(width, dim)``."""
    first, second = layer.intermediate.dense, layer.output.dense
    size = first.weight.detach().norm(dim=1) * second.weight.detach().norm(dim=0)
    strongest = size.topk(inner).indices.sort().values
    _set_weights(first, first.weight.detach()[strongest] @ basis, first.bias.detach()[strongest])
    _set_weights(second, basis.T @ second.weight.detach()[:, strongest], basis.T @ second.bias.detach())
    _narrow_norm(layer.output.LayerNorm, basis)


def _set_weights(module: nn.Linear | nn.Embedding, weight: Tensor, bias: Tensor | None = None) -> None:
    """Give a layer or table other weights, and the sizes that go with them."""
    module.weight = nn.Parameter(weight.contiguous())
    if isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = weight.shape
    else:
        module.out_features, module.in_features = weight.shape
        if bias is not None:
            module.bias = nn.Parameter(bias.contiguous())


def _narrow_norm(module: nn.LayerNorm, basis: Tensor) -> None:
    weight, bias = module.weight.detach(), module.bias.detach()
    module.weight = nn.Parameter((basis.square().T @ weight.square()).sqrt())
    module.bias = nn.Parameter(basis.T @ bias)
    module.normalized_shape = (basis.shape[1],)


def static_student(teacher: TorchEncoder, dim: int) -> TorchEncoder:
    """Return a model that adds up token vectors: the teacher's vectors of the tokens alone, on ``dim`` directions.

    Frequent tokens come first in a vocabulary, so weights that grow with the rank estimate how much a token tells (as
    in Model2Vec, which takes it from Zipf's law; Arora et al. 2017, "A simple but tough-to-beat baseline", for the
    idea).
    """
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer.from_str(teacher.tokens.tokenizer.to_str())
    tokenizer.post_processor = None  # token vectors need no [CLS] and [SEP]
    tokenizer.no_truncation()
    size = tokenizer.get_vocab_size()
    start, end = _special_tokens(teacher)
    single = [np.array([*start, token, *end], dtype=np.int64) for token in range(size)]
    vectors = np.concatenate([teacher.encode_ids(single[row : row + 512]) for row in range(0, size, 512)])
    basis = principal_directions(vectors, dim)
    weights = np.log1p(np.arange(size, dtype=np.float32) + 1)[:, None] / np.log1p(np.float32(size))
    padding = str(teacher.tokens.tokenizer.id_to_token(teacher.padding_id))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=padding)
    module = StaticEmbedding(fast, embedding_weights=((vectors @ basis) * weights).astype(np.float32))
    model = SentenceTransformer(modules=[module], device="cpu")
    return TorchEncoder(model, _student_spec(teacher, dim), precision="fp32")


def _special_tokens(teacher: TorchEncoder) -> tuple[list[int], list[int]]:
    """Return the ids that the teacher's tokenizer puts before and after a text."""
    ids = teacher.tokens(["a"])[0].tolist()
    return ids[:1] if len(ids) > 1 else [], ids[2:]


def size_in_mb(model: nn.Module, bytes_per_number: int = 1) -> float:
    """Return the size of a model's weights in MB (10^6 bytes), as shipped in int8 unless said otherwise."""
    return sum(parameter.numel() for parameter in model.parameters()) * bytes_per_number / 1e6


def layer_count(teacher: TorchEncoder) -> int:
    """Return how many layers a model has that can be left out; 0 where it is not known how."""
    config: PretrainedConfig | None = getattr(getattr(teacher.model[0], "model", None), "config", None)
    if config is None or not architecture_of(config.to_dict()).layers:
        return 0
    return int(config.num_hidden_layers)


def _model_type(model: SentenceTransformer) -> str:
    config: PretrainedConfig | None = getattr(getattr(model[0], "model", None), "config", None)
    return str(getattr(config, "model_type", ""))


class StudentShape(NamedTuple):
    """The arguments of `make_student` for one student."""

    kind: str
    layers: int
    dim: int


def student_shapes(teacher: TorchEncoder) -> Sequence[StudentShape]:
    """Return the students that "auto" tries, smallest first: static, then one layer to all but one."""
    cut = [StudentShape("layers", keep, 0) for keep in range(1, layer_count(teacher))]
    return [StudentShape("static", 0, 0), *cut]
