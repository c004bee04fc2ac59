"""The manifest of a bundle: the plain data of ``manifest.json``, and its parts read with their types.

A part that is missing or of another type raises `KeyError` or `TypeError`: whoever loads a bundle turns either into an
`honed.core.errors.ArtifactError`.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from honed.core.json import Json, JsonObject
from honed.core.plain import as_integer, as_list, as_object, as_text, as_texts
from honed.core.records import EncoderSpec

if TYPE_CHECKING:
    from honed.bundle.facts import DocumentSide, Parity, VocabularyFacts


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
    def parity(self) -> "Parity":
        """How far the answers are from the trained model's, measured when the bundle was written."""
        from honed.bundle import facts  # none of this is needed to answer

        return facts.read(self.data["parity"], facts.Parity)

    @property
    def documents(self) -> "DocumentSide | None":
        """Who encoded the documents of the index, where that is not the model of the bundle."""
        if self.data.get("documents") is None:
            return None
        from honed.bundle import facts  # for few bundles

        return facts.read(self.data["documents"], facts.DocumentSide)

    @property
    def vocabulary(self) -> "VocabularyFacts | None":
        """What is left of the model's vocabulary, where it was cut when the bundle was written."""
        if self.data.get("vocabulary") is None:
            return None
        from honed.bundle import facts

        return facts.read(self.data["vocabulary"], facts.VocabularyFacts)

    @property
    def reranker_max_length(self) -> int:
        """The tokens that the cross-encoder reads of a pair."""
        return as_integer(as_object(self.data["reranker"], "reranker")["max_length"], "max_length")
