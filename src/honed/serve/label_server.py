"""``honed label --serve``: the label page over HTTP, for this machine alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from honed.core.json import Json
from honed.pages.files import LABEL
from honed.serve.labeling_answers import LabelledRecord, RecordView, SessionState, TermEffect
from honed.serve.local_page import NoFields, PageAddress, PageCall, check_page_text, page_call, serve_page

if TYPE_CHECKING:
    from honed.serve.labeling_session import LabelingSession

_WHAT = "label page"
_MOST_REASON = 500  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelPageOptions:
    """Where the page is served, the name that labels are kept under, and settings in place of those of honed.toml."""

    host: str = "127.0.0.1"
    port: int = 8081
    who: str = ""
    overrides: Mapping[str, Json] = field(default_factory=dict)


class RecordsRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Up to ``n`` records in an order, without those of ``skip``."""

    order: str = "next"
    n: int = 1
    skip: list[str] = []


class LabelRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A label for a record, with the reason; "" takes the label back."""

    id: str = ""
    label: str = ""
    why: str = ""


class TermRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A term or a pattern for the list of a class, or to be removed from it."""

    label: str = ""
    term: str = ""
    pattern: bool = False
    remove: bool = False

    def check(self) -> "TermRequest":
        """Return the request itself; `honed.serve.errors.RequestError` for a class or a term that is missing."""
        check_page_text(self.label, "label")
        check_page_text(self.term, "term")
        return self


def serve_labels(project: Path, options: LabelPageOptions) -> None:
    """Serve the label page of a project until SIGTERM or SIGINT."""
    address = PageAddress(host=options.host, port=options.port)
    address.check(_WHAT)
    from honed.project.workspace import Workspace
    from honed.serve.labeling_session import LabelingSession

    session = LabelingSession(Workspace(project, overrides=options.overrides), options.who)
    try:
        serve_page(LABEL, label_calls(session), address, _WHAT)
    finally:
        session.close()


def label_calls(session: "LabelingSession") -> list[PageCall]:
    """Return the calls of the label page over a session."""

    def records(request: RecordsRequest) -> list[RecordView]:
        return session.records(check_page_text(request.order, "order"), max(request.n, 0), request.skip)

    def label(request: LabelRequest) -> LabelledRecord:
        check_page_text(request.id, "id")
        check_page_text(request.label, "label", required=False)
        check_page_text(request.why, "why", required=False, most=_MOST_REASON)
        return session.give_label(request.id, request.label, request.why)

    def preview(request: TermRequest) -> TermEffect:
        return session.preview(request.check().label, request.term, pattern=request.pattern)

    def change_terms(request: TermRequest) -> SessionState:
        request.check()
        return session.change_terms(request.label, request.term, pattern=request.pattern, remove=request.remove)

    return [
        page_call("GET", "/v1/state", NoFields, lambda _: session.state()),
        page_call("POST", "/v1/records", RecordsRequest, records),
        page_call("POST", "/v1/label", LabelRequest, label),
        page_call("GET", "/v1/terms/preview", TermRequest, preview),
        page_call("POST", "/v1/terms", TermRequest, change_terms),
        page_call("POST", "/v1/reload", NoFields, lambda _: session.reload()),
        page_call("GET", "/v1/suggestions", NoFields, lambda _: session.suggestions()),
    ]
