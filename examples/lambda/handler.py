"""A bundle in AWS Lambda: the first answer comes from numpy, the fast engine is loaded behind it.

Environment: HONED_BUNDLE (folder of the bundle; /var/task/bundle in the container), HONED_MAX_K (100).
Events: {"query": "UdeG", "k": 5, "direction": "alias-to-label"} or {"queries": [...]}, given directly or as the JSON
body of a function URL or an API gateway.
"""

import base64
import json
import os
from typing import Any

from honed import Searcher
from honed.core.errors import ConfigError
from honed.serve.requests import Limits, Refused, check_wanted, search_request, strict_json

LIMITS = Limits(max_k=int(os.environ.get("HONED_MAX_K", "100")), max_batch=32)
searcher = Searcher.load(os.environ.get("HONED_BUNDLE", "/var/task/bundle"))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event; over HTTP a refusal is a status with {"error": {"code", "message"}}."""
    over_http = "requestContext" in event or "body" in event
    try:
        found = _search(_fields(event) if over_http else event)
    except (Refused, ConfigError) as refusal:
        found = {"error": {"code": refusal.code, "message": refusal.message}}
        return _http(getattr(refusal, "status", 422), found) if over_http else found
    return _http(200, found) if over_http else found


def _search(fields: dict[str, Any]) -> dict[str, Any]:
    wanted = search_request(fields, LIMITS)
    check_wanted(wanted, searcher)
    found = searcher.answer_many(
        wanted.texts,
        wanted.k,
        direction=wanted.direction,
        where=wanted.where,
        candidates=wanted.candidates,
        rerank=wanted.rerank,
        budget_ms=LIMITS.rerank_ms,
    )
    results = [{"query": text, **answer.as_dict()} for text, answer in zip(wanted.texts, found, strict=True)]
    return {"results": results} if wanted.many else results[0]


def _fields(event: dict[str, Any]) -> dict[str, Any]:
    body = event.get("body") or ""
    if not body and event.get("queryStringParameters"):
        given = dict(event["queryStringParameters"])
        if str(given.get("k", "")).isdecimal() and len(given["k"]) < 10:
            given["k"] = int(given["k"])
        return given
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode("utf-8")
    except ValueError:
        raise Refused(400, "E_ENCODING", "the body is no base64 or no UTF-8") from None
    if len(raw) > LIMITS.max_body:
        raise Refused(413, "E_BODY_TOO_BIG", f"the body is over max_body, {LIMITS.max_body} bytes")
    return strict_json(raw)


def _http(status: int, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(content, ensure_ascii=False),
    }
