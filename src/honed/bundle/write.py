"""Write bundles: into a folder beside the target, loaded once as a check, then moved into place."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from honed.bundle import layout, seal
from honed.bundle.archive import pack
from honed.bundle.layout import Arrays, HybridFiles, RerankerFiles
from honed.bundle.load import cache_key, load_bundle
from honed.bundle.names import ALIAS, LABEL, Name, NameTable, kinds_of_texts
from honed.bundle.tokenizer import load_tokenizer
from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject, parse_object
from honed.core.plain import as_object
from honed.core.protocols import Vectors
from honed.core.records import EncoderSpec
from honed.core.writing import put_in_place, scratch_folder
from honed.encode.graph_encoder import GraphEncoder
from honed.index.backends import build_index, tensors_of
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors

N_GOLDEN = 32
_TOKENIZED = 5000  # texts that are read to find golden ones of one length
_SHORTEST = 4  # tokens of a golden text, two of them special


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleContent:
    """What goes into a bundle.

    ``model`` is an aligned ONNX file, ``numpy`` names its weights for the numpy engine; ``vectors`` are those of
    ``texts``; ``names`` are (row of ``texts``, row of ``entities``, kind); ``entities`` are (id, label, fields);
    ``files`` are more files by name, such as the report.
    """

    model: bytes
    precision: str
    numpy: JsonObject | None
    tokenizer: str
    spec: EncoderSpec
    vectors: Vectors
    texts: Sequence[str]
    names: Sequence[Name]
    entities: Sequence[tuple[str, str, Mapping[str, str]]]
    settings: JsonObject
    facts: JsonObject
    files: Mapping[str, bytes]
    hybrid: HybridFiles | None = None
    reranker: RerankerFiles | None = None
    private_key: bytes | None = None


def write_bundle(
    target: Path,
    content: BundleContent,
    parity: Callable[[Path], JsonObject] | None = None,
    teach: Callable[[Path], tuple[JsonObject, JsonObject]] | None = None,
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
    with scratch_folder(target) as beside:
        manifest = _write_files(beside, content)
        load_bundle(beside, notes=False).encoder.warm()
        if content.hybrid is not None and teach is not None:
            data, facts = teach(beside)
            (beside / layout.HYBRID_DATA).write_text(json.dumps(data), encoding="utf-8")
            entry = seal.file_entry(beside / layout.HYBRID_DATA).as_dict()
            files = {**as_object(manifest["files"], "files"), layout.HYBRID_DATA: entry}
            manifest = _write_manifest(beside, {**manifest, "files": files, "hybrid": facts}, content.private_key)
        if parity is not None:
            _write_manifest(beside, {**manifest, "parity": parity(beside)}, content.private_key)
        if is_zip:
            pack(beside, target)
        else:
            put_in_place(beside, target)
    return target


def _write_files(folder: Path, content: BundleContent) -> dict[str, Json]:
    """Write all files of a bundle, the manifest last; returns the manifest."""
    (folder / "model").mkdir()
    (folder / "index").mkdir()
    (folder / layout.MODEL).write_bytes(content.model)
    (folder / layout.TOKENIZER).write_text(content.tokenizer, encoding="utf-8")
    index = _write_index(folder, content)
    for name, data in content.files.items():
        (folder / name).write_bytes(data)
    if content.reranker is not None:
        (folder / layout.RERANKER).write_bytes(content.reranker.model)
        (folder / layout.RERANKER_TOKENIZER).write_text(content.reranker.tokenizer, encoding="utf-8")
    if content.hybrid is not None:
        (folder / layout.HYBRID_DATA).write_text(json.dumps(content.hybrid.data), encoding="utf-8")
        _save_arrays(folder / layout.HYBRID_ARRAYS, content.hybrid.arrays)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    manifest: dict[str, Json] = {
        "format": seal.FORMAT,
        "version": seal.VERSION,
        "precision": content.precision,
        "spec": content.spec.as_dict(),
        "model": {"file": layout.MODEL, "numpy": content.numpy},
        "index": index,
        **({"reranker": content.reranker.facts} if content.reranker else {}),
        "counts": {"entities": len(content.entities), "names": len(content.names), "texts": len(content.texts)},
        **content.facts,
        "files": {path.relative_to(folder).as_posix(): seal.file_entry(path).as_dict() for path in paths},
    }
    return _write_manifest(folder, manifest, content.private_key)


def _write_index(folder: Path, content: BundleContent) -> dict[str, Json]:
    """Write vectors, names, records, golden vectors and a cache of the index; returns its part of the manifest."""
    texts, names, vectors = _labels_first(content)
    table = NameTable.build(texts, names, content.entities)
    stored = StoredVectors.quantised(vectors) if content.precision == "int8" else StoredVectors(vectors)
    _save_arrays(folder / layout.VECTORS, stored.tensors())
    _save_arrays(folder / layout.NAMES, table.tensors)
    _write_records(folder / layout.RECORDS, content, table)
    _save_arrays(folder / layout.GOLDEN, _golden_arrays(folder, content, texts))
    index: dict[str, Json] = {**content.settings, "records": seal.file_entry(folder / layout.RECORDS).sha256}
    settings = IndexSettings.from_manifest(index)
    if settings.backend not in ("flat", "exact"):
        searched = table.rows_of(LABEL if index["names"] == "labels" else LABEL | ALIAS)
        cache = tensors_of(build_index(stored.subset(searched), settings))
        if cache:
            _save_arrays(folder / layout.INDEX_CACHE, cache)
            index["cache"] = cache_key(index, seal.file_entry(folder / layout.VECTORS).sha256)
    return index


def _save_arrays(path: Path, arrays: Arrays) -> None:
    """Write a safetensors file that everyone may read."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, str(path))
    path.chmod(0o644)


def _write_manifest(folder: Path, manifest: JsonObject, private_key: bytes | None) -> dict[str, Json]:
    """Write a manifest with its own sha256, signed where there is a key; returns it as it is written."""
    signer: JsonObject = {"signer": seal.signer_of(private_key)} if private_key is not None else {}
    plain = parse_object(json.dumps({**manifest, **signer}))
    plain["self"] = seal.self_hash(plain)
    (folder / seal.MANIFEST).write_bytes(seal.manifest_bytes(plain))
    if private_key is not None:
        seal.sign(folder, private_key)
    return plain


def _labels_first(content: BundleContent) -> tuple[list[str], list[Name], Vectors]:
    """Return texts, names and vectors with labels first: what is searched lies together and can be mapped as it is."""
    kinds = kinds_of_texts(content.names, len(content.texts))
    order = np.argsort((kinds & LABEL) == 0, kind="stable")
    place = {int(old): new for new, old in enumerate(order)}
    texts = [content.texts[row] for row in order]
    names = [(place[text], entity, kind) for text, entity, kind in content.names]
    return texts, names, np.ascontiguousarray(content.vectors[order], dtype=np.float32)


def _golden_arrays(folder: Path, content: BundleContent, texts: Sequence[str]) -> Arrays:
    """Return the rows of short texts with the vectors that onnxruntime gives for them, by role.

    They are spread over all texts of one length in tokens, so that checking them costs one small batch.
    """
    tokenizer = load_tokenizer(folder / layout.TOKENIZER)
    encoder = GraphEncoder.load(content.model, tokenizer, content.spec, engine="onnxruntime")
    spread = range(0, len(texts), max(1, len(texts) // _TOKENIZED))
    ids = encoder.tokens([texts[row] for row in spread])
    lengths = {row: len(tokens) for row, tokens in zip(spread, ids, strict=True)}
    common = [length for length, count in Counter(lengths.values()).items() if count >= N_GOLDEN]
    length = min((length for length in common if length >= _SHORTEST), default=0)
    short = [row for row in spread if lengths[row] == length] or list(spread)
    rows = short[:: max(1, len(short) // N_GOLDEN)][:N_GOLDEN]
    chosen = [texts[row] for row in rows]
    document = encoder.encode(chosen, "document")
    query = {}
    if content.spec.query_prompt != content.spec.document_prompt:
        query["query"] = encoder.encode(chosen, "query")
    return {"rows": np.array(rows, dtype=np.int64), "document": document, **query}


def _write_records(path: Path, content: BundleContent, table: NameTable) -> None:
    """Write the entities as a Parquet file with page checksums, for anyone's use; the row order is the table's."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {
        "entity_id": [entity_id for entity_id, _, _ in content.entities],
        "label": [label for _, label, _ in content.entities],
        "aliases": [table.aliases(row) for row in range(len(content.entities))],
        "fields": [json.dumps(dict(fields), ensure_ascii=False) for _, _, fields in content.entities],
    }
    schema = pa.schema(
        {"entity_id": pa.string(), "label": pa.string(), "aliases": pa.list_(pa.string()), "fields": pa.string()}
    )
    pq.write_table(pa.table(rows, schema=schema), path, compression="zstd", write_page_checksum=True)
