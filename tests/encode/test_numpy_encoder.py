import json
from pathlib import Path

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.core.tensors import map_safetensors
from honed.encode.base_models import resolve
from honed.encode.config import EncoderConfig
from honed.encode.numpy_encoder import NumpyEncoder, Weights, _gelu
from honed.encode.torch_encoder import TorchEncoder

TEXTS = ["UdeG", "University of Guadalajara", "東京大学", "a " * 300, "", "x"]


def test_minilm_in_numpy_gives_the_vectors_of_torch() -> None:
    exact = TorchEncoder.load(EncoderConfig(precision="fp32", query_prompt="query: "))
    ours = NumpyEncoder.load(resolve("minilm").folder, exact.spec)
    assert np.abs(ours.encode(TEXTS, "query") - exact.encode(TEXTS, "query")).max() < 1e-5
    assert ours.spec == exact.spec


def test_batch_mates_do_not_matter() -> None:
    spec = TorchEncoder.load(EncoderConfig()).spec
    ours = NumpyEncoder.load(resolve("minilm").folder, spec)
    together = ours.encode(TEXTS, "document")
    for row, text in enumerate(TEXTS):
        assert np.abs(ours.encode([text], "document")[0] - together[row]).max() < 1e-6


def test_gelu_equals_the_exact_function() -> None:
    from scipy.special import erf

    values = np.linspace(-8, 8, 4001, dtype=np.float32)
    exact = values.astype(np.float64) * 0.5 * (1 + erf(values.astype(np.float64) / np.sqrt(2)))
    assert np.abs(_gelu(values) - exact).max() < 2e-6


@pytest.mark.parametrize("change", ["cut", "header length", "offsets"])
def test_a_file_that_does_not_fit_its_header_is_refused(tmp_path: Path, change: str) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "m.safetensors"
    save_file({"a": np.zeros((4, 4), np.float32)}, str(path))
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    if change == "cut":
        path.write_bytes(data[:-4])
    elif change == "header length":
        path.write_bytes((1 << 60).to_bytes(8, "little") + data[8:])
    else:
        header = json.loads(data[8 : 8 + length])
        header["a"]["data_offsets"] = [0, 1 << 40]
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    with pytest.raises(ArtifactError, match="does not fit the file"):
        map_safetensors(path)


def test_another_architecture_is_refused() -> None:
    spec = TorchEncoder.load(EncoderConfig()).spec
    with pytest.raises(ArtifactError, match="model_type 'gpt2'"):
        NumpyEncoder(Weights({}), {"model_type": "gpt2", "hidden_act": "gelu"}, None, spec)
