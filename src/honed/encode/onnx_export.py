"""Sentence-transformers models as one ONNX file each, in fp32: pooling and normalisation inside."""

import json
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.encode.onnx_file import INPUTS, OUTPUT
from honed.encode.packed import model_architecture, use_packed_attention
from honed.encode.torch_encoder import quiet_libraries

if TYPE_CHECKING:
    from onnx import ModelProto
    from sentence_transformers import CrossEncoder, SentenceTransformer

_OPSET = 20
Model = TypeVar("Model")


class _SentenceGraph(torch.nn.Module):
    """Token ids and mask to unit vectors."""

    def __init__(self, model: "SentenceTransformer", dim: int) -> None:
        super().__init__()
        self.model, self.dim = model, dim
        self.with_types = "token_type_ids" in model.tokenizer.model_input_names

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.with_types:
            features["token_type_ids"] = torch.zeros_like(input_ids)
        for module in self.model:
            mode = getattr(module, "pooling_mode", None)
            if mode in ("cls", "lasttoken"):
                features["sentence_embedding"] = _one_token(features["token_embeddings"], attention_mask, mode)
            else:
                features = module(features)
        vectors = features["sentence_embedding"]
        return torch.nn.functional.normalize(vectors[:, : self.dim] if self.dim else vectors, dim=1)


def _one_token(states: torch.Tensor, mask: torch.Tensor, mode: str) -> torch.Tensor:
    """Return the first or the last token's state of each text ``(n_texts, width)``, by operators without branches.

    Texts are padded on the right.
    """
    if mode == "cls":
        return states[:, 0]
    last = (torch.cumsum(mask, dim=1) * mask).argmax(dim=1, keepdim=True)
    places = torch.cumsum(torch.ones_like(mask), dim=1) - 1
    return (states * (places == last).unsqueeze(-1).to(states.dtype)).sum(dim=1)


class _PairGraph(torch.nn.Module):
    """Token ids and a mask that is 1 over the first text and 2 over the second, to the score of each pair."""

    def __init__(self, model: "CrossEncoder") -> None:
        super().__init__()
        self.model = model
        self.with_types = "token_type_ids" in getattr(model.tokenizer, "model_input_names", [])

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": (attention_mask > 0).long()}
        if self.with_types:
            features["token_type_ids"] = (attention_mask > 1).long()
        scores: torch.Tensor = self.model(features)["scores"]
        return scores.view(-1, 1)


def export_onnx(folder: Path, dim: int = 0) -> "ModelProto":
    """Return the encoder of a folder as a graph, ``input_ids, attention_mask -> (n_texts, dim)`` of unit vectors.

    ``dim`` > 0 keeps only the first numbers of each vector. Raises `honed.core.errors.MissingPartError` without the
    extra.
    """
    require("ONNX export")
    from sentence_transformers import SentenceTransformer

    model = _load_plain(SentenceTransformer, folder)
    if model_architecture(model).bert is None:
        use_packed_attention(model)  # whose masks are plain operators, where transformers' need not be
    return _traced(_SentenceGraph(model.float().eval(), 0 if dim == model.get_embedding_dimension() else dim))


def export_pairs(folder: Path) -> "ModelProto":
    """Return the cross-encoder of a folder as a graph with the inputs of `export_onnx` and the output ``(n_pairs, 1)``.

    The mask tells the segments; see `honed.encode.pair_graph`.
    """
    require("ONNX export")
    from sentence_transformers import CrossEncoder

    return _traced(_PairGraph(_load_plain(CrossEncoder, folder).float().eval()))


def export_static(table: Vectors) -> "ModelProto":
    """Return a model that adds up token vectors ``(n_tokens, dim)`` as a graph with the inputs of `export_onnx`."""
    require("ONNX export")
    from onnx import TensorProto, helper, numpy_helper

    arrays = {
        "embedding": table,
        "last": np.array([-1]),
        "tokens": np.array([1]),
        "tiny": np.array([1e-12], np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["embedding", INPUTS[0]], ["words"]),
        helper.make_node("Cast", [INPUTS[1]], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide_mask"]),
        helper.make_node("Mul", ["words", "wide_mask"], ["seen"]),
        helper.make_node("ReduceSum", ["seen", "tokens"], ["sum"], keepdims=0),
        helper.make_node("ReduceL2", ["sum", "last"], ["length"], keepdims=1),
        helper.make_node("Max", ["length", "tiny"], ["divisor"]),
        helper.make_node("Div", ["sum", "divisor"], [OUTPUT]),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, ["n_texts", "n_tokens"]) for name in INPUTS]
    outputs = [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n_texts", table.shape[1]])]
    initializers = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "static", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=10)


def static_table(folder: Path) -> Vectors | None:
    """Return the token vectors ``(n_tokens, dim)`` of a folder that holds nothing else, or None."""
    from safetensors.numpy import load_file

    file = folder / "modules.json"
    modules = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    if len(modules) != 1 or not modules[0]["type"].endswith("StaticEmbedding"):
        return None
    table: Vectors = load_file(str(folder / modules[0]["path"] / "model.safetensors"))["embedding.weight"]
    return table


def _load_plain(load: Callable[..., Model], folder: Path) -> Model:
    """Load a model to be traced: nothing of the folder is executed, and attention is spelled out."""
    with quiet_libraries():
        return load(
            str(folder),
            device="cpu",
            trust_remote_code=False,
            local_files_only=True,
            model_kwargs={"use_safetensors": True, "attn_implementation": "eager"},
        )


def _traced(module: torch.nn.Module) -> "ModelProto":
    """Return a module of token ids and mask as a graph."""
    import onnx

    with quiet_libraries(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
        place = f"{scratch}/model.onnx"
        warnings.simplefilter("ignore")
        ids = torch.ones(2, 7, dtype=torch.long)
        batch = {0: "n_texts", 1: "n_tokens"}
        torch.onnx.export(
            module,
            (ids, torch.ones_like(ids)),
            place,
            input_names=list(INPUTS),
            output_names=[OUTPUT],
            dynamic_axes={INPUTS[0]: batch, INPUTS[1]: batch, OUTPUT: {0: "n_texts"}},
            opset_version=_OPSET,
            dynamo=False,
        )
        return onnx.load_model(place)
