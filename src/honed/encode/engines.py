"""Engines that run an exported graph: onnxruntime, OpenVINO where it is installed, and those of other packages.

OpenVINO multiplies in bf16 where the CPU does, else in fp32. Engines whose names end in "-fp32" compute in fp32,
whatever the file and the CPU: onnxruntime then widens int8 weights once, when it loads them, at four times the memory.
A package adds an engine by an entry point of the group ``honed.engines`` that names a `GraphEngine`.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from honed.core.cpus import cpu_count
from honed.core.errors import ArtifactError
from honed.core.optional import is_installed, require
from honed.core.protocols import Vectors
from honed.core.registry import Registry, instance_of
from honed.encode import hardware
from honed.encode.onnx_file import INPUTS, OUTPUT
from honed.encode.tokens import TokenIds

# token ids and attention mask, both (n_texts, n_tokens) -> the output of the graph (n_texts, dim)
Forward: TypeAlias = Callable[[TokenIds, TokenIds], Vectors]


@dataclass(frozen=True, kw_only=True, slots=True)
class GraphEngine:
    """A way to run an ONNX graph on this machine.

    ``load`` takes the bytes of an ONNX file and a number of threads, and returns the function that runs it; several
    threads may call that at once. ``part`` is the optional part of honed that the engine needs
    (`honed.core.optional.PARTS`), empty for an engine that brings what it needs.
    """

    load: Callable[[bytes, int], Forward]
    part: str = ""


def _load_onnxruntime(model: bytes, threads: int, *, widened: bool = False) -> Forward:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False  # kept memory after one long batch would never come back
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if widened:  # constant folding then makes fp32 weights of int8 ones, where they would be kept for int8 kernels
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def forward(ids: TokenIds, mask: TokenIds) -> Vectors:
        output: Vectors = session.run([OUTPUT], {INPUTS[0]: ids, INPUTS[1]: mask})[0]
        return output

    return forward


def _load_onnxruntime_fp32(model: bytes, threads: int) -> Forward:
    return _load_onnxruntime(model, threads, widened=True)


def _load_openvino(model: bytes, threads: int) -> Forward:
    return _compiled(model, threads, "bf16" if hardware.cpu_has_bf16() else "f32")


def _load_openvino_fp32(model: bytes, threads: int) -> Forward:
    return _compiled(model, threads, "f32")


def _compiled(model: bytes, threads: int, precision: str) -> Forward:
    import openvino

    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,  # a thread that is bound to one core waits there for whoever uses it
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    lock = threading.Lock()  # a request serves one caller at a time

    def forward(ids: TokenIds, mask: TokenIds) -> Vectors:
        with lock:
            output: Vectors = request.infer({INPUTS[0]: ids, INPUTS[1]: mask}, share_inputs=True)[0].copy()
        return output

    return forward


ENGINES: Registry[GraphEngine] = Registry(
    "engine",
    group="honed.engines",
    built_in={
        "onnxruntime": GraphEngine(load=_load_onnxruntime, part="onnxruntime"),
        "onnxruntime-fp32": GraphEngine(load=_load_onnxruntime_fp32, part="onnxruntime"),
        "openvino": GraphEngine(load=_load_openvino, part="OpenVINO"),
        "openvino-fp32": GraphEngine(load=_load_openvino_fp32, part="OpenVINO"),
    },
    accepts=instance_of(GraphEngine),
)


# precision of a bundle -> the engines that may be the fastest for it, first the one to take where nothing is measured
_ENGINES_FOR = {
    "fp32": ("onnxruntime", "openvino-fp32"),
    "bf16": ("openvino", "onnxruntime"),
    "int8": ("onnxruntime", "onnxruntime-fp32", "openvino"),
}


def engines_for(precision: str) -> list[str]:
    """Return the engines here that may be the fastest for a precision, first the one to take unmeasured.

    That is OpenVINO for bf16 where it and the CPU can, else onnxruntime. OpenVINO keeps memory for every shape of a
    batch that it has seen.
    """
    here = [name for name in _ENGINES_FOR[precision] if is_installed(ENGINES[name].part)] or ["onnxruntime"]
    return here if hardware.cpu_has_bf16() else sorted(here, key=lambda name: name.startswith("openvino"))


def load_graph(model: bytes, engine: str, threads: int = 0) -> Forward:
    """Load an ONNX file's bytes under an engine, for ``threads`` threads (0: all cores of the process).

    Raises `honed.core.errors.MissingPartError` that names the extra that an engine needs, `ArtifactError` when the
    engine cannot read the graph, `honed.core.errors.ConfigError` for an unknown engine.
    """
    chosen = ENGINES[engine]
    if chosen.part:
        require(chosen.part)
    try:
        return chosen.load(model, threads or cpu_count())
    except Exception as error:  # the engines have no common exception
        raise ArtifactError("E_BUNDLE_FORMAT", f"model.onnx: {engine} cannot read it: {str(error)[:200]}") from error
