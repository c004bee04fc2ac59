"""``/v1/embeddings`` as OpenAI's own client asks it, and as anyone may over HTTP."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed import Project, Searcher
from honed.bundle.manifest import Manifest
from honed.connect.encoding import jobs
from honed.core.errors import ArtifactError
from honed.project.facts import project_facts
from honed.serve.limits import Limits
from tests.serve.test_openapi import Described
from tests.shipped import Server, reseal, running

TEXTS = ["UNAM", "universidad nacional", "a college of arts"]
DIM = 32
WIDTHS = [8, 16]


@pytest.fixture(scope="module")
def short(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that says that its vectors were trained at shorter widths, and has a prompt for queries."""
    folder = Path(shutil.copytree(made, tmp_path_factory.mktemp("short") / "schools"))
    spec = json.loads((folder / "manifest.json").read_text())["spec"]
    reseal(folder, matryoshka=WIDTHS, spec={**spec, "query_prompt": "find "})
    return folder


@pytest.fixture(scope="module")
def speaking(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from running(Server(made, "--protocol", "openai", log=tmp_path_factory.mktemp("server") / "log"))


@pytest.fixture(scope="module")
def prompted(short: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from running(
        Server(short, "--protocol", "openai", log=tmp_path_factory.mktemp("server") / "log"), ready=False
    )


def client_of(server: Server, key: str = "any") -> Any:
    openai = pytest.importorskip("openai", reason="openai is not installed:  pip install 'honed[dev]'")
    return openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key=key, max_retries=0)


def post(server: Server, **fields: Any) -> tuple[int, Any]:
    return server.ask("POST", "/v1/embeddings", {"model": "honed", **fields})[:2]


# -- the real client -------------------------------------------------------------------------------


def test_the_client_gets_the_vectors_of_the_bundle(speaking: Server, made: Path) -> None:
    expected = Searcher.load(made).encoder.encode(TEXTS, "document")
    with client_of(speaking) as client:
        for extra in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
            answer = client.embeddings.create(model="honed", input=TEXTS, **extra)
            assert [one.index for one in answer.data] == [0, 1, 2]
            vectors = [one.embedding for one in answer.data]
            if extra.get("encoding_format") == "base64":
                vectors = [np.frombuffer(base64.b64decode(vector), "<f4") for vector in vectors]
            np.testing.assert_allclose(np.array(vectors), expected, atol=1e-5)
        assert answer.usage.prompt_tokens == answer.usage.total_tokens == Searcher.load(made).count_tokens(TEXTS)
        (one,) = client.embeddings.create(model="b", input="UNAM").data
        np.testing.assert_allclose(one.embedding, expected[0], atol=1e-5)


def test_the_client_is_told_what_is_wrong(speaking: Server) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed:  pip install 'honed[dev]'")
    with client_of(speaking) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            client.embeddings.create(model="text-embedding-3-small", input="UNAM")
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError, match="were trained for 32") as refused:
            client.embeddings.create(model="honed", input="UNAM", dimensions=16)
        assert refused.value.param == "dimensions"
        with pytest.raises(openai.BadRequestError, match="token numbers"):
            client.embeddings.create(model="honed", input=[[1, 2, 3]])
        names = [model.id for model in client.models.list()]
    assert names == ["b", "b:query", "b:document", "honed", "honed:query", "honed:document"]


def test_the_key_of_the_client_is_that_of_the_server(made: Path, serve: Callable[..., Server], tmp_path: Path) -> None:
    openai = pytest.importorskip("openai", reason="openai is not installed:  pip install 'honed[dev]'")
    (tmp_path / "key").write_text("s3cret")
    server = serve(made, "--protocol", "openai", "--api-key-file", str(tmp_path / "key"))
    with client_of(server, "s3cret") as client:
        assert len(client.embeddings.create(model="honed", input="UNAM").data[0].embedding) == DIM
    with client_of(server, "wrong") as client, pytest.raises(openai.AuthenticationError):
        client.embeddings.create(model="honed", input="UNAM")


def test_the_client_chooses_role_and_width(prompted: Server, short: Path) -> None:
    encoder = Searcher.load(short).encoder
    query, document = (encoder.encode(["UNAM"], role)[0] for role in ("query", "document"))  # type: ignore[arg-type]
    assert float(query @ document) < 0.9999  # the prompt matters
    with client_of(prompted) as client:

        def embedding(model: str, **more: Any) -> Any:
            return np.array(client.embeddings.create(model=model, input="UNAM", **more).data[0].embedding)

        np.testing.assert_allclose(embedding("honed:query"), query, atol=1e-5)
        np.testing.assert_allclose(embedding("schools:document"), document, atol=1e-5)
        for typed, vector in {"query": query, "search_query": query, "search_document": document}.items():
            np.testing.assert_allclose(embedding("honed", extra_body={"input_type": typed}), vector, atol=1e-5)
        for width in (*WIDTHS, DIM):
            cut = query[:width] / np.linalg.norm(query[:width])
            np.testing.assert_allclose(embedding("honed:query", dimensions=width), cut, atol=1e-5)


# -- over HTTP -------------------------------------------------------------------------------------


def test_a_role_must_be_said_where_it_matters(prompted: Server) -> None:
    status, answer = post(prompted, input="UNAM")
    assert (status, answer["error"]["code"]) == (400, "E_MISSING")
    status, answer = post(prompted, input="UNAM", model="honed:query", input_type="document")
    assert (status, answer["error"]["param"]) == (400, "input_type")
    assert post(prompted, input="UNAM", model="honed:query", input_type="query")[0] == 200


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({}, 400, "E_MISSING"),
    ({"input": []}, 400, "E_QUERY_EMPTY"),
    ({"input": ""}, 400, "E_QUERY_EMPTY"),
    ({"input": ["a", " "]}, 400, "E_QUERY_EMPTY"),
    ({"input": ["a", 3]}, 400, "E_TOKENS"),
    ({"input": 3}, 400, "E_TYPE"),
    ({"input": ["a"] * 2049}, 400, "E_BATCH_TOO_BIG"),
    ({"input": "a" * 32_001}, 400, "E_QUERY_TOO_LONG"),
    ({"input": "a" * 3000 + "\0"}, 400, "E_ENCODING"),
    ({"input": "a", "encoding_format": "hex"}, 400, "E_RANGE"),
    ({"input": "a", "dimensions": 0}, 400, "E_DIMENSIONS"),
    ({"input": "a", "more": 1}, 400, "E_UNKNOWN_FIELD"),
    ({"input": "a", "model": "honed:king"}, 404, "model_not_found"),
]


@pytest.mark.parametrize(("fields", "status", "code"), REFUSED)
def test_what_is_wrong_is_said_in_openais_form(speaking: Server, fields: Any, status: int, code: str) -> None:
    answered, answer = post(speaking, **fields)
    assert (answered, answer["error"]["code"]) == (status, code)
    assert set(answer["error"]) == {"message", "type", "param", "code"}


def test_a_body_that_is_too_big_is_refused_before_it_is_read(speaking: Server) -> None:
    status, answer = speaking.announce("/v1/embeddings", (1 << 20) + 1)
    assert (status, answer["error"]["code"]) == (413, "E_BODY_TOO_BIG")


def test_many_and_long_texts_are_answered_and_what_was_not_read_is_told(speaking: Server) -> None:
    texts = [f"school number {number}" for number in range(300)]
    texts[7] = "a long text " * 2000
    status, answer = post(speaking, input=texts)
    assert status == 200
    assert len(answer["data"]) == 300
    assert answer["truncated"] == [7]
    alone = post(speaking, input=texts[8])[1]
    assert "truncated" not in alone
    np.testing.assert_allclose(answer["data"][8]["embedding"], alone["data"][0]["embedding"], atol=1e-5)
    assert answer["usage"]["prompt_tokens"] > 300


def test_without_the_protocol_there_are_no_such_calls(server: Server) -> None:
    assert server.ask("POST", "/v1/embeddings", {"model": "honed", "input": "a"})[0] == 404
    assert server.ask("GET", "/v1/models")[0] == 404


def test_every_answer_is_as_described(speaking: Server) -> None:
    described = Described(speaking, speaking.ask("GET", "/openapi.json")[1])
    for encoding_format in ("float", "base64"):
        fields = {"model": "honed", "input": TEXTS, "encoding_format": encoding_format}
        assert described.ask("POST", "/v1/embeddings", fields)[0] == 200
    assert described.ask("GET", "/v1/models")[0] == 200
    for refused, status, _ in REFUSED:
        assert described.ask("POST", "/v1/embeddings", {"model": "honed", **refused})[0] == status
    assert described.ask("POST", "/v1/embeddings", b"{")[0] == 400


# -- parts -----------------------------------------------------------------------------------------


def test_jobs_hold_few_texts_and_few_characters() -> None:
    limits = Limits(max_tokens=100)
    texts = ["a" * 10] * 40 + ["b" * 500] + ["c"] * 70
    spans = list(jobs(texts, limits))
    assert [number for span in spans for number in range(span.start, span.stop)] == list(range(len(texts)))
    for span in spans:
        part = texts[span]
        assert len(part) <= 32
        assert len(part) == 1 or sum(map(len, part)) <= 100
    assert list(jobs([], limits)) == []


def test_a_bundle_knows_the_widths_that_its_model_was_trained_for(
    project: Project, made: Path, short: Path, tmp_path: Path
) -> None:
    assert project_facts(project).matryoshka == []
    assert Manifest(Searcher.load(made).manifest).matryoshka == ()
    assert Manifest(Searcher.load(short).manifest).matryoshka == (8, 16)
    trained = Path(shutil.copytree(project.root, tmp_path / "p"))
    text = (trained / "honed.toml").read_text()
    (trained / "honed.toml").write_text(text.replace("evaluations = 2", "evaluations = 2\nmatryoshka = [16, 8]"))
    other = Project(trained)
    other.run(until="index")
    assert project_facts(other).matryoshka == [8, 16]
    folder = Path(shutil.copytree(made, tmp_path / "b"))
    for widths in ([64], "8", [True]):
        reseal(folder, matryoshka=widths)
        with pytest.raises(ArtifactError):
            Searcher.load(folder)
