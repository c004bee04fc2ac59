"""The reconciliation service as OpenRefine asks it, over HTTP: forms, scripts, other origins; held to the schemas."""

import http.client
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema
import pytest
from referencing import Registry
from referencing.jsonschema import DRAFT7
from starlette.routing import Route

from honed import Searcher
from honed.cli.main import run_command
from honed.connect.reconciliation import PROTOCOL
from honed.connect.reconciliation_catalogue import ReconciliationCatalogue
from honed.serve.access import Access
from honed.serve.app import make_app
from honed.serve.limits import Limits
from honed.serve.openapi import openapi_document
from honed.serve.operations import OPERATIONS
from honed.serve.protocols import ProtocolSettings
from honed.serve.service import Service
from tests.conftest import RECONCILIATION
from tests.serve.test_openapi import Described
from tests.shipped import Server, running

REFINE = "http://127.0.0.1:3333"
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}


@pytest.fixture(scope="module")
def refined(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that speaks to OpenRefine; countries are the types."""
    options = ("--protocol", "reconcile", "--type-field", "country")
    yield from running(Server(whole, *options, log=tmp_path_factory.mktemp("server") / "log"))


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


def post(server: Server, **fields: Any) -> tuple[int, Any]:
    """Send a form whose fields are JSON, as OpenRefine's server does."""
    body = urlencode({name: json.dumps(value) for name, value in fields.items()}).encode()
    return server.ask("POST", "/reconcile", body, FORM)[:2]


def reconciled(server: Server, **query: Any) -> list[dict[str, Any]]:
    """The candidates of one query, whose shape is checked."""
    status, answer = post(server, queries={"q0": query})
    assert status == 200, answer
    candidates: list[dict[str, Any]] = answer["q0"]["result"]
    for candidate in candidates:
        assert set(candidate) == {"id", "name", "description", "score", "match", "type", "features"}
        assert isinstance(candidate["id"], str)
        assert isinstance(candidate["match"], bool)
        assert 0 <= candidate["score"] <= 100
        assert all(set(feature) == {"id", "value"} for feature in candidate["features"])
    scores = [candidate["score"] for candidate in candidates]
    assert scores == sorted(scores, reverse=True)
    assert sum(candidate["match"] for candidate in candidates) <= 1
    check("reconciliation-result-batch", answer)
    return candidates


def features(candidate: dict[str, Any]) -> dict[str, Any]:
    return {feature["id"]: feature["value"] for feature in candidate["features"]}


def check(schema: str, content: Any) -> None:
    """Hold a message to the specification's schema, where its files are there."""
    folder = RECONCILIATION / "schemas"
    if not folder.is_dir():
        return
    schemas = {file.stem: json.loads(file.read_text()) for file in folder.glob("*.json")}
    registry: Registry[Any] = Registry().with_resources(
        (found["$id"], DRAFT7.create_resource(found)) for found in schemas.values()
    )
    jsonschema.Draft7Validator(schemas[schema], registry=registry).validate(content)


def test_the_schemas_of_the_specification_refuse_what_is_wrong() -> None:
    if not RECONCILIATION.is_dir():
        pytest.skip(f"no schemas of the specification in {RECONCILIATION}: set HONED_RECONCILIATION")
    with pytest.raises(jsonschema.ValidationError):
        check("reconciliation-result-batch", {"q0": {"result": [{"id": "a", "name": "b"}]}})
    with pytest.raises(jsonschema.ValidationError):
        check("manifest", {"versions": ["0.1"]})


# -- the manifest ----------------------------------------------------------------------------------


def test_the_manifest_says_where_everything_is_and_every_place_answers(refined: Server, searcher: Searcher) -> None:
    status, manifest, headers = refined.ask("GET", "/reconcile", headers={"Origin": REFINE})
    assert status == 200
    assert headers["access-control-allow-origin"] == REFINE
    check("manifest", manifest)
    base = f"http://127.0.0.1:{refined.port}"
    assert manifest["versions"] == ["0.2"]
    assert manifest["identifierSpace"] == f"{base}/v1/entities/"
    assert "authentication" not in manifest
    entity = searcher.names.entity(0)
    answered = []
    for kind, wanted in {"entity": entity.entity_id, "property": "city", "type": entity.fields["country"]}.items():
        place = manifest["suggest"][kind]
        assert place["service_url"] == place["flyout_service_url"] == base
        answered.append(refined.ask("GET", f"{place['service_path']}?prefix=a")[0])
        path = place["flyout_service_path"].replace("${id}", quote(wanted, safe=""))
        status, flyout, _ = refined.ask("GET", path)
        assert (status, flyout["id"]) == (200, wanted)
    place = manifest["extend"]["propose_properties"]
    answered.append(refined.ask("GET", f"{place['service_path']}?type=entity")[0])
    page = manifest["preview"]["url"].replace("{{id}}", quote(entity.entity_id, safe=""))
    answered.append(refined.ask("GET", page.removeprefix(base))[0])
    assert answered == [200] * 5


def test_behind_https_the_manifest_names_that(refined: Server) -> None:
    manifest = refined.ask("GET", "/reconcile", headers={"X-Forwarded-Proto": "https"})[1]
    assert manifest["view"]["url"].startswith("https://127.0.0.1")


# -- queries ---------------------------------------------------------------------------------------


def test_candidates_are_those_of_the_search_with_their_chances(refined: Server, searcher: Searcher) -> None:
    for text in ("universidad nacional", "UNAM", "college of arts", searcher.label_text(3)):
        answer = searcher.answer(text, 10)
        candidates = reconciled(refined, query=text, limit=4)
        assert [one["id"] for one in candidates] == [hit.doc_id for hit in answer.hits[:4]]
        chances = [100 * (hit.chance or 0) for hit in answer.hits[:4]]
        assert [one["score"] for one in candidates] == pytest.approx(chances, abs=0.02)
        assert candidates[0]["match"] == answer.match
        assert features(candidates[0])["cosine"] == pytest.approx(answer.hits[0].cosine, abs=1e-4)
        assert any(name.startswith("part:") for name in features(candidates[0]))
    exact = reconciled(refined, query=searcher.label_text(3))[0]
    assert (exact["score"], exact["match"], features(exact)["known_name"]) == (100, True, True)


def test_a_batch_answers_each_query_under_its_key(refined: Server, searcher: Searcher) -> None:
    labels = [searcher.label_text(number) for number in range(12)]
    queries = {f"q{at}": {"query": label, "limit": 3} for at, label in enumerate(labels)}
    status, answer = post(refined, queries={**queries, "blank": {"query": " "}})
    assert status == 200
    assert list(answer) == [*queries, "blank"]
    assert answer["blank"] == {"result": []}
    assert [answer[key]["result"][0]["name"] for key in queries] == labels
    by_url = refined.ask("GET", f"/reconcile?{urlencode({'queries': json.dumps(queries)})}")
    assert by_url[:2] == (200, {key: answer[key] for key in queries})


def namesakes(institutions: list[dict[str, str]], searcher: Searcher) -> tuple[str, dict[str, str]]:
    """An acronym that entities of different countries bear, with the country of each by its id."""
    bearers: dict[str, dict[str, str]] = defaultdict(dict)
    for row in institutions:
        if searcher.names.entity_row(row["id"]) is not None:
            bearers[row["alias"]][row["id"]] = row["country"]
    return next(
        (alias, found) for alias, found in bearers.items() if len(found) > 1 and len(set(found.values())) == len(found)
    )


def test_a_property_tells_namesakes_apart(
    refined: Server, searcher: Searcher, institutions: list[dict[str, str]]
) -> None:
    acronym, countries = namesakes(institutions, searcher)
    assert not any(one["match"] for one in reconciled(refined, query=acronym))
    for entity_id, country in countries.items():
        for value in (country, [country, "Atlantis"], {"id": country, "name": "any"}):
            candidates = reconciled(refined, query=acronym, properties=[{"pid": "country", "v": value}])
            assert (candidates[0]["id"], candidates[0]["match"]) == (entity_id, True)
            assert features(candidates[0])["property:country"] is True
        others = [features(one)["property:country"] for one in candidates if one["id"] in set(countries) - {entity_id}]
        assert others == [False] * (len(countries) - 1)


def test_what_contradicts_is_never_a_match(refined: Server, searcher: Searcher) -> None:
    label = searcher.label_text(3)
    assert reconciled(refined, query=label)[0]["match"]
    candidate = reconciled(refined, query=label, properties=[{"pid": "country", "v": "Atlantis"}])[0]
    assert (candidate["name"], candidate["match"]) == (label, False)


def test_types_are_a_filter_or_evidence(refined: Server, searcher: Searcher) -> None:
    countries = [str(value) for value in searcher.columns["country"].values]
    for strict in ("any", "all"):
        candidates = reconciled(refined, query="university", type=countries[1], type_strict=strict, limit=5)
        assert candidates
        assert {kind["id"] for one in candidates for kind in one["type"]} == {countries[1]}
    both = reconciled(refined, query="university", type=countries[:2], limit=50)
    assert {kind["id"] for one in both for kind in one["type"]} == set(countries[:2])
    assert reconciled(refined, query="university", type=countries[:2], type_strict="all") == []
    evidence = reconciled(refined, query="university", type=countries[1], type_strict="should", limit=10)
    assert len(evidence) == 10
    assert len({kind["id"] for one in evidence for kind in one["type"]}) > 1
    assert all(features(one)["type_match"] == (one["type"][0]["id"] == countries[1]) for one in evidence)


def test_properties_alone_find_who_has_them(refined: Server, searcher: Searcher) -> None:
    entity = searcher.names.entity(7)
    wanted = [{"pid": name, "v": value} for name, value in entity.fields.items()]
    assert wanted
    candidates = reconciled(refined, properties=wanted)
    assert entity.entity_id in [one["id"] for one in candidates]
    assert candidates[0]["score"] == pytest.approx(100 / len(candidates), abs=1e-3)
    assert not any(one["match"] for one in candidates)
    assert reconciled(refined, properties=[{"pid": "city", "v": "Atlantis"}]) == []


LONG = "x" * 2001
REFUSED: list[tuple[Any, int, str]] = [
    ({"q": {"query": LONG}}, 413, "E_QUERY_TOO_LONG"),
    ({f"q{at}": {"query": "x"} for at in range(129)}, 413, "E_BATCH_TOO_BIG"),
    ({"q": {"query": "x", "properties": [{"pid": "city", "v": ["x"] * 101}]}}, 413, "E_BATCH_TOO_BIG"),
    ({"q": {"query": "x", "properties": [{"pid": "city", "v": "x"}] * 65}}, 413, "E_BATCH_TOO_BIG"),
    ({"q": {"query": "x", "properties": [{"pid": "city", "v": LONG}]}}, 413, "E_QUERY_TOO_LONG"),
    ({"q": {"query": "x", "properties": [{"pid": "planet", "v": "x"}]}}, 422, "E_FIELD"),
    ({"q": {"query": "x", "properties": [{"pid": "city"}]}}, 422, "E_MISSING"),
    ({"q": {"query": "x", "type": "planet"}}, 422, "E_FIELD"),
    ({"q": {"query": "x", "type_strict": "perhaps"}}, 422, "E_RANGE"),
    ({"q": {"query": "x", "limit": "many"}}, 422, "E_TYPE"),
    ({"q": {"query": "x", "more": 1}}, 422, "E_UNKNOWN_FIELD"),
    ({"q": {"query": "x\0"}}, 422, "E_NUL"),
    ({"q": "x"}, 422, "E_TYPE"),
    ([], 422, "E_TYPE"),
]


@pytest.mark.parametrize(("queries", "status", "code"), REFUSED)
def test_what_cannot_be_answered_is_refused_by_name(refined: Server, queries: Any, status: int, code: str) -> None:
    answered, answer = post(refined, queries=queries)
    assert (answered, answer["error"]["code"]) == (status, code)


def test_forms_that_are_none_are_refused(refined: Server) -> None:
    def code(body: bytes, headers: dict[str, str] = FORM) -> tuple[int, str]:
        status, answer, _ = refined.ask("POST", "/reconcile", body, headers)
        return status, answer["error"]["code"]

    assert code(b"") == (422, "E_MISSING")
    assert code(b"queries={}&extend={}") == (422, "E_MISSING")
    assert code(b"queries={") == (400, "E_JSON")
    assert code(b"queries=%ff") == (400, "E_ENCODING")
    assert code(b"queries={}&queries={}") == (400, "E_FORM")
    assert code(b"a=1&" * 20) == (400, "E_FORM")
    assert code(b"queries={}", {"Content-Type": "application/json"}) == (415, "E_CONTENT_TYPE")
    assert code(b"queries=" + b"[" * 100) == (400, "E_JSON")


def test_every_answer_is_as_described(refined: Server, searcher: Searcher) -> None:
    described = Described(refined, refined.ask("GET", "/openapi.json")[1])
    entity_id = searcher.names.entity(0).entity_id
    for path in ("", "/suggest/{kind}?prefix=u", "/flyout/{kind}?id=" + quote(entity_id), "/properties"):
        route = f"/reconcile{path.partition('?')[0]}"
        asked = f"/reconcile{path.replace('{kind}', 'entity')}"
        assert described.ask("GET", asked, route=route)[0] == 200
        assert described.ask("GET", f"{asked.partition('?')[0]}?callback=1", route=route)[0] == 422
    assert described.ask("GET", f"/reconcile/preview?id={quote(entity_id)}")[0] == 200
    assert described.ask("GET", "/reconcile/preview?id=nobody")[0] == 404
    assert described.ask("GET", "/reconcile/suggest/planet?prefix=a", route="/reconcile/suggest/{kind}")[0] == 404
    for queries, status, _ in REFUSED:
        body = urlencode({"queries": json.dumps(queries)}).encode()
        assert described.ask("POST", "/reconcile", body, FORM)[0] == status


def test_a_limit_is_never_more_than_that_of_the_server(refined: Server) -> None:
    assert len(reconciled(refined, query="university", limit=10**9)) == 100
    assert len(reconciled(refined, query="university", limit=-3)) == 1


# -- suggestions, previews, extension --------------------------------------------------------------


def test_suggestions_fit_what_was_typed(refined: Server, searcher: Searcher) -> None:
    entity = searcher.names.entity(5)
    for typed in (entity.label, entity.entity_id):
        answer = refined.ask("GET", f"/reconcile/suggest/entity?prefix={quote(typed)}&_=1")[1]
        check("suggest-entities-response", answer)
        assert answer["result"][0]["id"] == entity.entity_id
        assert answer["result"][0]["name"] == entity.label
        assert answer["result"][0]["notable"] == [{"id": entity.fields["country"], "name": entity.fields["country"]}]
    ids = [one["id"] for one in answer["result"]]
    more = refined.ask("GET", f"/reconcile/suggest/entity?prefix={quote(entity.entity_id)}&cursor=10")[1]["result"]
    assert len(ids) == len(set(ids)) == 10
    assert more
    assert not set(ids) & {one["id"] for one in more}
    answer = refined.ask("GET", "/reconcile/suggest/property?prefix=OUN")[1]
    check("suggest-properties-response", answer)
    assert [one["id"] for one in answer["result"]] == ["country", "founded"]
    country = entity.fields["country"]
    answer = refined.ask("GET", f"/reconcile/suggest/type?prefix={quote(country[:4].upper())}")[1]
    check("suggest-types-response", answer)
    assert {"id": country, "name": country} in answer["result"]
    assert refined.ask("GET", "/reconcile/suggest/entity?prefix=")[1] == {"result": []}
    assert refined.ask("GET", "/reconcile/suggest/planet?prefix=a")[0] == 404
    assert refined.ask("GET", f"/reconcile/suggest/entity?prefix={LONG}")[0] == 413
    assert refined.ask("GET", "/reconcile/suggest/entity?prefix=a&cursor=b")[0] == 422


def test_a_data_extension_gives_values_of_properties(refined: Server, searcher: Searcher) -> None:
    entity = next(
        entity for entity in map(searcher.names.entity, range(50)) if {"city", "founded"} <= set(entity.fields)
    )
    proposed = refined.ask("GET", "/reconcile/properties?type=entity&limit=3")[1]
    check("data-extension-property-proposal", proposed)
    assert len(proposed["properties"]) == 3
    wanted = ["city", "founded", "@label", "@aliases"]
    query = {"ids": [entity.entity_id, "nobody"], "properties": [{"id": name} for name in wanted]}
    check("data-extension-query", query)
    status, answer = post(refined, extend=query)
    assert status == 200
    check("data-extension-response", answer)
    assert [one["id"] for one in answer["meta"]] == wanted
    row = answer["rows"][entity.entity_id]
    assert row["city"] == [{"str": entity.fields["city"]}]
    assert row["@label"] == [{"str": entity.label}]
    assert [value["str"] for value in row["@aliases"]] == searcher.entity(entity.entity_id)["aliases"]
    assert answer["rows"]["nobody"] == {name: [] for name in wanted}
    assert post(refined, extend={**query, "properties": [{"id": "planet"}]})[1]["error"]["code"] == "E_FIELD"
    assert post(refined, extend={**query, "ids": ["a"] * 129})[0] == 413
    assert post(refined, extend={"ids": ["a"]})[0] == 422


def test_a_preview_may_be_framed_but_does_nothing(refined: Server, searcher: Searcher) -> None:
    entity = searcher.names.entity(0)
    status, page, headers = refined.ask("GET", f"/reconcile/preview?id={quote(entity.entity_id)}")
    assert status == 200
    assert entity.label in page
    assert entity.fields["country"] in page
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox;" in policy
    assert "frame-ancestors *" in policy
    assert "x-frame-options" not in headers
    assert "x-frame-options" in refined.ask("GET", "/reconcile")[2]
    assert refined.ask("GET", "/reconcile/preview?id=nobody")[0] == 404


def test_names_are_escaped_wherever_they_are_shown(searcher: Searcher) -> None:
    evil = "<script>alert(1)</script>"
    record: Any = {"id": evil, "label": evil, "fields": {evil: evil}, "aliases": [evil]}
    catalogue = ReconciliationCatalogue(searcher)
    for html in (catalogue.preview(record).decode(), catalogue.flyout(record)):
        assert "<script" not in html
        assert html.count("&lt;script&gt;") >= 4


# -- browsers --------------------------------------------------------------------------------------


def test_a_script_hands_the_answer_to_a_function(refined: Server) -> None:
    status, script, headers = refined.ask("GET", "/reconcile?callback=jQuery.fn_1")
    assert status == 200
    assert headers["content-type"].startswith("application/javascript")
    assert headers["x-content-type-options"] == "nosniff"
    match = re.fullmatch(r"/\*\*/jQuery\.fn_1\((.*)\);", script)
    assert match is not None
    assert json.loads(match[1])["versions"] == ["0.2"]
    queries = quote(json.dumps({"q": {"query": "UNAM", "limit": 1}}))
    for path in (f"?queries={queries}&", "/suggest/property?prefix=c&", "/properties?", "/flyout/property?id=city&"):
        status, script, _ = refined.ask("GET", f"/reconcile{path}callback=f")
        assert (status, script[:7]) == (200, "/**/f({")
    for callback in ("alert(1)//", "a b", "1a", "a..b", "a" * 201, "<script>"):
        assert refined.ask("GET", f"/reconcile?callback={quote(callback)}")[0] == 422
    near, far = ({"Sec-Fetch-Site": site} for site in ("same-site", "cross-site"))
    assert refined.ask("GET", "/reconcile?callback=f", headers=near)[0] == 200
    assert refined.ask("GET", "/reconcile?callback=f", headers=far)[0] == 403


def options(server: Server, path: str, origin: str) -> tuple[int, dict[str, str]]:
    asks = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    status, _, headers = server.ask("OPTIONS", path, headers=asks)
    return status, headers


def test_pages_of_this_machine_may_ask_and_those_of_others_may_not(refined: Server) -> None:
    status, headers = options(refined, "/reconcile", REFINE)
    assert (status, headers["access-control-allow-origin"]) == (204, REFINE)
    assert "POST" in headers["access-control-allow-methods"]
    failed = refined.ask("POST", "/reconcile", b"", {**FORM, "Origin": REFINE})
    assert (failed[0], failed[2]["access-control-allow-origin"]) == (422, REFINE)
    for path in ("/reconcile", "/reconcile/properties"):
        status, _, headers = refined.ask("GET", path, headers={"Origin": "https://evil.example"})
        assert (status, "access-control-allow-origin" in headers) == (403, False)
        assert options(refined, path, "https://evil.example")[0] == 403
    assert options(refined, "/v1/search", REFINE)[0] == 403
    for path in ("/v1/bundle", "/reconciled"):
        assert refined.ask("GET", path, headers={"Origin": REFINE})[0] == 403
    for origin in ("null", "http://[", "http://127.0.0.1.evil.example", "http://localhost.evil.example:3333"):
        assert refined.ask("GET", "/reconcile", headers={"Origin": origin})[0] == 403
    assert refined.ask("GET", "/reconcile", headers={"Host": "evil.example"})[0] == 421


def test_other_origins_may_ask_where_they_are_named_and_the_key_holds(
    whole: Path, serve: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text("s3cret")
    origin = "https://refine.example"
    named = ("--allow-origin", f"{origin}/", "--api-key-file", str(tmp_path / "key"))
    server = serve(whole, "--protocol", "reconcile", *named)
    assert options(server, "/reconcile", origin)[0] == 204
    assert options(server, "/reconcile", "https://evil.example")[0] == 403
    assert server.ask("GET", "/reconcile", headers={"Origin": origin})[0] == 401
    status, manifest, headers = server.ask("GET", "/reconcile", headers={"Origin": origin, "X-API-Key": "s3cret"})
    assert (status, headers["access-control-allow-origin"]) == (200, origin)
    assert manifest["authentication"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert manifest["defaultTypes"] == [{"id": "entity", "name": "Entity"}]
    check("manifest", manifest)


def test_without_the_protocol_there_is_none_of_it(server: Server) -> None:
    assert server.ask("GET", "/reconcile")[0] == 404
    assert options(server, "/reconcile", REFINE)[0] == 403
    assert server.ask("GET", "/reconcile", headers={"Origin": REFINE})[0] == 403
    assert "/reconcile" not in server.ask("GET", "/openapi.json")[1]["paths"]


def test_options_that_do_not_fit_are_refused(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for asked, message in {
        ("--type-field", "country"): "go with --protocol reconcile",
        ("--protocol", "smtp"): "is not one of reconcile",
        ("--protocol", "reconcile", "--type-field", "countri"): "did you mean country",
    }.items():
        assert run_command(["serve", str(whole), "--port", "0", *asked]) == 2
        assert message in capsys.readouterr().err


def test_its_calls_are_routed_and_described(whole: Path) -> None:
    service = Service(whole, Limits())
    calls = PROTOCOL.calls(service, ProtocolSettings())
    app = make_app(service, Access(frozenset()), calls).app
    service.batcher.stop()
    routes = [route for route in app.routes if isinstance(route, Route)]  # type: ignore[attr-defined]
    operations = [*OPERATIONS, *(operation for operation, _ in calls)]
    routed = {(method, route.path) for route in routes for method in route.methods or () if method != "HEAD"}
    assert routed == {(operation.method, operation.path) for operation in operations}
    document = openapi_document(has_key=True, more=[operation for operation, _ in calls])
    assert set(document["paths"]["/reconcile"]) == {"get", "post"}
    body = document["paths"]["/reconcile"]["post"]["requestBody"]["content"]
    assert list(body) == ["application/x-www-form-urlencoded"]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_a_bundle_without_chances_answers_and_matches_nothing(made: Path, serve: Callable[..., Server]) -> None:
    server = serve(made, "--protocol", "reconcile")
    label = Searcher.load(made).label_text(3)
    first = reconciled(server, query=label)[0]
    assert (first["name"], first["score"], first["match"]) == (label, 100, False)
    assert [kind["id"] for kind in first["type"]] == ["entity"]
    assert reconciled(server, query=label, type="entity", type_strict="any")[0]["name"] == label


def test_a_connection_that_only_asks_for_headers_is_served(refined: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", refined.port, timeout=30)
    connection.request("HEAD", "/reconcile")
    assert connection.getresponse().status == 200
    connection.close()
