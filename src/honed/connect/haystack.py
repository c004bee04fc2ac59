"""A retriever and embedders for Haystack (``honed[haystack]``): components of pipelines, which can be saved."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Self

from honed.connect.frameworks import SharedSearcher, metadata_of
from honed.core.filters import Filter
from honed.core.json import Json
from honed.core.optional import require

require("Haystack")

from haystack import Document, component, default_from_dict, default_to_dict  # noqa: E402


class _OfBundle:
    """A component over a bundle, which is loaded when the pipeline warms up or first runs."""

    def __init__(self, bundle: str) -> None:
        self.bundle = str(bundle)
        self._source: SharedSearcher | None = None

    def warm_up(self) -> None:
        """Load the bundle; `honed.core.errors.ArtifactError` when it is unfit."""
        self.source()

    def source(self) -> SharedSearcher:
        """Return the bundle, loaded once."""
        if self._source is None:
            self._source = SharedSearcher(self.bundle)
        return self._source

    def to_dict(self) -> dict[str, Json]:
        """Return the component as plain data: the path of the bundle and the settings."""
        settings = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        data: dict[str, Json] = default_to_dict(self, **settings)
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Json]) -> Self:
        """Return the component of plain data."""
        made: Self = default_from_dict(cls, dict(data))
        return made


@component
class HonedRetriever(_OfBundle):
    """Finds the entities of a bundle: documents with the label as content and the fields as meta."""

    def __init__(self, bundle: str, top_k: int = 10, filters: dict[str, Json] | None = None) -> None:
        _OfBundle.__init__(self, bundle)  # the decorator makes another class of this one
        self.top_k, self.filters = top_k, filters

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    def run(self, query: str, top_k: int | None = None) -> dict[str, list[Document]]:
        """Return the hits of a query; ``filters`` of the component are honed's, see `honed.core.filters`."""
        where: Filter | None = self.filters
        hits = self.source().search(query, top_k or self.top_k, where)
        documents = [Document(id=hit.doc_id, content=hit.text, meta=metadata_of(hit), score=hit.score) for hit in hits]
        return {"documents": documents}


@component
class HonedTextEmbedder(_OfBundle):
    """Encodes a query."""

    @component.output_types(embedding=list[float])  # type: ignore[untyped-decorator]
    def run(self, text: str) -> dict[str, list[float]]:
        """Return the unit vector of a query."""
        return {"embedding": self.source().vectors([text], "query")[0]}


@component
class HonedDocumentEmbedder(_OfBundle):
    """Encodes documents."""

    @component.output_types(documents=list[Document])  # type: ignore[untyped-decorator]
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """Return the documents with their unit vectors."""
        vectors = self.source().vectors([document.content or "" for document in documents], "document")
        embedded = [replace(document, embedding=vector) for document, vector in zip(documents, vectors, strict=True)]
        return {"documents": embedded}
