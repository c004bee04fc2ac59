"""The search index and the hybrid over it, as the stages leave them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from honed.artifacts.data import VECTORS
from honed.core.artifacts import Artifact
from honed.core.json import Json, JsonObject
from honed.core.plain import as_object
from honed.core.protocols import Vectors
from honed.core.records import EncoderSpec
from honed.core.tensors import map_safetensors
from honed.data import task
from honed.encode.base_models import resolve
from honed.encode.config import EncoderConfig
from honed.encode.models import EncoderSource, JoinedModels, TrainedModel, encoder_source
from honed.index.hybrid import HYBRID, HYBRID_TENSORS

ENCODER, SETTINGS, TEXTS = "encoder.json", "index.json", "texts.parquet"
Tensors: TypeAlias = "Mapping[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]"


class IndexArtifact(Artifact):
    """The vectors of all names, the names and entities, and which model made them."""

    def texts(self) -> list[str]:
        """Return the distinct strings, one for each vector."""
        return [row["text"] for row in task.read_rows(self.path(TEXTS))]

    def vectors(self) -> Vectors:
        """Return the document vectors ``(n_texts, dim)``."""
        values: Vectors = np.load(self.path(VECTORS), allow_pickle=False)
        return values

    def vector_of_text(self) -> dict[str, Vectors]:
        """Return the document vector ``(dim,)`` of each string."""
        return dict(zip(self.texts(), self.vectors(), strict=True))

    def names(self) -> list[task.Name]:
        """Return the names of all entities."""
        return task.load_names(self.folder)

    def entities(self) -> list[task.Entity]:
        """Return all entities."""
        return task.load_entities(self.folder)

    def settings(self) -> JsonObject:
        """Return the settings of the index that differ from the defaults, as plain data."""
        return self.read(SETTINGS, dict[str, Json])

    def _encoder(self) -> dict[str, Json]:
        return self.read(ENCODER, dict[str, Json])

    def spec(self) -> EncoderSpec:
        """Return the specification of the encoder that made the vectors, or encodes queries for them."""
        spec = self._encoder()["spec"]
        assert isinstance(spec, Mapping)
        return EncoderSpec.from_dict(spec)

    def encoder(self, precision: str = "") -> EncoderSource:
        """Return where the encoder is loaded from; ``precision`` replaces that of the run."""
        return self._source(self._encoder(), precision)

    def _source(self, stated: Mapping[str, Json], precision: str = "") -> EncoderSource:
        if "model" in stated:
            folder = (self.folder / str(stated["model"])).resolve()
            return TrainedModel(folder=folder, precision=precision or str(stated["precision"]))
        base = stated["base"]
        assert isinstance(base, Mapping)
        return encoder_source(EncoderConfig(**base), precision)  # type: ignore[arg-type]  # checked there

    def document_models(self) -> JoinedModels | None:
        """Return what made the vectors of documents, where that is not the encoder of queries."""
        stated = self._encoder().get("documents")
        if stated is None:
            return None
        plain = as_object(stated, "documents")
        parts, directions = plain["models"], plain["directions"]
        assert isinstance(parts, list)
        sources = tuple(self._source(as_object(part, "models")) for part in parts)
        return JoinedModels(sources, (self.folder / str(directions)).resolve() if directions else None)

    def model_folder(self) -> Path:
        """Return the folder of the model that made the vectors, or encodes queries for them."""
        source = self.encoder()
        return source.folder if isinstance(source, TrainedModel) else resolve(source.config.base).folder


class HybridArtifact(Artifact):
    """The hybrid over an index, with the weights that dev taught it."""

    def data(self) -> JsonObject:
        """Return all but the tensors, as plain data."""
        return self.read(HYBRID, dict[str, Json])

    def tensors(self) -> Tensors:
        """Return the named arrays, mapped from the disk."""
        return map_safetensors(self.path(HYBRID_TENSORS))
