"""What a server and its worker processes say to each other: MessagePack with a length before it, over a socket."""

import socket
from typing import Any, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from honed.core.json import Json
from honed.core.records import Answer

Message = TypeVar("Message", bound=msgspec.Struct)
_LENGTH, _MOST = 4, 1 << 30  # bytes of the length; of a message
Result: TypeAlias = list[Answer] | npt.NDArray[np.float32]


class Opening(msgspec.Struct, kw_only=True, frozen=True):
    """The first message to a worker: the bundle that it answers from, with the fingerprint that it must have."""

    folder: str
    fingerprint: str
    engine: str
    threads: int
    public_key: str = ""


class Opened(msgspec.Struct, kw_only=True, frozen=True):
    """The answer to `Opening`: the engine in use, or why there is none."""

    engine: str = ""
    fault: str = ""


class Request(msgspec.Struct, kw_only=True, frozen=True):
    """Work that is to be done: the class, as "module:name", and its fields; see `honed.serve.batching.Work`."""

    work: str
    fields: dict[str, Json]
    texts: list[str]
    k: int


class Reply(msgspec.Struct, kw_only=True, frozen=True):
    """The result of a work: answers, or an array of float32; or the error that it raised.

    An error is its class in `honed.core.errors`, or "RequestError", with its code, message and status, or "" for a bug.
    """

    answers: list[Answer] | None = None
    array: bytes = b""
    shape: tuple[int, ...] = ()
    error: tuple[str, str, str, int] | None = None

    @classmethod
    def of(cls, result: Any) -> "Reply":
        """Return the message that holds a result."""
        if isinstance(result, np.ndarray):
            return cls(array=result.astype(np.float32).tobytes(), shape=result.shape)
        return cls(answers=result)

    def result(self) -> Result:
        """Return the result that the message holds."""
        if self.answers is not None:
            return self.answers
        return np.frombuffer(self.array, np.float32).reshape(self.shape)


def send(connection: socket.socket, message: msgspec.Struct) -> None:
    """Send one message."""
    content = msgspec.msgpack.encode(message)
    connection.sendall(len(content).to_bytes(_LENGTH, "little") + content)


def receive(connection: socket.socket, kind: type[Message]) -> Message | None:
    """Return the next message; None when the other side has closed. `TimeoutError` as the socket says."""
    head = _read(connection, _LENGTH)
    if head is None:
        return None
    length = int.from_bytes(head, "little")
    content = _read(connection, length) if length <= _MOST else None
    return None if content is None else msgspec.msgpack.decode(content, type=kind)


def _read(connection: socket.socket, n: int) -> bytearray | None:
    """Return the next ``n`` bytes, None when the other side closes before."""
    content, at = bytearray(n), 0
    view = memoryview(content)
    while at < n:
        got = connection.recv_into(view[at:])
        if not got:
            return None
        at += got
    return content
