"""What every application of the server has: the page with its files, and the answers to what goes wrong."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from honed.pages.files import Page
from honed.serve.decoding import decode
from honed.serve.errors import RequestError
from honed.serve.gate import body_of, gate_of
from honed.serve.requests import SessionRequest
from honed.serve.responses import PAGE_POLICY, body_fields, error_response, html_response


def page_routes(page: Page) -> list[Route]:
    """Return the routes of a page and of the files that it links."""

    async def html(_: Request) -> Response:
        return html_response(page.html(), PAGE_POLICY)

    async def static(request: Request) -> Response:
        file = page.file(request.path_params["name"])
        if file is None:
            raise RequestError(404, "E_NOT_FOUND", "no such file")
        return Response(file.content, media_type=file.media_type)

    return [Route("/", html, methods=["GET"]), Route("/static/{name}", static, methods=["GET"])]


def session_route() -> Route:
    """Return the route where a page exchanges the key for a cookie; any key does where none is needed."""
    return Route("/v1/session", exchange_key, methods=["POST"])


async def exchange_key(request: Request) -> Response:
    """Exchange the key for a cookie; `RequestError` (401) for another key."""
    access, key = gate_of(request).access, decode(await body_fields(request), SessionRequest).key
    if not access.is_key(key.encode("utf-8", "replace")):
        raise RequestError(401, "E_KEY", "a key is needed: Authorization: Bearer KEY")
    return Response(status_code=204, headers={"set-cookie": access.session_cookie()})


async def answer_request_error(request: Request, error: Exception) -> Response:
    """Answer a request that cannot be answered."""
    assert isinstance(error, RequestError)
    await body_of(request).drain()
    return error_response(error)


async def answer_http_exception(_: Request, error: Exception) -> Response:
    """Answer a request for a path or with a method that is not there."""
    assert isinstance(error, HTTPException)
    return error_response(RequestError(error.status_code, "E_HTTP", str(error.detail), error.headers))


async def answer_bug(_: Request, __: Exception) -> Response:
    """Answer a request that met a bug; the gate logs it."""
    return error_response(RequestError(500, "E_BUG", "this is a bug of honed"))
