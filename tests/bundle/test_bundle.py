import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from honed import Project, Searcher
from honed.bundle import seal
from honed.bundle.facts import Parity
from honed.bundle.load import load_bundle, read_manifest
from honed.core.errors import ArtifactError, ConfigError
from honed.project.export import ExportOptions, export_bundle
from honed.project.parity import BOUNDS, check_parity, compare
from tests.shipped import reseal

QUERIES = ["university", "college of x", "UM", "politecnico", "an unknown name"]
Forge = Callable[..., Path]


@pytest.mark.parametrize("direction", ["alias-to-label", "label-to-alias"])
def test_a_bundle_answers_as_the_trained_model_does(project: Project, made: Path, direction: str) -> None:
    ours, trained = Searcher.load(made), project.searcher()
    for left, right in zip(
        ours.search_many(QUERIES, 10, direction=direction),
        trained.search_many(QUERIES, 10, direction=direction),
        strict=True,
    ):
        assert len({(hit.doc_id, hit.text) for hit in left} & {(hit.doc_id, hit.text) for hit in right}) >= 9
        assert abs(left[0].score - right[0].score) < 1e-4
        assert left[0].fields == right[0].fields or left[0].text != right[0].text


@pytest.mark.parametrize("engine", ["numpy", "onnxruntime"])
def test_every_engine_gives_the_trained_models_vectors(project: Project, made: Path, engine: str) -> None:
    exact = project.searcher().encoder.encode(QUERIES, "query")
    found = Searcher.load(made, engine=engine)
    assert np.abs(found.encoder.encode(QUERIES, "query") - exact).max() < 1e-5
    assert found.encoder.engine == engine


def test_an_engine_of_another_package_answers(made: Path, with_plugins: Callable[[str], str]) -> None:
    code = f"""
from honed import Searcher
searcher = Searcher.load({str(made)!r}, engine="mirror")
searcher.search("a")
print(searcher.encoder.engine)
"""
    assert with_plugins(code) == "mirror"
    with pytest.raises(
        ArtifactError, match="engine 'mirror' is not one of auto, numpy, onnxruntime, onnxruntime-fp32, openvino"
    ):
        Searcher.load(made, engine="mirror")


def test_a_bundle_answers_without_a_look_at_the_installed_packages(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: str) -> None:
        raise AssertionError("looked at the installed packages")

    monkeypatch.setattr("importlib.metadata.entry_points", refuse)
    for engine in ("auto", "onnxruntime"):
        assert Searcher.load(made, engine=engine).search("a", k=1)


def test_the_fast_engine_takes_over_and_the_answers_stay(made: Path) -> None:
    searcher = Searcher.load(made)
    assert searcher.encoder.engine == "numpy"
    first = searcher.search_many(QUERIES, 5)
    assert searcher.warm() == "onnxruntime"
    for left, right in zip(first, searcher.search_many(QUERIES, 5), strict=True):
        assert [hit.doc_id for hit in left] == [hit.doc_id for hit in right]
        assert [hit.score for hit in left] == pytest.approx([hit.score for hit in right], abs=1e-5)


def test_many_texts_at_once_load_the_fast_engine(made: Path) -> None:
    searcher = Searcher.load(made)
    searcher.search_many([f"name {number}" for number in range(40)], 2)
    assert searcher.encoder.engine == "onnxruntime"


def test_an_int8_bundle_is_small_and_near(project: Project, made: Path, made_int8: Path) -> None:
    exact = project.searcher().encoder.encode(QUERIES, "query")
    found = {}
    for engine in ("numpy", "onnxruntime", "onnxruntime-fp32"):
        found[engine] = Searcher.load(made_int8, engine=engine).encoder.encode(QUERIES, "query")
        assert (found[engine] * exact).sum(axis=1).min() > 0.99
    assert np.abs(found["onnxruntime-fp32"] - found["numpy"]).max() < 1e-5  # both widen the weights
    vectors = "index/vectors.safetensors"
    assert (made_int8 / vectors).stat().st_size < 0.4 * (made / vectors).stat().st_size
    assert read_manifest(made_int8).parity.mean_cosine > BOUNDS["int8"][1]


def test_a_bf16_bundle_is_near(project: Project, tmp_path: Path) -> None:
    folder = export_bundle(project, tmp_path / "b", ExportOptions(precision="bf16", most_flips=0.1))
    exact = project.searcher().encoder.encode(QUERIES, "query")
    for engine in ("numpy", "onnxruntime"):
        found = Searcher.load(folder, engine=engine).encoder.encode(QUERIES, "query")
        assert (found * exact).sum(axis=1).min() > 0.999


def test_openvino_answers_from_the_same_bundle(project: Project, made: Path) -> None:
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    exact = project.searcher().encoder.encode(QUERIES, "query")
    searcher = Searcher.load(made, engine="openvino")
    assert searcher.warm() == "openvino"
    assert (searcher.encoder.encode(QUERIES, "query") * exact).sum(axis=1).min() > 0.998


def test_a_bundle_that_answers_otherwise_is_not_written(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"E_PARITY.*top-1 answers differ \(allowed 0 %; "):
        export_bundle(project, tmp_path / "b", ExportOptions(precision="int8", most_flips=0.0))
    assert not list(tmp_path.iterdir())


def test_few_queries_are_judged_by_what_they_prove() -> None:
    found = Parity(
        n_queries=165,
        engine="",
        top1_flips=round(1 / 165, 5),
        top1_ties=0.0,
        top10_overlap=1.0,
        mean_cosine=1.0,
        min_cosine=1.0,
        largest_top1_score_difference=0.0,
    )
    check_parity(found, *BOUNDS["fp32"])  # 0.6 % of 165 may well be less than 0.5 % of all
    with pytest.raises(ArtifactError, match="E_PARITY"):
        check_parity(replace(found, n_queries=20_000), *BOUNDS["fp32"])
    with pytest.raises(ArtifactError, match="E_PARITY"):
        check_parity(replace(found, top1_flips=8 / 165), *BOUNDS["fp32"])
    with pytest.raises(ArtifactError, match="mean cosine"):
        check_parity(replace(found, mean_cosine=0.99), *BOUNDS["fp32"])


def test_labels_of_one_score_are_a_tie_and_no_flip() -> None:
    labels = np.eye(3, 4, dtype=np.float32)
    labels[1] = labels[0]  # two labels with one vector
    query = np.array([[0.8, 0.1, 0.1, 0.0]], dtype=np.float32)
    query /= np.linalg.norm(query)

    class Model:
        def encode(self, texts: list[str], role: str) -> np.ndarray:
            return np.repeat(query, len(texts), axis=0)

    def shipped(first: int) -> Any:
        rows = np.array([[first, *(row for row in range(3) if row != first)]])
        return SimpleNamespace(encoder=Model(), search_labels=lambda vectors, k: (vectors @ labels[rows[0]].T, rows))

    tie, flip = (compare(Model(), labels, shipped(first), ["a text"]) for first in (1, 2))
    assert (tie.top1_flips, tie.top1_ties) == (0.0, 1.0)
    assert (flip.top1_flips, flip.top1_ties) == (1.0, 0.0)


def test_a_bundle_knows_its_entities(project: Project, made: Path) -> None:
    key = project.searcher().search("university", k=1)[0].doc_id
    assert Searcher.load(made).entity(key) == project.searcher().entity(key)
    with pytest.raises(ConfigError, match="no entity 'nobody'"):
        Searcher.load(made).entity("nobody")


def test_answering_from_a_bundle_imports_nothing_heavy(made: Path) -> None:
    code = (
        "import sys; from honed import Searcher; s = Searcher.load(sys.argv[1]); hits = s.search('university', k=2); "
        "assert len(hits) == 2; s.warm(); s.search('college'); heavy = ('torch', 'transformers', "
        "'sentence_transformers', 'pandas', 'pyarrow', 'scipy', 'sklearn', 'faiss', 'onnx', 'requests', 'urllib3', "
        "'huggingface_hub'); print([name for name in heavy if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code, str(made)], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_manifest_says_what_is_inside(made: Path) -> None:
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["format"] == "honed-bundle"
    assert set(manifest["files"]) == {
        "model/model.onnx",
        "model/tokenizer.json",
        "index/vectors.safetensors",
        "index/names.safetensors",
        "golden.safetensors",
        "records.parquet",
        "report.html",
        "report.json",
    }
    assert manifest["measures"]["protocol"] == "held-out"
    assert {"import", "check", "train", "index", "evaluate"} < set(manifest["fingerprints"])
    assert manifest["licences"] == {"base model": "not stated", "data": "not stated"}
    assert manifest["parity"]["top1_flips"] <= BOUNDS["fp32"][0]
    assert manifest["parity"]["top10_overlap"] > 0.99


def test_the_records_are_a_table_for_anyone(made: Path, project: Project) -> None:
    import pyarrow.parquet as pq

    rows = pq.read_table(made / "records.parquet", page_checksum_verification=True).to_pylist()
    searcher = Searcher.load(made)
    assert len(rows) == 150
    assert rows[7]["aliases"] == searcher.entity(rows[7]["entity_id"])["aliases"]


def test_every_changed_byte_is_refused_by_file_name(bundle: Path) -> None:
    random = np.random.default_rng(0)
    for name in [*json.loads((bundle / "manifest.json").read_text())["files"], "manifest.json"]:
        path = bundle / name
        whole = path.read_bytes()
        for at in random.integers(0, len(whole), 4):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            with pytest.raises(ArtifactError, match=path.name):
                load_bundle(bundle)
        path.write_bytes(whole[:-1])
        with pytest.raises(ArtifactError, match=path.name):
            load_bundle(bundle)
        path.write_bytes(whole)
    load_bundle(bundle)


def test_files_that_are_missing_or_foreign_are_refused(bundle: Path) -> None:
    (bundle / "extra.py").write_text("raise SystemExit")
    with pytest.raises(ArtifactError, match=r"extra.py: extra.py is no file of a bundle|extra.py is not in"):
        load_bundle(bundle)
    (bundle / "extra.py").unlink()
    (bundle / "index" / "vectors.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"vectors.safetensors: missing"):
        load_bundle(bundle)


def test_links_are_not_followed(bundle: Path, tmp_path: Path) -> None:
    name = Path("index") / "names.safetensors"
    shutil.move(bundle / name, tmp_path / "outside")
    (bundle / name).symlink_to(tmp_path / "outside")
    with pytest.raises(ArtifactError, match="is a link"):
        load_bundle(bundle)
    (bundle / name).unlink()
    os.link(tmp_path / "outside", bundle / name)
    with pytest.raises(ArtifactError, match="hard link"):
        load_bundle(bundle)
    shutil.rmtree(bundle / "index")
    (tmp_path / "elsewhere").mkdir()
    (bundle / "index").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="is a link"):
        load_bundle(bundle)


def test_a_link_to_a_whole_bundle_is_followed(made: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(made)
    assert Searcher.load(tmp_path / "current").search("university", k=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "reads honed-bundle version 2"),
        ({"format": "honed-bundle-x"}, "reads honed-bundle version 2"),
        ({"files": {"../../etc/passwd": {"sha256": "", "size": 1}}}, "outside the bundle"),
        ({"files": {"/etc/passwd": {"sha256": "", "size": 1}}}, "outside the bundle"),
        ({"files": []}, "the list of files"),
        ({"files": {"a": 1}}, "the list of files"),
        ({"spec": {}}, "missing or unknown fields"),
        ({"index": {}}, "cannot be read"),
        ({"precision": None, "model": {}}, "cannot be read"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(bundle: Path, change: dict[str, Any], message: str) -> None:
    manifest = {**json.loads((bundle / "manifest.json").read_text()), **change}
    manifest["self"] = seal.self_hash(manifest)
    (bundle / "manifest.json").write_bytes(seal.manifest_bytes(manifest))
    with pytest.raises(ArtifactError, match=message):
        load_bundle(bundle)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no manifest.json: not a whole bundle"):
        Searcher.load(tmp_path)
    with pytest.raises(ArtifactError, match="no such bundle"):
        Searcher.load(tmp_path / "nowhere")


def test_an_index_artifact_does_not_pass_for_a_bundle(project: Project, tmp_path: Path) -> None:
    """It would name an encoder outside the folder, and ask for no signature."""
    with pytest.raises(ArtifactError, match="E_BUNDLE"):
        Searcher.load(project.runner.latest_of("index").folder, public_key=tmp_path / "no.pem")


@pytest.mark.parametrize("engine", ["auto", "onnxruntime", "openvino"])
def test_a_changed_model_reaches_no_engine(bundle: Path, engine: str) -> None:
    data = (bundle / "model" / "model.onnx").read_bytes()
    (bundle / "model" / "model.onnx").write_bytes(data.replace(b"MatMul", b"MatMuX", 1))
    with pytest.raises(ArtifactError, match="E_BUNDLE_CHECKSUM"):
        load_bundle(bundle, engine=engine)


def test_a_graph_that_no_engine_can_read_is_unfit(bundle: Path) -> None:
    data = (bundle / "model" / "model.onnx").read_bytes()
    (bundle / "model" / "model.onnx").write_bytes(data.replace(b"MatMul", b"MatMuX", 1))
    reseal(bundle)
    with pytest.raises(ArtifactError, match="onnxruntime cannot read it"):
        load_bundle(bundle, engine="onnxruntime")


def test_the_fast_engine_reads_what_was_checked_whatever_happens_to_the_place(made: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(made)
    searcher = Searcher.load(tmp_path / "current")
    (tmp_path / "current").unlink()
    (tmp_path / "current").mkdir()
    assert searcher.warm() == "onnxruntime"
    assert searcher.source.report.startswith(b"<!doctype html>")


def test_numpy_goes_on_alone_where_no_fast_engine_is(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ConfigError("E_MISSING_PART", "no engine")

    monkeypatch.setattr("honed.encode.graph_encoder.GraphEncoder.load", missing)
    searcher = Searcher.load(made)
    assert len(searcher.search_many(["a name"] * 40, 2)) == 40
    assert searcher.encoder.engine == "numpy"


def test_a_tokenizer_that_swells_texts_is_refused_however_it_is_spelled(bundle: Path) -> None:
    path = bundle / "model" / "tokenizer.json"
    content = json.loads(path.read_text())
    swell = {"type": "Replace", "pattern": {"String": "\u2603"}, "content": "b" * 1_000_000}
    content["normalizer"] = {"normalizers": [swell, swell]}
    path.write_text(json.dumps(content))
    reseal(bundle)
    with pytest.raises(ArtifactError, match=r"E_BUNDLE_TOKENIZER.*Replace: would make text"):
        load_bundle(bundle)
    content["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAAAAAA"}
    path.write_text(json.dumps(content))
    reseal(bundle)
    with pytest.raises(ArtifactError, match=r"E_BUNDLE_TOKENIZER.*does not fit its size"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    "change",
    [
        {"max_length": -1},
        {"max_length": 10**9},
        {"dim": 7},
        {"backend": "bogus"},
        {"num_attention_heads": 0},
        {"weights": []},
        {"precision": "fp7"},
    ],
)
def test_settings_that_make_no_sense_are_refused(bundle: Path, change: dict[str, Any]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    for key, value in change.items():
        for place in (manifest, manifest["spec"], manifest["index"], manifest["model"]["numpy"]):
            if key in place and key != "weights":
                place[key] = value
        if key == "num_attention_heads":
            manifest["model"]["numpy"]["config"][key] = value
        if key == "weights":
            manifest["model"]["numpy"][key] = value
    manifest["self"] = seal.self_hash(manifest)
    (bundle / "manifest.json").write_bytes(seal.manifest_bytes(manifest))
    with pytest.raises(ArtifactError, match=r"E_BUNDLE|E_INDEX"):
        load_bundle(bundle)


def test_a_manifest_of_odd_numbers_is_refused(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    for odd in ('"version": NaN', '"version": "\\ud800"'):
        (bundle / "manifest.json").write_text(text.replace('"version": 2', odd))
        with pytest.raises(ArtifactError, match="E_BUNDLE"):
            load_bundle(bundle)


@pytest.mark.parametrize(
    ("file", "name", "change"),
    [
        ("index/vectors.safetensors", "vectors", lambda array: array.astype(np.float16)),
        ("index/names.safetensors", "kinds_of", lambda array: array.astype(np.float32)),
        ("index/names.safetensors", "text", lambda array: np.full_like(array, 255)),
        ("golden.safetensors", "rows", lambda array: array + 10**6),
    ],
)
def test_arrays_of_another_kind_are_refused(bundle: Path, file: str, name: str, change: Any) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(bundle / file)
    save_file({**tensors, name: np.ascontiguousarray(change(tensors[name]))}, bundle / file)
    reseal(bundle)
    with pytest.raises(ArtifactError, match="E_BUNDLE"):
        load_bundle(bundle)


def test_a_link_and_a_foreign_zip_are_not_written_over(project: Project, made: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(made)
    with pytest.raises(ArtifactError, match="is a link; write to a folder of its own"):
        export_bundle(project, tmp_path / "current")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("holiday.jpg", b"x")
    with pytest.raises(ArtifactError, match="is no bundle; it is not replaced"):
        export_bundle(project, tmp_path / "photos.zip")
    assert zipfile.ZipFile(tmp_path / "photos.zip").namelist() == ["holiday.jpg"]


def test_an_encoder_that_answers_otherwise_here_is_refused(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("honed.encode.numpy_encoder._gelu", lambda values: np.maximum(values, 0))
    with pytest.raises(ArtifactError, match=r"E_BUNDLE_SELFTEST: golden vectors: numpy gives other vectors here"):
        load_bundle(bundle)


def test_an_old_bundle_is_replaced_and_anything_else_is_not(project: Project, bundle: Path, tmp_path: Path) -> None:
    export_bundle(project, bundle)
    load_bundle(bundle)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(ArtifactError, match="is no bundle; it is not replaced"):
        export_bundle(project, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
    with pytest.raises(ConfigError, match="name a new folder"):
        export_bundle(project, tmp_path / "mine" / "thesis.txt")


@pytest.mark.parametrize(
    "index", [{"backend": "hnsw"}, {"backend": "composed", "codes": "rabitq", "nlist": 4, "nprobe": 4}]
)
def test_an_index_cache_is_used_and_made_anew_when_it_does_not_fit(
    project: Project, tmp_path: Path, index: dict[str, Any]
) -> None:
    pytest.importorskip("faiss")
    settings = project.runner.latest_of("index").folder / "index.json"
    before = settings.read_text()
    settings.write_text(json.dumps({**json.loads(before), **index}))
    try:
        folder = export_bundle(project, tmp_path / "b")
    finally:
        settings.write_text(before)
    exact = Searcher.load(tmp_path / "b")
    assert load_bundle(folder).index_cache is not None
    wanted = [[hit.doc_id for hit in hits] for hits in exact.search_many(QUERIES, 3)]
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["index"]["cache"]["vectors"] = "0" * 64
    manifest["self"] = seal.self_hash(manifest)
    (folder / "manifest.json").write_bytes(seal.manifest_bytes(manifest))
    assert load_bundle(folder).index_cache is None
    assert [[hit.doc_id for hit in hits] for hits in Searcher.load(folder).search_many(QUERIES, 3)] == wanted


class TestZip:
    def test_a_zip_answers_as_its_folder(self, project: Project, made: Path, tmp_path: Path) -> None:
        packed = export_bundle(project, tmp_path / "b.zip")
        assert Searcher.load(packed).search("university", k=3) == Searcher.load(made).search("university", k=3)
        assert read_manifest(packed).data["format"] == "honed-bundle"

    @pytest.mark.parametrize(
        ("name", "code"),
        [("../outside.json", "E_BUNDLE_PATH"), ("/outside.json", "E_BUNDLE_PATH"), ("a\\b.json", "E_BUNDLE_PATH")],
    )
    def test_a_member_that_leads_outside_is_refused(self, tmp_path: Path, name: str, code: str) -> None:
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            archive.writestr(name, "{}")
        with pytest.raises(ArtifactError, match=code):
            load_bundle(tmp_path / "b.zip")
        assert not (tmp_path / "outside.json").exists()

    @pytest.mark.parametrize("damage", ["stream", "method", "cut", "clash"])
    def test_a_damaged_zip_is_an_error_of_one_line(self, tmp_path: Path, damage: str) -> None:
        path = tmp_path / "b.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a", b"some text " * 100)
            if damage == "clash":
                archive.writestr("a/b", b"x")
        data = bytearray(path.read_bytes())
        if damage == "stream":
            data[40:44] = b"\xff\xff\xff\xff"
        elif damage == "method":
            at = data.rindex(b"PK\x01\x02")
            data[at + 10] = 99
        elif damage == "cut":
            data = data[: len(data) // 2]
        path.write_bytes(bytes(data))
        with pytest.raises(ArtifactError, match="E_ARCHIVE"):
            load_bundle(path)

    def test_a_link_in_a_zip_is_refused(self, tmp_path: Path) -> None:
        member = zipfile.ZipInfo("manifest.json")
        member.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            archive.writestr(member, "/etc/passwd")
        with pytest.raises(ArtifactError, match="is no plain file"):
            load_bundle(tmp_path / "b.zip")

    def test_a_zip_that_swells_is_refused(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("manifest.json", b"\0" * (200 << 20))
        with pytest.raises(ArtifactError, match="hundredfold"):
            load_bundle(tmp_path / "b.zip")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key."""
    pytest.importorskip("cryptography", reason="the extra sign is not installed")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = Ed25519PrivateKey.generate()
    (tmp_path / "private.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    return tmp_path / "private.pem", tmp_path / "public.pem"


class TestSignature:
    def test_a_signed_bundle_is_known_by_its_key(
        self, project: Project, made: Path, keys: tuple[Path, Path], tmp_path: Path
    ) -> None:
        signed = export_bundle(project, tmp_path / "b", ExportOptions(private_key=keys[0]))
        assert Searcher.load(signed, public_key=keys[1]).search("university", k=1)
        with pytest.raises(ArtifactError, match="a signature is required"):
            Searcher.load(made, public_key=keys[1])
        reseal(signed, title="forged")
        with pytest.raises(ArtifactError, match="does not match the manifest"):
            Searcher.load(signed)

    def test_a_signature_of_another_key_is_refused(
        self, project: Project, keys: tuple[Path, Path], tmp_path: Path
    ) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        other = tmp_path / "other.pem"
        key = Ed25519PrivateKey.generate()
        other.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        signed = export_bundle(project, tmp_path / "b", ExportOptions(private_key=other))
        assert Searcher.load(signed)
        with pytest.raises(ArtifactError, match="signed by another key"):
            Searcher.load(signed, public_key=keys[1])


def test_a_hub_folder_gives_the_same_vectors_and_has_a_card(project: Project, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    from honed.project.hub import export_hub

    folder = export_hub(project, tmp_path / "hub")
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    found = model.encode(QUERIES, prompt_name="query", normalize_embeddings=True)
    assert np.abs(found - project.searcher().encoder.encode(QUERIES, "query")).max() < 1e-5
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: sentence-transformers")
    assert "protocol held-out" in card
    assert "| fine-tuned |" in card
    assert not (folder / "honed_spec.json").exists()
    with pytest.raises(ConfigError, match="name a new folder"):
        export_hub(project, folder)


def test_prompts_are_part_of_what_a_bundle_answers(
    tmp_path: Path, tiny_model: Path, institutions: list[dict[str, str]]
) -> None:
    from tests.conftest import write_project

    base = f'{tiny_model.as_posix()}"\nprecision = "fp32"\nquery_prompt = "query: "\ndocument_prompt = "passage: '
    prompted = Project(write_project(tmp_path, institutions, base, n_entities=80))
    prompted.run(until="index")
    searcher = Searcher.load(export_bundle(prompted, tmp_path / "b"))
    exact = prompted.searcher().encoder
    for engine in ("numpy", "onnxruntime"):
        ours = Searcher.load(tmp_path / "b", engine=engine).encoder
        for role in ("query", "document"):
            assert np.abs(ours.encode(QUERIES, role) - exact.encode(QUERIES, role)).max() < 1e-5
    assert not np.allclose(searcher.encoder.encode(["x"], "query"), searcher.encoder.encode(["x"], "document"))
    assert read_manifest(tmp_path / "b").data["measures"] is None
