"""Engines that run an exported graph: onnxruntime, OpenVINO where it is installed, and those of other packages.

A package adds an engine by an entry point of the group ``honed.engines`` that names a `GraphEngine`.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

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


def _load_onnxruntime(model: bytes, threads: int) -> Forward:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False  # kept memory after one long batch would never come back
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def forward(ids: TokenIds, mask: TokenIds) -> Vectors:
        output: Vectors = session.run([OUTPUT], {INPUTS[0]: ids, INPUTS[1]: mask})[0]
        return output

    return forward


def _load_openvino(model: bytes, threads: int) -> Forward:
    import openvino

    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if hardware.cpu_has_bf16() else "f32",
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
        "openvino": GraphEngine(load=_load_openvino, part="OpenVINO"),
    },
    accepts=instance_of(GraphEngine),
)


def best_engine(precision: str) -> str:
    """Return the engine for a precision: OpenVINO for bf16 where it and the CPU can, else onnxruntime.

    OpenVINO would be faster for int8 too, but keeps memory for every shape of a batch that it has seen.
    """
    able = precision == "bf16" and is_installed("OpenVINO") and hardware.cpu_has_bf16()
    return "openvino" if able else "onnxruntime"


def load_graph(model: bytes, engine: str, threads: int = 0) -> Forward:
    """Load an ONNX file's bytes under an engine, for ``threads`` threads (0: all cores of the process).

    Raises `honed.core.errors.MissingPartError` that names the extra that an engine needs, `ArtifactError` when the
    engine cannot read the graph, `honed.core.errors.ConfigError` for an unknown engine.
    """
    chosen = ENGINES[engine]
    if chosen.part:
        require(chosen.part)
    try:
        return chosen.load(model, threads or hardware.cpu_count())
    except Exception as error:  # the engines have no common exception
        raise ArtifactError("E_BUNDLE_FORMAT", f"model.onnx: {engine} cannot read it: {str(error)[:200]}") from error
