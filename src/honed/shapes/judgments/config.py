"""The section ``[judgments]``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from honed.core.errors import ConfigError
from honed.core.sections import limits
from honed.shapes.judgments.synthetic import KINDS, WRITTEN

_TEMPLATE = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}|[{}]")

# role -> column names that mean it, best first; BEIR's among them
QUERY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "_id", "id", "qid", "topic_id", "num", "number"),
    "text": ("text", "query", "question", "title", "desc"),
    "split": ("split",),
}
QREL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "query-id", "qid", "topic_id"),
    "doc_id": ("doc_id", "corpus-id", "docid", "product_id", "document_id", "passage_id", "pid", "docno"),
    "grade": ("relevance", "score", "grade", "rel", "label"),
    "split": ("split",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgmentsConfig:
    """The section ``[judgments]``: where queries and judgements are; the documents are those of ``[paths]``.

    ``queries`` and ``qrels`` are tables or TREC files. A column ``split`` in either, or qrels files named after splits
    as BEIR's are, divide the queries; otherwise they are drawn. ``template`` says how the fields of a document become
    its text, such as "{title} {brand}: {description}". Grades from ``relevant_from`` on are right; ``grades`` may say
    what each means. ``synthetic`` queries are made of each document and trained on beside the judged ones, of
    ``synthetic_kinds`` in turn: its "title", a key "phrase", a contiguous "span", or what a language model writes (by
    the "endpoint" of the section of that name); ``synthetic_documents`` bounds for how many documents, as drawn (0:
    all). ``train_queries``, ``dev_queries`` and ``test_queries`` bound how many of each are used (0: all). Documents
    of more than ``passages`` words are cut into passages of so many (0: not cut), the last ``overlap`` words of one
    again in the next; judgements stay those of the documents, and a document stands in a result where its best passage
    does. Grades in parts (0.5) are multiplied by ``grade_factor`` and rounded, before anything else.
    """

    queries: tuple[str, ...]
    qrels: tuple[str, ...]
    query_columns: Mapping[str, str] = field(default_factory=dict)
    qrel_columns: Mapping[str, str] = field(default_factory=dict)
    template: str = ""
    relevant_from: int = field(default=1, metadata=limits(low=1, high=1000))
    grades: Mapping[str, str] = field(default_factory=dict)
    synthetic: int = field(default=0, metadata=limits(low=0, high=100))
    synthetic_kinds: tuple[str, ...] = KINDS
    synthetic_documents: int = field(default=0, metadata=limits(low=0))
    train_queries: int = field(default=0, metadata=limits(low=0))
    dev_queries: int = field(default=500, metadata=limits(low=0))
    test_queries: int = field(default=0, metadata=limits(low=0))
    judged_negatives: int = field(default=4, metadata=limits(low=0, high=64))
    passages: int = field(default=0, metadata=limits(low=0, high=10_000))
    overlap: int = field(default=0, metadata=limits(low=0, high=5_000))
    seed: int = field(default=0, metadata=limits(low=0))
    grade_factor: int = field(default=1, metadata=limits(low=1, high=1000))

    def check(self, file: str) -> None:
        """Raise `ConfigError` for a grade that is no number and a template that is none."""
        for grade in self.grades:
            if not re.fullmatch(r"-?\d+", grade):
                raise ConfigError("E_CONFIG_RANGE", f"{file}: judgments.grades.{grade}: a grade is a whole number")
        known = (*KINDS, WRITTEN)
        for kind in self.synthetic_kinds:
            if kind not in known:
                raise ConfigError(
                    "E_CONFIG_RANGE", f"{file}: judgments.synthetic_kinds: {kind} is not one of {', '.join(known)}"
                )
        if self.overlap and self.overlap >= self.passages:
            raise ConfigError("E_CONFIG_RANGE", f"{file}: judgments.overlap must be less than judgments.passages")
        try:
            fields_of(self.template)
        except ValueError as error:
            raise ConfigError("E_CONFIG_RANGE", f"{file}: judgments.template: {error}") from None

    @property
    def writes_queries(self) -> bool:
        """Whether a language model shall write queries for documents."""
        return bool(self.synthetic and WRITTEN in self.synthetic_kinds)


def template_parts(template: str) -> list[tuple[str, str | None]]:
    """Return what stands before each field of a template, with the field; None after the last text.

    A field is the name of a column in braces, whatever signs it has; braces of the text are written twice. Raises
    `ValueError` for braces that hold no name or do not close.
    """
    parts: list[tuple[str, str | None]] = []
    text, place = "", 0
    for token in _TEMPLATE.finditer(template):
        text += template[place : token.start()]
        place = token.end()
        if token[0] in ("{{", "}}"):
            text += token[0][0]
        elif token["name"] is None or not token["name"].strip():
            raise ValueError(f"{template[token.start() : token.start() + 20]!r}: a field is a name in braces, {{name}}")
        else:
            parts.append((text, token["name"]))
            text = ""
    text += template[place:]
    return [*parts, (text, None)] if text else parts


def fields_of(template: str) -> list[str]:
    """Return the fields that a template names; `ValueError` for one that is none."""
    return [name for _, name in template_parts(template) if name is not None]
