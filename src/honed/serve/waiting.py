"""Waiting for the worker thread: until the deadline, and only as long as the client does."""

import asyncio
import time
from collections.abc import Sequence
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from honed.serve.batching import QueueFull, Work
from honed.serve.errors import RequestError
from honed.serve.service import Service

Result = TypeVar("Result")


class Waiting:
    """What one request waits for: all its work together has the deadline of the server."""

    def __init__(self, service: Service, request: Request) -> None:
        self._batcher, self._request = service.batcher, request
        self._seconds = service.limits.deadline
        self._end = time.monotonic() + self._seconds

    async def result(self, work: Work[Result], texts: Sequence[str], k: int = 0) -> Result:
        """Return the result of a work; `RequestError` when every place is taken (429) or it takes too long (503)."""
        result = asyncio.ensure_future(self._batcher.submit(work, texts, k))
        left = asyncio.ensure_future(_disconnected(self._request))
        try:
            timeout = max(0.0, self._end - time.monotonic())
            await asyncio.wait({result, left}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if result.done():
                return result.result()
        except QueueFull:
            raise RequestError(429, "E_BUSY", "every place is taken; try again", {"retry-after": "1"}) from None
        finally:
            left.cancel()
            result.cancel()
        if left.done() and not left.cancelled():
            raise ClientDisconnect
        raise RequestError(503, "E_DEADLINE", f"no answer within {self._seconds:g} s", {"retry-after": "1"})


async def _disconnected(request: Request) -> None:
    """Return when the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
