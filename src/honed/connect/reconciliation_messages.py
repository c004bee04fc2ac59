"""The messages of the Reconciliation Service API 0.2: what is asked, what is answered, and bounds on what is asked."""

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias, cast
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Meta, UnsetType

from honed.core.json import JsonObject
from honed.serve.decoding import decode, strict_json
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.requests import check_text

FORM = "application/x-www-form-urlencoded"
MOST_PROPERTIES, MOST_VALUES = 64, 100  # of one query, of one property
DEFAULT_LIMIT = 10
_MOST_FIELDS = 16  # of a form


class EntityRef(msgspec.Struct, frozen=True):
    """A value that is an entity of some service."""

    id: str
    name: str = ""


Scalar: TypeAlias = str | bool | int | float | EntityRef


class QueryProperty(msgspec.Struct, frozen=True):
    """What is known of an entity that is looked for: a property and its value, or the values that it may have."""

    pid: str
    v: Scalar | list[Scalar]

    @property
    def values(self) -> tuple[str, ...]:
        """The values as texts; an entity counts by its id and by its name."""
        listed = self.v if isinstance(self.v, list) else [self.v]
        return tuple(text for value in listed for text in _texts(value))


def _texts(value: Scalar) -> tuple[str, ...]:
    if isinstance(value, EntityRef):
        return (value.id, value.name) if value.name else (value.id,)
    return (str(value).lower() if isinstance(value, bool) else str(value),)


class ReconciliationQuery(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """One query of a batch: a name, properties, or both."""

    query: str = ""
    type: str | list[str] = ""
    type_strict: Literal["any", "should", "all"] = "any"
    limit: int = DEFAULT_LIMIT
    properties: list[QueryProperty] = []

    @property
    def types(self) -> list[str]:
        """The types that are asked for."""
        listed = [self.type] if isinstance(self.type, str) else self.type
        return [name for name in listed if name]

    def check(self, key: str, limits: Limits) -> None:
        """Raise `RequestError` for texts and lists over the limits; ``key`` is that of the query in its batch."""
        if self.query.strip():
            check_text(self.query, f"{key}.query", limits)
        if len(self.properties) > MOST_PROPERTIES or len(self.types) > MOST_PROPERTIES:
            raise RequestError(413, "E_BATCH_TOO_BIG", f"{key}: more than {MOST_PROPERTIES} properties or types")
        for given in self.properties:
            if len(given.values) > MOST_VALUES:
                raise RequestError(
                    413, "E_BATCH_TOO_BIG", f"{key}: more than {MOST_VALUES} values of {given.pid[:50]!a}"
                )
            for value in given.values:
                if len(value) > limits.max_chars:
                    raise RequestError(413, "E_QUERY_TOO_LONG", f"{key}: a value of {given.pid[:50]!a} is too long")


class ReconciliationForm(msgspec.Struct, kw_only=True, frozen=True):
    """A batch of queries, or a data extension: JSON in a field of a form, one of the two."""

    queries: Annotated[str, Meta(description="Queries by keys of the client's choice, as JSON.")] = ""
    extend: Annotated[str, Meta(description="Ids and properties, as JSON.")] = ""
    callback: Annotated[str, Meta(description="The function that a script hands the answer to (JSONP, GET).")] = ""


class SuggestForm(msgspec.Struct, kw_only=True, frozen=True):
    """What a user has typed so far."""

    prefix: str = ""
    cursor: int = 0
    callback: str = ""


class ProposeForm(msgspec.Struct, kw_only=True, frozen=True):
    """Which properties entities of a type have; all have the same here."""

    type: str = ""
    limit: int = 0
    callback: str = ""


class IdForm(msgspec.Struct, kw_only=True, frozen=True):
    """One entity, property or type."""

    id: str
    callback: str = ""


class ExtendProperty(msgspec.Struct, frozen=True):
    """A property whose values are asked for."""

    id: str
    settings: Mapping[str, str | int | float | bool] = {}


class ExtendQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A data extension: the values of some properties of some entities."""

    ids: list[str]
    properties: list[ExtendProperty]


# -- answers ---------------------------------------------------------------------------------------


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A type or property."""

    id: str
    name: str


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """Something that speaks for or against a candidate."""

    id: str
    value: bool | float


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """An entity that may be the one that is looked for; its score is in [0, 100]."""

    id: str
    name: str
    description: str
    score: float
    match: bool
    type: list[Named]
    features: list[Feature]


class Candidates(msgspec.Struct, frozen=True, kw_only=True):
    """The candidates of one query, best first."""

    result: list[Candidate]


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """An entity, property or type that fits what was typed; only entities have a description and types."""

    id: str
    name: str
    description: str | UnsetType = UNSET
    notable: list[Named] | UnsetType = UNSET


class Suggestions(msgspec.Struct, frozen=True, kw_only=True):
    """What fits what was typed, best first."""

    result: list[Suggestion]


class ProposedProperties(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The properties that can be asked for."""

    properties: list[Named]
    type: str = ""
    limit: int = 0


class Flyout(msgspec.Struct, frozen=True, kw_only=True):
    """A few lines of HTML about one thing."""

    id: str
    html: str


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    """Values of properties, by entity and property."""

    meta: list[Named]
    rows: dict[str, dict[str, list[dict[str, str]]]]


class ServicePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a part of the service is."""

    service_url: str
    service_path: str
    flyout_service_url: str | UnsetType = UNSET
    flyout_service_path: str | UnsetType = UNSET


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What the service is and what it can do."""

    versions: list[str]
    name: str
    identifier_space: str = msgspec.field(name="identifierSpace")
    schema_space: str = msgspec.field(name="schemaSpace")
    service_version: str = msgspec.field(name="serviceVersion")
    default_types: list[Named] = msgspec.field(name="defaultTypes")
    view: dict[str, str]
    preview: dict[str, str | int]
    suggest: dict[str, ServicePlace]
    extend: dict[str, ServicePlace | list[str]]
    authentication: dict[str, str] | UnsetType = UNSET


# -- reading ---------------------------------------------------------------------------------------


def read_form(content: bytes) -> dict[str, str]:
    """Return the fields of a form or of a query string; `RequestError` for what is none, or names a field twice."""
    try:
        pairs = parse_qsl(content.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except UnicodeDecodeError:
        raise RequestError(400, "E_ENCODING", "the form is not UTF-8") from None
    except ValueError:
        raise RequestError(400, "E_FORM", f"the form has more than {_MOST_FIELDS} fields") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise RequestError(400, "E_FORM", "a field of the form is there twice")
    return fields


def read_queries(text: str, limits: Limits) -> dict[str, ReconciliationQuery]:
    """Return the queries of a batch by their keys; `RequestError` for what is none, or is over the limits."""
    batch = strict_json(text.encode("utf-8", "surrogatepass"))
    if len(batch) > limits.max_batch:
        raise RequestError(413, "E_BATCH_TOO_BIG", f"{len(batch)} queries; max_batch is {limits.max_batch}")
    queries = {}
    for key, fields in batch.items():
        if not isinstance(fields, dict):
            raise RequestError(422, "E_TYPE", f"{key[:50]!a} is no query: expected an object")
        query = decode(cast(JsonObject, fields), ReconciliationQuery)
        query.check(ascii(key[:50]), limits)
        queries[key] = query
    return queries


def read_extension(text: str, limits: Limits) -> ExtendQuery:
    """Return a data extension; `RequestError` for what is none, or is over the limits."""
    query = decode(strict_json(text.encode("utf-8", "surrogatepass")), ExtendQuery)
    if len(query.ids) > limits.max_batch or len(query.properties) > MOST_PROPERTIES:
        raise RequestError(413, "E_BATCH_TOO_BIG", f"more than {limits.max_batch} ids or {MOST_PROPERTIES} properties")
    return query
