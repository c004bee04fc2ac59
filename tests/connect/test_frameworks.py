"""Retrievers and embeddings for LangChain, LlamaIndex and Haystack, each run by the framework itself."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from honed import Searcher
from honed.connect.frameworks import SharedSearcher, metadata_of
from honed.core import optional
from honed.core.errors import MissingPartError

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the frameworks' own parts
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
QUERY = "universidad nacional"
TEXTS = ["college of arts", "UNAM"]


@pytest.fixture(scope="module")
def searcher(whole: Path) -> Searcher:
    return Searcher.load(whole)


@pytest.fixture
def countries(searcher: Searcher) -> list[str]:
    return [str(value) for value in searcher.columns["country"].values][:2]


def missing(module: str, extra: str) -> Any:
    return pytest.importorskip(module, reason=f"{module} is not installed:  pip install 'honed[{extra}]'")


def check_vectors(searcher: Searcher, documents: Any, query: Any) -> None:
    np.testing.assert_allclose(documents, searcher.encoder.encode(TEXTS, "document"), atol=1e-5)
    np.testing.assert_allclose(query, searcher.encoder.encode([QUERY], "query")[0], atol=1e-5)


def test_langchain_retrieves_and_embeds(whole: Path, searcher: Searcher, countries: list[str]) -> None:
    missing("langchain_core", "langchain")
    from langchain_core.runnables import RunnableLambda
    from langchain_core.vectorstores import InMemoryVectorStore

    from honed.connect.langchain import HonedEmbeddings, HonedRetriever

    retriever = HonedRetriever.load(whole, k=4)
    expected = searcher.search(QUERY, 4)
    chain = retriever | RunnableLambda(lambda documents: [document.id for document in documents])
    assert chain.invoke(QUERY) == [hit.doc_id for hit in expected]
    (first, *_), other = retriever.batch([QUERY, "UNAM"])
    assert len(other) == 4
    assert (first.page_content, first.metadata["doc_id"]) == (expected[0].text, expected[0].doc_id)
    assert first.metadata["chance"] == pytest.approx(expected[0].chance, abs=1e-3)
    assert first.metadata["country"] == expected[0].fields["country"]
    chosen = HonedRetriever.load(searcher, k=5, where={"country": countries[0]}).invoke(QUERY)
    assert {document.metadata["country"] for document in chosen} == {countries[0]}
    embeddings = HonedEmbeddings(whole)
    check_vectors(searcher, embeddings.embed_documents(TEXTS), embeddings.embed_query(QUERY))
    assert embeddings.embed_documents([]) == []
    store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
    vectors = searcher.encoder.encode(TEXTS, "document") @ searcher.encoder.encode([QUERY], "query")[0]
    assert store.similarity_search(QUERY, k=1)[0].page_content == TEXTS[int(np.argmax(vectors))]


def test_llama_index_retrieves_and_embeds(whole: Path, searcher: Searcher, countries: list[str]) -> None:
    missing("llama_index.core", "llama-index")
    from llama_index.core import VectorStoreIndex
    from llama_index.core.schema import TextNode

    from honed.connect.llama_index import HonedEmbedding, HonedRetriever

    expected = searcher.search(QUERY, 4)
    nodes = HonedRetriever(whole, k=4).retrieve(QUERY)
    assert [node.node_id for node in nodes] == [hit.doc_id for hit in expected]
    assert nodes[0].score == pytest.approx(expected[0].score, abs=1e-4)
    assert (nodes[0].text, nodes[0].metadata["country"]) == (expected[0].text, expected[0].fields["country"])
    chosen = HonedRetriever(searcher, where={"country": countries[0]}).retrieve(QUERY)
    assert {node.metadata["country"] for node in chosen} == {countries[0]}
    embedding = HonedEmbedding(whole)
    check_vectors(searcher, embedding.get_text_embedding_batch(TEXTS), embedding.get_query_embedding(QUERY))
    index = VectorStoreIndex([TextNode(text=text) for text in TEXTS], embed_model=embedding)
    vectors = searcher.encoder.encode(TEXTS, "document") @ searcher.encoder.encode([QUERY], "query")[0]
    assert index.as_retriever(similarity_top_k=1).retrieve(QUERY)[0].text == TEXTS[int(np.argmax(vectors))]


def test_haystack_retrieves_and_embeds(
    whole: Path, searcher: Searcher, countries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "false")
    missing("haystack", "haystack")
    from haystack import Document, Pipeline

    from honed.connect.haystack import HonedDocumentEmbedder, HonedRetriever, HonedTextEmbedder

    expected = searcher.search(QUERY, 4)
    pipeline = Pipeline()
    pipeline.add_component("retriever", HonedRetriever(str(whole), top_k=4))
    pipeline.add_component("text", HonedTextEmbedder(str(whole)))
    pipeline.add_component("documents", HonedDocumentEmbedder(str(whole)))
    loaded = Pipeline.loads(pipeline.dumps(), allowed_modules=["honed.connect.haystack"])
    documents = [Document(content=text) for text in TEXTS]
    found = loaded.run({"retriever": {"query": QUERY}, "text": {"text": QUERY}, "documents": {"documents": documents}})
    hits = found["retriever"]["documents"]
    assert [hit.id for hit in hits] == [hit.doc_id for hit in expected]
    assert (hits[0].content, hits[0].meta["country"]) == (expected[0].text, expected[0].fields["country"])
    assert hits[0].score == pytest.approx(expected[0].score, abs=1e-4)
    vectors = [document.embedding for document in found["documents"]["documents"]]
    check_vectors(searcher, vectors, found["text"]["embedding"])
    assert all(document.embedding is None for document in documents)
    chosen = HonedRetriever(str(whole), filters={"country": countries}).run(QUERY, top_k=2)["documents"]
    assert len(chosen) == 2
    assert {hit.meta["country"] for hit in chosen} <= set(countries)


@pytest.mark.parametrize("name", ["langchain", "llama_index", "haystack"])
def test_without_the_framework_the_line_that_installs_it_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    import sys

    monkeypatch.delitem(sys.modules, f"honed.connect.{name}", raising=False)
    monkeypatch.setattr(optional, "is_installed", lambda part: False)
    with pytest.raises(MissingPartError, match=rf"pip install 'honed\[{name.replace('_', '-')}\]'"):
        importlib.import_module(f"honed.connect.{name}")


def test_a_searcher_may_be_asked_from_many_threads(searcher: Searcher) -> None:
    shared, labels = SharedSearcher(searcher), [searcher.label_text(number) for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda label: shared.search(label, 1, None)[0].text, labels))
    assert found == labels


def test_metadata_are_the_fields_and_what_the_search_says(searcher: Searcher) -> None:
    hit = searcher.search(QUERY, 1)[0]
    metadata = metadata_of(hit)
    assert {name: metadata[name] for name in hit.fields} == dict(hit.fields)
    assert (metadata["doc_id"], metadata["score"]) == (hit.doc_id, hit.score)
