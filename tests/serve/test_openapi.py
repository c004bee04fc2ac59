"""The description of the HTTP interface, held to what the server answers."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.routing import Route

from honed.serve.access import Access
from honed.serve.app import make_app
from honed.serve.limits import Limits
from honed.serve.openapi import openapi_document
from honed.serve.operations import OPERATIONS
from honed.serve.service import Service
from tests.shipped import Server, running

Serve = Callable[..., Server]
ONE = {"query": "university", "k": 2}


EVENT = {"action_name": "click", "query_id": "s1", "timestamp": "2026-01-01T00:00:00Z"}


@pytest.fixture(scope="module")
def server(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps a log, so that every call can be answered."""
    folder = tmp_path_factory.mktemp("server")
    yield from running(Server(made, "--log", str(folder / "ubi.jsonl"), log=folder / "log"))


@pytest.fixture(scope="module")
def document(server: Server) -> Any:
    status, found, _ = server.ask("GET", "/openapi.json")
    assert status == 200
    return found


class Described:
    """A server whose every answer is held to a description."""

    def __init__(self, server: Server, document: Any) -> None:
        self.server, self.document = server, document
        self.seen: set[tuple[str, str, int]] = set()

    def ask(self, method: str, path: str, body: Any = None, headers: Any = None, *, route: str = "") -> tuple[int, Any]:
        """Ask, and check that the answer is as described under ``route`` (the path without its query, where empty)."""
        status, content, answered = self.server.ask(method, path, body, headers)
        route = route or path.partition("?")[0]
        responses = self.document["paths"][route][method.lower()]["responses"]
        assert str(status) in responses, f"{method} {route} answers {status}: {content}"
        described = responses[str(status)].get("content", {})
        kind = answered.get("content-type", "").partition(";")[0]
        assert kind in described or "*/*" in described or (not described and not content)
        schema = described.get(kind, {}).get("schema")
        if schema is not None:
            self.check(content, schema)
        if "error" in (content if isinstance(content, dict) else {}):
            codes = responses[str(status)]["description"].split(", ")
            assert any(code.removesuffix("...") in content["error"]["code"] for code in codes), content
        self.seen.add((method, route, status))
        return status, content

    def check(self, content: Any, schema: Any) -> None:
        jsonschema.Draft202012Validator({**schema, "components": self.document["components"]}).validate(content)


@pytest.fixture(scope="module")
def described(server: Server, document: Any) -> Described:
    return Described(server, document)


def test_the_document_is_openapi(document: Any) -> None:
    validator = pytest.importorskip("openapi_spec_validator", reason="openapi-spec-validator is not installed")
    validator.validate(document)
    validator.validate(openapi_document(has_key=True))


def test_every_class_is_a_sound_schema_and_every_reference_leads_somewhere(document: Any) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document))
    assert set(references) <= set(document["components"]["schemas"])


def test_every_route_is_described_and_every_description_is_routed(made: Path, document: Any) -> None:
    service = Service(made, Limits())
    routes = [route for route in make_app(service, Access(frozenset())).app.routes if isinstance(route, Route)]
    service.batcher.stop()
    routed = {(method, route.path) for route in routes for method in route.methods or () if method != "HEAD"}
    assert routed == {(operation.method, operation.path) for operation in OPERATIONS}
    paths = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert paths == {(method, path.replace(":path}", "}")) for method, path in routed}


def test_every_call_answers_as_described(described: Described) -> None:
    hit = described.ask("POST", "/v1/search", ONE)[1]["hits"][0]
    found = described.ask("POST", "/v1/search", {"queries": ["college", "UM"], "direction": "label-to-alias"})[1]
    assert len(found["results"]) == 2
    described.ask("POST", "/v1/search", {**ONE, "filter": {"country": ["MX", "US"], "founded": {"gte": 1900}}})
    described.ask("GET", "/v1/search?query=college&k=3&direction=label-to-alias")
    described.ask("POST", "/v1/encode", {"texts": ["a", "b c"], "role": "document"})
    rows = [{"name": "UM"}, {"name": "college", "evidence": {"country": "MX"}}]
    matched = described.ask("POST", "/v1/match", {"rows": rows, "max_error": 0.1})[1]
    assert [row["query"] for row in matched["results"]] == ["UM", "college"]
    described.ask("GET", f"/v1/entities/{hit['doc_id']}", route="/v1/entities/{entity_id}")
    described.ask("POST", "/v1/search", {**ONE, "ubi": {"client_id": "me"}})
    described.ask("GET", "/v1/bundle")
    described.ask("GET", "/v1/overview")
    described.ask("POST", "/v1/reload")
    assert described.ask("POST", "/v1/session", {"key": "none is needed"})[0] == 204
    assert described.ask("POST", "/ubi/events", EVENT)[0] == 204
    assert described.ask("POST", "/ubi/events", [EVENT, EVENT])[0] == 204
    for path in ("/healthz", "/readyz", "/metrics", "/report", "/", "/openapi.json"):
        assert described.ask("GET", path)[0] == 200
    described.ask("GET", "/static/icon.svg", route="/static/{name}")
    done = {(method, path) for method, path, status in described.seen if status in (200, 204)}
    paths = {(method.upper(), path) for path, methods in described.document["paths"].items() for method in methods}
    assert done == paths


BODIES = {
    "/v1/search": [
        ({}, 422),
        ({"query": ""}, 422),
        ({"query": 3}, 422),
        ({"query": "x", "k": 10**20}, 422),
        ({"query": "x", "direction": "up"}, 422),
        ({"query": "x", "filter": {"no field": 1}}, 422),
        ({"query": "x", "candidates": True}, 422),
        ({"query": "x", "rerank": True}, 422),
        ({"query": "x", "kk": 1}, 422),
        ({"query": "x", "ubi": {"client_id": ""}}, 422),
        ({"queries": ["x"], "ubi": {"query_id": "s1"}}, 422),
        ({"query": "\0x"}, 422),
        ({"query": "x" * 3000}, 413),
        ({"queries": ["x"] * 200}, 413),
        (b"{", 400),
        (b"\xff", 400),
    ],
    "/v1/encode": [({}, 422), ({"texts": []}, 422), ({"texts": ["x"], "role": "king"}, 422), ({"texts": "x"}, 422)],
    "/ubi/events": [
        ([], 422),
        ({}, 422),
        ({**EVENT, "action_name": "x" * 200}, 422),
        ({**EVENT, "query_id": "\ud800"}, 422),
        ([EVENT] * 200, 413),
        (b"[", 400),
    ],
    "/v1/match": [
        ({}, 422),
        ({"rows": []}, 422),
        ({"rows": "x"}, 422),
        ({"rows": [{"name": 3}]}, 422),
        ({"rows": [{}]}, 422),
        ({"rows": [{"name": "x", "city": "y"}]}, 422),
        ({"rows": [{"name": "x", "evidence": {"planet": "y"}}]}, 422),
        ({"rows": [{"name": "x", "evidence": {"country": "\0"}}]}, 422),
        ({"rows": [{"name": "x"}], "max_error": 0.9}, 422),
        ({"rows": [{"name": "x"}] * 200}, 413),
        ({"rows": [{"name": "x" * 3000}]}, 413),
    ],
    "/v1/session": [({}, 422), ({"key": 3}, 422), ([], 422)],
}


def test_every_error_is_one_of_those_described(described: Described) -> None:
    for path, bodies in BODIES.items():
        for body, status in bodies:
            assert described.ask("POST", path, body)[0] == status, body
        assert described.ask("POST", path, {}, {"Content-Type": "text/plain"})[0] == 415
    for query in ("", "?query=x&k=three", "?query=x&k=0", "?query=x&more=1", "?query=x&direction=up"):
        assert described.ask("GET", f"/v1/search{query}")[0] == 422
    assert described.ask("GET", "/v1/entities/nobody", route="/v1/entities/{entity_id}")[0] == 404
    assert described.ask("GET", "/static/nothing", route="/static/{name}")[0] == 404
    for path in ("/healthz", "/v1/bundle", "/metrics"):
        assert described.ask("GET", path, headers={"Host": "evil.example"})[0] == 421
        assert described.ask("GET", path, headers={"Origin": "http://evil.example"})[0] == 403
        assert described.ask("GET", path, headers={"Range": "bytes=" + ",".join(["0-1"] * 9)})[0] == 416


@pytest.fixture
def locked(made: Path, serve: Serve, tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "key").write_text("s3cret")
    yield serve(made, "--api-key-file", str(tmp_path / "key"), "--deadline", "0.01")


def test_a_server_with_a_key_describes_it(locked: Server) -> None:
    headers = {"Authorization": "Bearer s3cret"}
    document = locked.ask("GET", "/openapi.json", headers=headers)[1]
    assert set(document["components"]["securitySchemes"]) == {"bearer", "header"}
    described = Described(locked, document)
    assert described.ask("GET", "/v1/bundle")[0] == 401
    assert described.ask("POST", "/v1/session", {"key": "wrong"})[0] == 401
    longest = {"queries": [f"name number {number} of a long batch of names"[:60] for number in range(128)]}
    assert described.ask("POST", "/v1/search", longest, headers)[0] == 503
    for path, methods in document["paths"].items():
        for operation in methods.values():
            closed = path not in ("/", "/healthz", "/readyz", "/v1/session", "/static/{name}")
            assert ("security" in operation) == closed, path
