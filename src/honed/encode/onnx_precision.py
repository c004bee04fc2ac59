"""The weights of an exported graph in bf16 or calibrated int8.

int8 holds the weights alone in int8, in blocks of 32 with a scale each, and rounds them with the error feedback of GPTQ
(Frantar et al. 2022, arXiv 2210.17323): what one column loses, the columns after it make up, measured on texts of the
bundle. Plain rounding of weights and activations flips one nearest neighbour in five; see docs/benchmarks.md.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from honed.core.progress import progress
from honed.encode.onnx_file import INPUTS
from honed.encode.tokens import TokenIds, padded, token_batches

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

BLOCK = 32
_OPSET_BLOCKS = 21  # the first with scales for blocks
_DAMPING = 0.01
_TOKENS_A_BATCH = 1024
Matrix: TypeAlias = npt.NDArray[np.float64]


def to_bf16(model: "ModelProto") -> "ModelProto":
    """Return the model, changed in place, with its weight matrices stored in bf16 and widened where they are used."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    for tensor in [tensor for tensor in graph.initializer if _is_matrix(tensor)]:
        values = numpy_helper.to_array(tensor)
        half = torch.from_numpy(values.copy()).to(torch.bfloat16).view(torch.uint16).numpy()
        name = tensor.name
        small = helper.make_tensor(f"{name}.bf16", TensorProto.BFLOAT16, values.shape, half.tobytes(), raw=True)
        widen = helper.make_node("Cast", [small.name], [name], to=TensorProto.FLOAT)
        _replace_weight(graph, tensor, [small], widen)
    return model


def to_int8(model: "ModelProto", ids: Sequence[TokenIds]) -> "ModelProto":
    """Return the model, changed in place, with int8 weights calibrated on token ids of real texts.

    A few hundred texts suffice.
    """
    from onnx import helper, numpy_helper

    moments = _input_moments(model, ids)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "Gather" and node.input[0] in weights]:
        table = weights[node.input[0]]
        if _is_matrix(table) and table.dims[0] > 1024:
            _quantise_table(graph, table, node)
    with progress("calibrate int8", len(moments)) as bar:
        for name, moment in moments.items():
            codes, scales = gptq(numpy_helper.to_array(weights[name]).astype(np.float64), moment)
            names = [f"{name}.codes", f"{name}.scales"]
            tensors = [numpy_helper.from_array(array, part) for array, part in zip((codes, scales), names, strict=True)]
            widen = helper.make_node("DequantizeLinear", names, [name], axis=0, block_size=BLOCK)
            _replace_weight(graph, weights[name], tensors, widen)
            bar.advance()
    next(opset for opset in model.opset_import if opset.domain == "").version = _OPSET_BLOCKS
    model.ir_version = max(model.ir_version, 10)
    return model


def gptq(weight: Matrix, moment: Matrix) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Return int8 codes ``(n_in, n_out)`` and scales ``(n_in // 32, n_out)`` of a linear layer's weight.

    ``moment`` ``(n_in, n_in)`` is the sum of x xᵀ over the inputs x of the layer. Frantar et al. 2022, algorithm 1,
    with the scale of a block fixed when its first row is reached.
    """
    n_in, n_out = weight.shape
    rest = weight.copy()
    damped = moment + np.eye(n_in) * (_DAMPING * np.mean(np.diag(moment)) + 1e-12)
    feedback = np.linalg.cholesky(np.linalg.inv(damped)).T
    codes = np.empty((n_in, n_out), dtype=np.int8)
    scales = np.empty((n_in // BLOCK, n_out), dtype=np.float32)
    for row in range(n_in):
        if row % BLOCK == 0:
            largest = np.abs(rest[row : row + BLOCK]).max(axis=0) / 127
            scales[row // BLOCK] = np.maximum(largest, 1e-12)
        scale = scales[row // BLOCK].astype(np.float64)
        code = np.clip(np.round(rest[row] / scale), -127, 127)
        codes[row] = code
        error = (rest[row] - code * scale) / feedback[row, row]
        rest[row + 1 :] -= np.outer(feedback[row, row + 1 :], error)
    return codes, scales


def _input_moments(model: "ModelProto", ids: Sequence[TokenIds]) -> dict[str, Matrix]:
    """Return the sum of x xᵀ over the inputs x of every linear layer over tokens, by the name of its weight.

    Left out are layers whose rows do not divide into blocks.
    """
    import onnxruntime
    from onnx import ModelProto, TensorProto, helper

    layers = _linear_layers(model)
    if not layers:
        return {}
    probe = ModelProto()
    probe.CopyFrom(model)
    inputs = sorted(set(layers.values()))
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    sums: dict[str, Matrix] = {}
    with progress("measure the layers", len(ids)) as bar:
        for rows in token_batches(ids, _TOKENS_A_BATCH):
            words, mask = padded([ids[row] for row in rows])
            outputs = session.run(inputs, {INPUTS[0]: words, INPUTS[1]: mask})
            for name, states in zip(inputs, outputs, strict=True):
                if (
                    states.ndim != 3 or states.shape[:2] != mask.shape
                ):  # no states of tokens: a table of positions, a pooled vector
                    continue
                tokens = states[mask.astype(bool)]
                moment = (tokens.T @ tokens).astype(np.float64)
                sums[name] = sums[name] + moment if name in sums else moment
            bar.advance(len(rows))
    return {weight: sums[name] for weight, name in layers.items() if name in sums}


def _linear_layers(model: "ModelProto") -> dict[str, str]:
    """Return the input of each linear layer by the name of its weight, where the rows of that divide into blocks."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer if _is_matrix(tensor)}
    return {
        node.input[1]: node.input[0]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in weights and weights[node.input[1]].dims[0] % BLOCK == 0
    }


def _is_matrix(tensor: "TensorProto") -> bool:
    return len(tensor.dims) == 2 and tensor.data_type == 1


def _replace_weight(
    graph: "GraphProto", weight: "TensorProto", tensors: Sequence["TensorProto"], widen: "NodeProto"
) -> None:
    """Put smaller tensors in the place of a weight, and first in the graph the node that makes the weight of them."""
    graph.initializer.remove(weight)
    graph.initializer.extend(tensors)
    graph.node.insert(0, widen)


def _quantise_table(graph: "GraphProto", table: "TensorProto", gather: "NodeProto") -> None:
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
