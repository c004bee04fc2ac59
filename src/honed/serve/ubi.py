"""Searches and events in the schema of User Behavior Insights, version 1.3.0 (https://o19s.github.io/ubi).

What is kept of an event are the fields of the classes here; whatever else a client sends is not written.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Self

import msgspec
from msgspec import UNSET, Meta, UnsetType

from honed.core.json import Json
from honed.serve.decoding import decode_known
from honed.serve.errors import RequestError
from honed.serve.limits import Limits

APPLICATION = "honed"
OBJECT_ID_FIELD = "doc_id"
_LONGEST_NAME, _LONGEST_ID = 100, 256
_MOST_ORDINAL = 1_000_000


class UbiContext(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Who asks, as a client may say it with a search; it is written where the server keeps a log."""

    query_id: Annotated[
        str | UnsetType, Meta(description="The id under which the search is kept; otherwise drawn.")
    ] = UNSET
    client_id: Annotated[str | UnsetType, Meta(description="A browser or program, by an id of the client's own.")] = (
        UNSET
    )
    application: Annotated[str | UnsetType, Meta(description="What the search is part of.")] = UNSET

    def check(self) -> Self:
        """Return the context itself; `RequestError` for ids that are too long or no text."""
        for name in ("query_id", "client_id", "application"):
            _check_name(getattr(self, name), f"ubi.{name}")
        return self


class UbiQuery(msgspec.Struct, kw_only=True, frozen=True):
    """A search that was answered, as it is written."""

    query_id: str
    user_query: str
    query_response_id: str
    query_response_hit_ids: list[str]
    object_id_field: str = OBJECT_ID_FIELD
    query_attributes: dict[str, str] = {}
    application: str = APPLICATION
    client_id: str | UnsetType = UNSET
    timestamp: str


class UbiObject(msgspec.Struct, kw_only=True, frozen=True):
    """The hit that an event is about."""

    object_id: Annotated[str | int, Meta(description="The doc_id of the hit.")]
    object_id_field: str | UnsetType = UNSET


class UbiPosition(msgspec.Struct, kw_only=True, frozen=True):
    """Where the hit was shown."""

    ordinal: Annotated[int | UnsetType, Meta(description="The place in the list, 1 for the first.")] = UNSET


class UbiAttributes(msgspec.Struct, kw_only=True, frozen=True):
    """What an event is about."""

    object: UbiObject | UnsetType = UNSET
    position: UbiPosition | UnsetType = UNSET


class UbiEvent(msgspec.Struct, kw_only=True, frozen=True):
    """What a user did with the answer to a search, such as "click" or "impression"."""

    action_name: Annotated[str, Meta(examples=["click", "impression"])]
    query_id: Annotated[str | UnsetType, Meta(description="As the answer to the search had it.")] = UNSET
    client_id: str | UnsetType = UNSET
    application: str | UnsetType = UNSET
    event_attributes: UbiAttributes | UnsetType = UNSET
    timestamp: Annotated[
        str | int | UnsetType, Meta(description="Not kept: the server writes when the event came.")
    ] = UNSET

    def check(self) -> Self:
        """Return the event, its object's id as a text; `RequestError` for values too long, out of range or no text."""
        for name in ("action_name", "query_id", "client_id", "application"):
            _check_name(getattr(self, name), name)
        attributes = self.event_attributes or UbiAttributes()
        if attributes.object is not UNSET:
            about = msgspec.structs.replace(attributes.object, object_id=str(attributes.object.object_id))
            _check_name(str(about.object_id), "event_attributes.object.object_id", _LONGEST_ID)
            _check_name(about.object_id_field, "event_attributes.object.object_id_field")
            attributes = msgspec.structs.replace(attributes, object=about)
        ordinal = 1 if attributes.position is UNSET else attributes.position.ordinal
        if ordinal is not UNSET and not 1 <= ordinal <= _MOST_ORDINAL:
            raise RequestError(422, "E_RANGE", f"event_attributes.position.ordinal is not in 1..{_MOST_ORDINAL}")
        return msgspec.structs.replace(self, event_attributes=attributes)


def _check_name(value: str | UnsetType, name: str, longest: int = _LONGEST_NAME) -> None:
    """Raise `RequestError` for a name that is empty, too long, or holds a lone surrogate."""
    if value is UNSET:
        return
    if not 1 <= len(value) <= longest:
        raise RequestError(422, "E_RANGE", f"{name} has {len(value)} characters; allowed: 1..{longest}")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise RequestError(422, "E_ENCODING", f"{name} holds a lone surrogate, which is no text")


def decode_events(content: Json, limits: Limits) -> list[UbiEvent]:
    """Return the events of a body, one object or a list of them, checked; `RequestError` for anything else."""
    values = content if isinstance(content, list) else [content]
    if not values:
        raise RequestError(422, "E_MISSING", "the list holds no event")
    if len(values) > limits.max_batch:
        raise RequestError(413, "E_BATCH_TOO_BIG", f"{len(values)} events; max_batch is {limits.max_batch}")
    for value in values:
        if not isinstance(value, dict):
            raise RequestError(422, "E_TYPE", "an event is an object")
    return [decode_known(value, UbiEvent).check() for value in values if isinstance(value, dict)]


def event_lines(events: Sequence[UbiEvent]) -> list[bytes]:
    """Return events as they are written: with the time of the server."""
    now = _now()
    return [_line(msgspec.structs.replace(event, timestamp=now)) for event in events]


def query_lines(
    texts: Sequence[str], hit_ids: Sequence[list[str]], context: UbiContext, target: str
) -> tuple[list[str], list[bytes]]:
    """Return the ids under which searches are kept, and the searches as they are written."""
    now, response = _now(), str(uuid.uuid4())
    ids = [context.query_id or str(uuid.uuid4()) for _ in texts]
    queries = [
        UbiQuery(
            query_id=query_id,
            user_query=text,
            query_response_id=response,
            query_response_hit_ids=hits,
            query_attributes={"target": target},
            application=context.application or APPLICATION,
            client_id=context.client_id,
            timestamp=now,
        )
        for query_id, text, hits in zip(ids, texts, hit_ids, strict=True)
    ]
    return ids, [_line(query) for query in queries]


def _line(entry: msgspec.Struct) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
