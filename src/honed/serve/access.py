"""Who may ask: by the Host header, the origin of a page, and a key."""

import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

from starlette.types import Scope

from honed.serve.errors import RequestError
from honed.serve.sharing import Sharing

COOKIE = "honed_session"
OPEN_PATHS = ("/", "/healthz", "/readyz", "/v1/session")  # and /static/: they answer without the key
_SINGLE = (b"host", b"origin", b"authorization", b"content-length")  # headers that must not be there twice
_MAX_RANGES = 8


class Access:
    """The hosts that a server answers for ("*": any), the key that it asks for, if any, and what others may ask.

    ``sharing`` are the paths that pages of other origins may ask, and which origins those are.
    """

    def __init__(self, hosts: frozenset[str], api_key: str = "", sharing: Sharing | None = None) -> None:
        self._hosts, self.sharing = hosts, sharing or Sharing()
        self._key = sha256(api_key.encode()).digest() if api_key else None
        self._session = secrets.token_urlsafe(32)

    @property
    def has_key(self) -> bool:
        """Whether a key is needed."""
        return self._key is not None

    def check(self, scope: Scope) -> None:
        """Raise `RequestError` for a request of another host or origin, with odd headers, or without the key."""
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name in _SINGLE:
                raise RequestError(400, "E_HEADER", f"the header {name.decode()} is there twice")
            headers[name] = value
        host = headers.get(b"host", b"").decode("latin-1")
        if "*" not in self._hosts and bare_host(host) not in self._hosts:
            raise RequestError(
                421, "E_HOST", "this server does not answer for that Host; see  honed serve --allow-host"
            )
        origin = headers.get(b"origin")
        is_foreign = origin is not None and _netloc(origin.decode("latin-1")) != host.lower()
        if is_foreign and not self.sharing.allows(scope):
            raise RequestError(403, "E_ORIGIN", "requests of other origins are refused")
        if headers.get(b"range", b"").count(b",") >= _MAX_RANGES:
            raise RequestError(416, "E_RANGE", "too many ranges")
        if self.sharing.is_preflight(scope):  # browsers send no key with it
            return
        path = scope["path"]
        if path not in OPEN_PATHS and not path.startswith("/static/") and not self._has_key(headers):
            raise RequestError(
                401, "E_KEY", "a key is needed: Authorization: Bearer KEY", {"www-authenticate": "Bearer"}
            )

    def _has_key(self, headers: Mapping[bytes, bytes]) -> bool:
        """Tell whether a request has the key in a header, or the cookie that stands for it."""
        authorization = headers.get(b"authorization", b"")
        is_bearer = authorization[:7].lower() == b"bearer "
        token = authorization[7:] if is_bearer else headers.get(b"x-api-key", b"")
        cookies = dict(part.strip().partition(b"=")[::2] for part in headers.get(b"cookie", b"").split(b";"))
        session = cookies.get(COOKIE.encode(), b"")
        return self.is_key(token) or hmac.compare_digest(session, self._session.encode())

    def is_key(self, token: bytes) -> bool:
        """Compare a key in constant time; any is right where none is needed."""
        return self._key is None or hmac.compare_digest(sha256(token).digest(), self._key)

    def session_cookie(self) -> str:
        """Return the cookie that stands for the key in a browser, until the server stops."""
        return f"{COOKIE}={self._session}; HttpOnly; SameSite=Strict; Path=/"


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def bare_host(host: str) -> str:
    """Return the host of a Host header without its port, in lower case."""
    if host.startswith("["):
        return host.partition("]")[0].lstrip("[").lower()
    return host.rpartition(":")[0].lower() if host.count(":") == 1 else host.lower()
