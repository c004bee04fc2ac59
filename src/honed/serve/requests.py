"""What may be asked over HTTP: strict JSON, and bounds that are checked before any work."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from honed.core.errors import ConfigError
from honed.core.filters import check_filter
from honed.core.text import is_blank
from honed.search.request import DIRECTIONS, NO_ANSWERS, NO_RERANKER
from honed.search.searcher import Searcher

_MAX_DEPTH = 16
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
ROLES = ("query", "document")


class Refused(Exception):  # noqa: N818  an answer, not a failure
    """A request that is answered with an error: an HTTP status, a code and one line."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one request and of the server: bytes, characters, hits, texts, tokens, seconds, connections."""

    max_body: int = 1 << 20
    max_headers: int = 16 << 10
    max_chars: int = 2_000
    max_k: int = 100
    max_batch: int = 128
    max_tokens: int = 8_192
    max_waiting: int = 128
    rerank_ms: float = 300.0
    max_connections: int = 1_024
    deadline: float = 10.0
    header_timeout: float = 10.0
    body_timeout: float = 20.0
    keep_alive: int = 75
    grace: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchRequest:
    """A checked search: ``many`` tells whether a list was asked, ``candidates`` whether candidate sets are wanted,
    ``rerank`` whether the cross-encoder shall judge; ``where`` is a filter on fields.
    """

    texts: list[str]
    many: bool
    k: int
    direction: str
    candidates: bool = False
    rerank: bool = False
    where: Mapping[str, Any] = field(default_factory=dict)


def strict_json(body: bytes) -> dict[str, Any]:
    """Return the object of a JSON body; `Refused` (400) for anything that is not plain, unambiguous JSON."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(400, "E_ENCODING", f"the body is not UTF-8: byte {error.start}") from None
    if _depth(text) > _MAX_DEPTH:
        raise Refused(400, "E_JSON", f"not JSON that is answered here: nested deeper than {_MAX_DEPTH}")
    try:
        found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise Refused(400, "E_JSON", f"not JSON: {error.msg} at position {error.pos}") from None
    except (ValueError, RecursionError) as error:
        raise Refused(400, "E_JSON", f"not JSON that is answered here: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise Refused(422, "E_TYPE", f"the body is {_kind(found)}; expected an object")
    return found


def _depth(text: str) -> int:
    """Return how deep arrays and objects are nested, strings left out."""
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return 0
    depth = deepest = 0
    for char in _STRINGS.sub("", text):
        if char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _no_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate field {key[:50]!r}")
        found[key] = value
    return found


def search_request(body: Mapping[str, Any], limits: Limits) -> SearchRequest:
    """Check the fields of a search: ``query`` or ``queries``, ``k``, ``direction``, ``filter``, and what is wanted."""
    _known(body, ("query", "queries", "k", "direction", "filter", "candidates", "rerank"))
    if ("query" in body) == ("queries" in body):
        raise Refused(422, "E_MISSING", "give one of query (a text) and queries (a list of texts)")
    many = "queries" in body
    texts = text_list(body["queries"], "queries", limits) if many else [one_text(body["query"], "query", limits)]
    return SearchRequest(
        texts=texts,
        many=many,
        k=_number(body.get("k", 10), "k", limits.max_k),
        direction=_choice(body.get("direction", DIRECTIONS[0]), "direction", DIRECTIONS),
        candidates=_flag(body.get("candidates", False), "candidates"),
        rerank=_flag(body.get("rerank", False), "rerank"),
        where=_filter(body.get("filter", {})),
    )


def check_wanted(wanted: SearchRequest, searcher: Searcher) -> None:
    """Refuse what the bundle in use cannot answer."""
    forward = wanted.direction == DIRECTIONS[0]
    if wanted.candidates and (searcher.answers is None or not forward or wanted.rerank or wanted.where):
        raise Refused(422, "E_NO_ANSWERS", NO_ANSWERS)
    if wanted.rerank and (searcher.reranker is None or searcher.hybrid is None or not forward):
        raise Refused(422, "E_NO_RERANKER", NO_RERANKER)


def _filter(value: Any) -> Mapping[str, Any]:
    try:
        check_filter(value)
    except ConfigError as error:
        raise Refused(422, error.code, error.message) from None
    found: Mapping[str, Any] = value
    return found


def encode_request(body: Mapping[str, Any], limits: Limits) -> tuple[list[str], str]:
    """Check the fields of an encode request: ``texts`` and ``role``."""
    _known(body, ("texts", "role"))
    if "texts" not in body:
        raise Refused(422, "E_MISSING", "texts is missing")
    return text_list(body["texts"], "texts", limits), _choice(body.get("role", "query"), "role", ROLES)


def text_list(value: Any, name: str, limits: Limits) -> list[str]:
    """Check a list of texts."""
    if not isinstance(value, list):
        raise Refused(422, "E_TYPE", f"{name} is {_kind(value)}; expected a list of texts")
    if not value:
        raise Refused(422, "E_QUERY_EMPTY", f"{name} is empty")
    if len(value) > limits.max_batch:
        raise Refused(413, "E_BATCH_TOO_BIG", f"{name} holds {len(value)} texts; max_batch is {limits.max_batch}")
    return [one_text(each, f"{name}[{number}]", limits) for number, each in enumerate(value)]


def one_text(value: Any, name: str, limits: Limits) -> str:
    """Check one text: characters that are text, not empty, not too long."""
    if not isinstance(value, str):
        raise Refused(422, "E_TYPE", f"{name} is {_kind(value)}; expected a text")
    if len(value) > limits.max_chars:
        raise Refused(413, "E_QUERY_TOO_LONG", f"{name} has {len(value)} characters; max_chars is {limits.max_chars}")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise Refused(422, "E_ENCODING", f"{name} holds a lone surrogate, which is no text")
    if "\0" in value:
        raise Refused(422, "E_NUL", f"{name} holds a NUL character")
    if is_blank(value):
        raise Refused(422, "E_QUERY_EMPTY", f"{name} is empty")
    return value


def _number(value: Any, name: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refused(422, "E_TYPE", f"{name} is {_kind(value)}; expected a whole number")
    if not 1 <= value <= most:
        shown = value if abs(value) < 10**12 else "a huge number"
        raise Refused(422, "E_RANGE", f"{name} is {shown}; allowed: 1..max_{name}, which is {most}")
    return value


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise Refused(422, "E_TYPE", f"{name} is {_kind(value)}; expected true or false")
    return value


def _choice(value: Any, name: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise Refused(422, "E_RANGE", f"{name} is not one of {', '.join(allowed)}")
    return str(value)


def _known(body: Mapping[str, Any], fields: Sequence[str]) -> None:
    for key in body:
        if key not in fields:
            raise Refused(422, "E_UNKNOWN_FIELD", f"unknown field {key[:50]!a} (known: {', '.join(fields)})")


def _kind(value: Any) -> str:
    return {
        bool: "true or false",
        int: "a number",
        float: "a fraction",
        str: "a text",
        list: "a list",
        dict: "an object",
    }.get(type(value), "null")
