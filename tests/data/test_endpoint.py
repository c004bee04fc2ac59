"""A language model behind an endpoint: limits, patience, nothing asked twice, the key for one address alone."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from honed.core.errors import ConfigError, DataError
from honed.data import endpoint as module
from honed.data.endpoint import Endpoint, EndpointConfig, hypothetical_passage, written_queries

Answer = tuple[int, dict[str, str], Any]


class Model(ThreadingHTTPServer):
    """A model that answers what it was told to, in turn, and then the same again; ``asked`` are (headers, body)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[Answer] = []
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def said(text: str) -> Answer:
    usage = {"prompt_tokens": 30, "completion_tokens": 5}
    return 200, {}, {"choices": [{"message": {"content": text}}], "usage": usage}


class _Handler(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((dict(self.headers), body))
        answers = self.server.answers
        status, headers, content = answers.pop(0) if len(answers) > 1 else answers[0]
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def model() -> Iterator[Model]:
    found = Model()
    threading.Thread(target=found.serve_forever, daemon=True).start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def ask(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Endpoint]:
    monkeypatch.setattr(module.time, "sleep", lambda _: None)

    def made(**settings: Any) -> Endpoint:
        config = EndpointConfig(**{"url": model.url, "model": "m", "price_in": 1.0, "price_out": 2.0, **settings})
        return Endpoint(config, tmp_path / "kept.jsonl")

    return made


def test_queries_are_read_line_by_line_and_asked_once(model: Model, ask: Callable[..., Endpoint]) -> None:
    model.answers = [said('1. red shoes\n- "shoes for running"\n\n1. red shoes\nmore')]
    endpoint = ask()
    assert written_queries(endpoint, "a document", 2) == ["red shoes", "shoes for running"]
    assert written_queries(ask(), "a document", 2) == ["red shoes", "shoes for running"]  # another run
    assert len(model.asked) == 1
    assert model.asked[0][1]["messages"][1]["content"] == "a document"
    assert str(endpoint.spent) == (
        "endpoint: 1 requests, 0 answers kept from before, 30 tokens read, 5 written, price 0.0000"
    )
    assert endpoint.spent.price == pytest.approx(40e-6)
    assert hypothetical_passage(ask(), "shoes").startswith("1. red shoes")


@pytest.mark.parametrize(
    ("line", "query"), [("55 inch tv", "55 inch tv"), ("3d printer", "3d printer"), ("1. 4k monitor", "4k monitor")]
)
def test_numbers_that_are_asked_for_stay(model: Model, ask: Callable[..., Endpoint], line: str, query: str) -> None:
    model.answers = [said(line)]
    assert written_queries(ask(), "d", 1) == [query]


def test_what_a_crash_left_and_odd_characters_do_no_harm(
    model: Model, ask: Callable[..., Endpoint], tmp_path: Path
) -> None:
    (tmp_path / "kept.jsonl").write_bytes(b'{"key": "x", "answer": "caf\xc3')
    model.answers = [said("one\u2028two\ud800")]
    assert ask().ask("i", "t") == "one\u2028two\ud800"
    again = ask()
    assert again.ask("i", "t") == "one\u2028two\ud800"
    assert again.spent.kept == 1


def test_what_goes_in_the_clear_goes_through_no_proxy(
    model: Model, ask: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    model.answers = [said("yes")]
    assert ask().ask("i", "t") == "yes"


def test_a_torn_line_is_left_out(model: Model, ask: Callable[..., Endpoint], tmp_path: Path) -> None:
    model.answers = [said("yes")]
    ask().ask("i", "t")
    kept = tmp_path / "kept.jsonl"
    kept.write_text(kept.read_text() + '{"key": "x", "ans')
    again = ask()
    assert again.ask("i", "t") == "yes"
    assert (again.spent.requests, again.spent.kept) == (0, 1)


def test_it_is_patient_with_a_busy_model_but_not_for_ever(model: Model, ask: Callable[..., Endpoint]) -> None:
    busy: Answer = (429, {"Retry-After": "1"}, {})
    model.answers = [busy, (503, {}, {}), said("at last")]
    endpoint = ask()
    assert endpoint.ask("i", "t") == "at last"
    assert endpoint.spent.requests == 3
    model.answers = [busy]
    with pytest.raises(DataError, match="no answer after 3 tries: HTTP 429"):
        ask(retries=2).ask("i", "other")
    model.answers = [(401, {}, {})]
    with pytest.raises(DataError, match="no answer after 1 tries: HTTP 401"):
        ask().ask("i", "other")


def test_limits_hold(model: Model, ask: Callable[..., Endpoint]) -> None:
    model.answers = [said("a")]
    endpoint = ask(max_requests=2)
    endpoint.ask("i", "1")
    endpoint.ask("i", "2")
    with pytest.raises(DataError, match="max_requests is 2, and 2 are used"):
        endpoint.ask("i", "3")
    model.answers = [(503, {}, {})]
    with pytest.raises(DataError, match="max_requests is 1, and 1 are used"):
        ask(max_requests=1).ask("i", "tried again and again")
    model.answers = [said("a")]
    assert endpoint.ask("i", "1") == "a"  # what is kept costs nothing
    frugal = ask(max_tokens=30)
    frugal.ask("i", "4")
    with pytest.raises(DataError, match="max_tokens is 30, and 35 are used"):
        frugal.ask("i", "5")


@pytest.mark.parametrize(
    "answer", [{}, {"choices": []}, {"choices": [{"message": {"content": None}}]}, b"<html>", [1], {"choices": 5}]
)
def test_what_is_no_answer_is_refused(model: Model, ask: Callable[..., Endpoint], answer: Any) -> None:
    model.answers = [(200, {}, answer)]
    with pytest.raises(DataError, match=r"not the answer of a chat model|without text"):
        ask().ask("i", "t")


def test_a_huge_answer_is_refused(model: Model, ask: Callable[..., Endpoint]) -> None:
    model.answers = [(200, {}, b" " * (2 << 20))]
    with pytest.raises(DataError, match="over"):
        ask().ask("i", "t")


def test_the_key_goes_to_the_address_that_was_given_and_nowhere_else(
    model: Model, ask: Callable[..., Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "secret")
    other = Model()
    threading.Thread(target=other.serve_forever, daemon=True).start()
    other.answers = [said("stolen")]
    model.answers = [(307, {"Location": f"{other.url}/chat/completions"}, {})]
    with pytest.raises(DataError, match="HTTP 307"):
        ask(key_env="MY_KEY").ask("i", "t")
    assert model.asked[0][0]["Authorization"] == "Bearer secret"
    assert other.asked == []
    other.shutdown()
    other.server_close()
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(ConfigError, match="MY_KEY is not set"):
        ask(key_env="MY_KEY").ask("i", "u")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "file:///etc/passwd"}, "no http"),
        ({"url": "http:///v1"}, "no http"),
        ({"url": "http://example.org/v1", "key_env": "K"}, "over https"),
    ],
)
def test_unsafe_addresses_are_refused(settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EndpointConfig(**{"model": "m", **settings}).check("honed.toml")
    EndpointConfig(url="http://localhost:1/v1", model="m", key_env="K").check("honed.toml")


def test_nobody_there_is_an_error_that_says_so(ask: Callable[..., Endpoint]) -> None:
    with pytest.raises(DataError, match="no answer after 2 tries"):
        ask(url="http://127.0.0.1:9/v1", retries=1).ask("i", "t")
