"""The files of a bundle by their names in its folder, and the parts that are kept as data beside arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.json import JsonObject

MODEL, TOKENIZER = "model/model.onnx", "model/tokenizer.json"
VECTORS, NAMES, INDEX_CACHE = "index/vectors.safetensors", "index/names.safetensors", "index/ann.safetensors"
RERANKER, RERANKER_TOKENIZER = "model/reranker.onnx", "model/reranker_tokenizer.json"
HYBRID_DATA, HYBRID_ARRAYS = "index/hybrid.json", "index/hybrid.safetensors"
GOLDEN, RECORDS = "golden.safetensors", "records.parquet"
REPORT_PAGE, REPORT = "report.html", "report.json"

_BESIDE = ".new"

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]  # what a safetensors file holds: arrays of several kinds by name


class HybridFiles(NamedTuple):
    """A hybrid as it is kept: plain data (parts, weights, estimates of answers) and arrays (postings)."""

    data: JsonObject
    arrays: Arrays

    def part(self, name: str) -> JsonObject | None:
        """Return a part of the data that may be None; `ArtifactError` for what is no object."""
        part = self.data.get(name)
        if part is not None and not isinstance(part, Mapping):
            raise ArtifactError("E_HYBRID", f"the hybrid cannot be read: {name} is no object")
        return part


class RerankerFiles(NamedTuple):
    """A cross-encoder as it is kept: an ONNX file, its tokenizer file, and facts with ``max_length`` among them."""

    model: bytes
    tokenizer: str
    facts: JsonObject


def beside(target: Path) -> Path:
    """Return the folder that a bundle is written into before it takes its place."""
    return target.with_name(f".{target.name}{_BESIDE}")


def place_of(folder: Path) -> Path:
    """Return where the bundle in a folder lies, or will lie when it is written."""
    name = folder.name
    unfinished = name.startswith(".") and name.endswith(_BESIDE)
    return folder.with_name(name[1:].removesuffix(_BESIDE)) if unfinished else folder
