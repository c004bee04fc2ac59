"""The registry of base models: names, where they are found, and which prompts they are used with."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from honed.core.errors import ConfigError
from honed.encode.base_models import licence_of, local_folder, place_of, resolve
from honed.encode.bases import NO_PROMPTS, Use, base_named, family_prompts, known_bases
from honed.encode.config import EncoderConfig
from honed.encode.encoders import split_base
from honed.encode.models import BaseModel
from honed.encode.probe import kept_speed, machine_speed
from honed.encode.prompts import NONE, completed, model_prompts, other_pairs

E5 = ("query: ", "passage: ")
BGE = ("Represent this sentence for searching relevant passages: ", "")


def with_prompts(model: Path, folder: Path, prompts: dict[str, str]) -> Path:
    """A copy of a model whose folder states prompts."""
    shutil.copytree(model, folder)
    settings = {"prompts": prompts, "default_prompt_name": None}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def test_short_names_are_distinct_and_say_what_they_are() -> None:
    names = [name for base in known_bases() for name in base.names]
    assert len(names) == len(set(names))
    assert len({base.hub for base in known_bases()}) == len(known_bases())
    assert {"minilm", "mpnet", "e5-multilingual", "e5-small", "bge-small", "distilbert", "qwen3-0.6b"} <= set(names)
    assert all("/" not in name and split_base(name) is None for name in names)
    sizes = [base.parameters for base in known_bases()]
    assert sizes == sorted(sizes)
    for base in known_bases():
        assert base_named(base.hub) is base_named(base.hub.lower()) is base_named(base.name)


@pytest.mark.parametrize(
    ("name", "search", "names"),
    [
        ("intfloat/e5-base-v2", E5, ("query: ", "query: ")),
        ("e5-multilingual", E5, ("query: ", "query: ")),
        ("models/multilingual-e5-small", E5, ("query: ", "query: ")),
        ("/cache/models--intfloat--e5-small/snapshots/abc", E5, ("query: ", "query: ")),
        ("intfloat/multilingual-e5-large-instruct", NONE, NONE),
        ("BAAI/bge-base-en-v1.5", BGE, NONE),
        ("my-bge-small-en-tuned", NONE, NONE),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", ("query: ", ""), NONE),
        ("Snowflake/snowflake-arctic-embed-s", BGE, NONE),
        ("sentence-transformers/all-mpnet-base-v2", NONE, NONE),
        ("minilm", NONE, NONE),
    ],
)
def test_families_trained_with_prompts_get_them(name: str, search: tuple[str, str], names: tuple[str, str]) -> None:
    prompts = family_prompts(name)
    assert (prompts.pair("search"), prompts.pair("names")) == (search, names)


class TestWhereModelsAreFound:
    def test_a_short_name_is_found_in_the_folder_that_a_variable_names(
        self, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert local_folder("e5-multilingual") is None
        assert place_of("e5-multilingual") == ""
        shutil.copytree(tiny_model, tmp_path / "multilingual-e5-small")
        shutil.copytree(tiny_model, tmp_path / "ours")
        (tmp_path / "mpnet").mkdir()  # without weights
        monkeypatch.setenv("HONED_MODELS", str(tmp_path))
        for name in ("e5-multilingual", "e5-multilingual-small", "intfloat/multilingual-e5-small"):
            assert local_folder(name) == tmp_path / "multilingual-e5-small"
        assert resolve("ours").folder == tmp_path / "ours"
        assert resolve("e5-multilingual").source == place_of("ours") == "HONED_MODELS"
        assert local_folder("mpnet") is None
        assert local_folder("../ours") is None
        assert licence_of("e5-multilingual") == "MIT"

    def test_a_folder_of_that_name_is_meant_before_the_short_name(
        self, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(tiny_model, tmp_path / "mpnet")
        shutil.copytree(tiny_model, tmp_path / "minilm")
        monkeypatch.chdir(tmp_path)
        assert resolve("mpnet").source == "local folder"
        assert local_folder("minilm") != Path("minilm")

    def test_a_name_that_is_nowhere_is_an_error_with_a_hint(self) -> None:
        with pytest.raises(ConfigError, match=r"mpnt is not on disk and not to be had: .*; did you mean mpnet\?"):
            resolve("mpnt")
        with pytest.raises(ConfigError, match="sentence-transformers/all-mpnet-base-v2 is not on disk"):
            resolve("mpnet")


class TestPrompts:
    @pytest.mark.parametrize(("use", "pair"), [("search", E5), ("names", ("query: ", "query: "))])
    def test_a_folder_is_known_by_its_name(
        self, tiny_model: Path, tmp_path: Path, use: Use, pair: tuple[str, str]
    ) -> None:
        for name, stated in {
            "multilingual-e5-small": {},
            "e5-base": {"query": "query: ", "passage": "passage: "},
        }.items():
            folder = with_prompts(tiny_model, tmp_path / name, stated)
            assert model_prompts(str(folder), folder, use) == pair

    def test_what_a_folder_states_of_its_own_counts_for_every_use(self, tiny_model: Path, tmp_path: Path) -> None:
        folder = with_prompts(tiny_model, tmp_path / "e5-small", {"query": "ask: ", "document": ""})
        assert model_prompts("e5-small", folder, "names") == ("ask: ", "")
        other = with_prompts(tiny_model, tmp_path / "other", {"query": "ask: ", "passage": "text: "})
        assert model_prompts(str(other), other, "names") == ("ask: ", "text: ")

    def test_damaged_settings_state_nothing(self, tiny_model: Path, tmp_path: Path) -> None:
        folder = with_prompts(tiny_model, tmp_path / "other", {})
        for text in ("{", "[]", '{"prompts": 3}', '{"prompts": {"query": 3}}'):
            (folder / "config_sentence_transformers.json").write_text(text, encoding="utf-8")
            assert model_prompts(str(folder), folder, "search") == NONE

    def test_what_is_written_wins_and_none_can_be_said(self, tiny_model: Path, tmp_path: Path) -> None:
        folder = with_prompts(tiny_model, tmp_path / "e5-base", {})
        config = EncoderConfig(base=str(folder), prompts="names", document_prompt="name: ")
        done = completed(config, folder)
        assert (done.query_prompt, done.document_prompt) == ("query: ", "name: ")
        assert completed(done, folder) == done
        without = EncoderConfig(base=str(folder), prompts="none")
        assert (BaseModel(without).load().spec.query_prompt, without.document_prompt) == NONE

    def test_fingerprints_hold_the_prompts_that_are_used(self, tiny_model: Path, tmp_path: Path) -> None:
        folder = with_prompts(tiny_model, tmp_path / "e5-base", {})
        names, search, written = (
            BaseModel(EncoderConfig(base=str(folder), **settings)).identity()
            for settings in ({"prompts": "names"}, {}, {"prompts": "none", "query_prompt": "query: "})
        )
        assert (names["query_prompt"], names["document_prompt"]) == ("query: ", "query: ")
        assert (search["query_prompt"], search["document_prompt"]) == E5
        assert (written["query_prompt"], written["document_prompt"]) == ("query: ", "")
        assert BaseModel(EncoderConfig(base=str(folder), prompts="names")).load().spec.document_prompt == "query: "

    def test_a_model_without_prompts_is_named_as_before(self, tiny_model: Path) -> None:
        identities = [
            BaseModel(EncoderConfig(base=str(tiny_model), prompts=use)).identity() for use in ("auto", "names")
        ]
        assert identities[0] == identities[1]
        assert set(identities[0]) == {
            *("base", "max_length", "dim", "query_prompt", "document_prompt", "precision", "weights")
        }

    def test_pairs_to_try_are_those_that_anything_speaks_for(self, tiny_model: Path, tmp_path: Path) -> None:
        plain = completed(EncoderConfig(base=str(tiny_model)), tiny_model)
        assert other_pairs(plain, tiny_model) == {}
        folder = with_prompts(tiny_model, tmp_path / "e5-base", {"query": "query: ", "STS": "same: "})
        used = completed(EncoderConfig(base=str(folder), prompts="search"), folder)
        pairs = other_pairs(used, folder)
        assert (used.query_prompt, used.document_prompt) not in pairs.values()
        assert len(set(pairs.values())) == len(pairs)
        assert {("query: ", "query: "), ("", ""), ("same: ", "same: ")} <= set(pairs.values())


def test_a_speed_is_measured_once(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HONED_CACHE", str(tmp_path))
    source = BaseModel(EncoderConfig(base=str(tiny_model)))
    assert kept_speed(source) is None
    speed = machine_speed(source)
    assert speed.query_ms > 0
    assert speed.names > speed.passages > 0
    monkeypatch.setattr("honed.encode.probe.encode_speed", lambda _: pytest.fail("measured again"))
    assert machine_speed(source) == kept_speed(source) == speed
    (kept,) = tmp_path.rglob("*.json")
    kept.write_text("{", encoding="utf-8")
    assert kept_speed(source) is None


class TestPublishedModels:
    def test_multilingual_e5_has_one_prompt_for_names(self, real_model: Callable[[str], Path]) -> None:
        folder = real_model("multilingual-e5-small")
        for use, pair in (("names", ("query: ", "query: ")), ("search", E5)):
            spec = BaseModel(EncoderConfig(base=str(folder), prompts=use)).load().spec
            assert (spec.query_prompt, spec.document_prompt) == pair
            assert (spec.dim, spec.max_length, spec.pooling) == (384, 512, "mean")

    @pytest.mark.parametrize("name", ["mpnet", "e5-multilingual"])
    def test_the_registry_says_what_the_folder_says(
        self, name: str, real_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base = base_named(name)
        assert base is not None
        folder = real_model(base.folder_name)
        monkeypatch.setenv("HONED_MODELS", str(folder.parent))
        assert resolve(name).folder == folder
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
        assert size == pytest.approx(base.published_mb, rel=0.01)
        encoder = BaseModel(EncoderConfig(base=name, precision="fp32")).load()
        assert (encoder.spec.dim, encoder.spec.max_length, encoder.spec.pooling) == (
            *(base.dim, base.max_length),
            base.pooling,
        )
        vectors = encoder.encode(["Universidad de Guadalajara", "UdeG"], "query")
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)


def test_no_model_without_prompts_has_a_family() -> None:
    assert family_prompts("gte-small") == family_prompts("anything") == NO_PROMPTS
