"""What one query takes, from text to 10 hits, each system alone on this machine."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from honed.artifacts.models import DistilArtifact, TrainArtifact
from honed.core.stage import Inputs
from honed.index.kernel import best_rows
from honed.index.postings import QueryTerms, TermScorer
from honed.search.searcher import Searcher
from honed.shapes.systems import BASE, BM25, HYBRID, RERANKED, STUDENT, TFIDF, TUNED

QUERIES = 100
_PARTS = {"words": BM25, "TF-IDF": TFIDF}


def latencies(searcher: Searcher, inputs: Inputs, texts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return p50 and p95 in ms by system, one query at a time with PyTorch.

    Words alone are searched in the hybrid's own postings; without a hybrid the vectors alone are timed.
    """
    shipped = STUDENT if inputs.find(DistilArtifact) else TUNED if inputs.find(TrainArtifact) else BASE

    def by_vectors(text: str) -> object:
        return searcher.nearest(searcher.encoder.encode([text], "query"), 10)

    search_of_system: dict[str, Callable[[str], object]] = {shipped: by_vectors}
    if searcher.hybrid is not None:
        for part, name in _PARTS.items():
            search_of_system[name] = _by_terms(searcher.hybrid.parts[part])
        search_of_system[HYBRID] = searcher.search
        if searcher.reranker is not None:
            search_of_system[HYBRID + RERANKED] = lambda text: searcher.answer_many([text], rerank=True)
    return {name: _timed(search, texts[:QUERIES]) for name, search in search_of_system.items()}


def _by_terms(scorer: TermScorer) -> Callable[[str], object]:
    return lambda text: best_rows(scorer.scores(QueryTerms(text)), 10)


def _timed(search: Callable[[str], object], texts: Sequence[str]) -> dict[str, float]:
    search(texts[0])
    took = []
    for text in texts:
        started = time.perf_counter()
        search(text)
        took.append(1000 * (time.perf_counter() - started))
    return {name: round(float(np.quantile(took, at)), 2) for name, at in (("p50", 0.5), ("p95", 0.95))}
