"""The manifest of a bundle: the plain data of ``manifest.json``, and its parts read with their types.

A part that is missing or of another type raises `KeyError` or `TypeError`: whoever loads a bundle turns either into an
`honed.core.errors.ArtifactError`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from honed.core.json import Json, JsonObject
from honed.core.plain import as_integer, as_list, as_object, as_text, as_texts
from honed.core.records import EncoderSpec
from honed.encode.vocabulary import VocabularyFacts


class FileEntry(NamedTuple):
    """The sha256 (hexadecimal digits) and the size in bytes that a manifest states for a file."""

    sha256: str
    size: int

    def as_dict(self) -> dict[str, Json]:
        """Return the entry as plain data for JSON."""
        return {"sha256": self.sha256, "size": self.size}


class NumpyLayout(NamedTuple):
    """Where the numpy engine finds a model's weights among the initializers of the ONNX file.

    ``weights`` maps names of weights to names of initializers, ``codes`` are the weights that are int8, ``transposed``
    those that are stored ``(n_in, n_out)``, ``config`` is the transformer's configuration.
    """

    weights: Mapping[str, str]
    codes: frozenset[str]
    transposed: tuple[str, ...]
    config: JsonObject


class Parity(msgspec.Struct, kw_only=True):
    """How far a bundle's answers are from the trained model's: shares of ``n_queries``, cosines of query vectors.

    ``top1_flips`` are first hits that the trained model scores lower than its own, ``top1_ties`` others that it scores
    alike.
    """

    n_queries: int
    engine: str
    top1_flips: float
    top1_ties: float
    top10_overlap: float
    mean_cosine: float
    min_cosine: float
    largest_top1_score_difference: float


class DocumentSide(msgspec.Struct, kw_only=True):
    """Who encoded the documents of an index: ``encoded_by`` "teacher", which is not in the bundle; its fingerprint.

    ``directions`` tells whether its vectors were projected on directions of the student's width.
    """

    encoded_by: str
    fingerprint: str
    directions: bool


class Manifest:
    """What a bundle says of itself; ``data`` is the whole manifest as plain data."""

    def __init__(self, data: JsonObject) -> None:
        self.data = data

    @property
    def files(self) -> dict[str, FileEntry]:
        """The entry of every file by its name."""
        entries = {name: as_object(entry, name) for name, entry in as_object(self.data["files"], "files").items()}
        return {
            name: FileEntry(as_text(entry["sha256"], "sha256"), as_integer(entry["size"], "size"))
            for name, entry in entries.items()
        }

    @property
    def signer(self) -> Json:
        """The public half of the key that signed the bundle, as hexadecimal digits; None without a signature."""
        return self.data.get("signer")

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return EncoderSpec.from_dict(as_object(self.data["spec"], "spec"))

    @property
    def matryoshka(self) -> tuple[int, ...]:
        """The shorter widths at which the vectors were trained to work as well; () for a bundle that names none."""
        return tuple(
            as_integer(width, "matryoshka") for width in as_list(self.data.get("matryoshka", []), "matryoshka")
        )

    @property
    def precision(self) -> str:
        """The precision of the model and the vectors, one of `honed.encode.onnx_file.PRECISIONS`."""
        return as_text(self.data["precision"], "precision")

    @property
    def index(self) -> JsonObject:
        """The settings of the index, which names it holds, and the sha256 of the records it is over."""
        return as_object(self.data["index"], "index")

    @property
    def numpy_layout(self) -> NumpyLayout | None:
        """The layout of the weights for the numpy engine, or None where that does not know the model."""
        model = as_object(self.data["model"], "model")
        if model["numpy"] is None:
            return None
        layout = as_object(model["numpy"], "numpy")
        return NumpyLayout(
            weights={name: as_text(value, name) for name, value in as_object(layout["weights"], "weights").items()},
            codes=frozenset(as_texts(layout["codes"], "codes")),
            transposed=tuple(as_texts(layout["transposed"], "transposed")),
            config=as_object(layout["config"], "config"),
        )

    @property
    def parity(self) -> Parity:
        """How far the answers are from the trained model's, measured when the bundle was written."""
        return msgspec.convert(as_object(self.data["parity"], "parity"), Parity)

    @property
    def documents(self) -> DocumentSide | None:
        """Who encoded the documents of the index, where that is not the model of the bundle."""
        stated = self.data.get("documents")
        return None if stated is None else msgspec.convert(as_object(stated, "documents"), DocumentSide)

    @property
    def vocabulary(self) -> VocabularyFacts | None:
        """What is left of the model's vocabulary, where it was cut when the bundle was written."""
        stated = self.data.get("vocabulary")
        return None if stated is None else msgspec.convert(as_object(stated, "vocabulary"), VocabularyFacts)

    @property
    def reranker_max_length(self) -> int:
        """The tokens that the cross-encoder reads of a pair."""
        return as_integer(as_object(self.data["reranker"], "reranker")["max_length"], "max_length")
