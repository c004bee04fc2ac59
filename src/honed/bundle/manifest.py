"""The manifest of a bundle: the plain data of ``manifest.json``, and its parts read with their types.

A part that is missing or of another type raises `KeyError` or `ValueError`: whoever loads a bundle turns either into an
`honed.core.errors.ArtifactError`.
"""

from collections.abc import Mapping
from typing import NamedTuple

from honed.core.json import Json, JsonObject
from honed.core.records import EncoderSpec


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


class Parity(NamedTuple):
    """How far a bundle's answers are from the trained model's, over ``n_queries``: the share of other first hits (ties
    left out), and the mean cosine of the vectors.
    """

    n_queries: int
    top1_flips: float
    mean_cosine: float


class Manifest:
    """What a bundle says of itself; ``data`` is the whole manifest as plain data."""

    def __init__(self, data: JsonObject) -> None:
        self.data = data

    @property
    def files(self) -> dict[str, FileEntry]:
        """The entry of every file by its name."""
        entries = {name: as_object(entry, name) for name, entry in object_at(self.data, "files").items()}
        return {name: FileEntry(text_at(entry, "sha256"), integer_at(entry, "size")) for name, entry in entries.items()}

    @property
    def signer(self) -> Json:
        """The public half of the key that signed the bundle, as hexadecimal digits; None without a signature."""
        return self.data.get("signer")

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return EncoderSpec.from_dict(object_at(self.data, "spec"))

    @property
    def precision(self) -> str:
        """The precision of the model and the vectors, one of `honed.encode.onnx_file.PRECISIONS`."""
        return text_at(self.data, "precision")

    @property
    def index(self) -> JsonObject:
        """The settings of the index, which names it holds, and the sha256 of the records it is over."""
        return object_at(self.data, "index")

    @property
    def numpy_layout(self) -> NumpyLayout | None:
        """The layout of the weights for the numpy engine, or None where that does not know the model."""
        model = object_at(self.data, "model")
        if model["numpy"] is None:
            return None
        layout = object_at(model, "numpy")
        return NumpyLayout(
            weights={name: str(value) for name, value in object_at(layout, "weights").items()},
            codes=frozenset(texts_at(layout, "codes")),
            transposed=texts_at(layout, "transposed"),
            config=object_at(layout, "config"),
        )

    @property
    def parity(self) -> Parity:
        """How far the answers are from the trained model's, measured when the bundle was written."""
        parity = object_at(self.data, "parity")
        return Parity(
            integer_at(parity, "n_queries"), number_at(parity, "top1_flips"), number_at(parity, "mean_cosine")
        )

    @property
    def reranker_max_length(self) -> int:
        """The tokens that the cross-encoder reads of a pair."""
        return integer_at(object_at(self.data, "reranker"), "max_length")


def as_object(value: Json, name: str) -> JsonObject:
    """Return a value that is an object; `ValueError` naming it for any other."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is no object")
    return value


def object_at(data: JsonObject, key: str) -> JsonObject:
    """Return the object under a key; `KeyError` where there is none, `ValueError` for another type."""
    return as_object(data[key], key)


def text_at(data: JsonObject, key: str) -> str:
    """Return the text under a key; `KeyError` where there is none, `ValueError` for another type."""
    value = data[key]
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value


def integer_at(data: JsonObject, key: str) -> int:
    """Return the whole number under a key; `KeyError` where there is none, `ValueError` for another type."""
    value = data[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key} is no whole number")
    return value


def number_at(data: JsonObject, key: str) -> float:
    """Return the number under a key; `KeyError` where there is none, `ValueError` for another type."""
    value = data[key]
    if not isinstance(value, (int, float)):
        raise ValueError(f"{key} is no number")
    return float(value)


def texts_at(data: JsonObject, key: str) -> tuple[str, ...]:
    """Return the list of texts under a key; `KeyError` where there is none, `ValueError` for another type."""
    value = data[key]
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{key} is no list")
    return tuple(str(item) for item in value)
