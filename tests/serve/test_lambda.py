"""The Lambda handler under the public runtime-interface client, against a stand-in for Lambda's runtime interface."""

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT

EXAMPLE = ROOT / "examples" / "lambda"


class _Runtime(ThreadingHTTPServer):
    """Hands out events one after another and keeps the answers, as the runtime interface does."""

    def __init__(self, events: list[Any]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.events, self.answers = list(enumerate(events)), dict[str, Any]()
        self.finished = threading.Event()
        self.n = len(events)


class _Handler(BaseHTTPRequestHandler):
    server: _Runtime

    def do_GET(self) -> None:
        if not self.server.events:
            self.server.finished.wait(30)  # the client waits for an event that never comes
            return
        number, event = self.server.events.pop(0)
        body = json.dumps(event).encode()
        self.send_response(200)
        for name, value in {
            "Lambda-Runtime-Aws-Request-Id": str(number),
            "Lambda-Runtime-Deadline-Ms": "99999999999999",
            "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:test:0:function:honed",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.answers[self.path.split("/invocation/")[-1]] = json.loads(body or b"null")
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if len(self.server.answers) >= self.server.n:
            self.server.finished.set()

    def log_message(self, *_: Any) -> None: ...


def run_events(bundle: Path, events: list[Any]) -> list[Any]:
    """Return the handler's answers to some events."""
    pytest.importorskip("awslambdaric", reason="the runtime-interface client is not installed")
    runtime = _Runtime(events)
    threading.Thread(target=runtime.serve_forever, daemon=True).start()
    process = subprocess.Popen(
        [sys.executable, "-m", "awslambdaric", "handler.handler"],
        cwd=EXAMPLE,
        env={
            **os.environ,
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{runtime.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "honed",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_LOG_GROUP_NAME": "x",
            "AWS_LAMBDA_LOG_STREAM_NAME": "x",
            "HONED_BUNDLE": str(bundle),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        done = runtime.finished.wait(60)
    finally:
        process.kill()
        output = process.communicate()[0].decode()
        runtime.shutdown()
        runtime.server_close()
    assert done, output
    return [runtime.answers[f"{number}/response"] for number in range(len(events))]


def test_events_of_every_kind_are_answered(made: Path) -> None:
    body = json.dumps({"queries": ["college", "UM"], "k": 2})
    events = [
        {"query": "university", "k": 3},
        {"query": ""},
        {"requestContext": {}, "body": body},
        {"requestContext": {}, "body": base64.b64encode(body.encode()).decode(), "isBase64Encoded": True},
        {"requestContext": {}, "queryStringParameters": {"query": "college", "k": "1"}},
        {"requestContext": {}, "body": "{"},
        {"requestContext": {}, "body": '{"query": "a", "k": 100000}'},
    ]
    direct, refused, batch, encoded, by_url, broken, far = run_events(made, events)
    assert [hit["rank"] for hit in direct["hits"]] == [1, 2, 3]
    assert refused["error"]["code"] == "E_QUERY_EMPTY"
    assert batch["statusCode"] == encoded["statusCode"] == by_url["statusCode"] == 200
    assert batch["body"] == encoded["body"]
    assert [result["query"] for result in json.loads(batch["body"])["results"]] == ["college", "UM"]
    assert len(json.loads(by_url["body"])["hits"]) == 1
    assert (broken["statusCode"], far["statusCode"]) == (400, 422)


def test_the_recipe_copies_what_the_handler_reads() -> None:
    recipe = (EXAMPLE / "Dockerfile").read_text()
    assert "honed[serve]" in recipe
    assert "ENV HONED_BUNDLE=/var/task/bundle" in recipe
    assert "handler.handler" in recipe
    assert 'os.environ.get("HONED_BUNDLE", "/var/task/bundle")' in (EXAMPLE / "handler.py").read_text()
