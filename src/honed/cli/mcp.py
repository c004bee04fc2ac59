"""honed mcp."""

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from honed.cli.options import PublicKey
from honed.config.server import is_loopback
from honed.core.errors import ConfigError
from honed.core.optional import require
from honed.core.progress import log_to_stderr

BundlePath = Annotated[Path, typer.Argument(help="The bundle: a folder, a link to one, or a zip.")]
Http = Annotated[bool, typer.Option("--http", help="Answer over HTTP, at /mcp, instead of stdin and stdout.")]
Host = Annotated[str, typer.Option(help="Address of this machine to listen on, with --http.")]
Port = Annotated[int, typer.Option(help="Port, with --http; 0 takes a free one.", min=0, max=65535)]
Engine = Annotated[
    str, typer.Option(help="auto (the fastest here), numpy, onnxruntime, openvino; or one of the last two with -fp32.")
]
Threads = Annotated[int, typer.Option(help="Threads of the encoder; 0 takes all cores.", min=0)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog="Example: honed mcp bundle  as the command of a server in a client's settings")(mcp)


def mcp(
    bundle: BundlePath,
    host: Host = "127.0.0.1",
    port: Port = 8090,
    engine: Engine = "auto",
    threads: Threads = 0,
    require_signature: PublicKey = None,
    *,
    http: Http = False,
) -> None:
    """Offer a bundle to language models by the Model Context Protocol: the tools search, resolve and entity.

    With --http the key is that of HONED_API_KEY, if it is set. Logs go to stderr.
    """
    require("MCP server")
    if http:
        require("HTTP server")
        if not is_loopback(host):
            raise ConfigError(
                "E_CONFIG_UNSAFE", f"{host} is reachable from outside; honed mcp serves this machine alone"
            )
    log_to_stderr({"honed.server": logging.INFO})
    from honed.connect.mcp import http_app, make_server
    from honed.search.searcher import Searcher

    searcher = Searcher.load(bundle, engine=engine, threads=threads, public_key=require_signature)
    server = make_server(searcher, f"honed: {bundle.stem}")
    if not http:
        server.run("stdio")
        return
    from honed.serve.server import allowed_hosts, listen, run_server

    gate = http_app(server, allowed_hosts(host, ()), os.environ.get("HONED_API_KEY", ""))
    run_server(gate, listen(host, port), f"{bundle} over MCP at http://{host}", lambda: None)
