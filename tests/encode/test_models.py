"""Sources of models: what each loads, that equal ones are one key, and what is said where nothing can be loaded."""

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from honed.core.errors import ArtifactError, ConfigError, MissingPartError
from honed.core.executor import ModelSource
from honed.core.protocols import Encoder
from honed.encode.base_models import read_spec, resolve
from honed.encode.config import EncoderConfig
from honed.encode.encoders import ENCODERS, split_base
from honed.encode.hashing import HashEncoder
from honed.encode.models import (
    BaseModel,
    CrossEncoderModel,
    HashModel,
    NewCrossEncoder,
    PluginModel,
    TrainedModel,
    encoder_source,
)
from honed.encode.torch_encoder import save_model

TEXTS = ["UdeG", "University of Guadalajara", "x"]


@pytest.fixture(scope="module")
def trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "model"
    encoder = BaseModel(EncoderConfig(base=str(tiny_model), query_prompt="query: ")).load()
    save_model(encoder.model, encoder.spec, folder)
    return folder


@pytest.fixture(scope="module")
def cross_encoder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cross") / "model"
    NewCrossEncoder(str(tiny_model), max_length=32, seed=3).load().save(folder)
    return folder


def test_the_base_model_of_a_section_is_loaded_in_the_wanted_precision(tiny_model: Path) -> None:
    config = EncoderConfig(base=str(tiny_model), precision="fp32", query_prompt="query: ")
    assert BaseModel(config).load().precision == "fp32"
    wanted = BaseModel(config, precision="bf16").load()
    assert wanted.precision == "bf16"
    assert wanted.spec.query_prompt == "query: "
    assert BaseModel(config).identity()["weights"] == resolve(str(tiny_model)).weights == wanted.spec.weights


def test_a_trained_model_is_loaded_with_its_spec(trained: Path) -> None:
    encoder = TrainedModel(trained, "fp32").load()
    assert encoder.spec.query_prompt == "query: "
    assert encoder.spec.weights == read_spec(trained).weights


def test_a_cross_encoder_is_loaded_and_nothing_else_is_taken_for_one(cross_encoder: Path, trained: Path) -> None:
    pairs = [("a", "b"), ("a", "university of guadalajara")]
    scores = CrossEncoderModel(cross_encoder, "fp32").load().score(pairs)
    assert scores.shape == (2,)
    with pytest.raises(ArtifactError, match="not a cross-encoder"):
        CrossEncoderModel(trained).load()


def test_a_new_cross_encoder_is_drawn_by_its_seed(tiny_model: Path) -> None:
    pairs = [("a", "b"), ("c", "university")]
    first, again, other = (NewCrossEncoder(str(tiny_model), seed=seed).load().score(pairs) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_equal_sources_are_one_key_and_survive_the_way_to_another_process(trained: Path) -> None:
    sources: list[ModelSource[object]] = [
        BaseModel(EncoderConfig(base="minilm")),
        BaseModel(EncoderConfig(base="minilm"), "fp32"),
        TrainedModel(trained),
        CrossEncoderModel(trained),
        NewCrossEncoder("minilm"),
        PluginModel(EncoderConfig(base="hash:8")),
        HashModel(8),
    ]
    again = [pickle.loads(pickle.dumps(source)) for source in sources]
    assert again == sources
    assert len({*sources, *again}) == len(sources)


@pytest.mark.parametrize(
    "source",
    [
        BaseModel(EncoderConfig()),
        TrainedModel(Path("model")),
        CrossEncoderModel(Path("model")),
        NewCrossEncoder("minilm"),
    ],
)
def test_the_extra_that_is_missing_is_named(source: ModelSource[object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.core.optional.is_installed", lambda part: False)
    with pytest.raises(MissingPartError, match=r"torch encoder needs the module .* pip install 'honed\[train\]'"):
        source.load()


def test_naming_a_model_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from honed.encode.config import EncoderConfig\n"
        "from honed.encode.models import encoder_source\n"
        "encoder_source(EncoderConfig()), encoder_source(EncoderConfig(base='hash:8')).load()\n"
        "print([name for name in ('torch', 'transformers', 'importlib.metadata') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


class TestEncodersThatAreCode:
    def test_the_hash_encoder_is_one(self) -> None:
        source = encoder_source(EncoderConfig(base="hash:8", query_prompt="query: "))
        assert source == PluginModel(EncoderConfig(base="hash:8", query_prompt="query: "))
        encoder = source.load()
        assert isinstance(encoder, HashEncoder)
        assert encoder.encode(TEXTS, "document").shape == (3, 8)
        assert np.array_equal(encoder.encode(TEXTS, "document"), HashModel(8).load().encode(TEXTS, "query"))
        assert not np.array_equal(encoder.encode(TEXTS, "query"), encoder.encode(TEXTS, "document"))
        assert source.identity()["weights"] == HashModel(8).load().spec.weights == "hash-8"

    def test_a_base_model_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for base in ("minilm", "intfloat/e5-base-v2", "/models/a:b", "./a:b"):
            assert split_base(base) is None
            assert encoder_source(EncoderConfig(base=base)) == BaseModel(EncoderConfig(base=base))
        monkeypatch.chdir(tmp_path)
        (tmp_path / "hash:8").mkdir()
        assert split_base("hash:8") is None

    def test_an_unknown_name_is_an_error_with_a_hint(self) -> None:
        with pytest.raises(ConfigError, match=r"encoder: 'hsah' is not one of hash; did you mean hash\?"):
            encoder_source(EncoderConfig(base="hsah:8")).load()

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            (EncoderConfig(base="hash:x"), "hash:x: write hash:DIM"),
            (EncoderConfig(base="hash:8", dim=4), "model.dim: the encoder 'hash' does not take it"),
            (EncoderConfig(base="hash:8", precision="bf16"), "model.precision: the encoder 'hash' does not take it"),
        ],
    )
    def test_an_option_that_an_encoder_does_not_take_is_refused(self, config: EncoderConfig, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            encoder_source(config).load()

    def test_it_is_not_taken_for_a_model_on_disk(self) -> None:
        with pytest.raises(ConfigError, match="can be searched with and evaluated, not trained or exported"):
            BaseModel(EncoderConfig(base="hash:8")).identity()
        with pytest.raises(ConfigError, match="not trained or exported"):
            BaseModel(EncoderConfig(base="hash:8")).load()

    @pytest.mark.parametrize(
        ("load", "message"),
        [
            (lambda argument, config: argument, "gave a str, which cannot encode"),
            (lambda argument, config: 1 // 0, "fails: ZeroDivisionError"),
        ],
    )
    def test_one_that_fails_says_whose_it_is(self, load: object, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(ENCODERS._entries, "odd", load)
        with pytest.raises(ConfigError, match=f"model.base: the encoder 'odd' of the package honed {message}"):
            PluginModel(EncoderConfig(base="odd:1")).load()

    def test_every_encoder_fulfils_the_protocol(self) -> None:
        assert isinstance(HashEncoder(), Encoder)
