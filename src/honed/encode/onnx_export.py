"""A sentence-transformers model as one ONNX file, pooling and normalisation inside; in fp32, bf16 or calibrated int8.

int8 holds the weights alone in int8, in blocks of 32 with a scale each, and rounds them with the error feedback of GPTQ
(Frantar et al. 2022, arXiv 2210.17323): what one column loses, the columns after it make up, measured on texts of the
bundle. Plain rounding of weights and activations flips one nearest neighbour in five; see docs/benchmarks.md.
"""

import json
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from honed.core.optional import require
from honed.core.progress import progress
from honed.core.records import EncoderSpec
from honed.encode.numpy_encoder import WORDS, unknown_to_numpy
from honed.encode.onnx_file import INPUTS, OUTPUT
from honed.encode.static_encoder import STATIC
from honed.encode.tokens import TokenIds, padded, token_batches
from honed.encode.torch_encoder import quiet_libraries

BLOCK = 32
_OPSET, _OPSET_BLOCKS = 20, 21
_DAMPING = 0.01
Matrix = npt.NDArray[np.float64]
# how a model is loaded to be traced: nothing of the folder is executed, and attention is spelled out
_PLAIN: dict[str, Any] = {
    "device": "cpu",
    "trust_remote_code": False,
    "local_files_only": True,
    "model_kwargs": {"use_safetensors": True, "attn_implementation": "eager"},
}


class _Sentence(torch.nn.Module):
    """Token ids and mask to unit vectors."""

    def __init__(self, model: Any, dim: int) -> None:
        super().__init__()
        self.model, self.dim = model, dim
        self.with_types = "token_type_ids" in model.tokenizer.model_input_names

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.with_types:
            features["token_type_ids"] = torch.zeros_like(input_ids)
        found = self.model(features)["sentence_embedding"]
        return torch.nn.functional.normalize(found[:, : self.dim] if self.dim else found, dim=1)


class _Pair(torch.nn.Module):
    """Token ids and a mask that is 1 over the first text and 2 over the second, to the score of each pair."""

    def __init__(self, model: Any, *, with_types: bool) -> None:
        super().__init__()
        self.model, self.with_types = model, with_types

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = {"input_ids": input_ids, "attention_mask": (attention_mask > 0).long()}
        if self.with_types:
            features["token_type_ids"] = (attention_mask > 1).long()
        scores: torch.Tensor = self.model(features)["scores"]
        return scores.view(-1, 1)


def export_pairs(folder: Path) -> Any:
    """Return the cross-encoder of a folder as an ``onnx.ModelProto`` in fp32, with the inputs of `export_onnx`.

    The output is ``(n_pairs, 1)``; segments are told by the mask, see `honed.encode.pair_graph`.
    """
    require("ONNX export")
    with quiet_libraries():
        from sentence_transformers import CrossEncoder

        model = CrossEncoder(
            str(folder),
            **_PLAIN,
        )
    with_types = "token_type_ids" in getattr(model.tokenizer, "model_input_names", [])
    return _traced(_Pair(model.float().eval(), with_types=with_types))


def _traced(module: torch.nn.Module) -> Any:
    """Return a module of token ids and mask as an ``onnx.ModelProto``."""
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


def export_onnx(folder: Path, dim: int = 0) -> Any:
    """Return the model of a folder as an ``onnx.ModelProto`` in fp32, ``input_ids, attention_mask -> (n, dim)``.

    ``dim`` > 0 keeps only the first numbers of each vector.
    """
    require("ONNX export")
    with quiet_libraries():
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(
            str(folder),
            **_PLAIN,
        )
    return _traced(_Sentence(model.float().eval(), 0 if dim == model.get_embedding_dimension() else dim))


def export_static(table: npt.NDArray[np.float32]) -> Any:
    """Return a model that adds up token vectors ``(n_tokens, dim)`` as an ``onnx.ModelProto``, with the same inputs."""
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


def static_table(folder: Path) -> npt.NDArray[np.float32] | None:
    """Return the token vectors of a folder that holds nothing else, or None."""
    from safetensors.numpy import load_file

    modules = folder / "modules.json"
    if not modules.is_file() or len(found := json.loads(modules.read_text(encoding="utf-8"))) != 1:
        return None
    if not found[0]["type"].endswith("StaticEmbedding"):
        return None
    table: npt.NDArray[np.float32] = load_file(str(folder / found[0]["path"] / "model.safetensors"))["embedding.weight"]
    return table


def static_layout(model: Any) -> dict[str, Any]:
    """Return what the static encoder needs to read the graph's table; it is saved in the bundle's manifest."""
    codes = any(each.name == "embedding.codes" for each in model.graph.initializer)
    return {
        "config": {"model_type": STATIC},
        "weights": {WORDS: "embedding"},
        "codes": [WORDS] if codes else [],
        "transposed": [],
    }


def to_bf16(model: Any) -> Any:
    """Return the model with its weight matrices stored in bf16, widened where they are used."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    for tensor in [each for each in graph.initializer if _is_matrix(each)]:
        values = numpy_helper.to_array(tensor)
        half = torch.from_numpy(values.copy()).to(torch.bfloat16).view(torch.uint16).numpy()
        name = tensor.name
        small = helper.make_tensor(f"{name}.bf16", TensorProto.BFLOAT16, values.shape, half.tobytes(), raw=True)
        _replace(graph, tensor, [small], [helper.make_node("Cast", [small.name], [name], to=TensorProto.FLOAT)])
    return model


def to_int8(model: Any, ids: Sequence[TokenIds]) -> Any:
    """Return the model with int8 weights, calibrated on token ids of real texts (a few hundred suffice)."""
    from onnx import helper, numpy_helper

    moments = _moments(model, ids)
    graph = model.graph
    by_name = {each.name: each for each in graph.initializer}
    words = [node for node in graph.node if node.op_type == "Gather" and node.input[0] in by_name]
    for node in words:
        if _is_matrix(by_name[node.input[0]]) and by_name[node.input[0]].dims[0] > 1024:
            _quantise_rows(graph, by_name[node.input[0]], node)
    with progress("calibrate int8", len(moments)) as bar:
        for name, moment in moments.items():
            codes, scales = gptq(numpy_helper.to_array(by_name[name]).astype(np.float64), moment)
            arrays = [
                numpy_helper.from_array(codes, f"{name}.codes"),
                numpy_helper.from_array(scales, f"{name}.scales"),
            ]
            wide = helper.make_node(
                "DequantizeLinear", [arrays[0].name, arrays[1].name], [name], axis=0, block_size=BLOCK
            )
            _replace(graph, by_name[name], arrays, [wide])
            bar.advance()
    next(each for each in model.opset_import if each.domain == "").version = _OPSET_BLOCKS
    model.ir_version = max(model.ir_version, 10)
    return model


def gptq(weight: Matrix, moment: Matrix) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return int8 codes ``(n_in, n_out)`` and scales ``(n_in // 32, n_out)`` of a linear layer's weight.

    ``moment`` ``(n_in, n_in)`` is the sum of x xᵀ over the inputs x of the layer.
    """
    n_in, n_out = weight.shape
    left = weight.copy()
    damped = moment + np.eye(n_in) * (_DAMPING * np.mean(np.diag(moment)) + 1e-12)
    feedback = np.linalg.cholesky(np.linalg.inv(damped)).T
    codes = np.empty((n_in, n_out), dtype=np.int8)
    scales = np.empty((n_in // BLOCK, n_out), dtype=np.float32)
    for row in range(n_in):
        if row % BLOCK == 0:
            largest = np.abs(left[row : row + BLOCK]).max(axis=0) / 127
            scales[row // BLOCK] = np.maximum(largest, 1e-12)
        scale = scales[row // BLOCK].astype(np.float64)
        code = np.clip(np.round(left[row] / scale), -127, 127)
        codes[row] = code
        error = (left[row] - code * scale) / feedback[row, row]
        left[row + 1 :] -= np.outer(feedback[row, row + 1 :], error)
    return codes, scales


def _moments(model: Any, ids: Sequence[TokenIds]) -> dict[str, Matrix]:
    """Return the sum of x xᵀ over the inputs of every linear layer whose rows divide into blocks, by weight name."""
    import onnxruntime
    from onnx import ModelProto, TensorProto, helper

    weights = {each.name: each for each in model.graph.initializer if _is_matrix(each)}
    layers = [
        (node.input[1], node.input[0])
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in weights and weights[node.input[1]].dims[0] % BLOCK == 0
    ]
    if not layers:
        return {}
    probe = ModelProto()
    probe.CopyFrom(model)
    inputs = sorted({name for _, name in layers})
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    sums: dict[str, Any] = {}
    with progress("measure the layers", len(ids)) as bar:
        for rows in token_batches(ids, 1024):
            words, mask = padded([ids[row] for row in rows])
            found = session.run(inputs, {INPUTS[0]: words, INPUTS[1]: mask})
            for name, states in zip(inputs, found, strict=True):
                seen = states[mask.astype(bool)]
                sums[name] = sums.get(name, 0.0) + (seen.T @ seen).astype(np.float64)
            bar.advance(len(rows))
    return {weight: sums[name] for weight, name in layers}


def _is_matrix(tensor: Any) -> bool:
    return len(tensor.dims) == 2 and tensor.data_type == 1


def _replace(graph: Any, old: Any, tensors: Sequence[Any], nodes: Sequence[Any]) -> None:
    """Put other initializers in the place of one, and the nodes that make its value of them first."""
    graph.initializer.remove(old)
    graph.initializer.extend(tensors)
    for node in reversed(nodes):
        graph.node.insert(0, node)


def _quantise_rows(graph: Any, table: Any, gather: Any) -> None:
    """Store an embedding table in int8 with a scale for each row; only the rows looked up are widened."""
    from onnx import TensorProto, helper, numpy_helper

    values = numpy_helper.to_array(table)
    scales = np.maximum(np.abs(values).max(axis=1, keepdims=True) / 127, 1e-12).astype(np.float32)
    codes = np.round(values / scales).astype(np.int8)
    name, ids, out = table.name, gather.input[1], gather.output[0]
    nodes = [
        helper.make_node("Gather", [f"{name}.codes", ids], [f"{out}.codes"]),
        helper.make_node("Cast", [f"{out}.codes"], [f"{out}.wide"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{name}.scales", ids], [f"{out}.scales"]),
        helper.make_node("Mul", [f"{out}.wide", f"{out}.scales"], [out]),
    ]
    at = next(number for number, node in enumerate(graph.node) if node.output[:1] == [out])
    graph.node.remove(gather)
    for node in reversed(nodes):
        graph.node.insert(at, node)
    graph.initializer.remove(table)
    graph.initializer.extend(
        [numpy_helper.from_array(codes, f"{name}.codes"), numpy_helper.from_array(scales, f"{name}.scales")]
    )


def numpy_names(model: Any, folder: Path, spec: EncoderSpec) -> dict[str, str] | None:
    """Return which initializer of the fp32 graph holds which weight of BERT; None where numpy does not know the model.

    A linear layer's weight lies transposed in the graph; the names are found by content.
    """
    from onnx import numpy_helper
    from safetensors.numpy import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if unknown_to_numpy(config, spec) or not (folder / "model.safetensors").is_file() or _has_more_layers(folder):
        return None
    stored = load_file(str(folder / "model.safetensors"))
    weights = {name.removeprefix("bert."): each.astype(np.float32) for name, each in stored.items()}
    digest: Callable[[Any], tuple[Any, ...]] = lambda array: (array.shape, hash(np.ascontiguousarray(array).tobytes()))  # noqa: E731
    found = {digest(numpy_helper.to_array(each)): each.name for each in model.graph.initializer}
    names: dict[str, str] = {}
    for name, array in weights.items():
        initializer = found.get(digest(array.T if _is_linear(name) else array))
        if initializer is not None:
            names[name] = initializer
    return names if needed(config) <= set(names) else None


def _has_more_layers(folder: Path) -> bool:
    """Tell whether a model has more behind its transformer than pooling and normalisation."""
    file = folder / "modules.json"
    parts = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return any(each["type"].rsplit(".", 1)[-1] not in ("Transformer", "Pooling", "Normalize") for each in parts)


def numpy_layout(model: Any, names: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Return what the numpy engine needs to read a graph's weights; it is saved in the bundle's manifest."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    kept = ("model_type", "hidden_act", "num_attention_heads", "num_hidden_layers", "layer_norm_eps")
    stored = {each.name for each in model.graph.initializer}
    return {
        "config": {key: config[key] for key in kept if key in config},
        "weights": dict(names),
        "codes": sorted(name for name, initializer in names.items() if f"{initializer}.codes" in stored),
        "transposed": sorted(name for name in names if _is_linear(name)),
    }


def _is_linear(name: str) -> bool:
    return name.endswith(".weight") and name.startswith("encoder.") and "LayerNorm" not in name


def needed(config: Mapping[str, Any]) -> set[str]:
    """Return the weights that a BERT encoder needs."""
    parts = ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]
    parts += ["attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"]
    layers = [
        f"encoder.layer.{layer}.{part}.{kind}"
        for layer in range(int(config["num_hidden_layers"]))
        for part in parts
        for kind in ("weight", "bias")
    ]
    tables = [WORDS, "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"]
    return {*layers, *tables, "embeddings.LayerNorm.weight", "embeddings.LayerNorm.bias"}
