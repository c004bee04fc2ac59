"""``honed match --serve``: the review page over HTTP, for several people at once."""

import msgspec

from honed.core.errors import ConfigError
from honed.match.reviews import UNDO
from honed.pages.files import REVIEW
from honed.serve.local_page import NoFields, PageAddress, PageCall, check_page_text, page_call, serve_page
from honed.serve.review_answers import CandidateView, NextRow, ReviewState
from honed.serve.review_session import ReviewSession

WHAT = "review page"
_MOST_NAME, _MOST_ID, _MOST_SEARCH = 60, 1_000, 300  # characters


class PersonRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Something that a person asks for, under the name that their reviews are kept under."""

    who: str = ""

    @property
    def name(self) -> str:
        """The name; `honed.serve.errors.RequestError` for one that is missing or too long."""
        return " ".join(check_page_text(self.who, "who", most=_MOST_NAME).split())


class RowRequest(PersonRequest, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The next row for a person, or the row ``entry``."""

    entry: str = ""


class ReviewRequest(PersonRequest, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What a person says of a row: the id of an entity, "" for none, "?" for not sure."""

    entry: str
    answer: str


class EntityRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A search in the catalogue, for a row."""

    text: str = ""
    entry: str = ""


def serve_reviews(session: ReviewSession, address: PageAddress) -> None:
    """Serve the review page of a table until SIGTERM or SIGINT."""
    try:
        serve_page(REVIEW, review_calls(session), address, WHAT)
    finally:
        session.close()


def review_calls(session: ReviewSession) -> list[PageCall]:
    """Return the calls of the review page over a session."""

    def row(request: RowRequest) -> NextRow:
        return session.next(request.name, request.entry)

    def review(request: ReviewRequest) -> NextRow:
        answer = check_page_text(request.answer, "answer", required=False, most=_MOST_ID)
        if answer == UNDO:
            raise ConfigError("E_NO_ENTITY", f"no entity {answer!r}")
        session.decide(request.name, request.entry, answer)
        return session.next(request.name)

    def search(request: EntityRequest) -> list[CandidateView]:
        return session.search(check_page_text(request.text, "text", most=_MOST_SEARCH), request.entry)

    def update(_: NoFields) -> ReviewState:
        session.move_cut()
        return session.state()

    return [
        page_call("GET", "/v1/state", NoFields, lambda _: session.state()),
        page_call("POST", "/v1/row", RowRequest, row),
        page_call("POST", "/v1/review", ReviewRequest, review),
        page_call("POST", "/v1/undo", PersonRequest, lambda request: session.undo(request.name)),
        page_call("GET", "/v1/entities", EntityRequest, search),
        page_call("POST", "/v1/update", NoFields, update),
        page_call("POST", "/v1/write", NoFields, lambda _: session.write()),
    ]
