"""Every architecture of the table, with tiny random weights, through all that honed does with an encoder."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from honed import Project, Searcher
from honed.core.errors import ArtifactError
from honed.encode.architectures import ARCHITECTURES, architecture_of
from honed.encode.config import EncoderConfig
from honed.encode.graph_encoder import GraphEncoder
from honed.encode.numpy_encoder import NumpyEncoder
from honed.encode.onnx_export import export_onnx
from honed.encode.onnx_file import aligned, check_onnx, read_onnx
from honed.encode.onnx_precision import to_bf16, to_int8
from honed.encode.packed import packed_features, padded_features
from honed.encode.torch_encoder import TorchEncoder, load_model
from honed.project.doctor import examine
from honed.project.export import ExportOptions, export_bundle
from tests.conftest import write_project
from tests.encode.tiny_models import LENGTH, TINY, UNKNOWN, make_tiny

if TYPE_CHECKING:
    from onnx import ModelProto

TEXTS = ["a", "university of guadalajara", "x y z " * 10, "mit", "universidade de sao paulo " * 2, "u" * 40, "東京 mit"]


@pytest.fixture(scope="module", params=sorted(TINY))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(kind, tmp_path_factory.mktemp(kind))


@pytest.fixture(scope="module")
def exact(folder: Path) -> TorchEncoder:
    return TorchEncoder.load(EncoderConfig(base=str(folder), precision="fp32"))


def test_every_row_of_the_table_has_a_tiny_model() -> None:
    assert set(ARCHITECTURES) <= set(TINY)
    assert UNKNOWN not in ARCHITECTURES


def test_packed_and_padded_batches_equal_sentence_transformers(kind: str, folder: Path, exact: TorchEncoder) -> None:
    assert exact.packed == (kind != UNKNOWN)
    wanted = np.asarray(load_model(folder).encode(TEXTS, normalize_embeddings=True, batch_size=3))
    assert np.abs(wanted @ wanted.T - np.eye(len(TEXTS))).max() > 0.01
    assert (wanted @ wanted.T).min() < 0.999  # texts that all look alike would prove nothing
    assert np.abs(exact.encode(TEXTS, "query") - wanted).max() < 1e-5
    for packed in {exact.packed, False}:
        ids = exact.tokens(TEXTS)
        features = packed_features(ids, first_position=exact.first_position) if packed else None
        with torch.inference_mode():
            found = exact.model(features or padded_features(ids, exact.padding_id))["sentence_embedding"]
        assert np.abs(torch.nn.functional.normalize(found, dim=1).numpy() - wanted).max() < 1e-5


def test_gradients_of_packed_batches_equal_those_of_padded_ones(kind: str, folder: Path) -> None:
    found = []
    for packed in (True, False):
        encoder = TorchEncoder.load(EncoderConfig(base=str(folder), precision="fp32"))
        ids = encoder.tokens(TEXTS)
        if packed and encoder.packed:
            features = packed_features(ids, first_position=encoder.first_position)
        else:
            features = padded_features(ids, encoder.padding_id)
        vectors = encoder.model(features)["sentence_embedding"]
        (vectors @ torch.linspace(-1, 1, vectors.shape[1])).square().sum().backward()
        found.append({name: each.grad for name, each in encoder.model.named_parameters() if each.grad is not None})
    assert found[0].keys() == found[1].keys()
    largest = max(float(grad.abs().max()) for grad in found[0].values())
    for name, grad in found[0].items():
        assert float((grad - found[1][name]).abs().max()) < 1e-4 * largest, name


def test_doctor_says_how_a_base_runs(
    kind: str, folder: Path, institutions: list[dict[str, str]], tmp_path: Path
) -> None:
    said = examine(write_project(tmp_path, institutions, folder.as_posix(), n_entities=10))["base model"]
    assert said["batches"].startswith("padded" if kind == UNKNOWN else "packed")
    assert ("does not know" in said["architecture"]) == (kind == UNKNOWN)


def test_a_long_text_is_cut_to_the_positions_that_there_are(exact: TorchEncoder) -> None:
    assert exact.spec.max_length <= LENGTH
    vectors = exact.encode(["word " * 10_000], "document")
    assert np.isfinite(vectors).all()


def test_numpy_gives_the_vectors_of_torch_for_encoders_of_berts_kind(folder: Path, exact: TorchEncoder) -> None:
    config = json.loads((folder / "config.json").read_text())
    if architecture_of(config).bert is None:
        with pytest.raises(ArtifactError, match="model_type"):
            NumpyEncoder.load(folder, exact.spec)
        return
    found = NumpyEncoder.load(folder, exact.spec).encode(TEXTS, "query")
    assert np.abs(found - exact.encode(TEXTS, "query")).max() < 2e-5


@pytest.fixture(scope="module")
def graph(folder: Path) -> "ModelProto":
    return export_onnx(folder)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_exported_graph_gives_the_vectors_of_torch(
    folder: Path, exact: TorchEncoder, graph: "ModelProto", precision: str, tmp_path: Path
) -> None:
    model = type(graph)()
    model.CopyFrom(graph)
    ids = exact.tokens([f"{text} {number}" for text in TEXTS for number in range(20)])
    model = {"fp32": lambda: model, "bf16": lambda: to_bf16(model), "int8": lambda: to_int8(model, ids)}[precision]()
    path = tmp_path / "m.onnx"
    path.write_bytes(aligned(model.SerializeToString()))
    check_onnx(read_onnx(path), "m.onnx")
    encoder = GraphEncoder.load(path.read_bytes(), exact.tokens.tokenizer, exact.spec, engine="onnxruntime")
    wanted = exact.encode(TEXTS, "query")
    found = encoder.encode(TEXTS, "query")
    if precision == "fp32":
        assert np.abs(found - wanted).max() < 2e-5
    else:
        assert (found * wanted).sum(axis=1).min() > 0.995
    alone = np.concatenate([encoder.encode([text], "query") for text in TEXTS])
    assert np.abs(alone - found).max() < 2e-5


def test_a_run_ends_in_a_bundle_that_answers_as_the_trained_model(
    kind: str, folder: Path, institutions: list[dict[str, str]], tmp_path: Path
) -> None:
    """From rows to a bundle: fine-tuned, indexed, exported in int8, answered by numpy where that is first."""
    write_project(tmp_path, institutions, folder.as_posix(), n_entities=40, train="epochs = 1\nbatch_size = 32")
    project = Project(tmp_path)
    project.run()
    export_bundle(project, tmp_path / "b", ExportOptions(precision="int8", most_flips=1.0))
    searcher = Searcher.load(tmp_path / "b")
    of_berts_kind = architecture_of(json.loads((folder / "config.json").read_text())).bert is not None
    texts = [row["alias"] for row in institutions[:8]]
    found = searcher.encoder.encode(texts, "query")
    assert searcher.encoder.engine == ("numpy" if of_berts_kind else "onnxruntime")
    assert (found * project.searcher().encoder.encode(texts, "query")).sum(axis=1).min() > 0.995
    assert len(searcher.search(texts[0], 5)) == 5
