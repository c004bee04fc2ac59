"""``honed explain --serve``: the page of explanations over HTTP, for this machine alone."""

import threading
from pathlib import Path
from typing import Any

from honed.explain.page import FOLDER, STATIC
from honed.serve.limits import Limits
from honed.serve.local_page import Download, check_host, page_app, serve_page, text_of

_WHAT = "page of explanations"


def serve_explanations(project: Path, host: str, port: int) -> None:
    """Serve the page for the models of a project until SIGTERM or SIGINT."""
    check_host(host, _WHAT)
    from honed.project.project import Project

    opened = Project(project)
    opened.explain("ready", "ready")  # the models are loaded before anyone waits for them
    serve_page(lambda limits, hosts: explain_app(opened, limits, hosts), host, port, _WHAT)


def explain_app(project: Any, limits: Limits, hosts: frozenset[str]) -> Any:
    """Return the ASGI application over a `honed.Project`; one explanation is made at a time."""
    turn = threading.Lock()  # the models are taken apart by hooks, which must not meet

    def explain(given: dict[str, Any]) -> Any:
        first, second, model = (text_of(given, name, required=name != "model") for name in ("first", "second", "model"))
        with turn:
            return project.explain(first, second, model=model)

    def page(given: dict[str, Any]) -> Download:
        return Download(content=project.explanation_page(explain(given)).encode(), media_type="text/html")

    def picture(given: dict[str, Any]) -> Download:
        return Download(content=project.explanation_picture(explain(given)), media_type="image/png")

    calls = {("POST", "/v1/explain"): explain, ("POST", "/v1/page"): page, ("POST", "/v1/picture"): picture}
    return page_app(FOLDER, STATIC, calls, limits, hosts)
