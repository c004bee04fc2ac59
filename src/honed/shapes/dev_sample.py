"""A part of dev that is small enough to try several models, or several ways to use one, on it."""

from collections import defaultdict
from dataclasses import replace

from honed.core.records import Document, JudgedTask, Qrels
from honed.data.split import unit_interval

MOST_QUERIES, MOST_DOCUMENTS, MOST_CHARS = 500, 5_000, 1_000_000


def dev_sample(dev: JudgedTask) -> JudgedTask:
    """Return at most 500 queries of dev over at most 5,000 of its documents of at most 1,000,000 characters.

    The draw is fixed. Right documents of the queries come first, of a query with more than ten as many; a query of
    which none fits is left out. Figures on the sample are higher than on all of dev, since less is searched.
    """
    queries = sorted(dev.queries, key=lambda query: unit_interval(0, query.query_id))[:MOST_QUERIES]
    parts: dict[str, list[Document]] = defaultdict(list)
    for document in dev.corpus:
        parts[dev.judged_as(document.doc_id)].append(document)
    kept: dict[str, Document] = {}
    right: dict[str, str] = {}
    for query in queries:
        for doc_id in sorted(dev.qrels.relevant(query.query_id), key=lambda name: unit_interval(0, name))[:10]:
            right.setdefault(doc_id, query.query_id)
    named = (document for doc_id in right for document in parts[doc_id])
    others = sorted(dev.corpus, key=lambda document: unit_interval(0, document.doc_id))
    chars = 0
    for document in (*named, *others):
        if document.doc_id in kept:
            continue
        chars += len(document.encoder_text())
        if len(kept) == MOST_DOCUMENTS or chars > MOST_CHARS:
            break
        kept[document.doc_id] = document
    there = {dev.judged_as(doc_id) for doc_id in kept}
    queries = [query for query in queries if dev.qrels.relevant(query.query_id) & there]
    ids = frozenset(query.query_id for query in queries)
    grades = {
        query: {doc_id: grade for doc_id, grade in dev.qrels.grades[query].items() if doc_id in there} for query in ids
    }
    return replace(
        dev,
        queries=queries,
        corpus=[document for document in dev.corpus if document.doc_id in kept],
        qrels=Qrels(grades=grades),
        slices={},
        absent=(),
    )
