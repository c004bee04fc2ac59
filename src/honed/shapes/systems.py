"""Every system that is measured, as a run on a judged task."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from honed.config.config import Config
from honed.core.progress import progress
from honed.core.protocols import Encoder, PairScorer, Role, TextIndex, Vectors
from honed.core.ranking import Rows
from honed.core.records import JudgedTask, Run
from honed.core.text import fold
from honed.data.split import unit_interval
from honed.data.task import Name
from honed.evaluate.measures import Measure
from honed.evaluate.score import TaskScores
from honed.index.analysis import Analyzer
from honed.index.exact import FlatIndex
from honed.index.lexical import (
    AllNamesIndex,
    Bm25Index,
    DictionaryIndex,
    InitialismIndex,
    InitialismTfidfIndex,
    TfidfIndex,
)

# what the systems of a report are called
BM25, TFIDF, LETTERS = "BM25, stemmed words", "TF-IDF, stemmed words", "TF-IDF, character 2-4-grams"
DICTIONARY, INITIALS, INITIALS_LETTERS = "dictionary", "initials", "initials, then character TF-IDF"
BASE, TUNED, STUDENT = "base model", "fine-tuned", "student"
ALL_NAMES = ", all names"  # what follows the name of a system that searches known aliases beside labels
RERANKED, KNOWN_NAMES = " + reranked", " + known names"  # what follows the name of the system that it is added to
HYBRID, HYBRID_RANKS, HYBRID_RERANKED = "hybrid, learned", "hybrid, by ranks", f"hybrid, learned{RERANKED}"
WORDS = (TFIDF, BM25)
TRAINED = (TUNED, STUDENT, HYBRID)
# what a search answers with: the first of them that was measured
SHIPPED = tuple(name for system in (HYBRID, STUDENT, TUNED) for name in (system + KNOWN_NAMES, system))


def is_trained(name: str) -> bool:
    """Tell whether a system is one that honed trained."""
    return name.startswith(TRAINED)


def task_analyzer(task: JudgedTask, config: Config) -> Analyzer:
    """Return how the words of a task's documents are read."""
    return config.analyzer([document.encoder_text() for document in task.corpus])


def lexical_runs(task: JudgedTask, names: Sequence[Name], analyzer: Analyzer, k: int) -> list[Run]:
    """Return the runs of all lexical systems; ``names`` are the known aliases that the dictionary may use."""
    builders: dict[str, Callable[[list[str]], TextIndex]] = {
        DICTIONARY: lambda texts: DictionaryIndex(texts, _known_rows(task, names)),
        BM25: lambda texts: Bm25Index(texts, analyzer),
        TFIDF: lambda texts: TfidfIndex(texts, analyzer),
        LETTERS: lambda texts: TfidfIndex(texts),
        INITIALS: lambda texts: InitialismIndex(texts),
        INITIALS_LETTERS: lambda texts: InitialismTfidfIndex(texts),
    }
    return [text_run(name, build, task, k) for name, build in builders.items()]


def all_names_runs(task: JudgedTask, names: Sequence[Name], analyzer: Analyzer, k: int) -> list[Run]:
    """Return the runs of word and letter search over labels and known aliases: where a query may mean any of them."""
    known = _known_rows(task, names)
    builders: dict[str, Callable[[Sequence[str]], TextIndex]] = {
        BM25: lambda texts: Bm25Index(texts, analyzer),
        LETTERS: lambda texts: TfidfIndex(texts),
    }
    return [
        text_run(f"{name}{ALL_NAMES}", partial(AllNamesIndex, known=known, build=build), task, k)
        for name, build in builders.items()
    ]


def word_runs(task: JudgedTask, analyzer: Analyzer, k: int) -> list[Run]:
    """Return the runs of word search, the baselines of document search."""
    return [
        text_run(BM25, lambda texts: Bm25Index(texts, analyzer), task, k),
        text_run(TFIDF, lambda texts: TfidfIndex(texts, analyzer), task, k),
    ]


def _known_rows(task: JudgedTask, names: Sequence[Name]) -> list[tuple[str, int]]:
    """Return (known alias, corpus row of a label of its entity)."""
    row_of_label = {fold(doc.text): row for row, doc in enumerate(task.corpus)}
    labels: dict[str, list[int]] = defaultdict(list)
    for name in names:
        if name.kind == "label" and (row := row_of_label.get(fold(name.text))) is not None:
            labels[name.entity_id].append(row)
    return [(name.text, row) for name in names if name.kind == "alias" and name.known for row in labels[name.entity_id]]


def text_run(name: str, build: Callable[[list[str]], TextIndex], task: JudgedTask, k: int) -> Run:
    """Return the run of a text index over the corpus of a task."""
    index = build([doc.encoder_text() for doc in task.corpus])
    hits = {}
    with progress(name, len(task.queries)) as bar:
        for start in range(0, len(task.queries), 256):
            block = task.queries[start : start + 256]
            hits_of_block = index.search([query.text for query in block], k)
            for query, rows in zip(block, hits_of_block, strict=True):
                hits[query.query_id] = [(task.corpus[row].doc_id, score) for row, score in rows]
            bar.advance(len(block))
    return Run.sorted(name, hits)


Stored = Mapping[str, Vectors]


def encoded(encoder: Encoder, texts: Sequence[str], role: Role, stored: Stored | None) -> Vectors:
    """Encode texts, or take their stored vectors; ``stored`` holds document vectors by string."""
    if stored is not None and all(text in stored for text in texts):
        return np.stack([stored[text] for text in texts])
    return encoder.encode(texts, role)


def encoder_run(name: str, encoder: Encoder, task: JudgedTask, k: int, *, stored: Stored | None = None) -> Run:
    """Return the run of an encoder with exact search over the corpus of a task."""
    documents = encoded(encoder, [doc.encoder_text() for doc in task.corpus], "document", stored)
    queries = encoder.encode([query.text for query in task.queries], "query")
    return Run.sorted(name, hits_of(task, *FlatIndex(documents).search(queries, k)))


def hits_of(task: JudgedTask, scores: Vectors, rows: Rows) -> dict[str, list[tuple[str, float]]]:
    """Return the hits of each query from scores and corpus rows, both ``(n_queries, k)``."""
    return {
        query.query_id: [(task.corpus[row].doc_id, float(score)) for row, score in zip(*hits, strict=True)]
        for query, hits in zip(task.queries, zip(rows, scores, strict=True), strict=True)
    }


def reranked(name: str, run: Run, task: JudgedTask, scorer: PairScorer, depth: int) -> Run:
    """Return a run whose first ``depth`` hits are in the order of a cross-encoder; what follows stays behind them."""
    text = {doc.doc_id: doc.encoder_text() for doc in task.corpus}
    pairs = [(query, doc_id) for query in task.queries for doc_id, _ in run.hits[query.query_id][:depth]]
    scores = scorer.score([(query.text, text[doc_id]) for query, doc_id in pairs])
    first: dict[str, list[tuple[str, float]]] = {query.query_id: [] for query in task.queries}
    for (query, doc_id), score in zip(pairs, scores.tolist(), strict=True):
        first[query.query_id].append((doc_id, score))
    hits = {}
    for query_id, ranking in first.items():
        low = min((score for _, score in ranking), default=0.0)
        rest = [(doc_id, low - 1 - place) for place, (doc_id, _) in enumerate(run.hits[query_id][depth:])]
        hits[query_id] = ranking + rest
    return Run.sorted(name, hits)


def with_known_names(name: str, run: Run, task: JudgedTask, names: Sequence[Name], k: int) -> Run:
    """Return a run in which exact matches of labels and known aliases come first, as a search answers them.

    Among them what is written like the query is first, then the run's own order counts. No alias of a held-out dev or
    test pair is among the names; in the catalogue protocol all of them are.
    """
    exact = DictionaryIndex([doc.encoder_text() for doc in task.corpus], _known_rows(task, names))
    hits: dict[str, list[tuple[str, float]]] = {}
    for query, known in zip(task.queries, exact.search([query.text for query in task.queries], k), strict=True):
        scores = dict(run.hits[query.query_id])
        low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
        step = high - low + 2  # whatever the scale
        first = {task.corpus[row].doc_id: 1 + (score > 1) for row, score in known}
        merged = scores | {doc: tier * step + scores.get(doc, low - 1) for doc, tier in first.items()}
        hits[query.query_id] = sorted(merged.items(), key=lambda hit: (-hit[1], hit[0]))[:k]
    return Run.sorted(name, hits)


# -- parts of a task, and one figure -------------------------------------------------------------


def narrowed(judged: JudgedTask, most: int) -> JudgedTask:
    """Return a task whose corpus has about ``most`` characters: every judged document, then others as drawn."""
    if sum(len(document.encoder_text()) for document in judged.corpus) <= most:
        return judged
    named = {doc_id for grades in judged.qrels.grades.values() for doc_id in grades}
    kept_anyway = {document.doc_id for document in judged.corpus if judged.judged_as(document.doc_id) in named}
    order = sorted(judged.corpus, key=lambda doc: (doc.doc_id not in kept_anyway, unit_interval(0, doc.doc_id)))
    kept, left = set(), most
    for document in order:
        left -= len(document.encoder_text())
        if left < 0 and document.doc_id not in kept_anyway:
            break
        kept.add(document.doc_id)
    return replace(judged, corpus=[document for document in judged.corpus if document.doc_id in kept])


def sampled(judged: JudgedTask, size: int, seed: int) -> JudgedTask:
    """Return a task with a fixed sample of its queries; the corpus stays whole."""
    order = sorted(judged.queries, key=lambda query: unit_interval(seed, query.query_id))[:size]
    kept = frozenset(query.query_id for query in order)
    queries = [query for query in judged.queries if query.query_id in kept]
    slices = {name: ids & kept for name, ids in judged.slices.items() if ids & kept}
    return replace(judged, queries=queries, slices=slices)


def mean_reciprocal_rank(run: Run, judged: JudgedTask) -> float:
    """Return MRR@10 of a run."""
    measure = Measure("MRR", 10)
    scores = TaskScores(judged, [measure])
    scores.add(run)
    return float(scores.scores[run.name][measure].mean())


def dev_reciprocal_rank(encoder: Encoder, dev: JudgedTask) -> float:
    """Return MRR@10 of an encoder on dev: finer than R@1, so that small gains are seen."""
    return mean_reciprocal_rank(encoder_run("dev", encoder, dev, 10), dev)
