"""The HTTP interface over a bundle, and the page."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from honed import __version__
from honed.bundle.manifest import Manifest
from honed.core.errors import ConfigError, HonedError
from honed.core.fingerprint import canonical_json
from honed.core.records import Answer
from honed.search.request import DIRECTIONS
from honed.search.searcher import Searcher
from honed.serve import memory
from honed.serve.engine import Busy, Engine, Work
from honed.serve.gate import PAGE_POLICY, Gate, Metrics
from honed.serve.requests import Limits, Refused, check_wanted, encode_request, one_text, search_request, strict_json

log = logging.getLogger("honed.server")

_PAGE = files("honed.serve") / "search_page"
_STATIC = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
_REPORT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; "
_REPORT_POLICY += "sandbox; form-action 'none'; base-uri 'none'"


class Service:
    """A bundle that is being served: the searcher of the moment, and how it is replaced."""

    def __init__(
        self, path: Path, limits: Limits, *, engine: str = "auto", threads: int = 0, public_key: Path | None = None
    ) -> None:
        """Load the bundle; `honed.core.errors.ArtifactError` when it is unfit."""
        self.path, self.limits, self.metrics = path, limits, Metrics()
        self._how: dict[str, Any] = {"engine": engine, "threads": threads, "public_key": public_key}
        self.searcher = Searcher.load(path, **self._how)
        self.engine = Engine(
            self.searcher,
            max_waiting=limits.max_waiting,
            on_batch=self._count,
            check=self._check_tokens,
            rerank_ms=limits.rerank_ms,
        )
        self.ready = threading.Event()
        self._reloading = threading.Lock()
        self.fault = ""
        threading.Thread(target=self._warm, daemon=True).start()

    def _check_tokens(self, searcher: Searcher, texts: Sequence[str]) -> None:
        """Refuse texts that have more tokens in all than one request may; few characters cannot."""
        limit = self.limits.max_tokens
        if sum(map(len, texts)) > limit and (total := searcher.count_tokens(texts)) > limit:
            raise Refused(413, "E_TOO_MANY_TOKENS", f"the texts have {total} tokens; max_tokens is {limit}")

    def _count(self, n_texts: int, seconds: float) -> None:
        self.metrics.batch.observe(n_texts)
        self.metrics.batch_seconds.observe(seconds)

    def _warm(self) -> None:
        try:
            if self._how["engine"] != "numpy":
                self.searcher.warm()
                memory.give_back()
            self.ready.set()
        except Exception as error:  # whatever it is, the server must say that it is not ready
            log.error("the fast engine cannot be used: %s", error)
            self.fault = "the bundle is unfit"

    def reload(self) -> dict[str, Any]:
        """Load the bundle again and answer from it; the old one goes on when the new one is unfit.

        Blocks for as long as loading takes; requests are answered meanwhile. Raises `Refused` while another one runs.
        """
        if not self._reloading.acquire(blocking=False):
            raise Refused(429, "E_BUSY", "a reload is under way", {"retry-after": "1"})
        try:
            try:
                fresh = Searcher.load(self.path, **self._how)
                if self._how["engine"] != "numpy":
                    fresh.warm()
            except (HonedError, OSError):
                self.metrics.reloads.labels("refused").inc()
                raise
            self.engine.replace(fresh)
            self.searcher = fresh
            self.engine.settle()
            memory.give_back()
            self.metrics.reloads.labels("done").inc()
            self.fault = ""
            self.ready.set()
            return self.about()
        finally:
            self._reloading.release()

    def about(self) -> dict[str, Any]:
        """Return what the page and scripts may know of the bundle."""
        shown = {key: value for key, value in self.searcher.manifest.items() if key not in ("model", "files")}
        shown["files"] = {name: entry.size for name, entry in Manifest(self.searcher.manifest).files.items()}
        return {**shown, "engine": getattr(self.searcher.encoder, "engine", ""), "honed": __version__}


def make_app(service: Service, *, hosts: frozenset[str], api_key: str = "") -> Gate:
    """Return the ASGI application over a service, behind its gate."""
    limits, metrics = service.limits, service.metrics

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.engine.stop)

    app = FastAPI(
        title="honed",
        version=__version__,
        description="Look names up by meaning, in both directions.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )

    async def ask(request: Request, work: Work, texts: list[str], k: int = 0) -> Any:
        """Wait for an answer until the deadline, and only as long as the client does."""
        answer = asyncio.ensure_future(service.engine.ask(work, texts, k))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait({answer, gone}, timeout=limits.deadline, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
        except Busy:
            raise Refused(429, "E_BUSY", "every place is taken; try again", {"retry-after": "1"}) from None
        finally:
            gone.cancel()
            answer.cancel()
        if gone.done() and not gone.cancelled():
            raise ClientDisconnect
        raise Refused(503, "E_DEADLINE", f"no answer within {limits.deadline:g} s", {"retry-after": "1"})

    async def answer_search(request: Request, fields: dict[str, Any]) -> JSONResponse:
        wanted = search_request(fields, limits)
        searcher = service.searcher
        check_wanted(wanted, searcher)
        kind = "candidates" if wanted.candidates else "rerank" if wanted.rerank else "search"
        work = (kind, wanted.direction, canonical_json(wanted.where))
        try:
            found = await ask(request, work, wanted.texts, wanted.k)
        except ConfigError as error:  # a filter on a field that is not there: known where the fields are read
            raise Refused(422, error.code, error.message) from None
        results = [_result(text, answer, searcher) for text, answer in zip(wanted.texts, found, strict=True)]
        return JSONResponse({"results": results} if wanted.many else results[0])

    @app.post("/v1/search", openapi_extra=_body(_SEARCH), summary="Search with one text or several")
    async def search(request: Request) -> Response:
        return await answer_search(request, await json_fields(request))

    @app.get("/v1/search", summary="Search with one text")
    async def search_by_url(
        request: Request, query: str = "", k: str = "10", direction: str = DIRECTIONS[0]
    ) -> Response:
        if not k.isdecimal() or len(k) > 9:
            raise Refused(422, "E_TYPE", "k is no whole number")
        return await answer_search(request, {"query": query, "k": int(k), "direction": direction})

    @app.post("/v1/encode", openapi_extra=_body(_ENCODE), summary="Texts to unit vectors")
    async def encode(request: Request) -> Response:
        texts, role = encode_request(await json_fields(request), limits)
        vectors = await ask(request, ("encode", role, ""), texts)
        return JSONResponse({"dim": vectors.shape[1], "vectors": vectors.tolist()})

    @app.get("/v1/entities/{entity_id:path}", summary="One entity with its fields and aliases")
    async def entity(entity_id: str) -> Response:
        try:
            return JSONResponse(service.searcher.entity(one_text(entity_id, "entity_id", limits)))
        except ConfigError as error:
            raise Refused(404, error.code, error.message) from None

    @app.get("/v1/bundle", summary="What is served: manifest, measures, engine")
    async def about() -> Response:
        return JSONResponse(service.about())

    @app.post("/v1/reload", summary="Load the bundle again from its place")
    async def reload() -> Response:
        try:
            found = await asyncio.to_thread(service.reload)
        except HonedError as error:
            raise Refused(409, error.code, "the bundle in place is unfit; the old one goes on") from None
        except OSError:
            raise Refused(409, "E_IO", "the bundle in place cannot be read; the old one goes on") from None
        return JSONResponse({"self": found["self"]})

    @app.post("/v1/session", include_in_schema=False)
    async def session(request: Request) -> Response:
        key = (await json_fields(request)).get("key")
        if not isinstance(key, str) or not gate.is_key(key.encode("utf-8", "replace")):
            raise Refused(401, "E_KEY", "a key is needed: Authorization: Bearer KEY")
        return Response(status_code=204, headers={"set-cookie": gate.session_cookie()})

    @app.get("/healthz", summary="The process is alive")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/readyz", summary="The fast engine is loaded and the server is not stopping")
    async def ready() -> Response:
        state = "stopping" if gate.draining else service.fault or ("ready" if service.ready.is_set() else "loading")
        return JSONResponse({"status": state}, status_code=200 if state == "ready" else 503)

    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        metrics.waiting.set(service.engine.waiting)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/report", include_in_schema=False)
    async def report() -> Response:
        content = service.searcher.source.report
        if not content:
            raise Refused(404, "E_NO_REPORT", "this bundle was exported before anything was evaluated")
        return Response(content, media_type="text/html", headers={"content-security-policy": _REPORT_POLICY})

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        content = (_PAGE / "index.html").read_bytes()
        return Response(content, media_type="text/html", headers={"content-security-policy": PAGE_POLICY})

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in _STATIC:
            raise Refused(404, "E_NOT_FOUND", "no such file")
        return Response((_PAGE / name).read_bytes(), media_type=_STATIC[name])

    @app.exception_handler(HTTPException)
    async def plain(_: Request, error: HTTPException) -> Response:
        return JSONResponse(
            {"error": {"code": "E_HTTP", "message": str(error.detail)}}, error.status_code, headers=error.headers
        )

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> Response:
        metrics.cancelled.inc()
        return Response(status_code=499)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:
        await request.scope["honed.body"].drain()
        content = {"error": {"code": error.code, "message": error.message}}
        return JSONResponse(content, error.status, headers=error.headers)

    gate = Gate(app, limits, metrics, hosts=hosts, api_key=api_key)
    return gate


async def json_fields(request: Request) -> dict[str, Any]:
    """Return the object that the body of a request holds; `Refused` for anything else."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "E_CONTENT_TYPE", "the body must be application/json")
    return strict_json(await request.body())


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _result(text: str, answer: Answer, searcher: Searcher) -> dict[str, Any]:
    return {"query": text, "truncated": searcher.is_cut(text), **answer.as_dict()}


_TEXTS = {"type": "array", "items": {"type": "string"}}
_SEARCH = {
    "query": {"type": "string", "example": "UdeG"},
    "queries": _TEXTS,
    "k": {"type": "integer", "minimum": 1, "default": 10},
    "direction": {"type": "string", "enum": list(DIRECTIONS), "default": DIRECTIONS[0]},
    "filter": {"type": "object", "example": {"country": ["MX", "US"], "founded": {"gte": 1900, "lt": 2000}}},
    "candidates": {"type": "boolean", "default": False},
    "rerank": {"type": "boolean", "default": False},
}
_ENCODE = {
    "texts": _TEXTS,
    "role": {"type": "string", "enum": ["query", "document"], "default": "query"},
}


def _body(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
