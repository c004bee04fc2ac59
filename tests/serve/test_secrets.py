"""Keys and passwords are in no log, no message and no file that honed writes."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from honed.cli.main import run_command
from honed.core.errors import HonedError
from honed.data.endpoint import Endpoint, EndpointConfig
from tests.shipped import Server

SECRET = "s3cr3t-0f-a-t3st"


class Model(http.server.BaseHTTPRequestHandler):
    """A language model that answers by the path: as agreed, with an error that repeats the key, or with nonsense."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert self.headers["Authorization"] == f"Bearer {SECRET}"
        good = {"choices": [{"message": {"content": "an answer"}}]}
        bodies = {"good": json.dumps(good), "error": f"bad key {SECRET}", "odd": f'"{SECRET}"'}
        kind = self.path.split("/")[1]
        self.send_response(401 if kind == "error" else 200, f"no {SECRET}" if kind == "error" else "OK")
        self.end_headers()
        self.wfile.write(bodies[kind].encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def model() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("kind", ["good", "error", "odd"])
def test_the_key_of_a_language_model_is_in_no_file_and_no_message(
    kind: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("A_KEY", SECRET)
    endpoint = Endpoint(EndpointConfig(url=f"{model}/{kind}", model="m", key_env="A_KEY", retries=0), tmp_path / "kept")
    told = ""
    try:
        endpoint.ask("say something", "text")
    except HonedError as error:
        told = str(error)
    assert (told == "") == (kind == "good")
    assert SECRET not in told + caplog.text + repr(endpoint.config) + str(endpoint.spent)
    assert SECRET not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_the_key_of_a_server_is_in_no_log(made: Path, tmp_path: Path, serve: Callable[..., Server]) -> None:
    key = tmp_path / "key"
    key.write_text(SECRET)
    server = serve(made, "--api-key-file", str(key), "--log", str(tmp_path / "queries.jsonl"))
    right, wrong = {"Authorization": f"Bearer {SECRET}"}, {"Authorization": f"Bearer {SECRET}x"}
    statuses = [server.ask("POST", "/v1/search", {"queries": ["a"]}, headers)[0] for headers in (right, wrong, {})]
    assert statuses == [200, 401, 401]
    assert server.ask("GET", f"/v1/search?q=a&api_key={SECRET}")[0] == 401
    assert server.ask("POST", "/v1/session", {"key": SECRET})[0] in (200, 204)
    assert server.ask("POST", "/v1/search", {"queries": 1}, right)[0] == 422
    server.stop()
    written = server.log.read_text() + (tmp_path / "queries.jsonl").read_text()
    assert "/v1/search" in written
    assert SECRET not in written


@pytest.mark.parametrize(
    "address",
    [
        f"postgresql://user:{SECRET}@127.0.0.1:9/none",
        f"host=127.0.0.1 port=9 user=u password={SECRET} connect_timeout=2",
    ],
)
def test_the_password_of_a_database_is_in_no_message(
    address: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("psycopg")
    assert run_command(["push", address, "--bundle", str(made)]) != 0
    told = capsys.readouterr()
    assert "error" in told.err
    assert SECRET not in told.err + told.out


def test_the_password_of_a_query_is_in_no_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sqlalchemy")
    query = f"sql:postgresql+psycopg://user:{SECRET}@127.0.0.1:9/none SELECT 1"
    assert run_command(["init", query, "--project", str(tmp_path)]) != 0
    told = capsys.readouterr()
    assert SECRET not in told.err + told.out
