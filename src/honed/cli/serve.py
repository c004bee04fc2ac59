"""honed serve."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from honed.cli.options import PublicKey
from honed.config.server import ServerSection, server_section
from honed.core.errors import ConfigError
from honed.core.optional import require
from honed.core.progress import log_to_stderr
from honed.serve.limits import Limits
from honed.serve.query_log import LogOptions
from honed.serve.server import ServeOptions
from honed.serve.server import serve as serve_bundle

if TYPE_CHECKING:
    from honed.serve.protocols import ProtocolSettings, ServedProtocol

BundlePath = Annotated[Path, typer.Argument(help="The bundle: a folder, a link to one, or a zip.")]
Host = Annotated[
    str | None, typer.Option(help="Address to listen on; a public one needs a key.", show_default="127.0.0.1")
]
Port = Annotated[int | None, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535, show_default="8080")]
ConfigFile = Annotated[Path | None, typer.Option(help="A honed.toml whose section [server] gives the defaults.")]
KeyFile = Annotated[Path | None, typer.Option(help="File that holds the key; the variable HONED_API_KEY works too.")]
AllowedHosts = Annotated[
    list[str] | None, typer.Option(help="A name that clients may use for this server; may be given again.")
]
Engine = Annotated[
    str, typer.Option(help="auto (the fastest here), numpy, onnxruntime, openvino; or one of the last two with -fp32.")
]
Threads = Annotated[int, typer.Option(help="Threads of the encoder; 0 takes all cores.", min=0)]
Workers = Annotated[
    int,
    typer.Option(help="Processes that answer, each on its share of the cores; 0 answers in the server's own.", min=0),
]
MostHits = Annotated[int, typer.Option(help="Most hits of one query.", min=1, max=1000)]
RerankTime = Annotated[
    float, typer.Option(help="Time that a cross-encoder may take for a batch of requests, in ms.", min=1)
]
MostWaiting = Annotated[int, typer.Option(help="Requests that may wait; one more is answered 429.", min=1)]
LongestWait = Annotated[
    float,
    typer.Option(help="Seconds that a request may wait at the pace of the moment; else it is answered 429.", min=0.01),
]
Deadline = Annotated[float, typer.Option(help="Seconds until a request is given up with 503.", min=0.01)]
Protocols = Annotated[
    list[str] | None,
    typer.Option("--protocol", help="Also speak reconcile (OpenRefine), openai or rerank; may be given again."),
]
TypeField = Annotated[str, typer.Option(help="Field whose values are the types of entities, for reconcile.")]
AllowedOrigins = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-origin",
        help="A page of another machine that may ask reconcile, such as https://refine.example; may be given again.",
    ),
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Allow a public address without a key.")]
LogFile = Annotated[
    Path | None,
    typer.Option("--log", help="Keep queries, ids of hits and clicks in this file (UBI, JSON lines); off otherwise."),
]
LogSize = Annotated[int, typer.Option("--log-mb", help="Most MB of that file with its older parts.", min=4)]
AccessLog = Annotated[bool, typer.Option("--access-log", help="One line a request on stderr.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed serve bundle  then open  http://127.0.0.1:8080")(serve)


def serve(
    bundle: BundlePath,
    host: Host = None,
    port: Port = None,
    config: ConfigFile = None,
    api_key_file: KeyFile = None,
    allow_host: AllowedHosts = None,
    engine: Engine = "auto",
    threads: Threads = 0,
    workers: Workers = 0,
    max_k: MostHits = 100,
    rerank_ms: RerankTime = 300.0,
    max_waiting: MostWaiting = 128,
    max_wait: LongestWait = 2.0,
    deadline: Deadline = 10.0,
    require_signature: PublicKey = None,
    protocol: Protocols = None,
    type_field: TypeField = "",
    allow_origin: AllowedOrigins = None,
    log: LogFile = None,
    log_mb: LogSize = 256,
    *,
    insecure: Insecure = False,
    access_log: AccessLog = False,
) -> None:
    """Answer over HTTP, with a page; SIGHUP loads the bundle again, SIGTERM stops without losing a request."""
    section = server_section(config) if config is not None else ServerSection()
    key = api_key_of(api_key_file) or section.api_key
    log_to_stderr({"honed.server": logging.INFO, "honed.access": logging.INFO if access_log else logging.ERROR})
    serve_bundle(
        bundle,
        ServeOptions(
            host=section.host if host is None else host,
            port=section.port if port is None else port,
            api_key=key,
            insecure=insecure,
            allow_hosts=(*section.allow_hosts, *(allow_host or ())),
            engine=engine,
            threads=threads,
            workers=workers,
            public_key=require_signature,
            limits=Limits(
                max_k=max_k, max_waiting=max_waiting, max_wait=max_wait, deadline=deadline, rerank_ms=rerank_ms
            ),
            **_protocols(protocol or (), type_field, allow_origin or ()),
            log=None if log is None else LogOptions(path=log, max_bytes=log_mb << 20),
        ),
    )


class _Protocols(TypedDict, total=False):
    """What protocols add to the options of a server."""

    protocols: "Sequence[ServedProtocol]"
    settings: "ProtocolSettings"
    allow_origins: Sequence[str]


def _protocols(names: Sequence[str], type_field: str, allow_origins: Sequence[str]) -> _Protocols:
    """Return what protocols add to the options of a server; `ConfigError` for settings that none of them has."""
    if "reconcile" not in names and (type_field or allow_origins):
        raise ConfigError("E_OPTION", "--type-field and --allow-origin go with --protocol reconcile")
    if not names:
        return {}
    require("HTTP server")
    from honed.connect.protocols import PROTOCOLS
    from honed.serve.protocols import ProtocolSettings

    protocols = [PROTOCOLS[name] for name in dict.fromkeys(names)]
    settings = ProtocolSettings(type_field=type_field)
    return {"protocols": protocols, "settings": settings, "allow_origins": allow_origins}


def api_key_of(file: Path | None) -> str:
    """Return the key that a file holds, or that of the variable HONED_API_KEY; "" for none."""
    if file is None:
        return os.environ.get("HONED_API_KEY", "")
    key = file.read_text(encoding="utf-8").strip()
    if not key:
        raise ConfigError("E_KEY", f"{file}: holds no key")
    return key
