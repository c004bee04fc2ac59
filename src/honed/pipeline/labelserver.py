"""``honed label --serve``: the label page over HTTP, for this machine alone unless it is told otherwise."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from honed.core.errors import ConfigError, HonedError
from honed.core.optional import require
from honed.ship.config import is_loopback
from honed.ship.requests import Limits, Refused

_PAGE = files("honed.pipeline") / "label_page"
_STATIC = {"label.css": "text/css", "label.js": "text/javascript"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """Where the page is served, the name that labels are kept under, and settings in place of those of honed.toml."""

    host: str = "127.0.0.1"
    port: int = 8081
    who: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)


def serve_labels(project: Path, options: ServeOptions) -> None:
    """Serve the label page of a project until SIGTERM or SIGINT.

    Raises `ConfigError` for an address that others can reach: the page has no key, and whoever opens it can label.
    """
    require("HTTP server")
    from honed.pipeline.desk import Desk
    from honed.pipeline.project import Project
    from honed.ship.server import answer, listen, own_hosts

    if not is_loopback(options.host):
        raise ConfigError("E_CONFIG_UNSAFE", f"{options.host} is reachable from outside; the label page has no key")
    listener = listen(options.host, options.port)
    desk = Desk(Project(project, overrides=options.overrides), options.who)
    limits = Limits(max_body=1 << 20)
    gate = make_label_app(desk, limits, hosts=own_hosts(options.host, ()))
    try:
        answer(gate, limits, listener, f"the label page at http://{options.host}", lambda: None)
    finally:
        desk.close()


def make_label_app(desk: Any, limits: Limits, *, hosts: frozenset[str]) -> Any:
    """Return the ASGI application over a `honed.pipeline.desk.Desk`, behind the gate of the server."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from honed.ship.app import json_fields
    from honed.ship.gate import PAGE_POLICY, Gate, Metrics

    def route(path: str, method: str, work: Callable[[dict[str, Any]], Any]) -> Route:
        async def answered(request: Request) -> Response:
            given = dict(request.query_params) if method == "GET" else await json_fields(request)
            try:
                return JSONResponse(await asyncio.to_thread(work, given))
            except HonedError as error:
                raise Refused(422, error.code, error.message) from None

        return Route(path, answered, methods=[method])

    async def page(_: Request) -> Response:
        content = (_PAGE / "index.html").read_bytes()
        return Response(content, media_type="text/html", headers={"content-security-policy": PAGE_POLICY})

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise Refused(404, "E_NOT_FOUND", "no such file")
        return Response((_PAGE / name).read_bytes(), media_type=_STATIC[name])

    async def refused(request: Request, error: Any) -> Response:
        await request.scope["honed.body"].drain()
        return JSONResponse({"error": {"code": error.code, "message": error.message}}, error.status)

    def records(given: dict[str, Any]) -> Any:
        skip = given.get("skip", [])
        if not isinstance(skip, list) or not all(isinstance(each, str) for each in skip):
            raise Refused(422, "E_TYPE", "skip is no list of texts")
        order = text_of(given, "order", required=False) or "next"
        return desk.records(order, whole_number(text_of(given, "n", required=False) or "1"), skip)

    def label(given: dict[str, Any]) -> Any:
        return desk.give(text_of(given, "id"), text_of(given, "label", required=False), _why(given))

    def preview(given: dict[str, Any]) -> Any:
        return desk.preview(text_of(given, "label"), text_of(given, "term"), pattern=given.get("pattern") == "true")

    def terms(given: dict[str, Any]) -> Any:
        flags = {name: given.get(name) is True for name in ("pattern", "remove")}
        return desk.change_terms(text_of(given, "label"), text_of(given, "term"), **flags)

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/static/{name}", static),
            route("/v1/state", "GET", lambda _: desk.state()),
            route("/v1/records", "POST", records),
            route("/v1/label", "POST", label),
            route("/v1/terms/preview", "GET", preview),
            route("/v1/terms", "POST", terms),
            route("/v1/reload", "POST", lambda _: desk.reload()),
            route("/v1/suggestions", "GET", lambda _: desk.suggestions()),
        ],
        exception_handlers={Refused: refused},
    )
    return Gate(app, limits, Metrics(), hosts=hosts, api_key="")


def text_of(given: dict[str, Any], name: str, *, required: bool = True, most: int = 2000) -> str:
    """Return a field that holds a text; `Refused` (422) for anything else."""
    value = given.get(name, "")
    if not isinstance(value, str):
        raise Refused(422, "E_TYPE", f"{name} is no text")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise Refused(422, "E_ENCODING", f"{name} holds a lone surrogate, which no file can store")
    if len(value) > most:
        raise Refused(422, "E_TOO_LONG", f"{name} has {len(value)} characters; allowed are {most}")
    if required and not value.strip():
        raise Refused(422, "E_TYPE", f"{name} is missing")
    return value


def whole_number(text: str) -> int:
    """Return a number that a text holds; `Refused` (422) for anything else."""
    if not text.isdecimal() or len(text) > 6:
        raise Refused(422, "E_TYPE", f"{text!r} is no whole number")
    return int(text)


def _why(given: dict[str, Any]) -> str:
    return text_of(given, "why", required=False, most=500)
