import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.core.errors import ArtifactError
from honed.core.records import EncoderSpec
from honed.encode.config import EncoderConfig
from honed.encode.engines import engines_for
from honed.encode.graph_encoder import GraphEncoder
from honed.encode.onnx_export import export_onnx
from honed.encode.onnx_file import ALIGNMENT, PRECISIONS, aligned, check_onnx, read_onnx
from honed.encode.onnx_layout import bert_weight_names, numpy_names
from honed.encode.onnx_precision import BLOCK, gptq, to_int8
from honed.encode.tokens import TextTokenizer, padded, token_batches
from honed.encode.torch_encoder import TorchEncoder

TEXTS = ["a", "university of somewhere", "b c d", "x" * 300]


@pytest.fixture(scope="module")
def exact(tiny_model: Path) -> TorchEncoder:
    return TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))


@pytest.fixture(scope="module")
def graph(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    path.write_bytes(aligned(export_onnx(tiny_model).SerializeToString()))
    return path


def tokenizer(folder: Path):
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_the_graph_pools_and_normalises_as_the_model_does(graph: Path, tiny_model: Path, exact: TorchEncoder) -> None:
    found = GraphEncoder.load(graph.read_bytes(), tokenizer(tiny_model), exact.spec, engine="onnxruntime").encode(
        TEXTS, "query"
    )
    assert np.abs(found - exact.encode(TEXTS, "query")).max() < 1e-5
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_text_does_not_depend_on_its_batch(graph: Path, tiny_model: Path, exact: TorchEncoder) -> None:
    encoder = GraphEncoder.load(graph.read_bytes(), tokenizer(tiny_model), exact.spec, engine="onnxruntime")
    alone = np.concatenate([encoder.encode([text], "query") for text in TEXTS])
    assert np.abs(alone - encoder.encode(TEXTS, "query")).max() < 1e-5


def test_an_aligned_file_is_the_same_model_and_can_be_mapped(graph: Path, tiny_model: Path) -> None:
    import onnx
    from onnx import numpy_helper

    found = read_onnx(graph)
    check_onnx(found, "model")
    wanted = export_onnx(tiny_model)
    onnx.checker.check_model(onnx.load(graph))
    for tensor in wanted.graph.initializer:
        assert np.array_equal(found.array(tensor.name), numpy_helper.to_array(tensor))
        assert found.tensors[tensor.name].begin % ALIGNMENT == 0
    assert aligned(graph.read_bytes()) == graph.read_bytes()


def test_numpy_finds_every_weight_in_the_graph(tiny_model: Path, exact: TorchEncoder) -> None:
    names = numpy_names(export_onnx(tiny_model), tiny_model, exact.spec)
    config = json.loads((tiny_model / "config.json").read_text())
    assert names is not None
    assert bert_weight_names(config) <= set(names)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_graph_are_refused(noise: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(noise)
        with pytest.raises(ArtifactError, match=r"no readable ONNX file|takes .* and gives"):
            check_onnx(read_onnx(path), "m.onnx")


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.9, 0.999])
def test_a_graph_that_is_cut_is_refused(graph: Path, tmp_path: Path, cut: float) -> None:
    data = graph.read_bytes()
    (tmp_path / "m.onnx").write_bytes(data[: int(len(data) * cut)])
    with pytest.raises(ArtifactError, match="no readable ONNX file"):
        read_onnx(tmp_path / "m.onnx")


def test_error_feedback_loses_less_than_rounding() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(500, 64)) @ random.normal(size=(64, 64))
    weight = random.normal(size=(64, 32))
    codes, scales = gptq(weight, inputs.T @ inputs)
    made = codes.astype(np.float64) * np.repeat(scales, BLOCK, axis=0)
    plain_scales = np.repeat(np.abs(weight.reshape(-1, BLOCK, 32)).max(axis=1) / 127, BLOCK, axis=0)
    plain = np.round(weight / plain_scales) * plain_scales
    assert codes.dtype == np.int8
    assert np.square(inputs @ (made - weight)).sum() < 0.7 * np.square(inputs @ (plain - weight)).sum()


def test_int8_is_near_and_the_same_for_every_engine(tiny_model: Path, exact: TorchEncoder, tmp_path: Path) -> None:
    ids = TextTokenizer(tokenizer(tiny_model), 64)([f"{text} {number}" for text in TEXTS for number in range(20)])
    path = tmp_path / "m.onnx"
    path.write_bytes(aligned(to_int8(export_onnx(tiny_model), ids).SerializeToString()))
    found = GraphEncoder.load(path.read_bytes(), tokenizer(tiny_model), exact.spec, engine="onnxruntime").encode(
        TEXTS, "query"
    )
    assert (found * exact.encode(TEXTS, "query")).sum(axis=1).min() > 0.999
    assert path.stat().st_size < 400_000


def test_a_graph_is_refused_by_what_it_would_do(tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    def save(nodes: list[object], inputs: list[str], outputs: list[str]) -> Path:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in inputs]
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in outputs]
        path = tmp_path / "m.onnx"
        path.write_bytes(helper.make_model(helper.make_graph(nodes, "g", values, results)).SerializeToString())
        return path

    both, out = ["input_ids", "attention_mask"], ["sentence_embedding"]
    good = [helper.make_node("Add", both, out)]
    check_onnx(read_onnx(save(good, both, out)), "m")
    with pytest.raises(ArtifactError, match="E_BUNDLE_MODEL_IO"):
        check_onnx(read_onnx(save(good, [*both, "third"], out)), "m")
    foreign = [helper.make_node("Add", both, out, domain="evil.example")]
    with pytest.raises(ArtifactError, match=r"evil\.example:Add"):
        check_onnx(read_onnx(save(foreign, both, out)), "m")
    inner = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "inner", [], [])
    branch = [helper.make_node("If", ["input_ids"], out, then_branch=inner, else_branch=inner)]
    with pytest.raises(ArtifactError, match="If: loops, functions"):
        check_onnx(read_onnx(save(branch, both, out)), "m")


def test_engines_are_tried_by_precision_and_what_the_cpu_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.encode.engines.is_installed", lambda part: True)
    monkeypatch.setattr("honed.encode.hardware.cpu_has_bf16", lambda: True)
    assert [engines_for(precision)[0] for precision in PRECISIONS] == ["onnxruntime", "openvino", "onnxruntime"]
    assert "openvino" not in engines_for("fp32")  # it would multiply in bf16
    monkeypatch.setattr("honed.encode.hardware.cpu_has_bf16", lambda: False)
    assert {engines_for(precision)[0] for precision in PRECISIONS} == {"onnxruntime"}
    monkeypatch.setattr("honed.encode.engines.is_installed", lambda part: False)
    assert {tuple(engines_for(precision)) for precision in PRECISIONS} == {("onnxruntime",)}


class TestTokens:
    def test_a_cut_text_says_so(self, tiny_model: Path) -> None:
        tokens = TextTokenizer(tokenizer(tiny_model), 16)
        assert not tokens.is_cut("abc")
        assert not tokens.is_cut("a" * 14)
        assert tokens.is_cut("a" * 15)
        assert tokens.is_cut("a" * 100_000)

    @given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 120))
    def test_batches_hold_every_text_once_and_keep_the_budget(self, lengths: list[int], budget: int) -> None:
        ids = [np.ones(length, dtype=np.int64) for length in lengths]
        batches = list(token_batches(ids, budget))
        assert sorted(row for rows in batches for row in rows) == list(range(len(ids)))
        assert all(len(rows) == 1 or sum(lengths[row] for row in rows) <= budget for rows in batches)

    def test_padding_is_masked(self) -> None:
        words, mask = padded([np.array([5, 6]), np.array([7])], padding_id=9)
        assert words.tolist() == [[5, 6], [7, 9]]
        assert mask.tolist() == [[1, 1], [1, 0]]


def test_a_spec_survives_the_way_to_disk(exact: TorchEncoder) -> None:
    assert EncoderSpec.from_dict(json.loads(json.dumps(exact.spec.as_dict()))) == exact.spec
