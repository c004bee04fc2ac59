"""Answers as bytes and as responses, and the fields of a request's body."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from honed.core.json import Json
from honed.serve.answers import ErrorAnswer, ErrorBody
from honed.serve.decoding import strict_json, strict_value
from honed.serve.errors import RequestError

PAGE_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'; sandbox; "
    "form-action 'none'; base-uri 'none'"
)


def error_content(error: RequestError) -> bytes:
    """Return the JSON of an error."""
    return msgspec.json.encode(ErrorAnswer(error=ErrorBody(code=error.code, message=error.message)))


def json_response(content: object, status: int = 200) -> Response:
    """Return a response whose body is JSON, of a class of `honed.serve.answers` or of plain data."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def error_response(error: RequestError) -> Response:
    """Return the response to a request that cannot be answered."""
    return Response(error_content(error), error.status, headers=error.headers, media_type="application/json")


def html_response(content: bytes, policy: str) -> Response:
    """Return a page under a content security policy."""
    return Response(content, media_type="text/html", headers={"content-security-policy": policy})


async def body_fields(request: Request) -> dict[str, Json]:
    """Return the object that the body of a request holds; `RequestError` for anything else."""
    return strict_json(await _json_body(request))


async def body_value(request: Request) -> Json:
    """Return the JSON that the body of a request holds; `RequestError` for anything else."""
    return strict_value(await _json_body(request))


async def _json_body(request: Request) -> bytes:
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise RequestError(415, "E_CONTENT_TYPE", "the body must be application/json")
    return await request.body()
