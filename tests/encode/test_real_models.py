"""Two real models where they are on disk: the same vectors by every way, and what their tokenizers read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from honed.encode.config import EncoderConfig
from honed.encode.graph_encoder import GraphEncoder
from honed.encode.numpy_encoder import NumpyEncoder
from honed.encode.onnx_export import export_onnx
from honed.encode.onnx_file import aligned, check_onnx, read_onnx
from honed.encode.torch_encoder import TorchEncoder, load_model

TEXTS = ["UdeG", "University of Guadalajara", "東京大学", "a " * 300, "x", "Московский университет", "جامعة القاهرة"]


@pytest.fixture(scope="module", params=["multilingual-e5-small", "all-mpnet-base-v2"])
def folder(request: pytest.FixtureRequest, real_model: Callable[[str], Path]) -> Path:
    return real_model(str(request.param))


def test_every_way_gives_the_vectors_of_sentence_transformers(folder: Path, tmp_path: Path) -> None:
    config = EncoderConfig(base=str(folder), precision="fp32", query_prompt="query: ")
    encoder = TorchEncoder.load(config)
    prompted = ["query: " + text for text in TEXTS]
    wanted = np.asarray(load_model(folder).encode(prompted, normalize_embeddings=True))
    assert encoder.packed
    assert np.abs(encoder.encode(TEXTS, "query") - wanted).max() < 1e-5
    assert np.abs(NumpyEncoder.load(folder, encoder.spec).encode(TEXTS, "query") - wanted).max() < 1e-5
    path = tmp_path / "model.onnx"
    path.write_bytes(aligned(export_onnx(folder).SerializeToString()))
    check_onnx(read_onnx(path), "model.onnx")
    graph = GraphEncoder.load(path.read_bytes(), encoder.tokens.tokenizer, encoder.spec, engine="onnxruntime")
    assert np.abs(graph.encode(TEXTS, "query") - wanted).max() < 2e-5


def test_a_multilingual_model_reads_what_minilm_does_not(real_model: Callable[[str], Path]) -> None:
    pairs = [("東京大学", "University of Tokyo"), ("Московский университет", "Moscow University")]
    others = ["University of Guadalajara", "Bakery of the Moon", "Cairo University"]
    config = EncoderConfig(
        base=str(real_model("multilingual-e5-small")), query_prompt="query: ", document_prompt="query: "
    )
    encoder = TorchEncoder.load(config)
    labels = encoder.encode([label for _, label in pairs] + others, "document")
    scores = encoder.encode([name for name, _ in pairs], "query") @ labels.T
    assert scores.argmax(axis=1).tolist() == [0, 1]
