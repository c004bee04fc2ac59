"""The error that a request is answered with."""

from collections.abc import Mapping

from honed.core.errors import HonedError


class RequestError(Exception):
    """A request that is answered with an error: an HTTP status, a code (``E_...``), one line, and headers."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    @classmethod
    def of(cls, error: HonedError, status: int = 422) -> "RequestError":
        """Return an error of honed as the answer to the request that provoked it."""
        return cls(status, error.code, error.message)
