"""``/v1/rerank`` and ``/v2/rerank``, in the forms of Cohere and Jina: documents in the order of their relevance.

By the bundle's cross-encoder where it has one; by the cosines of its bi-encoder where not. The answer says which.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from honed.connect.encoding import check_documents, count_tokens, encoded, jobs, read_model
from honed.core.protocols import Vectors
from honed.search.searcher import Searcher
from honed.serve.decoding import decode
from honed.serve.errors import RequestError
from honed.serve.operations import Errors, Operation
from honed.serve.protocols import Call, ProtocolSettings, ServedProtocol
from honed.serve.requests import check_text
from honed.serve.responses import body_fields, json_response
from honed.serve.service import Service
from honed.serve.waiting import Waiting

MOST_DOCUMENTS = 1000  # as in Cohere's interface


class DocumentText(msgspec.Struct, frozen=True):
    """A document as an object; what it has beside its text is not looked at."""

    text: str


class RerankRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A query and documents."""

    query: str
    documents: Annotated[list[str | DocumentText], Meta(description="Texts, or objects with a text.")]
    model: Annotated[str | None, Meta(description="The bundle's name, or honed.")] = None
    top_n: Annotated[int | None, Meta(description="How many of the first documents; all without it.")] = None
    return_documents: Annotated[bool, Meta(description="Whether results hold their documents.")] = False

    def texts(self) -> list[str]:
        """Return the texts of the documents."""
        return [document if isinstance(document, str) else document.text for document in self.documents]


class RerankResult(msgspec.Struct, kw_only=True, frozen=True):
    """A document by its number among those that were sent."""

    index: int
    relevance_score: float
    document: DocumentText | UnsetType = UNSET


class ApiVersion(msgspec.Struct, kw_only=True, frozen=True):
    """The version of the form."""

    version: str


class RerankMeta(msgspec.Struct, kw_only=True, frozen=True):
    """How documents were scored: in [0, 1] by the cross-encoder (the sigmoid of its score), or by cosines."""

    api_version: ApiVersion
    scored_by: Literal["cross-encoder", "bi-encoder"]


class RerankUsage(msgspec.Struct, kw_only=True, frozen=True):
    """The tokens of query and documents, as the bi-encoder counts them."""

    total_tokens: int


class Reranked(msgspec.Struct, kw_only=True, frozen=True):
    """Documents in the order of their relevance to a query."""

    id: str
    model: str
    results: list[RerankResult]
    meta: RerankMeta
    usage: RerankUsage


@dataclass(frozen=True, slots=True)
class RerankWork:
    """Score texts with one query by the cross-encoder."""

    query: str

    def run(self, searcher: Searcher, texts: Sequence[str], k: int) -> Vectors:
        """Return the scores ``(n_texts,)``, higher is closer."""
        if searcher.reranker is None:  # another bundle has taken the place of the one that had it
            raise RequestError(503, "E_NO_RERANKER", "the bundle has changed; try again", {"retry-after": "1"})
        return searcher.reranker.score([(self.query, text) for text in texts])

    def part(self, result: Vectors, rows: slice, k: int) -> Vectors:
        """Return the scores of some of the texts."""
        return result[rows]


_ERRORS: Errors = {
    400: ("E_ENCODING", "E_JSON"),
    404: ("E_MODEL",),
    408: ("E_SLOW",),
    413: ("E_BODY_TOO_BIG", "E_BATCH_TOO_BIG", "E_QUERY_TOO_LONG", "E_TOO_MANY_TOKENS"),
    415: ("E_CONTENT_TYPE",),
    422: ("E_MISSING", "E_TYPE", "E_UNKNOWN_FIELD", "E_RANGE", "E_QUERY_EMPTY", "E_NUL", "E_ENCODING"),
    429: ("E_BUSY",),
    503: ("E_DEADLINE", "E_NO_RERANKER"),
}


def _operation(version: str) -> Operation:
    return Operation(
        method="POST",
        path=f"/v{version}/rerank",
        summary=f"Documents in the order of their relevance, in the form of Cohere (version {version}) and Jina",
        body=RerankRequest,
        answers={200: Reranked},
        error_tables=(_ERRORS,),
    )


RERANK_V1, RERANK_V2 = _operation("1"), _operation("2")


class RerankService:
    """What answers the calls of the protocol."""

    def __init__(self, service: Service) -> None:
        self._service, self._limits = service, service.limits

    def calls(self) -> Sequence[Call]:
        """Return every call with what answers it."""
        return [(RERANK_V1, self.rerank_v1), (RERANK_V2, self.rerank_v2)]

    async def rerank_v1(self, request: Request) -> Response:
        """Rank documents, in the first form of Cohere, or Jina's."""
        return await self._rerank(request, "1")

    async def rerank_v2(self, request: Request) -> Response:
        """Rank documents, in the second form of Cohere."""
        return await self._rerank(request, "2")

    async def _rerank(self, request: Request, version: str) -> Response:
        wish = decode(await body_fields(request), RerankRequest)
        texts, searcher = wish.texts(), self._service.searcher
        model = read_model(wish.model or "honed", self._service).name
        check_text(wish.query, "query", self._limits)
        check_documents(texts, "documents", self._limits, MOST_DOCUMENTS)
        if wish.top_n is not None and wish.top_n < 1:
            raise RequestError(422, "E_RANGE", "top_n is below 1")
        waiting = Waiting(self._service, request)
        by_pairs = searcher.reranker is not None
        scores = await (self._pair_scores if by_pairs else self._cosines)(waiting, wish.query, texts)
        order = np.argsort(-scores, kind="stable")[: wish.top_n].tolist()
        results = [
            RerankResult(
                index=row,
                relevance_score=round(float(scores[row]), 6),
                document=DocumentText(texts[row]) if wish.return_documents else UNSET,
            )
            for row in order
        ]
        n_tokens = await count_tokens(searcher, [wish.query], "query")
        n_tokens += await count_tokens(searcher, texts, "document")
        return json_response(
            Reranked(
                id=str(uuid.uuid4()),
                model=model,
                results=results,
                meta=RerankMeta(
                    api_version=ApiVersion(version=version), scored_by="cross-encoder" if by_pairs else "bi-encoder"
                ),
                usage=RerankUsage(total_tokens=n_tokens),
            )
        )

    async def _pair_scores(self, waiting: Waiting, query: str, texts: Sequence[str]) -> Vectors:
        """Return the chances ``(n_texts,)`` by the cross-encoder that documents are relevant."""
        work = RerankWork(query)
        parts = [await waiting.result(work, texts[span]) for span in jobs(texts, self._limits)]
        scores: Vectors = 1 / (1 + np.exp(-np.clip(np.concatenate(parts), -80, 80)))
        return scores

    async def _cosines(self, waiting: Waiting, query: str, texts: Sequence[str]) -> Vectors:
        """Return the cosines ``(n_texts,)`` of the query and documents."""
        (vector,) = await encoded(waiting, [query], "query", self._limits)
        cosines: Vectors = await encoded(waiting, texts, "document", self._limits) @ vector
        return cosines


def _calls(service: Service, _: ProtocolSettings) -> Sequence[Call]:
    return RerankService(service).calls()


PROTOCOL = ServedProtocol(name="rerank", calls=_calls)
