"""Encoders and engines of another package."""

from collections.abc import Callable
from pathlib import Path

import pytest

from honed.core.errors import ConfigError
from honed.encode.engines import load_graph
from honed.encode.onnx_export import export_onnx


def test_an_encoder_of_another_package_is_a_base(with_plugins: Callable[[str], str]) -> None:
    code = """
from honed.core.errors import ConfigError
from honed.encode.config import EncoderConfig
from honed.encode.models import encoder_source

encoder = encoder_source(EncoderConfig(base="shouting:twelve", query_prompt="query: ")).load()
assert encoder.encode(["a", "b"], "query").shape == (2, 6)
assert encoder.spec.query_prompt == "query: "
for base in ("shouting:", "shoutin:x"):
    try:
        encoder_source(EncoderConfig(base=base)).load()
    except ConfigError as error:
        print(error)
"""
    assert with_plugins(code).splitlines() == [
        "E_SHOUT: say how loud",
        "E_UNKNOWN_NAME: encoder: 'shoutin' is not one of hash, shouting; did you mean shouting?",
    ]


def test_an_engine_of_another_package_runs_a_graph(
    with_plugins: Callable[[str], str], tiny_model: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(export_onnx(tiny_model).SerializeToString())
    code = f"""
import numpy as np
from pathlib import Path
from tokenizers import Tokenizer
from honed.encode.base_models import resolve
from honed.encode.graph_encoder import GraphEncoder
from honed.core.records import EncoderSpec

spec = EncoderSpec(weights="", pooling="mean", normalize=True, dim=32, max_length=64)
model, tokenizer = Path({str(path)!r}).read_bytes(), Tokenizer.from_file({str(tiny_model / "tokenizer.json")!r})
vectors = [
    GraphEncoder.load(model, tokenizer, spec, engine=engine, threads=1).encode(["a", "university"], "query")
    for engine in ("onnxruntime", "mirror")
]
print(np.array_equal(*vectors))
"""
    assert with_plugins(code) == "True"


def test_an_unknown_engine_is_an_error_with_the_known_ones() -> None:
    with pytest.raises(
        ConfigError, match="engine: 'mirror' is not one of onnxruntime, onnxruntime-fp32, openvino, openvino-fp32"
    ):
        load_graph(b"", "mirror")
