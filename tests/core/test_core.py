import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honed.core.artifacts import MANIFEST, Artifact, ArtifactStore, StageKey
from honed.core.errors import ArtifactError, ConfigError
from honed.core.fingerprint import fingerprint
from honed.core.optional import require
from honed.core.records import EncoderSpec, Run
from honed.core.sections import limits, named, read_section, table_of
from honed.core.text import bare, fold, fold_accents, invisible_names, is_blank, looks_like_acronym, script

KEY = StageKey(stage="import", version=1, config={"a": 1}, inputs={})


def store_with(tmp_path: Path) -> ArtifactStore:
    store = ArtifactStore(tmp_path)
    with store.staging(KEY) as folder:
        (folder / "data.txt").write_text("hello")
        store.commit(KEY, folder, {"n": 1}, Artifact)
    return store


def test_an_artifact_is_found_after_commit_and_holds_its_facts(tmp_path: Path) -> None:
    found = store_with(tmp_path).find(KEY, Artifact)
    assert found is not None
    assert found.path("data.txt").read_text() == "hello"
    assert found.manifest.facts == {"n": 1}
    assert found.manifest.stage == "import.v1"


def test_a_folder_without_manifest_is_no_artifact(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    (store.folder(KEY) / MANIFEST).unlink()
    assert store.find(KEY, Artifact) is None


def test_a_staging_folder_is_not_found_and_stays_after_an_error(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    with pytest.raises(RuntimeError), store.staging(KEY) as folder:
        (folder / "half").write_text("x")
        raise RuntimeError
    assert store.find(KEY, Artifact) is None
    assert (folder / "half").read_text() == "x"


def test_an_artifact_that_is_made_anew_is_there_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_with(tmp_path)

    def die(*_: object) -> None:
        found = store.find(KEY, Artifact)
        assert found is not None
        found.verify()
        raise KeyboardInterrupt

    monkeypatch.setattr(type(tmp_path), "rename", die)
    with pytest.raises(KeyboardInterrupt), store.staging(KEY) as folder:
        (folder / "data.txt").write_text("again")
        store.commit(KEY, folder, {"n": 2}, Artifact)
    found = store.find(KEY, Artifact)
    assert found is not None
    assert found.path("data.txt").read_text() == "again"


def test_the_models_that_artifacts_speak_of_are_known_by_their_weights(tmp_path: Path) -> None:
    store = store_with(tmp_path)
    key = StageKey(stage="index", version=1, config={"model": {"base": "b", "weights": "w1"}}, inputs={})
    with store.staging(key) as folder:
        store.commit(key, folder, {"tried": {"spec": {"weights": "w2"}}}, Artifact)
    (tmp_path / "index" / "odd").mkdir()
    (tmp_path / "index" / "odd" / MANIFEST).write_text("{")
    assert store.weights() == {"w1", "w2"}


def test_a_changed_byte_is_named(tmp_path: Path) -> None:
    found = store_with(tmp_path).find(KEY, Artifact)
    assert found is not None
    found.verify()
    (found.folder / "data.txt").write_text("hellp")
    with pytest.raises(ArtifactError, match=r"data\.txt: bytes differ"):
        found.verify()


@pytest.mark.parametrize(
    "other",
    [
        StageKey(stage="check", version=1, config={"a": 1}, inputs={}),
        StageKey(stage="import", version=2, config={"a": 1}, inputs={}),
        StageKey(stage="import", version=1, config={"a": 2}, inputs={}),
        StageKey(stage="import", version=1, config={"a": 1}, inputs={"x": "y"}),
    ],
)
def test_the_key_changes_with_every_part(other: StageKey) -> None:
    assert other.key != KEY.key


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()))
def test_a_fingerprint_ignores_order_and_sees_every_change(value: dict[str, object]) -> None:
    assert fingerprint(value) == fingerprint(dict(reversed(value.items())))
    assert fingerprint(value) != fingerprint({**value, "one more": 1})


def test_a_fingerprint_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fingerprint({"x": float("nan")})


def test_folding_makes_the_same_text_the_same() -> None:
    assert fold("  Ｒefund\u00a0 Now ") == "refund now"
    assert fold("cafe\u0301") == fold("café")
    assert fold_accents("Universität México") == "universitat mexico"
    assert bare("St. Mary's  (USA)") == "st mary s usa"


@pytest.mark.parametrize(("text", "blank"), [("", True), ("\u200b\u00a0\ufeff", True), (" a", False), ("0", False)])
def test_blank_means_that_nothing_can_be_seen(text: str, blank: bool) -> None:
    assert is_blank(text) is blank


def test_invisible_characters_are_named() -> None:
    assert invisible_names("a\u200b\ufeff") == "U+200B U+FEFF"


@pytest.mark.parametrize(
    ("text", "kind"),
    [("東京大学", "han"), ("МГУ", "cyrillic"), ("Oxford", "latin"), ("123", "none"), ("جامعة", "arabic")],
)
def test_the_script_of_a_text(text: str, kind: str) -> None:
    assert script(text) == kind


@pytest.mark.parametrize("text", ["MIT", "UdeG", "U.C.L.A.", "ETHZ", "UC3M", "hku"[0:0] + "KTH"])
def test_acronyms_are_seen(text: str) -> None:
    assert looks_like_acronym(text)


@pytest.mark.parametrize("text", ["Oxford", "Penn State", "todai", "", "A", "Universidad"])
def test_names_are_no_acronyms(text: str) -> None:
    assert not looks_like_acronym(text)


@dataclass(frozen=True, kw_only=True)
class Example:
    epochs: int = field(default=1, metadata=limits(low=1, high=9))
    rate: float = 0.1
    mode: str = field(default="fast", metadata=limits(one_of=("fast", "slow")))
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"epoch": 3}, "train.epoch: unknown key; did you mean epochs"),
        ({"epochs": "3"}, "train.epochs: expected int, got str '3'"),
        ({"epochs": True}, "train.epochs: expected int, got bool"),
        ({"epochs": 99}, "train.epochs: 99 is out of range; allowed: 1 to 9"),
        ({"rate": float("nan")}, "train.rate: nan is not a finite number"),
        ({"mode": "fats"}, "'fats' is not one of fast, slow; did you mean fast"),
        ({"names": [1]}, "train.names: expected str, got int"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_section(Example, table, "train", "honed.toml")
    assert message in str(caught.value)


def test_whole_numbers_serve_as_floats_and_single_values_as_lists() -> None:
    found = read_section(Example, {"rate": 1, "names": "x"}, "train", "honed.toml")
    assert found.rate == 1.0
    assert found.names == ("x",)


def test_an_encoder_spec_survives_the_disk_and_refuses_odd_fields() -> None:
    spec = EncoderSpec(weights="w", pooling="mean", normalize=True, dim=3, max_length=9, query_prompt="query: ")
    assert EncoderSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec
    assert spec.prompt("query") == "query: "
    with pytest.raises(ArtifactError, match="extra"):
        EncoderSpec.from_dict({**spec.as_dict(), "extra": 1})


def test_a_run_is_sorted_with_ties_by_document() -> None:
    run = Run.sorted("x", {"q": [("b", 1.0), ("a", 1.0), ("c", 2.0)]})
    assert [doc for doc, _ in run.hits["q"]] == ["c", "a", "b"]


def test_a_missing_part_prints_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.core.optional.find_spec", lambda _: None)
    with pytest.raises(Exception, match=r"pip install 'honed\[train\]'"):
        require("fine-tuning")


def test_a_key_that_is_a_word_of_python_goes_there_and_back() -> None:
    @dataclass(frozen=True)
    class Section:
        start: str = field(default="", metadata=named("from"))
        n: int = 1

    read = read_section(Section, {"from": "here"}, "train", "honed.toml")
    assert read == Section(start="here")
    assert table_of(read) == {"from": "here", "n": 1}
    with pytest.raises(ConfigError, match=r"train\.start: unknown key.*from, n"):
        read_section(Section, {"start": "here"}, "train", "honed.toml")
