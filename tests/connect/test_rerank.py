"""``/v1/rerank`` and ``/v2/rerank``: as Cohere's own client asks them, and in Jina's form too, over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed import Searcher
from tests.serve.test_openapi import Described
from tests.shipped import Server, running

QUERY = "national university"
TEXTS = ["college of arts", "universidad nacional", "UNAM", "national university of colombia"]


def speaking(bundle: Path, log: Path) -> Iterator[Server]:
    yield from running(Server(bundle, "--protocol", "rerank", log=log))


@pytest.fixture(scope="module")
def by_cosines(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from speaking(made, tmp_path_factory.mktemp("server") / "log")


@pytest.fixture(scope="module")
def by_pairs(reranking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from speaking(reranking, tmp_path_factory.mktemp("server") / "log")


@pytest.fixture(scope="module")
def cosines(made: Path) -> Any:
    encoder = Searcher.load(made).encoder
    return encoder.encode(TEXTS, "document") @ encoder.encode([QUERY], "query")[0]


@pytest.fixture(scope="module")
def chances(reranking: Path) -> Any:
    """What the cross-encoder says of each text, between 0 and 1."""
    reranker = Searcher.load(reranking).reranker
    assert reranker is not None
    return 1 / (1 + np.exp(-reranker.score([(QUERY, text) for text in TEXTS])))


def post(server: Server, path: str = "/v1/rerank", **fields: Any) -> tuple[int, Any]:
    return server.ask("POST", path, {"query": QUERY, "documents": TEXTS, **fields})[:2]


def check(results: list[Any], scores: Any) -> None:
    """Documents come best first, with their scores."""
    assert [one["index"] for one in results] == np.argsort(-scores, kind="stable").tolist()[: len(results)]
    np.testing.assert_allclose(
        [one["relevance_score"] for one in results], np.sort(scores)[::-1][: len(results)], atol=1e-4
    )


def test_the_form_of_cohere(by_cosines: Server, by_pairs: Server, cosines: Any, chances: Any) -> None:
    for server, scores, scored_by in ((by_cosines, cosines, "bi-encoder"), (by_pairs, chances, "cross-encoder")):
        for version in ("1", "2"):
            status, answer = post(server, f"/v{version}/rerank", model="honed", top_n=3)
            assert status == 200
            assert len(answer["results"]) == 3
            check(answer["results"], scores)
            assert answer["meta"] == {"api_version": {"version": version}, "scored_by": scored_by}
            assert all(set(one) == {"index", "relevance_score"} for one in answer["results"])
    assert np.all((chances > 0) & (chances < 1))


def test_documents_may_be_objects_and_come_back(by_pairs: Server, chances: Any) -> None:
    documents = [{"text": TEXTS[0], "id": "a"}, *TEXTS[1:]]
    status, answer = post(by_pairs, documents=documents, return_documents=True)
    assert status == 200
    check(answer["results"], chances)
    assert [one["document"] for one in answer["results"]] == [
        {"text": TEXTS[one["index"]]} for one in answer["results"]
    ]


def test_the_form_of_jina(by_cosines: Server, made: Path) -> None:
    status, answer = post(by_cosines, model="b", top_n=10, return_documents=True)
    assert status == 200
    assert set(answer) >= {"model", "usage", "results"}
    assert answer["model"] == "b"
    searcher = Searcher.load(made)
    n_tokens = searcher.count_tokens([QUERY], "query") + searcher.count_tokens(TEXTS, "document")
    assert answer["usage"] == {"total_tokens": n_tokens}
    assert len(answer["results"]) == len(TEXTS)


def test_coheres_client_asks_both_forms(by_pairs: Server, chances: Any) -> None:
    cohere = pytest.importorskip("cohere", reason="cohere is not installed:  pip install 'honed[dev]'")
    import httpx

    objects: Any = [{"text": text} for text in TEXTS]
    with httpx.Client() as connections:
        address = {"base_url": f"http://127.0.0.1:{by_pairs.port}", "httpx_client": connections}
        for kind in (cohere.Client, cohere.ClientV2):
            client = kind(api_key="any", **address)
            answer = client.rerank(model="honed", query=QUERY, documents=TEXTS, top_n=2)
            check([one.model_dump() for one in answer.results], chances)
            assert answer.meta.scored_by == "cross-encoder"
            with pytest.raises(cohere.NotFoundError):
                client.rerank(model="rerank-v3.5", query=QUERY, documents=TEXTS)
        client = cohere.Client(api_key="any", **address)
        answer = client.rerank(model="honed", query=QUERY, documents=objects, return_documents=True)
    assert answer.results[0].document.text == TEXTS[answer.results[0].index]


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"documents": []}, 422, "E_QUERY_EMPTY"),
    ({"documents": ["a", ""]}, 422, "E_QUERY_EMPTY"),
    ({"documents": ["a", 3]}, 422, "E_TYPE"),
    ({"documents": [{"title": "a"}]}, 422, "E_MISSING"),
    ({"documents": ["a"] * 1001}, 413, "E_BATCH_TOO_BIG"),
    ({"documents": ["a" * 32_001]}, 413, "E_QUERY_TOO_LONG"),
    ({"query": ""}, 422, "E_QUERY_EMPTY"),
    ({"query": "a" * 2001}, 413, "E_QUERY_TOO_LONG"),
    ({"top_n": 0}, 422, "E_RANGE"),
    ({"model": "rerank-v3.5"}, 404, "E_MODEL"),
    ({"max_chunks_per_doc": 3}, 422, "E_UNKNOWN_FIELD"),
]


@pytest.mark.parametrize(("fields", "status", "code"), REFUSED)
def test_what_cannot_be_ranked_is_refused(by_cosines: Server, fields: Any, status: int, code: str) -> None:
    answered, answer = post(by_cosines, **fields)
    assert (answered, answer["error"]["code"]) == (status, code)


def test_every_answer_is_as_described(by_cosines: Server) -> None:
    described = Described(by_cosines, by_cosines.ask("GET", "/openapi.json")[1])
    asked = {"query": QUERY, "documents": TEXTS}
    for path in ("/v1/rerank", "/v2/rerank"):
        assert described.ask("POST", path, {**asked, "return_documents": True})[0] == 200
        for fields, status, _ in REFUSED:
            assert described.ask("POST", path, {**asked, **fields})[0] == status


def test_many_documents_are_ranked_in_small_jobs(by_pairs: Server, reranking: Path) -> None:
    documents = [f"school number {number} of the town" for number in range(150)]
    status, answer = post(by_pairs, documents=documents)
    assert status == 200
    reranker = Searcher.load(reranking).reranker
    assert reranker is not None
    scores = 1 / (1 + np.exp(-reranker.score([(QUERY, text) for text in documents])))
    assert sorted(one["index"] for one in answer["results"]) == list(range(150))
    np.testing.assert_allclose([one["relevance_score"] for one in answer["results"]], np.sort(scores)[::-1], atol=1e-4)


def test_without_the_protocol_there_are_no_such_calls(server: Server) -> None:
    assert post(server)[0] == post(server, "/v2/rerank")[0] == 404
