"""From judgements to training examples and judged tasks, and the audit of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping

import msgspec

from honed.core.json import Json
from honed.core.records import Example, JudgedTask, Qrels, Query, holds_most
from honed.core.text import fold
from honed.evaluate.results import Finding
from honed.evaluate.slices import script_slices
from honed.shapes.findings import SAMPLES, finding
from honed.shapes.judgments.config import JudgmentsConfig
from honed.shapes.judgments.read import Judgments, drawn_order, unknown_judgements
from honed.shapes.judgments.synthetic import KINDS, Write, synthetic_examples


def judged_examples(judgments: Judgments, config: JudgmentsConfig) -> list[Example]:
    """Return one example for each train query and right document, weighted by its grade, with judged wrong ones."""
    best = max((grade for grades in judgments.grades.values() for grade in grades.values()), default=1)
    examples = []
    for query, split in judgments.splits.items():
        if split != "train":
            continue
        grades = judgments.grades[query]
        wrong = sorted(
            (doc for doc, grade in grades.items() if grade <= 0), key=lambda doc: drawn_order(config, query + doc)
        )
        negatives = tuple(judgments.text_for(query, doc) for doc in wrong[: config.judged_negatives])
        right: dict[str, int] = {}
        for doc, grade in grades.items():
            if grade > 0:  # documents of one text count as the best of them
                text = judgments.text_for(query, doc)
                right[text] = max(right.get(text, 0), grade)
        examples += [
            Example(
                anchor=judgments.queries[query],
                positive=positive,
                negatives=tuple(text for text in negatives if text != positive),
                weight=grade / best,
                source="judgement",
            )
            for positive, grade in right.items()
        ]
    return examples


def made_queries(
    judgments: Judgments, config: JudgmentsConfig, left_out: frozenset[str], write: Write | None = None
) -> list[Example]:
    """Return the synthetic examples that are wanted: queries made of documents, none of them in ``left_out`` (folded).

    ``write`` is what a language model is asked by, for queries of the kind "endpoint".
    """
    documents = list(judgments.documents.values())
    if config.synthetic_documents:
        documents = sorted(documents, key=lambda doc: drawn_order(config, doc.doc_id))[: config.synthetic_documents]
    kinds = config.synthetic_kinds or KINDS
    return synthetic_examples(documents, config.synthetic, kinds, config.seed, left_out, write)


def queries_not_trained_on(judgments: Judgments) -> frozenset[str]:
    """Return the queries that people ask outside of train, folded."""
    return frozenset(fold(judgments.queries[query]) for query, split in judgments.splits.items() if split != "train")


def judged_task(judgments: Judgments, config: JudgmentsConfig, name: str, split: str) -> JudgedTask:
    """Return the judged task of a split: all documents, its queries, their grades; equal queries are one group."""
    queries = [
        Query(query_id=query, text=judgments.queries[query])
        for query, split_of_query in judgments.splits.items()
        if split_of_query == split
    ]
    return JudgedTask(
        name=name,
        queries=queries,
        corpus=list(judgments.documents.values()),
        qrels=Qrels(grades={query.query_id: judgments.grades[query.query_id] for query in queries}),
        groups={query.query_id: fold(query.text) for query in queries},
        slices=script_slices({query.query_id: query.text for query in queries}),
        parents={part.doc_id: doc_id for doc_id, parts in judgments.cut.items() for part in parts},
    )


class JudgmentAudit(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is in queries, documents and judgements; ``passages`` where documents were cut.

    ``meanings`` tells what grades mean, where honed.toml does; ``unknown`` tells of judgements of documents or queries
    that are not there. ``queries_import`` and ``qrels_import`` are the books of their tables: rows in, accepted,
    rejected by reason.
    """

    documents: int
    passages: int | None = None
    queries: int
    judgements: int
    judgements_a_query: float
    grades: dict[str, int]
    splits: dict[str, int]
    findings: dict[str, Finding]
    meanings: dict[str, str] = {}
    unknown: str = ""
    own_queries: int = 0
    queries_import: dict[str, Json] = {}
    qrels_import: dict[str, Json] = {}

    def _own_line(self) -> str:
        return (
            f"{self.own_queries} of {self.queries} queries stand among the documents under their own id: a query's own "
            "document is left out of its ranking"
        )

    def lines(self) -> list[str]:
        """Return the summary in sentences."""
        passages = f"{self.passages} passages, " if self.passages else ""
        books = [
            f"rows of {name}: {rows['rows_in']} in = {rows['accepted']} accepted + {rows['rejected']} rejected"
            for name, rows in (("queries", self.queries_import), ("judgements", self.qrels_import))
            if rows
        ]
        return [
            *([self.unknown] if self.unknown else []),
            *books,
            f"{self.documents} documents, {passages}{self.queries} queries, {self.judgements} judgements "
            f"({self.judgements_a_query} a query)",
            *([self._own_line()] if self.own_queries else []),
            f"grades: {', '.join(f'{self._named(grade)}: {count}' for grade, count in self.grades.items())}",
            f"splits: {', '.join(f'{split}: {count}' for split, count in self.splits.items())}",
        ]

    def _named(self, grade: str) -> str:
        return f"{grade} ({self.meanings[grade]})" if grade in self.meanings else grade


def own_queries(judgments: Judgments) -> int:
    """Return how many queries stand among the documents under their own id, with their own text."""
    known = judgments.cut or {doc_id: [document] for doc_id, document in judgments.documents.items()}
    return sum(
        any(holds_most(part.text, fold(text)) for part in known[query])
        for query, text in judgments.queries.items()
        if query in known
    )


def audit_judgments(judgments: Judgments, meanings: Mapping[str, str]) -> JudgmentAudit:
    """Return the audit: counts, grades, judgements a query, findings with samples."""
    depth = [len(grades) for grades in judgments.grades.values()]
    by_text: dict[str, list[str]] = defaultdict(list)
    for document in judgments.documents.values():
        by_text[fold(document.text)].append(document.doc_id)
    copies = [ids for ids in by_text.values() if len(ids) > 1]
    findings = judgments.left_out()
    if copies:
        findings["W_TEXT_DUP"] = finding(len(copies), [" = ".join(ids[:4]) for ids in copies[:SAMPLES]])
    grades = Counter(grade for judged in judgments.grades.values() for grade in judged.values())
    books = {f"{kind}_import": rows.as_dict() for kind, rows in judgments.books.items()}
    return JudgmentAudit(
        documents=len(judgments.cut or judgments.documents),
        passages=len(judgments.documents) if judgments.cut else None,
        queries=len(judgments.queries),
        judgements=sum(depth),
        judgements_a_query=round(sum(depth) / max(1, len(depth)), 2),
        grades={str(grade): count for grade, count in sorted(grades.items())},
        splits=dict(Counter(judgments.splits.values())),
        findings=findings,
        meanings=dict(meanings),
        unknown=unknown_judgements(judgments),
        own_queries=own_queries(judgments),
        **books,
    )
