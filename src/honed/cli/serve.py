"""honed serve."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from honed.config.server import ServerSection, server_section
from honed.core.errors import ConfigError
from honed.core.progress import log_to_stderr
from honed.serve.limits import Limits
from honed.serve.server import ServeOptions
from honed.serve.server import serve as serve_bundle


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed serve bundle  then open  http://127.0.0.1:8080")(serve)


def serve(
    bundle: Annotated[Path, typer.Argument(help="The bundle: a folder, a link to one, or a zip.")],
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; a public one needs a key.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535, show_default="8080")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A honed.toml whose section [server] gives the defaults.")] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(help="File that holds the key; the variable HONED_API_KEY works too.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name that clients may use for this server; may be given again.")
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, onnxruntime, openvino or numpy.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of the encoder; 0 takes all cores.", min=0)] = 0,
    max_k: Annotated[int, typer.Option(help="Most hits of one query.", min=1, max=1000)] = 100,
    rerank_ms: Annotated[
        float, typer.Option(help="Time that a cross-encoder may take for a batch of requests, in ms.", min=1)
    ] = 300.0,
    max_waiting: Annotated[int, typer.Option(help="Requests that may wait; one more is answered 429.", min=1)] = 128,
    deadline: Annotated[float, typer.Option(help="Seconds until a request is given up with 503.", min=0.01)] = 10.0,
    require_signature: Annotated[
        Path | None, typer.Option(help="Public key (Ed25519, PEM) that must have signed the bundle.")
    ] = None,
    *,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow a public address without a key.")] = False,
    access_log: Annotated[bool, typer.Option("--access-log", help="One line a request on stderr.")] = False,
) -> None:
    """Answer over HTTP, with a page; SIGHUP loads the bundle again, SIGTERM stops without losing a request."""
    section = server_section(config) if config is not None else ServerSection()
    key = os.environ.get("HONED_API_KEY", "") or section.api_key
    if api_key_file is not None:
        key = api_key_file.read_text(encoding="utf-8").strip()
        if not key:
            raise ConfigError("E_KEY", f"{api_key_file}: holds no key")
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
            public_key=require_signature,
            limits=Limits(max_k=max_k, max_waiting=max_waiting, deadline=deadline, rerank_ms=rerank_ms),
        ),
    )
