"""The exported graph under a fast engine: onnxruntime, or OpenVINO where it is installed."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from honed.core.errors import ArtifactError
from honed.core.optional import is_installed, require
from honed.core.protocols import Role, Vectors
from honed.core.records import EncoderSpec
from honed.encode import hardware
from honed.encode.onnx_file import INPUTS, OUTPUT
from honed.encode.tokens import Tokens, padded, token_batches

_TOKENS_A_BATCH = 2048
Forward = Callable[[Any, Any], Any]


def _onnxruntime(model: bytes, threads: int) -> Forward:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False  # kept memory after one long batch would never come back
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run([OUTPUT], {INPUTS[0]: ids, INPUTS[1]: mask})[0]


def _openvino(model: bytes, threads: int) -> Forward:
    import openvino

    core = openvino.Core()
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "bf16" if hardware.cpu_has_bf16() else "f32",
    }
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    lock = threading.Lock()  # a request serves one caller at a time

    def forward(ids: Any, mask: Any) -> Any:
        with lock:
            return request.infer({INPUTS[0]: ids, INPUTS[1]: mask}, share_inputs=True)[0].copy()

    return forward


# engine -> (how it loads a graph, the optional part that it needs)
ENGINES: dict[str, tuple[Callable[[bytes, int], Forward], str]] = {
    "onnxruntime": (_onnxruntime, "onnxruntime"),
    "openvino": (_openvino, "OpenVINO"),
}


def best_engine(precision: str) -> str:
    """Return the engine for a precision: OpenVINO for bf16 where it and the CPU can, else onnxruntime.

    OpenVINO would be faster for int8 too, but keeps memory for every shape of a batch that it has seen.
    """
    able = precision == "bf16" and is_installed("OpenVINO") and hardware.cpu_has_bf16()
    return "openvino" if able else "onnxruntime"


def load_graph(model: bytes, engine: str, threads: int = 0) -> Forward:
    """Load an ONNX file's bytes under an engine; see `GraphEncoder.load` for what is raised."""
    build, part = ENGINES[engine]
    require(part)
    try:
        return build(model, threads or hardware.cpu_count())
    except Exception as error:  # the engines have no common exception
        raise ArtifactError("E_BUNDLE_FORMAT", f"model.onnx: {engine} cannot read it: {str(error)[:200]}") from error


class GraphEncoder:
    """Token ids to unit vectors through one graph, which holds pooling and normalisation."""

    def __init__(self, forward: Forward, tokens: Tokens, spec: EncoderSpec) -> None:
        self._forward, self.tokens, self._spec = forward, tokens, spec

    @classmethod
    def load(cls, model: bytes, tokenizer: Any, spec: EncoderSpec, *, engine: str, threads: int = 0) -> "GraphEncoder":
        """Load an ONNX file's bytes, for ``threads`` threads (0: all cores of the process).

        Raises `honed.core.errors.MissingPartError` that names the extra that an engine needs, `ArtifactError` when the
        engine cannot read the graph.
        """
        return cls(load_graph(model, engine, threads), Tokens(tokenizer, spec.max_length), spec)

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self._spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        prompt = self._spec.prompt(role)
        ids = self.tokens([prompt + text for text in texts])
        vectors = np.empty((len(texts), self._spec.dim), dtype=np.float32)
        for rows in token_batches(ids, _TOKENS_A_BATCH):
            vectors[rows] = self._forward(*padded([ids[row] for row in rows]))
        return vectors
