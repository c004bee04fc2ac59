"""What a request is refused with: the code, the field, and what is allowed."""

from typing import Any, get_args

import pytest

from honed.search.request import DIRECTIONS
from honed.serve.decoding import decode, strict_json
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.requests import (
    Direction,
    EncodeRequest,
    decode_search,
    decode_search_parameters,
)

LIMITS = Limits(max_k=100, max_batch=3, max_chars=20)


def refused(call: Any, *arguments: Any) -> tuple[int, str, str]:
    with pytest.raises(RequestError) as caught:
        call(*arguments)
    return caught.value.status, caught.value.code, caught.value.message


@pytest.mark.parametrize(
    ("fields", "status", "code", "message"),
    [
        ({}, 422, "E_MISSING", "give one of query (a text) and queries (a list of texts)"),
        (
            {"query": "a", "queries": ["a"]},
            422,
            "E_MISSING",
            "give one of query (a text) and queries (a list of texts)",
        ),
        ({"query": 3}, 422, "E_TYPE", "query is a number; expected a text"),
        ({"query": None}, 422, "E_TYPE", "query is null; expected a text"),
        ({"query": ["a"]}, 422, "E_TYPE", "query is a list; expected a text"),
        ({"queries": "a"}, 422, "E_TYPE", "queries is a text; expected a list of texts"),
        ({"queries": []}, 422, "E_QUERY_EMPTY", "queries is empty"),
        ({"queries": ["a", {}]}, 422, "E_TYPE", "queries[1] is an object; expected a text"),
        ({"queries": ["a"] * 4}, 413, "E_BATCH_TOO_BIG", "queries holds 4 texts; max_batch is 3"),
        ({"queries": ["a", " "]}, 422, "E_QUERY_EMPTY", "queries[1] is empty"),
        ({"query": "x" * 21}, 413, "E_QUERY_TOO_LONG", "query has 21 characters; max_chars is 20"),
        ({"query": "a\0"}, 422, "E_NUL", "query holds a NUL character"),
        ({"query": "\ud800"}, 422, "E_ENCODING", "query holds a lone surrogate, which is no text"),
        ({"query": "a", "k": "3"}, 422, "E_TYPE", "k is a text; expected a whole number"),
        ({"query": "a", "k": 3.0}, 422, "E_TYPE", "k is a fraction; expected a whole number"),
        ({"query": "a", "k": True}, 422, "E_TYPE", "k is true or false; expected a whole number"),
        ({"query": "a", "k": 0}, 422, "E_RANGE", "k is 0; allowed: 1..max_k, which is 100"),
        ({"query": "a", "k": 10**400}, 422, "E_RANGE", "k is a huge number; allowed: 1..max_k, which is 100"),
        ({"query": "a", "direction": "up"}, 422, "E_RANGE", "direction is not one of alias-to-label, label-to-alias"),
        (
            {"query": "a", "target": "names"},
            422,
            "E_RANGE",
            "target is not one of entities, documents, records, aliases",
        ),
        (
            {"query": "a", "target": "aliases", "direction": "label-to-alias"},
            422,
            "E_OPTION",
            "target and direction say the same: give one of them",
        ),
        ({"query": "a", "direction": 1}, 422, "E_RANGE", "direction is not one of alias-to-label, label-to-alias"),
        ({"query": "a", "candidates": 1}, 422, "E_TYPE", "candidates is a number; expected true or false"),
        ({"query": "a", "rerank": "yes"}, 422, "E_TYPE", "rerank is a text; expected true or false"),
        (
            {"query": "a", "K": 1},
            422,
            "E_UNKNOWN_FIELD",
            "unknown field 'K' (known: query, queries, k, target, direction, filter, candidates, rerank, explain, ubi)",
        ),
        ({"query": "a", "filter": []}, 422, "E_FILTER", "filter: expected a table of up to 64 fields and conditions"),
        (
            {"query": "a", "filter": {"founded": {"like": 3}}},
            422,
            "E_FILTER",
            "filter.'founded': allowed are a value, a list of up to 10000 values, or a range with gte, gt, lte, lt",
        ),
    ],
)
def test_a_search_is_refused_with_its_field_and_what_is_allowed(
    fields: Any, status: int, code: str, message: str
) -> None:
    assert refused(decode_search, fields, LIMITS) == (status, code, message)


def test_texts_to_encode_are_needed_and_roles_are_listed() -> None:
    assert refused(decode, {}, EncodeRequest) == (422, "E_MISSING", "texts is missing")
    wrong = {"texts": ["a"], "role": "king"}
    assert refused(decode, wrong, EncodeRequest) == (422, "E_RANGE", "role is not one of query, document")
    assert decode({"texts": ["a"]}, EncodeRequest).check(LIMITS).role == "query"


def test_what_is_asked_is_what_is_read() -> None:
    where = {"country": ["MX", "US"], "founded": {"gte": 1900, "lt": 2000.5}, "open": True, "area": 10**30}
    search = decode_search({"queries": ["a", "b"], "k": 7, "filter": where}, LIMITS)
    assert (search.texts, search.has_many, search.k, search.filter) == (["a", "b"], True, 7, where)
    assert not decode_search({"query": "a"}, LIMITS).has_many
    assert get_args(Direction) == DIRECTIONS


def test_a_query_string_holds_numbers_as_texts() -> None:
    search = decode_search_parameters({"query": "a", "k": "12"}, LIMITS)
    assert (search.texts, search.k, search.way) == (["a"], 12, "alias-to-label")
    wrong = {"query": "a", "k": "three"}
    assert refused(decode_search_parameters, wrong, LIMITS)[1:] == ("E_TYPE", "k is a text; expected a whole number")
    assert refused(decode_search_parameters, {"query": "a", "k": "9" * 40}, LIMITS)[1] == "E_RANGE"
    assert refused(decode_search_parameters, {"query": "a", "x": "1"}, LIMITS)[1] == "E_UNKNOWN_FIELD"
    assert refused(decode_search_parameters, {}, LIMITS)[1] == "E_QUERY_EMPTY"


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"\xff", 400, "E_ENCODING", "not UTF-8: byte 0"),
        (b"{", 400, "E_JSON", "not JSON: "),
        (b'{"a": NaN}', 400, "E_JSON", "NaN is no JSON number"),
        (b'{"a": 1, "a": 2}', 400, "E_JSON", "duplicate field 'a'"),
        (b'{"a": ' + b"[" * 20 + b"]" * 20 + b"}", 400, "E_JSON", "nested deeper than 16"),
        (b'{"a": ' + b"9" * 5000 + b"}", 400, "E_JSON", "not JSON that is answered here"),
        (b"[]", 422, "E_TYPE", "the body is a list; expected an object"),
        (b"null", 422, "E_TYPE", "the body is null; expected an object"),
    ],
)
def test_a_body_is_plain_and_unambiguous_json(body: bytes, status: int, code: str, words: str) -> None:
    found = refused(strict_json, body)
    assert found[:2] == (status, code)
    assert words in found[2]
