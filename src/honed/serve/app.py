"""The HTTP interface over a bundle, and the search page."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from honed.core.errors import ConfigError, HonedError
from honed.core.fingerprint import canonical_json
from honed.match.answers import CANDIDATES
from honed.match.single import SingleRow
from honed.pages.files import SEARCH
from honed.search.request import ALIAS_TO_LABEL
from honed.serve import operations
from honed.serve.access import Access
from honed.serve.answers import (
    EncodeResult,
    MatchedRow,
    MatchPromise,
    MatchResults,
    Reloaded,
    SearchResult,
    SearchResults,
    Status,
)
from honed.serve.batching import EncodeWork, SearchWork
from honed.serve.decoding import decode
from honed.serve.errors import RequestError
from honed.serve.gate import Gate, gate_of
from honed.serve.handlers import answer_bug, answer_http_exception, answer_request_error, exchange_key, page_routes
from honed.serve.openapi import openapi_document
from honed.serve.operations import Operation
from honed.serve.protocols import Call
from honed.serve.requests import (
    EncodeRequest,
    MatchRequest,
    SearchRequest,
    check_text,
    decode_search,
    decode_search_parameters,
)
from honed.serve.responses import REPORT_POLICY, body_fields, body_value, html_response, json_response
from honed.serve.service import Service
from honed.serve.ubi import decode_events, event_lines, query_lines
from honed.serve.waiting import Waiting


def make_app(service: Service, access: Access, calls: Sequence[Call] = ()) -> Gate:
    """Return the ASGI application over a service, behind its gate; ``calls`` are those of more protocols."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.batcher.stop)
        if service.log is not None:
            await asyncio.to_thread(service.log.close)

    handlers = Handlers(service, [operation for operation, _ in calls])
    app = Starlette(
        routes=[*_routes([*handlers.by_operation(), *calls]), *page_routes(SEARCH)],
        lifespan=lifespan,
        exception_handlers={
            RequestError: answer_request_error,
            HTTPException: answer_http_exception,
            ClientDisconnect: handlers.client_left,
            Exception: answer_bug,
        },
    )
    return Gate(app, service.limits, service.metrics, access)


def _routes(calls: Sequence[Call]) -> list[Route]:
    """Return the routes of all calls but the page and its files."""
    return [Route(operation.path, handler, methods=[operation.method]) for operation, handler in calls]


class Handlers:
    """What answers the calls of `honed.serve.operations`, but for the page and its files.

    ``more`` are the calls of protocols, which are described with them.
    """

    def __init__(self, service: Service, more: Sequence[Operation] = ()) -> None:
        self._service, self._limits, self._more = service, service.limits, more

    def by_operation(self) -> list[Call]:
        """Return every call with what answers it."""
        return [
            (operations.SEARCH, self.search),
            (operations.SEARCH_BY_URL, self.search_by_url),
            (operations.ENCODE, self.encode),
            (operations.MATCH, self.match),
            (operations.ENTITY, self.entity),
            (operations.ABOUT, self.about),
            (operations.OVERVIEW, self.overview),
            (operations.RELOAD, self.reload),
            (operations.SESSION, exchange_key),
            (operations.EVENTS, self.events),
            (operations.HEALTH, self.health),
            (operations.READY, self.ready),
            (operations.METRICS, self.metrics),
            (operations.REPORT, self.report),
            (operations.DOCUMENT, self.document),
        ]

    # -- searching -------------------------------------------------------------------------------

    async def search(self, request: Request) -> Response:
        """Search with the texts of the body."""
        return await self._answer_search(request, decode_search(await body_fields(request), self._limits))

    async def search_by_url(self, request: Request) -> Response:
        """Search with the text of the address."""
        return await self._answer_search(request, decode_search_parameters(dict(request.query_params), self._limits))

    async def _answer_search(self, request: Request, search: SearchRequest) -> Response:
        """Answer a search, one result or several; what the bundle cannot answer is a `RequestError` (422)."""
        searcher = self._service.searcher
        work = SearchWork(
            search.way,
            canonical_json(search.filter),
            candidates=search.candidates,
            rerank=search.rerank,
            explain=search.explain,
            budget_ms=self._limits.rerank_ms,
        )
        try:
            searcher.check_parts(
                search.way,
                candidates=search.candidates,
                rerank=search.rerank,
                plain=not search.filter,
                explain=search.explain,
            )
            answers = await Waiting(self._service, request).result(work, search.texts, search.k)
        except ConfigError as error:  # a filter on a field that is not there: known where the fields are read
            raise RequestError.of(error) from None
        results = [
            SearchResult.of(text, answer, truncated=searcher.is_cut(text))
            for text, answer in zip(search.texts, answers, strict=True)
        ]
        results = self._kept(search, results)
        return json_response(SearchResults(results=results) if search.has_many else results[0])

    def _kept(self, search: SearchRequest, results: list[SearchResult]) -> list[SearchResult]:
        """Write searches to the log, where there is one; returns the results with the ids that they have there."""
        query_log = self._service.log
        if query_log is None:
            return results
        hit_ids = [[hit.doc_id for hit in result.hits] for result in results]
        target = "entities" if search.way == ALIAS_TO_LABEL else "aliases"
        ids, lines = query_lines(search.texts, hit_ids, search.ubi, target)
        query_log.add(lines)
        return [msgspec.structs.replace(result, query_id=id_) for result, id_ in zip(results, ids, strict=True)]

    async def events(self, request: Request) -> Response:
        """Write to the log what a user did."""
        query_log = self._service.log
        events = decode_events(await body_value(request), self._limits)
        if query_log is None:
            raise RequestError(404, "E_NO_LOG", "this server keeps no log; see  honed serve --log")
        query_log.add(event_lines(events))
        return Response(status_code=204)

    async def encode(self, request: Request) -> Response:
        """Encode the texts of the body."""
        wish = decode(await body_fields(request), EncodeRequest).check(self._limits)
        vectors = await Waiting(self._service, request).result(EncodeWork(wish.role), wish.texts)
        return json_response(EncodeResult(dim=vectors.shape[1], vectors=vectors.tolist()))

    async def match(self, request: Request) -> Response:
        """Match the rows of the body, each by itself."""
        searcher = self._service.searcher
        asked = decode(await body_fields(request), MatchRequest).check(self._limits, searcher.columns)
        answers = await Waiting(self._service, request).result(SearchWork(ALIAS_TO_LABEL), asked.names, CANDIDATES)
        rows = [SingleRow(name=row.name, evidence=row.evidence) for row in asked.rows]
        matcher = self._service.matcher(searcher)
        shares = {"max_error": asked.max_error, "max_missed": asked.max_missed}
        matches = await asyncio.to_thread(matcher.match, rows, answers, **shares)
        estimated = searcher.answers is not None
        return json_response(
            MatchResults(
                promise=MatchPromise(
                    source="dev" if estimated else "nothing", sentence=matcher.sentence(asked.max_error)
                ),
                results=[
                    MatchedRow.of(row.name, match, estimated=estimated)
                    for row, match in zip(rows, matches, strict=True)
                ],
            )
        )

    # -- the bundle ------------------------------------------------------------------------------

    async def entity(self, request: Request) -> Response:
        """Answer with one entity."""
        entity_id = check_text(request.path_params["entity_id"], "entity_id", self._limits)
        try:
            return json_response(self._service.searcher.entity(entity_id))
        except ConfigError as error:
            raise RequestError.of(error, 404) from None

    async def about(self, _: Request) -> Response:
        """Answer with the manifest of the bundle, the engine and the version of the server."""
        return json_response(self._service.about())

    async def overview(self, _: Request) -> Response:
        """Tell what there is to search."""
        return json_response(await asyncio.to_thread(self._service.overview))

    async def reload(self, _: Request) -> Response:
        """Load the bundle again."""
        try:
            fingerprint = await asyncio.to_thread(self._service.reload)
        except HonedError as error:
            raise RequestError(409, error.code, "the bundle in place is unfit; the old one goes on") from None
        except OSError:
            raise RequestError(409, "E_IO", "the bundle in place cannot be read; the old one goes on") from None
        return json_response(Reloaded(fingerprint=fingerprint))

    async def report(self, _: Request) -> Response:
        """Show the report of the evaluation."""
        content = self._service.searcher.source.report
        if not content:
            raise RequestError(404, "E_NO_REPORT", "this bundle was exported before anything was evaluated")
        return html_response(content, REPORT_POLICY)

    # -- the server ------------------------------------------------------------------------------

    async def health(self, _: Request) -> Response:
        """Tell that the process is alive."""
        return json_response(Status(status="ok"))

    async def ready(self, request: Request) -> Response:
        """Tell whether requests are answered at full speed."""
        state = "stopping" if gate_of(request).draining else self._service.state()
        return json_response(Status(status=state), 200 if state == "ready" else 503)

    async def metrics(self, _: Request) -> Response:
        """Answer Prometheus."""
        metrics = self._service.metrics
        metrics.waiting.set(self._service.batcher.waiting)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    async def document(self, request: Request) -> Response:
        """Answer with the OpenAPI document."""
        return json_response(openapi_document(has_key=gate_of(request).access.has_key, more=self._more))

    async def client_left(self, _: Request, __: Exception) -> Response:
        """Count a client that left before the answer."""
        self._service.metrics.cancelled.inc()
        return Response(status_code=499)
