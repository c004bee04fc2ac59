"""A process that does the work of a server's batches; see `honed.serve.workers`, which starts it."""

import importlib
import signal
import socket
import sys
from pathlib import Path

from honed.core.errors import HonedError
from honed.search.searcher import Searcher
from honed.serve import memory
from honed.serve.errors import RequestError
from honed.serve.frames import Opened, Opening, Reply, Request, receive, send


def main(descriptor: int) -> None:
    """Answer over a socket until the other side closes it: signals are for the server, which decides."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    memory.configure_malloc()
    with socket.socket(fileno=descriptor) as connection:
        opening = receive(connection, Opening)
        searcher = None if opening is None else _open(connection, opening)
        if searcher is None:
            return
        while (request := receive(connection, Request)) is not None:
            send(connection, _answer(searcher, request))


def _open(connection: socket.socket, opening: Opening) -> Searcher | None:
    """Load the bundle with its fast engine and say so; None, and why, where it cannot be."""
    try:
        key = Path(opening.public_key) if opening.public_key else None
        searcher = Searcher.load(opening.folder, engine=opening.engine, threads=opening.threads, public_key=key)
        if searcher.manifest["self"] != opening.fingerprint:
            raise RequestError(409, "E_CHANGED", "another bundle has taken the place of the one that is served")
        engine = "numpy" if opening.engine == "numpy" else searcher.warm()
    except (HonedError, OSError, RequestError) as error:
        send(connection, Opened(fault=str(error)))
        return None
    send(connection, Opened(engine=engine))
    return searcher


def _answer(searcher: Searcher, request: Request) -> Reply:
    """Do one work; what it raises is told to the server."""
    try:
        module, _, name = request.work.partition(":")
        kind = getattr(importlib.import_module(module), name)
        return Reply.of(kind(**request.fields).run(searcher, request.texts, request.k))
    except RequestError as error:
        return Reply(error=("RequestError", error.code, str(error), error.status))
    except HonedError as error:
        return Reply(error=(type(error).__name__, error.code, error.message, 0))
    except Exception as error:  # a bug of ours: the server says so, the next work is done
        return Reply(error=("", "", f"{type(error).__name__}: {error}", 0))


if __name__ == "__main__":
    main(int(sys.argv[1]))
