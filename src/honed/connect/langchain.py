"""A retriever and embeddings for LangChain (``honed[langchain]``)."""

from pathlib import Path
from typing import Self

from honed.connect.frameworks import SharedSearcher, metadata_of
from honed.core.filters import Filter
from honed.core.optional import require
from honed.search.searcher import Searcher

require("LangChain")

from langchain_core.callbacks import CallbackManagerForRetrieverRun  # noqa: E402
from langchain_core.documents import Document  # noqa: E402
from langchain_core.embeddings import Embeddings  # noqa: E402
from langchain_core.retrievers import BaseRetriever  # noqa: E402
from pydantic import ConfigDict  # noqa: E402


class HonedRetriever(BaseRetriever):
    """Finds the entities of a bundle; make one with `HonedRetriever.load`.

    A document's text is the entity's label; its metadata are the fields with ``doc_id``, ``score``, ``cosine``,
    ``matched`` and ``chance``. ``where`` is a filter, see `honed.core.filters`.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    source: SharedSearcher
    k: int = 10
    where: Filter | None = None

    @classmethod
    def load(cls, bundle: str | Path | Searcher, *, k: int = 10, where: Filter | None = None) -> Self:
        """Return a retriever over a bundle; `honed.core.errors.ArtifactError` when it is unfit."""
        return cls(source=SharedSearcher(bundle), k=k, where=where)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        hits = self.source.search(query, self.k, self.where)
        return [Document(page_content=hit.text, id=hit.doc_id, metadata=metadata_of(hit)) for hit in hits]


class HonedEmbeddings(Embeddings):
    """The encoder of a bundle, with its prompts for queries and documents."""

    def __init__(self, bundle: str | Path | Searcher) -> None:
        """Load a bundle; `honed.core.errors.ArtifactError` when it is unfit."""
        self._source = SharedSearcher(bundle)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the unit vectors of texts."""
        return self._source.vectors(texts, "document")

    def embed_query(self, text: str) -> list[float]:
        """Return the unit vector of a query."""
        return self._source.vectors([text], "query")[0]
