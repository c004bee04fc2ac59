"""``honed serve``: a bundle behind HTTP until SIGTERM."""

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from honed.config.server import is_loopback
from honed.core.errors import ConfigError, HonedError, StorageError
from honed.core.optional import require
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.query_log import LogOptions

if TYPE_CHECKING:
    from honed.serve.gate import Gate
    from honed.serve.protocols import ProtocolSettings, ServedProtocol
    from honed.serve.service import Service

log = logging.getLogger("honed.server")
_BACKLOG = 2048
_ACCEPTED = 16  # asyncio accepts as many connections at a time as its backlog says, some turns before it looks at them
_RESERVED_FILES = 64 + 6 * _ACCEPTED  # for everything but connections


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """How a bundle is served; a public address needs a key, unless it is meant to be open.

    ``workers`` are processes that answer, 0 answers in the server's own. ``protocols`` are spoken beside the calls of
    the server; ``allow_origins`` are pages that may ask what those share. ``log`` is where searches and events are
    kept; None keeps none.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    api_key: str = ""
    insecure: bool = False
    allow_hosts: Sequence[str] = ()
    engine: str = "auto"
    threads: int = 0
    workers: int = 0
    public_key: Path | None = None
    limits: Limits = field(default_factory=Limits)
    protocols: "Sequence[ServedProtocol]" = ()
    settings: "ProtocolSettings | None" = None
    allow_origins: Sequence[str] = ()
    log: LogOptions | None = None


def serve(path: Path, options: ServeOptions) -> None:
    """Serve a bundle until SIGTERM or SIGINT; SIGHUP loads it again.

    Raises `ConfigError` for a public address without a key, `honed.core.errors.ArtifactError` for an unfit bundle,
    `StorageError` when the address is taken.
    """
    require("HTTP server")
    from honed.serve import memory
    from honed.serve.access import Access
    from honed.serve.app import make_app
    from honed.serve.protocols import ProtocolSettings
    from honed.serve.sharing import Sharing

    if not is_loopback(options.host) and not options.api_key and not options.insecure:
        raise ConfigError(
            "E_CONFIG_UNSAFE",
            f"{options.host} is reachable from outside: give --api-key-file (or HONED_API_KEY), or --insecure for a "
            "server that is meant to be open",
        )
    memory.configure_malloc()
    with listen(options.host, options.port) as listener:  # first of all: a taken address is told at once
        service = _service(path, options)
        settings = options.settings or ProtocolSettings()
        calls = [call for protocol in options.protocols for call in protocol.calls(service, settings)]
        sharing = Sharing(
            paths=tuple(path for protocol in options.protocols for path in protocol.shared),
            origins=frozenset(origin.lower().rstrip("/") for origin in options.allow_origins),
        )
        access = Access(allowed_hosts(options.host, options.allow_hosts), options.api_key, sharing)
        gate = make_app(service, access, calls)

        def reload() -> None:
            try:
                log.info("reloaded %s: %s", path, service.reload()[:12])
            except (HonedError, OSError, RequestError) as error:
                log.error("not reloaded, the old bundle goes on: %s", error)

        run_server(gate, listener, f"{path} at http://{options.host}", reload)


def _service(path: Path, options: ServeOptions) -> "Service":
    """Load the bundle that is to be served, within the number of files that the process may open."""
    from honed.serve.service import Service

    connections = min(options.limits.max_connections, _raise_file_limit() - _RESERVED_FILES)
    return Service(
        path,
        replace(options.limits, max_connections=connections),
        engine=options.engine,
        threads=options.threads,
        workers=options.workers,
        public_key=options.public_key,
        log_options=options.log,
    )


def run_server(gate: "Gate", listener: socket.socket, what: str, reload: Callable[[], None]) -> None:
    """Answer requests at a socket until SIGTERM or SIGINT; SIGHUP calls ``reload`` in a thread."""
    import uvicorn

    from honed.serve.connection import GracefulServer, connection_class

    limits = gate.limits
    config = uvicorn.Config(
        gate,
        http=connection_class(limits),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=limits.keep_alive,
        timeout_graceful_shutdown=int(limits.grace),
        h11_max_incomplete_event_size=limits.max_headers,
        backlog=_ACCEPTED,
    )

    def drain() -> None:
        gate.draining = True

    def started() -> None:
        listener.listen(_BACKLOG)
        log.info("serving %s:%d", what, listener.getsockname()[1])

    server = GracefulServer(config, on_start=started, on_drain=drain)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, reload))
        await server.serve(sockets=[listener])

    with asyncio.Runner() as runner:
        runner.run(run())


def _raise_file_limit() -> int:
    """Raise the number of files that the process may open as far as the system allows; returns that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return max(limit, soft)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address; `StorageError` when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # the protocol is named: asyncio sends small answers at once (TCP_NODELAY) only where it is
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StorageError("E_ADDRESS", f"{host}:{port}: {error.strerror}") from error
    listener.set_inheritable(True)
    return listener


def allowed_hosts(host: str, others: Sequence[str]) -> frozenset[str]:
    """Return the names that a Host header may have: those of this machine, the address, and ``others``."""
    local = {"localhost", "127.0.0.1", "::1", host.lower(), socket.gethostname().lower()}
    return frozenset({*local, *(name.lower() for name in others)})
