"""``honed label --serve``: the label page over HTTP, for this machine alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.local_page import check_host, page_app, serve_page, text_of

_PAGE = files("honed.serve") / "label_page"
_STATIC = {"label.css": "text/css", "label.js": "text/javascript"}
_WHAT = "label page"


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeOptions:
    """Where the page is served, the name that labels are kept under, and settings in place of those of honed.toml."""

    host: str = "127.0.0.1"
    port: int = 8081
    who: str = ""
    overrides: Mapping[str, Any] = field(default_factory=dict)


def serve_labels(project: Path, options: ServeOptions) -> None:
    """Serve the label page of a project until SIGTERM or SIGINT."""
    check_host(options.host, _WHAT)
    from honed.project.project import Project
    from honed.serve.labeling import Desk

    desk = Desk(Project(project, overrides=options.overrides), options.who)
    try:
        serve_page(lambda limits, hosts: make_label_app(desk, limits, hosts=hosts), options.host, options.port, _WHAT)
    finally:
        desk.close()


def make_label_app(desk: Any, limits: Limits, *, hosts: frozenset[str]) -> Any:
    """Return the ASGI application over a `honed.serve.labeling.Desk`, behind the gate of the server."""

    def records(given: dict[str, Any]) -> Any:
        skip = given.get("skip", [])
        if not isinstance(skip, list) or not all(isinstance(each, str) for each in skip):
            raise RequestError(422, "E_TYPE", "skip is no list of texts")
        order = text_of(given, "order", required=False) or "next"
        return desk.records(order, whole_number(text_of(given, "n", required=False) or "1"), skip)

    def label(given: dict[str, Any]) -> Any:
        return desk.give(text_of(given, "id"), text_of(given, "label", required=False), _why(given))

    def preview(given: dict[str, Any]) -> Any:
        return desk.preview(text_of(given, "label"), text_of(given, "term"), pattern=given.get("pattern") == "true")

    def terms(given: dict[str, Any]) -> Any:
        flags = {name: given.get(name) is True for name in ("pattern", "remove")}
        return desk.change_terms(text_of(given, "label"), text_of(given, "term"), **flags)

    calls = {
        ("GET", "/v1/state"): lambda _: desk.state(),
        ("POST", "/v1/records"): records,
        ("POST", "/v1/label"): label,
        ("GET", "/v1/terms/preview"): preview,
        ("POST", "/v1/terms"): terms,
        ("POST", "/v1/reload"): lambda _: desk.reload(),
        ("GET", "/v1/suggestions"): lambda _: desk.suggestions(),
    }
    return page_app(_PAGE, _STATIC, calls, limits, hosts)


def whole_number(text: str) -> int:
    """Return a number that a text holds; `RequestError` (422) for anything else."""
    if not text.isdecimal() or len(text) > 6:
        raise RequestError(422, "E_TYPE", f"{text!r} is no whole number")
    return int(text)


def _why(given: dict[str, Any]) -> str:
    return text_of(given, "why", required=False, most=500)
