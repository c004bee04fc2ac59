"""A searcher over what a project made: an index artifact, its hybrid, and the encoder that made its vectors."""

import json
from pathlib import Path

import numpy as np

from honed.bundle.layout import HybridFiles
from honed.bundle.names import NameTable
from honed.core.artifacts import Artifact, Manifest
from honed.core.errors import ArtifactError
from honed.core.json import parse_object
from honed.core.optional import require
from honed.core.protocols import Encoder
from honed.core.tensors import map_safetensors
from honed.data.task import read_rows
from honed.index.hybrid import HYBRID, HYBRID_TENSORS
from honed.index.stored import StoredVectors
from honed.search.searcher import Searcher, Source


def open_searcher(index_folder: Path, hybrid_folder: Path | None = None, encoder: Encoder | None = None) -> Searcher:
    """Return a searcher over an index artifact, with its hybrid if one is named.

    Without ``encoder`` the one that made the vectors is loaded (PyTorch). Raises `ArtifactError` for a folder that is
    no index, for one whose bytes differ from its manifest, and for a hybrid over another index.
    """
    if not (index_folder / "encoder.json").is_file():
        raise ArtifactError("E_INDEX", f"{index_folder}: not an index of honed")
    Artifact(folder=index_folder, manifest=Manifest.read(index_folder)).verify()
    vectors = StoredVectors(np.load(index_folder / "vectors.npy", allow_pickle=False))
    names = read_names(index_folder)
    hybrid = _read_hybrid(hybrid_folder, index_folder) if hybrid_folder is not None else None
    return Searcher(
        encoder or load_encoder(index_folder),
        vectors,
        names,
        settings=parse_object((index_folder / "index.json").read_text(encoding="utf-8")),
        hybrid=hybrid,
        source=Source(folder=index_folder),
    )


def read_names(index_folder: Path) -> NameTable:
    """Return the texts, entities and names of an index artifact; its rows are those of the vectors."""
    texts = [row["text"] for row in read_rows(index_folder / "texts.parquet")]
    entities = [
        (row["entity_id"], row["label"], json.loads(row["fields"]))
        for row in read_rows(index_folder / "entities.parquet")
    ]
    text_row = {text: row for row, text in enumerate(texts)}
    entity_row = {entity_id: row for row, (entity_id, _, _) in enumerate(entities)}
    names = [
        (text_row[row["text"]], entity_row[row["entity_id"]], row["kind"])
        for row in read_rows(index_folder / "names.parquet")
    ]
    return NameTable.build(texts, names, entities)


def _read_hybrid(folder: Path, index_folder: Path) -> HybridFiles:
    """Return the files of a hybrid artifact; `ArtifactError` for one over another index."""
    manifest = Manifest.read(folder)
    Artifact(folder=folder, manifest=manifest).verify()
    if manifest.inputs.get("index") != index_folder.name:
        raise ArtifactError("E_HYBRID", f"{folder}: made over another index; run  honed run --until hybrid")
    data = parse_object((folder / HYBRID).read_text(encoding="utf-8"))
    return HybridFiles(data, map_safetensors(folder / HYBRID_TENSORS))


def load_encoder(index_folder: Path) -> Encoder:
    """Return the PyTorch encoder that made the vectors of an index artifact; `ArtifactError` when it is another now."""
    require("torch encoder")
    from honed.encode.config import EncoderConfig
    from honed.encode.torch_encoder import TorchEncoder

    source = json.loads((index_folder / "encoder.json").read_text(encoding="utf-8"))
    encoder = (
        TorchEncoder.load_folder((index_folder / source["model"]).resolve(), precision=source["precision"])
        if "model" in source
        else TorchEncoder.load(EncoderConfig(**source["base"]))
    )
    if encoder.spec.as_dict() != source["spec"]:
        raise ArtifactError(
            "E_SPEC", f"{index_folder}: the index was made with another model; build it again with  honed index"
        )
    return encoder
