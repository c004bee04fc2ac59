"""A retriever and embeddings for LlamaIndex (``honed[llama-index]``)."""

from pathlib import Path

from honed.connect.frameworks import SharedSearcher, metadata_of
from honed.core.filters import Filter
from honed.core.optional import require
from honed.search.searcher import Searcher

require("LlamaIndex")

from llama_index.core.base.embeddings.base import BaseEmbedding  # noqa: E402
from llama_index.core.retrievers import BaseRetriever  # noqa: E402
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode  # noqa: E402
from pydantic import PrivateAttr  # noqa: E402


class HonedRetriever(BaseRetriever):
    """Finds the entities of a bundle: nodes with the label as text, the fields as metadata, and the score."""

    def __init__(self, bundle: str | Path | Searcher, *, k: int = 10, where: Filter | None = None) -> None:
        """Load a bundle; `honed.core.errors.ArtifactError` when it is unfit."""
        super().__init__()
        self._source, self._k, self._where = SharedSearcher(bundle), k, where

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        hits = self._source.search(query_bundle.query_str, self._k, self._where)
        nodes = [TextNode(id_=hit.doc_id, text=hit.text, metadata=metadata_of(hit)) for hit in hits]
        return [NodeWithScore(node=node, score=hit.score) for node, hit in zip(nodes, hits, strict=True)]


class HonedEmbedding(BaseEmbedding):
    """The encoder of a bundle, with its prompts for queries and documents."""

    _source: SharedSearcher = PrivateAttr()

    def __init__(self, bundle: str | Path | Searcher, *, embed_batch_size: int = 32) -> None:
        """Load a bundle; `honed.core.errors.ArtifactError` when it is unfit."""
        super().__init__(model_name="honed", embed_batch_size=embed_batch_size)
        self._source = SharedSearcher(bundle)

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._source.vectors([query], "query")[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._source.vectors([text], "document")[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._source.vectors(texts, "document")
