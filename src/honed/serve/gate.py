"""The door of the server, as plain ASGI: who may ask, from where, how much; each request counted and logged once."""

import asyncio
import hmac
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from honed.serve.requests import Limits, Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
log = logging.getLogger("honed.access")

COOKIE = "honed_session"
OPEN_PATHS = ("/", "/healthz", "/readyz", "/v1/session")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_MAX_RANGES = 8
_DRAIN_BYTES, _DRAIN_SECONDS = 16 << 20, 3.0
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cache-control", b"no-store"),
)
PAGE_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"


class Metrics:
    """What Prometheus reads."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("honed_requests", "Answered requests.", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "honed_request_seconds", "Time to an answer.", ["route"], buckets=_SECONDS, registry=registry
        )
        self.in_flight = Gauge("honed_in_flight", "Requests that are being answered.", registry=registry)
        self.waiting = Gauge("honed_waiting", "Requests that hold a place before the encoder.", registry=registry)
        self.cancelled = Counter("honed_cancelled", "Requests whose client left before the answer.", registry=registry)
        self.batch = Histogram(
            "honed_batch_texts", "Texts in one pass.", buckets=(1, 2, 4, 8, 16, 32, 128), registry=registry
        )
        self.batch_seconds = Histogram("honed_batch_seconds", "Time of one pass.", buckets=_SECONDS, registry=registry)
        self.reloads = Counter("honed_reloads", "Reloads of the bundle.", ["result"], registry=registry)


class Gate:
    """Checks every request before the application sees it, and counts it after."""

    def __init__(self, app: Any, limits: Limits, metrics: Metrics, *, hosts: frozenset[str], api_key: str) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self.hosts, self.draining = hosts, False
        self._key = sha256(api_key.encode()).digest() if api_key else None
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 499
        self.metrics.in_flight.inc()
        scope["honed.body"] = body = Body(receive, self.limits)

        async def answer(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                present = {name for name, _ in message["headers"]}
                extra = [each for each in _HEADERS if each[0] not in present]
                if self.draining or body.refused:
                    extra.append((b"connection", b"close"))
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        try:
            self._check(scope)
            body.check_length(scope)
            await self.app(scope, body.receive, answer)
        except Refused as refusal:
            await refuse(answer, refusal, body)
        except ConnectionError:
            self.metrics.cancelled.inc()
        except Exception:  # a bug of ours: the client hears so, the log has one line, the next request is answered
            log.exception("a request failed") if log.isEnabledFor(logging.DEBUG) else log.error("a request failed")
            if status == 499:
                await refuse(answer, Refused(500, "E_BUG", "this is a bug of honed"), body)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.in_flight.dec()
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            client = (scope.get("client") or ("-",))[0]
            path = scope.get("raw_path", b"").decode("ascii", "replace")[:200]
            log.info("%s %s %s %d %.1f ms", client, scope["method"], ascii(path)[1:-1], status, 1000 * seconds)

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name in (b"host", b"origin", b"authorization", b"content-length"):
                raise Refused(400, "E_HEADER", f"the header {name.decode()} is there twice")
            headers[name] = value
        host = headers.get(b"host", b"").decode("latin-1")
        if "*" not in self.hosts and bare_host(host) not in self.hosts:
            raise Refused(421, "E_HOST", "this server does not answer for that Host; see  honed serve --allow-host")
        origin = headers.get(b"origin")
        if origin is not None and _netloc(origin.decode("latin-1")) != host.lower():
            raise Refused(403, "E_ORIGIN", "requests of other origins are refused")
        if headers.get(b"range", b"").count(b",") >= _MAX_RANGES:
            raise Refused(416, "E_RANGE", "too many ranges")
        path = scope["path"]
        if self._key is not None and path not in OPEN_PATHS and not path.startswith("/static/"):
            self._check_key(headers)

    def _check_key(self, headers: dict[bytes, bytes]) -> None:
        given = headers.get(b"authorization", b"")
        token = given[7:] if given[:7].lower() == b"bearer " else headers.get(b"x-api-key", b"")
        cookies = dict(part.strip().partition(b"=")[::2] for part in headers.get(b"cookie", b"").split(b";"))
        session = cookies.get(COOKIE.encode(), b"")
        if not (self.is_key(token) or hmac.compare_digest(session, self._session.encode())):
            raise Refused(401, "E_KEY", "a key is needed: Authorization: Bearer KEY", {"www-authenticate": "Bearer"})

    def is_key(self, token: bytes) -> bool:
        """Compare a key in constant time."""
        return self._key is None or hmac.compare_digest(sha256(token).digest(), self._key)

    def session_cookie(self) -> str:
        """Return the cookie that stands for the key in a browser, until the server stops."""
        return f"{COOKIE}={self._session}; HttpOnly; SameSite=Strict; Path=/"


class Body:
    """Counts the bytes of a request's body, waits for them only so long, and stops reading at the limit."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self.read, self.refused, self.more = 0, False, True
        self._end = 0.0

    def check_length(self, scope: Scope) -> None:
        """Refuse a body that says it is too big, before any of it is read."""
        length = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if length is None:
            self.more = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        elif length.isdigit() and int(length) > self._limits.max_body:
            self.refused = True
            self.more = False  # none of it is read
            raise self._too_big()

    def _too_big(self) -> Refused:
        return Refused(413, "E_BODY_TOO_BIG", f"the body is over max_body, {self._limits.max_body} bytes")

    async def receive(self) -> MutableMapping[str, Any]:
        """Return the next message; `Refused` over the limit, or when the body is too slow."""
        if not self.more:
            return await self._receive()
        self._end = self._end or time.monotonic() + self._limits.body_timeout
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, self._end - time.monotonic()))
        except TimeoutError:
            self.refused, self.more = True, False
            raise Refused(408, "E_SLOW", "the body did not arrive in time") from None
        self.read += len(message.get("body", b""))
        self.more = bool(message.get("more_body"))
        if self.read > self._limits.max_body:
            self.refused = True
            raise self._too_big()
        return message

    async def drain(self) -> None:
        """Read on for a moment what was refused, without keeping it, so that the client hears the answer."""
        if not self.refused:
            return
        end, read = time.monotonic() + _DRAIN_SECONDS, 0
        while self.more and read < _DRAIN_BYTES and (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except TimeoutError:
                return
            read += len(message.get("body", b""))
            self.more = bool(message.get("more_body"))


async def refuse(send: Send, refusal: Refused, body: Body) -> None:
    """Send an error as JSON."""
    await body.drain()
    content = json.dumps({"error": {"code": refusal.code, "message": refusal.message}}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        *((name.encode(), value.encode()) for name, value in refusal.headers.items()),
    ]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def bare_host(host: str) -> str:
    """Return the host of a Host header without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[").lower()
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()
