"""The bounds of one request and of the server."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds that are checked before any work.

    Of a request: ``max_body`` and ``max_headers`` in bytes, ``max_chars`` of a text, ``max_k`` hits, ``max_batch``
    texts, ``max_tokens`` of all its texts. Of the server: ``max_waiting`` requests in the queue,
    ``max_connections``, and ``max_wait``: what would wait longer at the pace of the moment is not let in.
    Times are in seconds, but for ``rerank_ms``, which a batch may take for its cross-encoder; ``deadline`` is that of
    an answer, ``grace`` that of answers under way when the server stops.
    """

    max_body: int = 1 << 20
    max_headers: int = 16 << 10
    max_chars: int = 2_000
    max_k: int = 100
    max_batch: int = 128
    max_tokens: int = 8_192
    max_waiting: int = 128
    max_wait: float = 2.0
    rerank_ms: float = 300.0
    max_connections: int = 1_024
    deadline: float = 10.0
    header_timeout: float = 10.0
    body_timeout: float = 20.0
    keep_alive: int = 75
    grace: float = 30.0
