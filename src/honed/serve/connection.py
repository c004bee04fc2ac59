"""HTTP connections that cannot be held open or flooded, and a server that stops without losing a request."""

import asyncio
import contextlib
import functools
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from typing import cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from honed.serve.limits import Limits

_LINGER = 1.0
_PHRASES = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}


class LimitedConnection(H11Protocol):
    """One connection: headers in time and in size, errors that arrive, grace at the end."""

    limits = Limits()
    _timer: asyncio.TimerHandle | None = None
    _lingers = _drains = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection in, unless there are too many."""
        super().connection_made(transport)
        if len(self.server_state.connections) > self.limits.max_connections:
            transport.abort()  # an answer would keep the file open that is missing
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Read on, unless the headers grow too big; the clock of the headers runs between requests."""
        if self._lingers:
            return
        if self.conn.their_state is h11.IDLE and self._header_size(data) > self.limits.max_headers:
            self._refuse(431, f"the headers are over {self.limits.max_headers} bytes")
            return
        super().data_received(data)
        if self._lingers or self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._watch()
        elif self.conn.their_state is not h11.IDLE:
            self._unwatch()

    def _header_size(self, data: bytes) -> int:
        """Return the bytes of the headers with those that came now, to their end if it is there."""
        before = self.conn.trailing_data[0]
        seen = before[-3:] + data
        end = min((at for at in (seen.find(b"\r\n\r\n"), seen.find(b"\n\n")) if at >= 0), default=len(seen))
        return len(before) - len(before[-3:]) + end

    def handle_events(self) -> None:
        """Begin requests; one that begins while the server drains is the last of its connection."""
        super().handle_events()
        if self._drains and self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the connection go."""
        self._unwatch()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        error = sys.exc_info()[1]
        self._refuse(getattr(error, "error_status_hint", 400), msg)

    def shutdown(self) -> None:
        """Serve what the client may have sent already, then close."""
        idle = self.cycle is None or self.cycle.response_complete
        if not idle:
            super().shutdown()
            return
        self._drains = True
        self.loop.call_later(_LINGER, self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.limits.header_timeout, self._too_slow)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._refuse(408, f"no whole request within {self.limits.header_timeout:g} s")

    def _refuse(self, status: int, message: str) -> None:
        """Answer and close, but read on for a moment: unread bytes would make the kernel drop the answer."""
        body = f'{{"error": {{"code": "E_HTTP", "message": "{message}"}}}}'.encode()
        head = (
            f"HTTP/1.1 {status} {_PHRASES.get(status, 'Error')}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self._unwatch()
        self._lingers = True
        self.transport.write(head.encode() + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)


def connection_class(limits: Limits) -> type[LimitedConnection]:
    """Return the protocol of a connection under some limits."""
    return type("Connection", (LimitedConnection,), {"limits": limits})


class GracefulServer(uvicorn.Server):
    """Stops in three steps: says so in every answer, closes its door, waits for what is under way."""

    def __init__(self, config: uvicorn.Config, *, on_start: Callable[[], None], on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start, self._on_drain = on_start, on_drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and then say so."""
        await super().startup(sockets)
        self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, and end as a process that did what it was told: with exit code 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let clients leave before the door closes."""
        self._on_drain()
        await asyncio.sleep(0.3)
        await self._close_door()
        await super().shutdown(sockets)

    async def _close_door(self) -> None:
        """Take in everyone who is connected already, and close: nobody may come between the two."""
        accepted: list[socket.socket] = []
        for server in self.servers:
            for listener in server.sockets:
                duplicate = socket.socket(fileno=os.dup(listener.fileno()))
                duplicate.setblocking(False)
                with contextlib.suppress(BlockingIOError, OSError):
                    while True:
                        accepted.append(duplicate.accept()[0])
                duplicate.close()
            server.close()
        config, protocol = self.config, cast(type[H11Protocol], self.config.http_protocol_class)
        make = functools.partial(protocol, config=config, server_state=self.server_state, app_state=self.lifespan.state)
        for connection in accepted:
            await asyncio.get_running_loop().connect_accepted_socket(make, connection)
