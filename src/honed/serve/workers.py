"""Processes that do the work of a server's batches, so that it uses more than one core and never waits for itself.

Each maps the same bundle, so that the model is in memory once; the server alone speaks HTTP, queues and counts. A
worker that dies is started again, and what it was at is done once more.
"""

import contextlib
import dataclasses
import logging
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honed.core import errors
from honed.core.cpus import cpu_count
from honed.core.errors import ArtifactError, HonedError
from honed.search.searcher import Searcher
from honed.serve.batching import Result, Work
from honed.serve.errors import RequestError
from honed.serve.frames import Opened, Opening, Reply, Request, receive, send

log = logging.getLogger("honed.server")
_SECONDS_TO_OPEN, _SECONDS_TO_CLOSE = 120, 10


class WorkerDied(Exception):  # noqa: N818  it is started again
    """The process ended, or did not answer in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """How worker processes run: how many, the engine and threads of each, and when one is taken for dead (seconds)."""

    n: int
    engine: str = "auto"
    threads: int = 0
    public_key: Path | None = None
    most_seconds: float = 60.0

    def opening(self, searcher: Searcher) -> Opening:
        """Return what a worker is told that shall answer like a searcher."""
        assert searcher.source.folder is not None  # it was loaded from a bundle
        return Opening(
            folder=str(searcher.source.folder),
            fingerprint=str(searcher.manifest["self"]),
            engine=self.engine,
            threads=self.threads or max(1, cpu_count() // self.n),
            public_key=str(self.public_key or ""),
        )


class WorkerProcess:
    """A process that answers from the bundle of a searcher; the runner of a `honed.serve.batching.MicroBatcher`."""

    def __init__(self, opening: Opening, most_seconds: float) -> None:
        """Start the process, which loads the bundle; `wait` returns when it can answer."""
        self._opening, self._most_seconds = opening, most_seconds
        self.engine = ""
        self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "honed.serve.worker", str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603 - our own module
        ours.settimeout(_SECONDS_TO_OPEN)
        self._connection = ours
        send(ours, self._opening)

    def wait(self) -> None:
        """Return when the process can answer; `ArtifactError` when it cannot, and why."""
        try:
            opened = receive(self._connection, Opened)
        except OSError as error:
            raise ArtifactError("E_WORKER", f"a worker process does not start: {error}") from error
        if opened is None or opened.fault:
            raise ArtifactError("E_WORKER", f"a worker process does not start: {opened.fault if opened else 'it died'}")
        self.engine = opened.engine
        self._connection.settimeout(self._most_seconds)

    def run(self, work: Work[Result], texts: Sequence[str], k: int) -> Result:
        """Return the result of a work; it is done again by a new process where the first one dies of it."""
        try:
            return self._ask(work, texts, k)
        except WorkerDied:
            log.warning("a worker process died and is started again")
            self.close()
            self._start()
            self.wait()
            return self._ask(work, texts, k)

    def _ask(self, work: Work[Result], texts: Sequence[str], k: int) -> Result:
        kind, fields = type(work), {field.name: getattr(work, field.name) for field in dataclasses.fields(work)}  # type: ignore[arg-type]
        request = Request(work=f"{kind.__module__}:{kind.__qualname__}", fields=fields, texts=list(texts), k=k)
        try:
            send(self._connection, request)
            reply = receive(self._connection, Reply)
        except OSError:
            reply = None
        if reply is None:
            raise WorkerDied
        if reply.error is not None:
            raise _error(*reply.error)
        result: Any = reply.result()  # what the work returns, see `Work.run`
        return result  # type: ignore[no-any-return]

    def close(self) -> None:
        """End the process: it stops when nobody asks any more."""
        self._connection.close()
        try:
            self._process.wait(_SECONDS_TO_CLOSE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_workers(searcher: Searcher, options: WorkerOptions) -> list[WorkerProcess]:
    """Return processes that answer like a searcher, all of them ready; `ArtifactError` when one cannot start."""
    opening, workers = options.opening(searcher), list[WorkerProcess]()
    try:
        for n in (1, options.n - 1):  # the first finds out which engine is the fastest here, the others follow it
            workers += (started := [WorkerProcess(opening, options.most_seconds) for _ in range(n)])
            for worker in started:
                worker.wait()
    except BaseException:
        for worker in workers:
            with contextlib.suppress(OSError):
                worker.close()
        raise
    return workers


def _error(kind: str, code: str, message: str, status: int) -> Exception:
    """Return the error that a worker met as one of this process."""
    if kind == "RequestError":
        return RequestError(status, code, message)
    known = getattr(errors, kind, None) if kind else None
    if isinstance(known, type) and issubclass(known, HonedError):
        return known(code, message)
    return RuntimeError(message)
