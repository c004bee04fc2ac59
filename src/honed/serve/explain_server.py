"""``honed explain --serve``: the page of explanations over HTTP, for this machine alone."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from honed.pages.files import EXPLAIN
from honed.serve.local_page import Download, PageAddress, PageCall, check_page_text, page_call, serve_page

if TYPE_CHECKING:
    from honed.explain.explanation import ExplanationSet
    from honed.project.explain import PairExplainer

_WHAT = "page of explanations"


class ExplainRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Two texts to be explained, by every model of a project or by one."""

    first: str = ""
    second: str = ""
    model: str = ""


def serve_explanations(project: Path, host: str, port: int) -> None:
    """Serve the page for the models of a project until SIGTERM or SIGINT."""
    address = PageAddress(host=host, port=port)
    address.check(_WHAT)
    from honed.project.explain import PairExplainer
    from honed.project.workspace import Workspace

    explainer = PairExplainer.of(Workspace(project))  # the models are loaded before anyone waits for them
    serve_page(EXPLAIN, explain_calls(explainer), address, _WHAT)


def explain_calls(explainer: "PairExplainer") -> list[PageCall]:
    """Return the calls of the page; one explanation is made at a time."""
    turn = threading.Lock()  # the models are taken apart by hooks, which must not meet

    def explain(request: ExplainRequest) -> "ExplanationSet":
        first, second = check_page_text(request.first, "first"), check_page_text(request.second, "second")
        model = check_page_text(request.model, "model", required=False)
        with turn:
            return explainer.explain(first, second, only=model)

    def page(request: ExplainRequest) -> Download:
        from honed.explain.page import static_page

        return Download(static_page(explain(request)).encode(), "text/html")

    def picture(request: ExplainRequest) -> Download:
        from honed.explain.picture import draw_png

        return Download(draw_png(explain(request)), "image/png")

    return [
        page_call("POST", "/v1/explain", ExplainRequest, explain),
        page_call("POST", "/v1/page", ExplainRequest, page),
        page_call("POST", "/v1/picture", ExplainRequest, picture),
    ]
