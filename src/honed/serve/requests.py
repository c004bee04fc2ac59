"""What may be asked of a served bundle: the classes of requests, and bounds that are checked before any work."""

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Literal, Self, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from honed.core.errors import ConfigError
from honed.core.filters import check_filter
from honed.core.json import JsonObject
from honed.core.protocols import Role
from honed.core.text import is_blank
from honed.search.request import direction_of
from honed.serve.decoding import decode, decode_leniently
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.ubi import UbiContext

_LEAST_SHARE, _MOST_SHARE = 0.0001, 0.5
Direction: TypeAlias = Literal["alias-to-label", "label-to-alias"]
Target: TypeAlias = Annotated[
    Literal["entities", "documents", "records", "aliases"] | UnsetType,
    Meta(description="What is looked for: entities (documents and records are such too), or aliases."),
]
OldDirection: TypeAlias = Annotated[
    Direction | UnsetType, Meta(description="The older word for target: alias-to-label finds entities.")
]
Value: TypeAlias = str | bool | int | float
Condition: TypeAlias = Value | list[Value] | dict[str, Value]
HitCount: TypeAlias = Annotated[
    int, Meta(description="How many hits, up to max_k of the server.", extra_json_schema={"minimum": 1})
]


class SearchRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A search with one text (``query``) or with several (``queries``), one of the two."""

    query: Annotated[str, Meta(description="One text.", examples=["UdeG"])] | UnsetType = UNSET
    queries: Annotated[list[str], Meta(description="Several texts, up to max_batch of the server.")] | UnsetType = UNSET
    k: HitCount = 10
    target: Target = UNSET
    direction: OldDirection = UNSET
    filter: Annotated[
        dict[str, Condition],
        Meta(
            description="For each field a value, a list of values, or a range with gte, gt, lte, lt.",
            examples=[{"country": ["MX", "US"], "founded": {"gte": 1900, "lt": 2000}}],
        ),
    ] = {}
    candidates: Annotated[bool, Meta(description="Also return a set that holds the right answer.")] = False
    rerank: Annotated[bool, Meta(description="Let the cross-encoder judge the first hits.")] = False
    explain: Annotated[bool, Meta(description="Say what each part of the hybrid added to a hit.")] = False
    ubi: Annotated[UbiContext, Meta(description="Who asks, for the log of the server.")] = UbiContext()

    @property
    def way(self) -> str:
        """The direction in which what is looked for is found, see `honed.search.request.direction_of`."""
        return direction_of(self.target or "", self.direction or "")

    @property
    def has_many(self) -> bool:
        """Whether a list of texts was sent: a list of results is the answer."""
        return self.queries is not UNSET

    @property
    def texts(self) -> list[str]:
        """The texts to search with."""
        if self.queries is not UNSET:
            return self.queries
        return [] if self.query is UNSET else [self.query]

    def check(self, limits: Limits) -> Self:
        """Return the request itself; `RequestError` for texts that are empty or odd, or over the limits."""
        if (self.query is UNSET) == (self.queries is UNSET):
            raise RequestError(422, "E_MISSING", "give one of query (a text) and queries (a list of texts)")
        if self.queries is not UNSET:
            check_texts(self.queries, "queries", limits)
            if self.ubi.query_id is not UNSET:
                raise RequestError(422, "E_OPTION", "ubi.query_id is for one query, not for several")
        if self.query is not UNSET:
            check_text(self.query, "query", limits)
        self.ubi.check()
        try:
            direction_of(self.target or "", self.direction or "")
        except ConfigError as error:
            raise RequestError.of(error) from None
        if not 1 <= self.k <= limits.max_k:
            shown = self.k if abs(self.k) < 10**12 else "a huge number"
            raise RequestError(422, "E_RANGE", f"k is {shown}; allowed: 1..max_k, which is {limits.max_k}")
        return self


class SearchParameters(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A search with one text, as a query string."""

    query: Annotated[str, Meta(description="The text.", examples=["UdeG"])] = ""
    k: HitCount = 10
    target: Target = UNSET
    direction: OldDirection = UNSET


class EncodeRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Texts to be encoded, as queries or as documents."""

    texts: Annotated[list[str], Meta(description="Up to max_batch of the server.")]
    role: Role = "query"

    def check(self, limits: Limits) -> Self:
        """Return the request itself; `RequestError` for texts that are empty or odd, or over the limits."""
        check_texts(self.texts, "texts", limits)
        return self


class MatchRow(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A row to be matched."""

    name: Annotated[str, Meta(description="The name.", examples=["UdeG"])]
    evidence: Annotated[
        dict[str, str],
        Meta(description="Values of fields of the catalogue that the row has.", examples=[{"country": "MX"}]),
    ] = {}


Share: TypeAlias = Annotated[float, Meta(extra_json_schema={"minimum": _LEAST_SHARE, "maximum": _MOST_SHARE})]


class MatchRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Rows to be matched, each by itself; ``max_error`` and ``max_missed`` are those of ``honed match``."""

    rows: Annotated[list[MatchRow], Meta(description="Up to max_batch of the server.")]
    max_error: Annotated[
        Share, Meta(description="The most that the estimated chance of an accepted row to be wrong is.")
    ] = 0.01
    max_missed: Annotated[Share, Meta(description="The same for a row that is said to have no counterpart.")] = 0.05

    @property
    def names(self) -> list[str]:
        """The names of the rows."""
        return [row.name for row in self.rows]

    def check(self, limits: Limits, fields: Collection[str]) -> Self:
        """Return the request itself; `RequestError` for rows over the limits, odd texts, and no field of ``fields``."""
        check_texts(self.names, "rows", limits)
        for number, row in enumerate(self.rows):
            for field, value in row.evidence.items():
                if field not in fields:
                    raise RequestError(
                        422, "E_NO_FIELD", f"no field {field[:50]!a}; known: {', '.join(sorted(fields))}"
                    )
                check_text(value, f"rows[{number}].evidence.{field}", limits, blank=True)
        for name, share in (("max_error", self.max_error), ("max_missed", self.max_missed)):
            if not _LEAST_SHARE <= share <= _MOST_SHARE:
                raise RequestError(422, "E_RANGE", f"{name} is {share:g}; allowed: {_LEAST_SHARE} to {_MOST_SHARE}")
        return self


class SessionRequest(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """The key of the server, to be kept as a cookie."""

    key: str


def decode_search(fields: JsonObject, limits: Limits) -> SearchRequest:
    """Return the search that the fields of a body ask for, checked; `RequestError` names the field that is wrong."""
    try:
        check_filter(fields.get("filter", {}))
    except ConfigError as error:
        raise RequestError.of(error) from None
    return decode(fields, SearchRequest).check(limits)


def decode_search_parameters(fields: Mapping[str, str], limits: Limits) -> SearchRequest:
    """Return the search that a query string asks for, checked; `RequestError` names the field that is wrong."""
    search = decode_leniently(fields, SearchParameters)
    asked = SearchRequest(query=search.query, k=search.k, target=search.target, direction=search.direction)
    return asked.check(limits)


def check_texts(texts: Sequence[str], name: str, limits: Limits) -> None:
    """Raise `RequestError` for a list of texts that is empty or too long, or holds what is no text."""
    if not texts:
        raise RequestError(422, "E_QUERY_EMPTY", f"{name} is empty")
    if len(texts) > limits.max_batch:
        raise RequestError(413, "E_BATCH_TOO_BIG", f"{name} holds {len(texts)} texts; max_batch is {limits.max_batch}")
    for number, text in enumerate(texts):
        check_text(text, f"{name}[{number}]", limits)


def check_text(text: str, name: str, limits: Limits, *, blank: bool = False) -> str:
    """Return a text; `RequestError` when it is too long, or no text, or blank where it must not be."""
    if len(text) > limits.max_chars:
        raise RequestError(
            413, "E_QUERY_TOO_LONG", f"{name} has {len(text)} characters; max_chars is {limits.max_chars}"
        )
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise RequestError(422, "E_ENCODING", f"{name} holds a lone surrogate, which is no text")
    if "\0" in text:
        raise RequestError(422, "E_NUL", f"{name} holds a NUL character")
    if not blank and is_blank(text):
        raise RequestError(422, "E_QUERY_EMPTY", f"{name} is empty")
    return text
