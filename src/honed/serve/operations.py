"""The calls of the HTTP interface: how each is asked, what it answers, and with which errors.

The routes and the OpenAPI document are made from this table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import TypeAlias

import msgspec

from honed.search.catalogue import EntityRecord
from honed.search.overview import CatalogueOverview
from honed.serve.answers import BundleInfo, EncodeResult, MatchResults, Reloaded, SearchResult, SearchResults, Status
from honed.serve.requests import EncodeRequest, MatchRequest, SearchParameters, SearchRequest, SessionRequest
from honed.serve.ubi import UbiEvent

Errors: TypeAlias = Mapping[int, tuple[str, ...]]  # codes by HTTP status
_ANY: Errors = {
    400: ("E_HEADER",),
    403: ("E_ORIGIN",),
    408: ("E_HTTP",),
    416: ("E_RANGE",),
    421: ("E_HOST",),
    431: ("E_HTTP",),
    500: ("E_BUG",),
}
_KEY: Errors = {401: ("E_KEY",)}
_BODY: Errors = {
    400: ("E_ENCODING", "E_JSON"),
    408: ("E_SLOW",),
    413: ("E_BODY_TOO_BIG",),
    415: ("E_CONTENT_TYPE",),
    422: ("E_MISSING",),
}
_FIELDS: Errors = {422: ("E_TYPE", "E_UNKNOWN_FIELD")}
_TEXT: Errors = {413: ("E_QUERY_TOO_LONG",), 422: ("E_QUERY_EMPTY", "E_NUL", "E_ENCODING")}
_ENCODED: Errors = {
    413: ("E_TOO_MANY_TOKENS",),
    422: ("E_RANGE",),
    429: ("E_BUSY",),
    503: ("E_DEADLINE",),
}
_BATCH: Errors = {413: ("E_BATCH_TOO_BIG",)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One call.

    ``path`` is that of the router. ``answers`` maps an HTTP status to the class of its JSON, or to the media type of
    what is no JSON; "" is an answer without content. ``body_type`` is the media type of the body. ``error_tables`` come
    in addition to the errors of any request; ``is_open`` tells that it is answered without the key, ``takes_many`` that
    the body may be a list.
    """

    method: str
    path: str
    summary: str
    answers: Mapping[int, type | UnionType | str]
    body: type[msgspec.Struct] | None = None
    body_type: str = "application/json"
    parameters: type[msgspec.Struct] | None = None
    error_tables: tuple[Errors, ...] = ()
    is_open: bool = False
    takes_many: bool = False

    @property
    def errors(self) -> dict[int, tuple[str, ...]]:
        """The codes that a request may be answered with, by HTTP status, in ascending order."""
        tables = (_ANY, *(() if self.is_open else (_KEY,)), *self.error_tables)
        statuses = sorted({status for table in tables for status in table})
        return {
            status: tuple(dict.fromkeys(code for table in tables for code in table.get(status, ())))
            for status in statuses
        }


SEARCH = Operation(
    method="POST",
    path="/v1/search",
    summary="Search with one text or several",
    body=SearchRequest,
    answers={200: SearchResult | SearchResults},
    error_tables=(
        _BODY,
        _FIELDS,
        _TEXT,
        _ENCODED,
        _BATCH,
        {422: ("E_FILTER", "E_NO_ANSWERS", "E_NO_HYBRID", "E_NO_RERANKER", "E_OPTION")},
    ),
)
SEARCH_BY_URL = Operation(
    method="GET",
    path="/v1/search",
    summary="Search with one text",
    parameters=SearchParameters,
    answers={200: SearchResult},
    error_tables=(_FIELDS, _TEXT, _ENCODED),
)
ENCODE = Operation(
    method="POST",
    path="/v1/encode",
    summary="Texts to unit vectors",
    body=EncodeRequest,
    answers={200: EncodeResult},
    error_tables=(_BODY, _FIELDS, _TEXT, _ENCODED, _BATCH),
)
MATCH = Operation(
    method="POST",
    path="/v1/match",
    summary="Match rows: accepted, to be reviewed, or without a counterpart",
    body=MatchRequest,
    answers={200: MatchResults},
    error_tables=(_BODY, _FIELDS, _TEXT, _ENCODED, _BATCH, {422: ("E_NO_FIELD",)}),
)
ENTITY = Operation(
    method="GET",
    path="/v1/entities/{entity_id:path}",
    summary="One entity with its fields and aliases",
    answers={200: EntityRecord},
    error_tables=(_TEXT, {404: ("E_NO_ENTITY",)}),
)
ABOUT = Operation(
    method="GET",
    path="/v1/bundle",
    summary="What is served: manifest, measures, engine",
    answers={200: BundleInfo},
)
OVERVIEW = Operation(
    method="GET",
    path="/v1/overview",
    summary="What there is to search: fields with their most frequent values, names to try",
    answers={200: CatalogueOverview},
)
RELOAD = Operation(
    method="POST",
    path="/v1/reload",
    summary="Load the bundle again from its place",
    answers={200: Reloaded},
    error_tables=({409: ("E_BUNDLE_...", "E_IO"), 429: ("E_BUSY",)},),
)
SESSION = Operation(
    method="POST",
    path="/v1/session",
    summary="Exchange the key for a cookie, as the page does",
    body=SessionRequest,
    answers={204: ""},
    error_tables=(_BODY, _FIELDS, _KEY),
    is_open=True,
)
EVENTS = Operation(
    method="POST",
    path="/ubi/events",
    summary="Tell what a user did with an answer: one event of UBI, or a list of them",
    body=UbiEvent,
    takes_many=True,
    answers={204: ""},
    error_tables=(_BODY, _FIELDS, _BATCH, {404: ("E_NO_LOG",), 422: ("E_ENCODING", "E_RANGE")}),
)
HEALTH = Operation(method="GET", path="/healthz", summary="The process is alive", answers={200: Status}, is_open=True)
READY = Operation(
    method="GET",
    path="/readyz",
    summary="The fast engine is loaded and the server is not stopping",
    answers={200: Status, 503: Status},
    is_open=True,
)
METRICS = Operation(method="GET", path="/metrics", summary="What Prometheus reads", answers={200: "text/plain"})
REPORT = Operation(
    method="GET",
    path="/report",
    summary="The report of the evaluation, as a page",
    answers={200: "text/html"},
    error_tables=({404: ("E_NO_REPORT",)},),
)
PAGE = Operation(
    method="GET", path="/", summary="The page: search as you type", answers={200: "text/html"}, is_open=True
)
STATIC = Operation(
    method="GET",
    path="/static/{name}",
    summary="A file of the page",
    answers={200: "*/*"},
    error_tables=({404: ("E_NOT_FOUND",)},),
    is_open=True,
)
DOCUMENT = Operation(method="GET", path="/openapi.json", summary="This description", answers={200: "application/json"})
OPERATIONS = (
    SEARCH,
    SEARCH_BY_URL,
    ENCODE,
    MATCH,
    ENTITY,
    ABOUT,
    OVERVIEW,
    RELOAD,
    SESSION,
    EVENTS,
    HEALTH,
    READY,
    METRICS,
    REPORT,
    PAGE,
    STATIC,
    DOCUMENT,
)
