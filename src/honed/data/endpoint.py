"""A language model behind an OpenAI-compatible endpoint: asked within limits, never twice for the same, spend counted.

Nothing of honed needs one. The protocol is ``POST URL/chat/completions``, which hosted services and local servers
(llama.cpp, vLLM, Ollama) speak alike.
"""

import hashlib
import ipaddress
import json
import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from honed.core.errors import ConfigError, DataError
from honed.core.sections import limits

KEPT = "endpoint.jsonl"
_MAX_ANSWER = 1 << 20
_LONGEST_WAIT = 60.0
_MARK = re.compile(r"^\s*(?:\d+[.)]|[-*•])\s+")  # of a list
_AGAIN = (408, 409, 429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True, slots=True)
class EndpointConfig:
    """The section ``[endpoint]``: where a language model answers, and how much may be asked of it.

    ``url`` is the base, such as "http://localhost:11434/v1"; ``key_env`` names the environment variable that holds the
    key, if one is needed. One run asks at most ``max_requests`` times and reads and writes at most ``max_tokens``;
    answers are kept, so that a second run asks nothing. ``price_in`` and ``price_out`` are for a million tokens.
    """

    url: str
    model: str
    key_env: str = ""
    max_requests: int = field(default=1000, metadata=limits(low=1))
    max_tokens: int = field(default=1_000_000, metadata=limits(low=1))
    answer_tokens: int = field(default=200, metadata=limits(low=1, high=100_000))
    temperature: float = field(default=0.7, metadata=limits(low=0, high=2))
    timeout: float = field(default=60.0, metadata=limits(low=0.1, high=3600))
    retries: int = field(default=4, metadata=limits(low=0, high=20))
    price_in: float = field(default=0.0, metadata=limits(low=0))
    price_out: float = field(default=0.0, metadata=limits(low=0))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for an address that is none, or that would carry a key over the network in the clear."""
        parts = urlparse(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("E_CONFIG_RANGE", f"{file}: endpoint.url: {self.url!r} is no http(s) address")
        if parts.scheme == "http" and self.key_env and not _is_loopback(parts.hostname):
            raise ConfigError(
                "E_CONFIG_UNSAFE", f"{file}: endpoint.url: a key goes over https, or to this machine, and not to http"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(kw_only=True)
class Spent:
    """What was asked of an endpoint: requests, those answered from what was kept, tokens, and their price."""

    requests: int = 0
    kept: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    price: float = 0.0

    def __str__(self) -> str:
        price = f", price {self.price:.4f}" if self.price else ""
        return (
            f"endpoint: {self.requests} requests, {self.kept} answers kept from before, {self.tokens_in} tokens read, "
            f"{self.tokens_out} written{price}"
        )


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key is for the address that was given, and no other."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Endpoint:
    """Asks a language model; ``kept`` is a file of answers (JSON lines) that grows."""

    def __init__(self, config: EndpointConfig, kept: Path) -> None:
        """Read what is kept; a last line that a crash cut off is left out."""
        self.config, self.spent, self._file = config, Spent(), kept
        self._answers: dict[str, str] = {}
        clear = urlparse(config.url).scheme == "http"  # what goes in the clear goes through no proxy
        self._opener = urllib.request.build_opener(_Stay(), *([urllib.request.ProxyHandler({})] if clear else []))
        self._torn = False
        if kept.is_file():
            lines = kept.read_bytes().split(b"\n")
            self._torn = bool(lines[-1])
            for line in lines:
                try:
                    found = json.loads(line)
                    self._answers[found["key"]] = str(found["answer"])
                except (ValueError, KeyError, TypeError):
                    continue

    def ask(self, instruction: str, text: str) -> str:
        """Return the answer to a text; `DataError` when a limit is reached or nobody answers as agreed."""
        settings = self.config
        body = {
            "model": settings.model,
            "messages": [{"role": "system", "content": instruction}, {"role": "user", "content": text}],
            "temperature": settings.temperature,
            "max_tokens": settings.answer_tokens,
        }
        key = hashlib.sha256(json.dumps({"url": settings.url, **body}, sort_keys=True).encode()).hexdigest()
        if key in self._answers:
            self.spent.kept += 1
            return self._answers[key]
        answer = self._answer(json.dumps(body).encode())
        self._answers[key] = answer
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="ascii") as file:
            file.write(("\n" if self._torn else "") + json.dumps({"key": key, "answer": answer}) + "\n")
        self._torn = False
        return answer

    def _check_limits(self) -> None:
        tokens = self.spent.tokens_in + self.spent.tokens_out
        for name, used in (("max_requests", self.spent.requests), ("max_tokens", tokens)):
            if used >= (most := getattr(self.config, name)):
                raise DataError(
                    "E_ENDPOINT_LIMIT",
                    f"endpoint.{name} is {most}, and {used} are used; what was answered is kept, and the next run goes "
                    "on from there",
                )

    def _answer(self, body: bytes) -> str:
        wait, last = 1.0, ""
        for attempt in range(self.config.retries + 1):
            if attempt:
                time.sleep(min(wait, _LONGEST_WAIT))
                wait *= 2
            self._check_limits()
            self.spent.requests += 1
            try:
                return self._read(self._post(body))
            except urllib.error.HTTPError as error:
                last = f"HTTP {error.code}"
                given = error.headers.get("Retry-After", "") if error.headers else ""
                wait = float(given) if given.isdigit() else wait
                if error.code not in _AGAIN:
                    break
            except (OSError, HTTPException) as error:
                last = str(error) or type(error).__name__
        raise DataError("E_ENDPOINT", f"{self.config.url}: no answer after {attempt + 1} tries: {last}")

    def _post(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json"}
        if self.config.key_env:
            key = os.environ.get(self.config.key_env, "")
            if not key:
                raise ConfigError("E_ENDPOINT_KEY", f"endpoint.key_env: {self.config.key_env} is not set")
            headers["Authorization"] = f"Bearer {key}"
        url = f"{self.config.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(url, body, headers)  # noqa: S310  http or https, see `EndpointConfig.check`
        with self._opener.open(request, timeout=self.config.timeout) as answer:
            found: bytes = answer.read(_MAX_ANSWER + 1)
        if len(found) > _MAX_ANSWER:
            raise DataError("E_ENDPOINT", f"{self.config.url}: an answer is over {_MAX_ANSWER} bytes")
        return found

    def _read(self, raw: bytes) -> str:
        try:
            found = json.loads(raw)
            answer = found["choices"][0]["message"]["content"]
            usage = found.get("usage") or {}
            read, written = int(usage.get("prompt_tokens", 0)), int(usage.get("completion_tokens", 0))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError("E_ENDPOINT", f"{self.config.url}: not the answer of a chat model: {error}") from None
        if not isinstance(answer, str):
            raise DataError("E_ENDPOINT", f"{self.config.url}: an answer without text")
        self.spent.tokens_in += read
        self.spent.tokens_out += written
        self.spent.price += (read * self.config.price_in + written * self.config.price_out) / 1e6
        return answer


_QUERIES = (
    "You write what people would type into a search box to find the document they are given: {n} different queries, "
    "one a line, each of two to ten words, in the language of the document. Write nothing else."
)
_PASSAGE = (
    "Write the passage, of at most eighty words, that would answer the search query you are given, as it could stand "
    "in a catalogue or a text book, in the language of the query. Write nothing else."
)


def written_queries(endpoint: Endpoint, text: str, n: int) -> list[str]:
    """Return up to ``n`` queries that a language model writes for a document."""
    lines = endpoint.ask(_QUERIES.format(n=n), text[:4000]).splitlines()
    bare = (_MARK.sub("", line).strip(" \"'") for line in lines)
    return [line[:300] for line in dict.fromkeys(bare) if line][:n]


def hypothetical_passage(endpoint: Endpoint, query: str) -> str:
    """Return a passage that would answer a query (HyDE; Gao et al. 2022, arXiv 2212.10496)."""
    return endpoint.ask(_PASSAGE, query)[:4000].strip() or query


def open_endpoint(config: EndpointConfig | None, folder: Path) -> Endpoint:
    """Return the endpoint of honed.toml with the answers kept in a folder; `ConfigError` where there is none."""
    if config is None:
        raise ConfigError("E_NO_ENDPOINT", "no language model to ask: honed.toml has no section [endpoint]")
    return Endpoint(config, folder / KEPT)
