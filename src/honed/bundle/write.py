"""Writes bundles: beside their place, checked as they will be loaded, then put there."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from honed.bundle import load as bundle
from honed.bundle import seal
from honed.bundle.archive import pack
from honed.bundle.names import ALIAS, KINDS, LABEL, Name, NameTable
from honed.core.errors import ArtifactError
from honed.core.protocols import Vectors
from honed.core.records import EncoderSpec
from honed.encode.graph_encoder import GraphEncoder
from honed.index.backends import build_index, tensors_of
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors

N_GOLDEN = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleContent:
    """What goes into a bundle.

    ``model`` is an aligned ONNX file, ``numpy`` names its weights for the numpy engine; ``vectors`` are those of
    ``texts``; ``names`` are (row of ``texts``, row of ``entities``, kind); ``entities`` are (id, label, fields);
    ``files`` are more files by name, such as the report; ``hybrid`` is what it holds as plain data and as tensors,
    ``reranker`` an ONNX file, its tokenizer and facts, ``max_length`` among them.
    """

    model: bytes
    precision: str
    numpy: Mapping[str, Any] | None
    tokenizer: str
    spec: EncoderSpec
    vectors: Vectors
    texts: Sequence[str]
    names: Sequence[Name]
    entities: Sequence[tuple[str, str, Mapping[str, str]]]
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    files: Mapping[str, bytes]
    hybrid: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
    reranker: tuple[bytes, str, Mapping[str, Any]] | None = None
    private_key: bytes | None = None


def write_bundle(
    target: Path,
    content: BundleContent,
    parity: Callable[[Path], Mapping[str, Any]] | None = None,
    teach: Callable[[Path], tuple[Mapping[str, Any], Mapping[str, Any]]] | None = None,
) -> Path:
    """Write a bundle (a zip when the name ends so); an existing bundle is replaced only when all is written.

    It is loaded once as a user would, with both engines, before it takes its place. ``teach`` returns the data of its
    hybrid, learned again with the bundle's own vectors and engine, and facts; those and what ``parity`` returns are
    noted in the manifest. Raises `ArtifactError` when it does not load, or when the target is there and no bundle.
    """
    is_zip = target.suffix == ".zip"
    if target.is_symlink():
        raise ArtifactError("E_OUT", f"{target}: is a link; write to a folder of its own, then turn the link")
    if target.exists() and not seal.is_bundle(target):
        raise ArtifactError("E_NOT_A_BUNDLE", f"{target}: exists and is no bundle; it is not replaced")
    beside = target.with_name(f".{target.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        manifest = _write_files(beside, content)
        bundle.load_bundle(beside).encoder.warm()
        if content.hybrid is not None and teach is not None:
            data, facts = teach(beside)
            (beside / bundle.FUSED).write_text(json.dumps(data), encoding="utf-8")
            files = {**manifest["files"], bundle.FUSED: seal.file_entry(beside / bundle.FUSED)}
            manifest = _write_manifest(beside, {**manifest, "files": files, "hybrid": facts}, content)
        if parity is not None:
            _write_manifest(beside, {**manifest, "parity": parity(beside)}, content)
        if is_zip:
            return pack(beside, target)
        if target.exists():
            old = target.with_name(f".{target.name}.old")
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
            beside.rename(target)
            shutil.rmtree(old)
        else:
            beside.rename(target)
        return target
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_files(folder: Path, content: BundleContent) -> dict[str, Any]:
    from safetensors.numpy import save_file

    (folder / "model").mkdir(parents=True)
    (folder / "index").mkdir()
    (folder / bundle.MODEL).write_bytes(content.model)
    (folder / bundle.TOKENIZER).write_text(content.tokenizer, encoding="utf-8")
    texts, names, vectors = _labels_first(content)
    table = NameTable.build(texts, names, content.entities)
    stored = StoredVectors.quantised(vectors) if content.precision == "int8" else StoredVectors(vectors)
    save_file(stored.tensors(), str(folder / bundle.VECTORS))
    save_file({key: np.ascontiguousarray(each) for key, each in table.tensors.items()}, str(folder / bundle.NAMES))
    _write_records(folder / bundle.RECORDS, content, table)
    save_file(_golden(folder, content, texts), str(folder / bundle.GOLDEN))
    for name, each in content.files.items():
        (folder / name).write_bytes(each)
    index = {**content.settings, "records": seal.file_entry(folder / bundle.RECORDS)["sha256"]}
    settings = IndexSettings.from_manifest(index)
    searched = table.rows_of(LABEL if index["names"] == "labels" else LABEL | ALIAS)
    if settings.backend not in ("flat", "exact") and (
        ann := tensors_of(build_index(stored.subset(searched), settings))
    ):
        save_file({name: np.ascontiguousarray(each) for name, each in ann.items()}, str(folder / bundle.ANN))
        index["cache"] = bundle.cache_key(index, seal.file_entry(folder / bundle.VECTORS)["sha256"])
    if content.reranker is not None:
        (folder / bundle.RERANKER).write_bytes(content.reranker[0])
        (folder / bundle.RERANKER_TOKENIZER).write_text(content.reranker[1], encoding="utf-8")
    if content.hybrid is not None:
        data, tensors = content.hybrid
        (folder / bundle.FUSED).write_text(json.dumps(data), encoding="utf-8")
        save_file(
            {key: np.ascontiguousarray(each) for key, each in tensors.items()}, str(folder / bundle.FUSED_TENSORS)
        )
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)
    files = {
        path.relative_to(folder).as_posix(): seal.file_entry(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    manifest: dict[str, Any] = {
        "format": seal.FORMAT,
        "version": seal.VERSION,
        "precision": content.precision,
        "spec": content.spec.as_dict(),
        "model": {"file": bundle.MODEL, "numpy": content.numpy},
        "index": index,
        **({"reranker": dict(content.reranker[2])} if content.reranker else {}),
        "counts": {"entities": len(content.entities), "names": len(names), "texts": len(texts)},
        **content.facts,
        "files": files,
    }
    return _write_manifest(folder, manifest, content)


def _write_manifest(folder: Path, manifest: dict[str, Any], content: BundleContent) -> dict[str, Any]:
    if content.private_key is not None:
        manifest["signer"] = seal.signer_of(content.private_key)
    manifest = json.loads(json.dumps(manifest))
    manifest["self"] = seal.self_hash(manifest)
    (folder / seal.MANIFEST).write_bytes(seal.manifest_bytes(manifest))
    if content.private_key is not None:
        seal.sign(folder, content.private_key)
    return manifest


def _labels_first(content: BundleContent) -> tuple[list[str], list[Name], Vectors]:
    """Order the texts so that labels come first: what is searched lies together and can be mapped as it is."""
    kinds = np.zeros(len(content.texts), dtype=np.uint8)
    for text, _, kind in content.names:
        kinds[text] |= KINDS[kind]
    order = np.argsort((kinds & LABEL) == 0, kind="stable")
    place = {int(old): new for new, old in enumerate(order)}
    texts = [content.texts[row] for row in order]
    names = [(place[text], entity, kind) for text, entity, kind in content.names]
    return texts, names, np.ascontiguousarray(content.vectors[order], dtype=np.float32)


def _golden(folder: Path, content: BundleContent, texts: Sequence[str]) -> dict[str, Any]:
    """Return short texts with the vectors that onnxruntime gives for them.

    They are spread over all texts of one length in tokens, so that checking them costs one small batch.
    """
    tokenizer = bundle.load_tokenizer(folder / bundle.TOKENIZER)
    encoder = GraphEncoder.load(content.model, tokenizer, content.spec, engine="onnxruntime")
    some = range(0, len(texts), max(1, len(texts) // 5000))
    lengths = {row: len(ids) for row, ids in zip(some, encoder.tokens([texts[row] for row in some]), strict=True)}
    counts = Counter(lengths.values())
    length = min((each for each, count in counts.items() if count >= N_GOLDEN and each > 3), default=0)
    short = [row for row in some if lengths[row] == length] or list(some)
    rows = short[:: max(1, len(short) // N_GOLDEN)][:N_GOLDEN]
    chosen = [texts[row] for row in rows]
    golden: dict[str, Any] = {"rows": np.array(rows, dtype=np.int64), "document": encoder.encode(chosen, "document")}
    if content.spec.query_prompt != content.spec.document_prompt:
        golden["query"] = encoder.encode(chosen, "query")
    return golden


def _write_records(path: Path, content: BundleContent, table: NameTable) -> None:
    """Write the entities as a Parquet file with page checksums, for anyone's use; the row order is the table's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {
        "entity_id": [key for key, _, _ in content.entities],
        "label": [label for _, label, _ in content.entities],
        "aliases": [table.aliases(row) for row in range(len(content.entities))],
        "fields": [json.dumps(dict(fields), ensure_ascii=False) for _, _, fields in content.entities],
    }
    schema = pa.schema(
        {"entity_id": pa.string(), "label": pa.string(), "aliases": pa.list_(pa.string()), "fields": pa.string()}
    )
    pq.write_table(pa.table(rows, schema=schema), path, compression="zstd", write_page_checksum=True)
