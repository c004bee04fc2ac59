"""The gate of the server, as plain ASGI: who may ask and how much; every request is counted and logged once."""

import asyncio
import logging
import time
from collections.abc import Iterable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from honed.serve.access import Access
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.metrics import Metrics
from honed.serve.responses import error_content

log = logging.getLogger("honed.access")

_DRAIN_BYTES, _DRAIN_SECONDS = 16 << 20, 3.0
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"cache-control", b"no-store"),
)
_FRAMES = b"x-frame-options", b"frame-ancestors *"  # the first would contradict a policy with the second
_NO_ANSWER = 499  # the status in log and metrics of a request whose client left


class Gate:
    """Checks every request before the application sees it, and counts it after.

    The application finds the gate and the `Body` of a request in its scope: see `gate_of` and `body_of`. While
    ``draining``, connections are closed after their answer.
    """

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics, access: Access) -> None:
        self.app, self.limits, self.metrics, self.access = app, limits, metrics, access
        self.draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = _NO_ANSWER
        self.metrics.in_flight.inc()
        scope["honed.gate"] = self
        scope["honed.body"] = body = Body(receive, self.limits)

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [*_missing_headers(message["headers"]), *self.access.sharing.headers(scope)]
                if self.draining or body.refused:
                    more.append((b"connection", b"close"))
                message["headers"] = [*message["headers"], *more]
            await send(message)

        try:
            self.access.check(scope)
            body.check_length(scope)
            if self.access.sharing.is_preflight(scope):
                await answer({"type": "http.response.start", "status": 204, "headers": []})
                await answer({"type": "http.response.body"})
            else:
                await self.app(scope, body.receive, answer)
        except RequestError as error:
            await send_error(answer, error, body)
        except ConnectionError:
            self.metrics.cancelled.inc()
        except Exception:  # a bug of ours: the client hears so, the log has one line, the next request is answered
            log.exception("a request failed") if log.isEnabledFor(logging.DEBUG) else log.error("a request failed")
            if status == _NO_ANSWER:
                await send_error(answer, RequestError(500, "E_BUG", "this is a bug of honed"), body)
        finally:
            self._count(scope, status, time.perf_counter() - started)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request in the metrics, and log it in one line."""
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.in_flight.dec()
        self.metrics.requests.labels(route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        client = (scope.get("client") or ("-",))[0]
        path = scope.get("raw_path", b"").decode("ascii", "replace")[:200]
        log.info("%s %s %s %d %.1f ms", client, scope["method"], ascii(path)[1:-1], status, 1000 * seconds)


def _missing_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers that every answer has and that one lacks; a page that others may frame lacks one rightly."""
    there = dict(headers)
    if _FRAMES[1] in there.get(b"content-security-policy", b""):
        there[_FRAMES[0]] = b""
    return [header for header in _HEADERS if header[0] not in there]


class Body:
    """Counts the bytes of a request's body, waits for them only so long, and stops reading at the limit."""

    def __init__(self, receive: Receive, limits: Limits) -> None:
        self._receive, self._limits = receive, limits
        self.n_bytes, self.refused, self.more = 0, False, True
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

    def _too_big(self) -> RequestError:
        return RequestError(413, "E_BODY_TOO_BIG", f"the body is over max_body, {self._limits.max_body} bytes")

    async def receive(self) -> Message:
        """Return the next message; `RequestError` over the limit, or when the body is too slow."""
        if not self.more:
            return await self._receive()
        self._end = self._end or time.monotonic() + self._limits.body_timeout
        try:
            message = await asyncio.wait_for(self._receive(), max(0.001, self._end - time.monotonic()))
        except TimeoutError:
            self.refused, self.more = True, False
            raise RequestError(408, "E_SLOW", "the body did not arrive in time") from None
        self.n_bytes += len(message.get("body", b""))
        self.more = bool(message.get("more_body"))
        if self.n_bytes > self._limits.max_body:
            self.refused = True
            raise self._too_big()
        return message

    async def drain(self) -> None:
        """Read on for a moment what was refused, without keeping it, so that the client hears the answer."""
        if not self.refused:
            return
        end, n_bytes = time.monotonic() + _DRAIN_SECONDS, 0
        while self.more and n_bytes < _DRAIN_BYTES and (left := end - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except TimeoutError:
                return
            n_bytes += len(message.get("body", b""))
            self.more = bool(message.get("more_body"))


def gate_of(request: Request) -> Gate:
    """Return the gate that a request came through."""
    gate: Gate = request.scope["honed.gate"]
    return gate


def body_of(request: Request) -> Body:
    """Return the body of a request as the gate counts it."""
    body: Body = request.scope["honed.body"]
    return body


async def send_error(send: Send, error: RequestError, body: Body) -> None:
    """Send an error as JSON."""
    await body.drain()
    content = error_content(error)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        *((name.encode(), value.encode()) for name, value in error.headers.items()),
    ]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
