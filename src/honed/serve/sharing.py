"""What pages of other origins may ask a server (CORS): nothing, unless a protocol needs it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import Scope

from honed.config.server import is_loopback

Headers = list[tuple[bytes, bytes]]
ANY_ORIGIN = "*"
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, x-api-key"),
    (b"access-control-max-age", b"600"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharing:
    """Which ``paths``, with all below them, pages of other origins may ask; and which ``origins`` those are.

    Origins of this machine (``http://127.0.0.1:3333``) are always among them, "*" stands for all.
    """

    paths: tuple[str, ...] = ()
    origins: frozenset[str] = frozenset()

    def shares(self, path: str) -> bool:
        """Tell whether a path is one that other origins may ask."""
        return any(path == shared or path.startswith(f"{shared}/") for shared in self.paths)

    def allows(self, scope: Scope) -> bool:
        """Tell whether the page that sends a request may ask for its path."""
        origin = _header(scope, b"origin")
        return bool(origin) and self.shares(scope["path"]) and self.knows(origin)

    def knows(self, origin: str) -> bool:
        """Tell whether an origin is one of those that may ask."""
        return ANY_ORIGIN in self.origins or origin.lower() in self.origins or _is_local(origin)

    def is_preflight(self, scope: Scope) -> bool:
        """Tell whether a browser asks, before the request itself, if a page may send it."""
        asks = _header(scope, b"access-control-request-method")
        return scope["method"] == "OPTIONS" and bool(asks) and self.allows(scope)

    def headers(self, scope: Scope) -> Headers:
        """Return the headers by which a browser hands the answer to the page; none where it may not see it."""
        if not self.shares(scope["path"]):
            return []
        headers: Headers = [(b"vary", b"Origin")]
        if self.allows(scope):
            headers.append((b"access-control-allow-origin", _header(scope, b"origin").encode("latin-1")))
        return headers + (list(_PREFLIGHT) if self.is_preflight(scope) else [])

    def may_load_script(self, scope: Scope) -> bool:
        """Tell whether an answer may be a script: the page that loads it sends no origin, only how near its site is."""
        return ANY_ORIGIN in self.origins or _header(scope, b"sec-fetch-site") != "cross-site"


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _is_local(origin: str) -> bool:
    """Tell whether an origin is a page of this machine."""
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        return False
    return host is not None and is_loopback(host)
