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
from honed.serve.decoding import strict_json
from honed.serve.errors import RequestError
from honed.serve.limits import Limits
from honed.serve.requests import SearchRequest, decode_search, decode_search_parameters

LIMITS = Limits(max_k=int(os.environ.get("HONED_MAX_K", "100")), max_batch=32)
searcher = Searcher.load(os.environ.get("HONED_BUNDLE", "/var/task/bundle"))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one event; over HTTP a refusal is a status with {"error": {"code", "message"}}."""
    over_http = "requestContext" in event or "body" in event
    try:
        content = _search(_request(event) if over_http else decode_search(event, LIMITS))
    except (RequestError, ConfigError) as error:
        content = {"error": {"code": error.code, "message": error.message}}
        return _http(getattr(error, "status", 422), content) if over_http else content
    return _http(200, content) if over_http else content


def _search(request: SearchRequest) -> dict[str, Any]:
    answers = searcher.answer_many(
        request.texts,
        request.k,
        direction=request.way,
        where=request.filter,
        candidates=request.candidates,
        rerank=request.rerank,
        explain=request.explain,
        budget_ms=LIMITS.rerank_ms,
    )
    results = [{"query": text, **answer.as_dict()} for text, answer in zip(request.texts, answers, strict=True)]
    return {"results": results} if request.has_many else results[0]


def _request(event: dict[str, Any]) -> SearchRequest:
    body = event.get("body") or ""
    if not body and event.get("queryStringParameters"):
        return decode_search_parameters(event["queryStringParameters"], LIMITS)
    try:
        raw = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode("utf-8")
    except ValueError:
        raise RequestError(400, "E_ENCODING", "the body is no base64 or no UTF-8") from None
    if len(raw) > LIMITS.max_body:
        raise RequestError(413, "E_BODY_TOO_BIG", f"the body is over max_body, {LIMITS.max_body} bytes")
    return decode_search(strict_json(raw), LIMITS)


def _http(status: int, content: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(content, ensure_ascii=False),
    }
