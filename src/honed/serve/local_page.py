"""Pages for whoever works on a project: a page and some JSON calls, served to this machine, or to others by a key."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import msgspec

from honed.config.server import is_loopback
from honed.core.errors import ConfigError, HonedError
from honed.core.json import JsonObject
from honed.core.optional import require
from honed.pages.files import Page
from honed.serve.decoding import decode_leniently
from honed.serve.errors import RequestError
from honed.serve.limits import Limits

if TYPE_CHECKING:
    from starlette.routing import Route

    from honed.serve.gate import Gate

Request = TypeVar("Request", bound=msgspec.Struct)


@dataclass(frozen=True, kw_only=True, slots=True)
class PageAddress:
    """Where a page is served; with a key to others too, who may call the server by the names ``allow_hosts``."""

    host: str = "127.0.0.1"
    port: int = 8081
    api_key: str = ""
    allow_hosts: Sequence[str] = ()

    def check(self, what: str) -> None:
        """Raise `ConfigError` for an address that others can reach without a key; ``what`` names the page."""
        require("HTTP server")
        if not self.api_key and not is_loopback(self.host):
            raise ConfigError(
                "E_CONFIG_UNSAFE", f"{self.host} is reachable from outside, and the {what} has no key: give one"
            )


class Download(NamedTuple):
    """An answer that is a file."""

    content: bytes
    media_type: str


Answer: TypeAlias = Download | object  # a file, or what is written as JSON: plain data or classes of msgspec


class NoFields(msgspec.Struct, forbid_unknown_fields=True):
    """A request without fields."""


class PageCall(NamedTuple):
    """A call of a page: its address, and what answers the fields of its body or query string."""

    method: str
    path: str
    answer: Callable[[JsonObject], Answer]


def page_call(method: str, path: str, kind: type[Request], answer: Callable[[Request], Answer]) -> PageCall:
    """Return a call whose fields are those of a class; what ``answer`` raises is shown to the user."""
    return PageCall(method, path, lambda fields: answer(decode_leniently(fields, kind)))


def serve_page(page: Page, calls: Sequence[PageCall], address: PageAddress, what: str) -> None:
    """Serve a page and its calls until SIGTERM or SIGINT; ``what`` names it in the log."""
    from honed.serve.server import allowed_hosts, listen, run_server

    listener = listen(address.host, address.port)
    app = page_app(page, calls, allowed_hosts(address.host, address.allow_hosts), address.api_key)
    run_server(app, listener, f"the {what} at http://{address.host}", lambda: None)


def page_app(page: Page, calls: Sequence[PageCall], hosts: frozenset[str], api_key: str = "") -> "Gate":
    """Return the ASGI application of a page and its calls, behind the gate of the server."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException

    from honed.serve.access import Access
    from honed.serve.gate import Gate
    from honed.serve.handlers import answer_bug, answer_http_exception, answer_request_error, page_routes, session_route
    from honed.serve.metrics import Metrics

    app = Starlette(
        routes=[*page_routes(page), session_route(), *map(_route, calls)],
        exception_handlers={
            RequestError: answer_request_error,
            HTTPException: answer_http_exception,
            Exception: answer_bug,
        },
    )
    return Gate(app, Limits(), Metrics(), Access(hosts, api_key))


def _route(call: PageCall) -> "Route":
    """Return the route of a call, which is answered in a thread of its own."""
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

    from honed.serve.responses import body_fields, json_response

    async def endpoint(request: Request) -> Response:
        fields = dict(request.query_params) if call.method == "GET" else await body_fields(request)
        try:
            answer = await asyncio.to_thread(call.answer, fields)
        except HonedError as error:
            raise RequestError.of(error) from None
        if isinstance(answer, Download):
            return Response(answer.content, media_type=answer.media_type)
        return json_response(answer)

    return Route(call.path, endpoint, methods=[call.method])


def check_page_text(text: str, name: str, *, required: bool = True, most: int = 2000) -> str:
    """Return a text of a request; `RequestError` (422) when it is missing, too long, or what no file can store."""
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestError(422, "E_ENCODING", f"{name} holds a lone surrogate, which no file can store")
    if len(text) > most:
        raise RequestError(422, "E_TOO_LONG", f"{name} has {len(text)} characters; allowed are {most}")
    if required and not text.strip():
        raise RequestError(422, "E_TYPE", f"{name} is missing")
    return text
