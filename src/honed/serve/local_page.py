"""Pages for whoever works on a project: one folder of files and some JSON calls, served to this machine alone."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from honed.config.server import is_loopback
from honed.core.errors import ConfigError, HonedError
from honed.core.optional import require
from honed.serve.errors import RequestError
from honed.serve.limits import Limits

Call = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """An answer that is a file."""

    content: bytes
    media_type: str


def check_host(host: str, what: str) -> None:
    """Raise `ConfigError` for an address that others can reach: these pages have no key."""
    require("HTTP server")
    if not is_loopback(host):
        raise ConfigError("E_CONFIG_UNSAFE", f"{host} is reachable from outside; the {what} has no key")


def serve_page(app: Callable[[Limits, frozenset[str]], Any], host: str, port: int, what: str) -> None:
    """Serve a page until SIGTERM or SIGINT; ``app`` makes the application from limits and allowed hosts."""
    from honed.serve.server import listen, own_hosts, run_server

    listener = listen(host, port)
    limits = Limits(max_body=1 << 20)
    run_server(app(limits, own_hosts(host, ())), listener, f"the {what} at http://{host}", lambda: None)


def page_app(
    folder: Any, static: Mapping[str, str], calls: Mapping[tuple[str, str], Call], limits: Limits, hosts: frozenset[str]
) -> Any:
    """Return the ASGI application of a page, behind the gate of the server.

    ``static`` maps files of the folder beside ``index.html`` to their media types, ``calls`` (method, path) to what
    answers: it is given the fields of body or address and returns plain data or a `Download`. What it raises is shown
    to the user.
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from honed.serve.access import Access
    from honed.serve.gate import Gate
    from honed.serve.metrics import Metrics
    from honed.serve.responses import PAGE_POLICY, body_fields

    def route(method: str, path: str, work: Call) -> Route:
        async def answered(request: Request) -> Response:
            given = dict(request.query_params) if method == "GET" else await body_fields(request)
            try:
                found = await asyncio.to_thread(work, given)
            except HonedError as error:
                raise RequestError(422, error.code, error.message) from None
            if isinstance(found, Download):
                return Response(found.content, media_type=found.media_type)
            return JSONResponse(found)

        return Route(path, answered, methods=[method])

    async def page(_: Request) -> Response:
        content = (folder / "index.html").read_bytes()
        return Response(content, media_type="text/html", headers={"content-security-policy": PAGE_POLICY})

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in static:
            raise RequestError(404, "E_NOT_FOUND", "no such file")
        return Response((folder / name).read_bytes(), media_type=static[name])

    async def refused(request: Request, error: Any) -> Response:
        await request.scope["honed.body"].drain()
        return JSONResponse({"error": {"code": error.code, "message": error.message}}, error.status)

    routes = [Route("/", page), Route("/static/{name}", file)]
    routes += [route(method, path, work) for (method, path), work in calls.items()]
    return Gate(Starlette(routes=routes, exception_handlers={RequestError: refused}), limits, Metrics(), Access(hosts))


def text_of(given: Mapping[str, Any], name: str, *, required: bool = True, most: int = 2000) -> str:
    """Return a field that holds a text; `RequestError` (422) for anything else."""
    value = given.get(name, "")
    if not isinstance(value, str):
        raise RequestError(422, "E_TYPE", f"{name} is no text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise RequestError(422, "E_ENCODING", f"{name} holds a lone surrogate, which no file can store")
    if len(value) > most:
        raise RequestError(422, "E_TOO_LONG", f"{name} has {len(value)} characters; allowed are {most}")
    if required and not value.strip():
        raise RequestError(422, "E_TYPE", f"{name} is missing")
    return value
