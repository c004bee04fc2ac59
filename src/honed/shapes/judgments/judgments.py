"""The shape ``judgments``: documents, queries, and which documents are right for a query, with grades."""

import json
import re
import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.lines import read_lines
from honed.core.records import Document, Example, JudgedTask, Qrels, Query
from honed.core.sections import limits
from honed.core.text import fold, is_blank
from honed.data.importer import check_encodable, split_name
from honed.data.split import SplitConfig, unit_interval
from honed.data.tables import SUFFIXES, Reject, TableFormat, open_table, table_files
from honed.shapes.judgments.passages import nearest_passage, passages_of
from honed.shapes.judgments.synthetic import KINDS, WRITTEN, Write, synthetic_examples
from honed.shapes.labels.records import whole_text

# role -> column names that mean it, best first; BEIR's among them
QUERY_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "_id", "id", "qid"),
    "text": ("text", "query", "question"),
    "split": ("split",),
}
QREL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "query_id": ("query_id", "query-id", "qid"),
    "doc_id": ("doc_id", "corpus-id", "docid", "product_id", "document_id", "passage_id", "pid"),
    "grade": ("relevance", "score", "grade", "rel", "label"),
    "split": ("split",),
}
_SAMPLES = 5


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
    does.
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


@dataclass(kw_only=True)
class Judgments:
    """Documents by id, queries by id, grades by query and document, and the split of each query.

    ``dropped`` counts what was left out, by reason, with ``samples`` of each. Where documents were cut, ``documents``
    holds passages, and ``cut`` the passages of each document.
    """

    documents: dict[str, Document]
    queries: dict[str, str]
    grades: dict[str, dict[str, int]]
    splits: dict[str, str]
    dropped: Counter[str] = field(default_factory=Counter)
    samples: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    cut: dict[str, list[Document]] = field(default_factory=dict)

    def is_known(self, doc_id: str) -> bool:
        """Tell whether judgements may name a document."""
        return doc_id in (self.cut or self.documents)

    def text_for(self, query: str, doc_id: str) -> str:
        """Return the text of a document for a query: of its passages the one that has most of the query's words."""
        if self.cut:
            return nearest_passage(self.queries[query], self.cut[doc_id]).text
        return self.documents[doc_id].text

    def drop(self, reason: str, sample: str) -> None:
        """Count what is left out, and keep the first few."""
        self.dropped[reason] += 1
        if self.dropped[reason] <= _SAMPLES:
            self.samples[reason].append(sample)


# -- documents -----------------------------------------------------------------------------------


def fields_of(template: str) -> list[str]:
    """Return the fields that a template names; `ValueError` for one that is none."""
    found = [(name, spec, how) for _, name, spec, how in string.Formatter().parse(template) if name is not None]
    for name, spec, how in found:
        if not re.fullmatch(r"[\w .-]+", name) or spec or how:
            raise ValueError(f"{{{name}}}: a field is a name in braces, nothing more")
    return [name for name, _, _ in found]


def documents_of(
    records: Iterable[Mapping[str, Any]], template: str, columns: Mapping[str, str]
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield (id, text, fields) of the accepted records of an import; an empty text where nothing of it is filled.

    A template may name roles and ``columns`` alike. Raises `ConfigError` for a field that no record has.
    """
    wanted, known = set(fields_of(template)), {"title", "text"}
    for record in records:
        fields: dict[str, str] = json.loads(record["fields"])
        roles = {"title": record["title"], "text": record["text"]}
        values = {**fields, **{columns[role]: text for role, text in roles.items() if role in columns}, **roles}
        known |= values.keys()
        text = whole_text(record["title"], record["text"])
        if wanted:
            text = filled(template, values)
        yield record["id"], text, {**fields, **({"title": record["title"]} if record["title"] else {})}
    for name in sorted(wanted - known):
        raise ConfigError(
            "E_TEMPLATE",
            f"judgments.template: no field {name}{did_you_mean(name, known)}: {', '.join(sorted(known))}",
        )


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a template with its fields; what stands before a field that is empty goes with it."""
    parts: list[str] = []
    for literal, name, _, _ in string.Formatter().parse(template):
        if name is None:
            parts.append(literal if parts else "")
        elif not is_blank(value := values.get(name, "")):
            parts.append((literal if parts or literal.strip(" ,;:-") else "") + value)
    return " ".join("".join(parts).split())


# -- queries and judgements ----------------------------------------------------------------------


def read_judgments(
    records: Iterable[Mapping[str, Any]],
    config: JudgmentsConfig,
    root: Path,
    form: TableFormat,
    split: SplitConfig,
    columns: Mapping[str, str] | None = None,
) -> Judgments:
    """Return everything of the shape, divided into train, dev and test.

    Raises `DataError` for tables without the columns, grades that are no whole numbers, one query judged twice with
    different grades, and when nothing is left to learn from or to measure with.
    """
    found = Judgments(documents={}, queries={}, grades={}, splits={})
    for doc_id, text, fields in documents_of(records, config.template, columns or {}):
        if is_blank(text):
            found.drop("W_DOCUMENT_EMPTY", doc_id)
        else:
            whole = Document(doc_id=doc_id, text=text, fields=fields)
            parts = [whole]
            if config.passages:
                parts = found.cut[doc_id] = passages_of(whole, config.passages, config.overlap)
            found.documents |= {part.doc_id: part for part in parts}
    given: dict[str, str] = {}
    _read_queries(found, given, config, root, form)
    _read_qrels(found, given, config, root, form)
    unjudged = [
        query for query in found.queries if not any(grade > 0 for grade in found.grades.get(query, {}).values())
    ]
    for query in unjudged:
        found.drop("W_QUERY_WITHOUT_ANSWER", found.queries[query])
        del found.queries[query]
        found.grades.pop(query, None)
    found.splits = _divided(found, given, config, split)
    for name in ("test",) if config.synthetic else ("train", "test"):
        if name not in found.splits.values():
            raise DataError("E_SPLIT_EMPTY", f"no judged query in {name}: too few, or see [split] and the split column")
    return found


def _give(given: dict[str, str], query: str, value: Any, where: str) -> None:
    """Note the split of a query; `DataError` where it has another one already."""
    if value is None or (isinstance(value, str) and is_blank(value)):
        return
    split = split_name(value, where)
    if given.setdefault(query, split) != split:
        raise DataError("E_SPLIT_LEAK", f"{where}: query {query} stands in {given[query]} and in {split}")


def _read_queries(
    found: Judgments, given: dict[str, str], config: JudgmentsConfig, root: Path, form: TableFormat
) -> None:
    for row, where in _rows(config.queries, config.query_columns, QUERY_COLUMNS, ("query_id", "text"), root, form):
        query, text = _text(row["query_id"]), row["text"]
        check_encodable(where, query + (text if isinstance(text, str) else ""))
        if is_blank(query) or not isinstance(text, str) or is_blank(text):
            found.drop("W_QUERY_EMPTY", where)
        elif query in found.queries and found.queries[query] != text:
            raise DataError("E_ID_DUP", f"{where}: query {query} stands twice, with different texts")
        else:
            found.queries[query] = text[: form.max_text_chars]
            _give(given, query, row.get("split"), where)


def _read_qrels(
    found: Judgments, given: dict[str, str], config: JudgmentsConfig, root: Path, form: TableFormat
) -> None:
    needed = ("query_id", "doc_id", "grade")
    for row, where in _rows(config.qrels, config.qrel_columns, QREL_COLUMNS, needed, root, form):
        query, doc = _text(row["query_id"]), _text(row["doc_id"])
        grade = _grade(row["grade"], where)
        if query not in found.queries:
            found.drop("W_QREL_UNKNOWN_QUERY", f"{where}: {query}")
        elif not found.is_known(doc):
            found.drop("W_QREL_UNKNOWN_DOCUMENT", f"{where}: {doc}")
        else:
            mine = found.grades.setdefault(query, {})
            right = grade if grade >= config.relevant_from else min(grade, 0)
            if mine.setdefault(doc, right) != right:
                raise DataError(
                    "E_QREL_CONFLICT", f"{where}: query {query} and document {doc} are judged twice, differently"
                )
            _give(given, query, row.get("split"), where)


def _rows(
    names: Sequence[str],
    columns: Mapping[str, str],
    known: Mapping[str, tuple[str, ...]],
    needed: Sequence[str],
    root: Path,
    form: TableFormat,
) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield the rows of tables and TREC files by role, and where each stands."""
    for role in columns:
        if role not in known:
            raise ConfigError("E_CONFIG_KEY", f"judgments: unknown role {role}{did_you_mean(role, known)}")
    for name in names:
        path = root / name
        if path.is_file() and path.suffix.lower() not in SUFFIXES:
            yield from _trec_rows(path, needed)
            continue
        for file in table_files(path):
            table = open_table(file, form)
            mapping = {
                role: columns.get(role) or next((each for each in guesses if each in table.columns), "")
                for role, guesses in known.items()
            }
            for role in needed:
                if mapping[role] not in table.columns:
                    raise DataError(
                        "E_HEADER_MISSING",
                        f"{file.name}: no column for the {role}; found: {', '.join(table.columns)}",
                    )
            named = file.stem if file.parent.name == "qrels" and "grade" in known else ""
            for row in table.rows:
                if isinstance(row, Reject):
                    raise DataError(row.code, str(row))
                values = {role: row.values.get(column) for role, column in mapping.items() if column in table.columns}
                if named:
                    values.setdefault("split", named)
                yield values, f"{file.name}, {row.where}"


def _trec_rows(path: Path, needed: Sequence[str]) -> Iterator[tuple[dict[str, Any], str]]:
    """Read TREC files: qrels of "query 0 document grade", topics of "query<TAB>text"."""
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path.name}, line {number}"
        if not line.strip():
            continue
        if "grade" in needed:
            parts = line.split()
            if len(parts) != 4:
                raise DataError("E_TREC", f"{where}: expected 4 columns (query, 0, document, grade), got {len(parts)}")
            yield {"query_id": parts[0], "doc_id": parts[2], "grade": parts[3]}, where
        else:
            query, tab, text = line.partition("\t")
            if not tab:
                raise DataError("E_TREC", f"{where}: expected a query id, a tab and the text")
            yield {"query_id": query, "text": text}, where


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _grade(value: Any, where: str) -> int:
    text = _text(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,6}(\.0+)?", text):
        raise DataError("E_GRADE", f"{where}: {value!r} is no whole number")
    return int(float(text))


def _divided(found: Judgments, given: Mapping[str, str], config: JudgmentsConfig, split: SplitConfig) -> dict[str, str]:
    """Return the split of each query: as given, or drawn by the query's text where none is given at all.

    Queries without a split among others that have one are trained on. A query that is asked in test is withheld from
    dev, and one that is asked in either from train.
    """
    draws = {query: unit_interval(split.seed, fold(text)) for query, text in found.queries.items()}
    if (
        given
        and not config.synthetic
        and "train" not in set(given.values()) | ({"train"} if len(given) < len(draws) else set())
    ):
        found.drop("W_SPLIT_DRAWN", "no query is given for train: the splits are drawn")
        given = {}
    if given:
        splits = {query: given.get(query, "train") for query in found.queries}
        present = set(splits.values())
        if "test" not in present:  # what others call dev is what they measure on
            splits = {query: "test" if name == "dev" else name for query, name in splits.items()}
            present = set(splits.values())
        if "dev" not in present:
            source = "train" if "train" in present else "test"
            splits |= {query: "dev" for query, name in splits.items() if name == source and draws[query] < split.dev}
    else:
        splits = {
            query: "test" if draw < split.test else "dev" if draw < split.test + split.dev else "train"
            for query, draw in draws.items()
        }
    for earlier, later in (("dev", ("test",)), ("train", ("dev", "test"))):
        asked = {fold(found.queries[query]) for query, name in splits.items() if name in later}
        for query, name in splits.items():
            if name == earlier and fold(found.queries[query]) in asked:
                found.drop("W_QUERY_WITHHELD", found.queries[query])
                splits[query] = "withheld"
    for name in ("train", "dev", "test"):
        most = int(getattr(config, f"{name}_queries"))
        own = sorted((query for query, each in splits.items() if each == name), key=lambda query: _order(config, query))
        for query in own[most:] if most else ():
            splits[query] = "unused"
    return splits


def _order(config: JudgmentsConfig, query: str) -> float:
    return unit_interval(config.seed + 1, query)


# -- what the stages see -------------------------------------------------------------------------


def judged_examples(found: Judgments, config: JudgmentsConfig, write: Write | None = None) -> list[Example]:
    """Return one example for each train query and right document, weighted by its grade, with judged wrong ones.

    ``write`` is what a language model is asked by, for synthetic queries of the kind "endpoint". Synthetic queries
    follow, where any are wanted; those that people ask in dev or test are left out.
    """
    best = max((grade for grades in found.grades.values() for grade in grades.values()), default=1)
    examples = []
    for query, split in found.splits.items():
        if split != "train":
            continue
        grades = found.grades[query]
        wrong = sorted(
            (doc for doc, grade in grades.items() if grade <= 0), key=lambda doc: _order(config, query + doc)
        )
        negatives = tuple(found.text_for(query, doc) for doc in wrong[: config.judged_negatives])
        right: dict[str, int] = {}
        for doc, grade in grades.items():
            if grade > 0:  # documents of one text count as the best of them
                text = found.text_for(query, doc)
                right[text] = max(right.get(text, 0), grade)
        examples += [
            Example(
                anchor=found.queries[query],
                positive=positive,
                negatives=tuple(text for text in negatives if text != positive),
                weight=grade / best,
                source="judgement",
            )
            for positive, grade in right.items()
        ]
    asked = frozenset(fold(found.queries[query]) for query, split in found.splits.items() if split != "train")
    kinds = config.synthetic_kinds or KINDS
    documents = list(found.documents.values())
    if config.synthetic_documents:
        documents = sorted(documents, key=lambda each: _order(config, each.doc_id))[: config.synthetic_documents]
    return examples + synthetic_examples(documents, config.synthetic, kinds, config.seed, asked, write)


def judged_task(found: Judgments, config: JudgmentsConfig, name: str, split: str) -> JudgedTask:
    """Return the judged task of a split: all documents, its queries, their grades; equal queries are one group."""
    queries = [
        Query(query_id=query, text=found.queries[query]) for query, each in found.splits.items() if each == split
    ]
    return JudgedTask(
        name=name,
        queries=queries,
        corpus=list(found.documents.values()),
        qrels=Qrels(
            grades={query.query_id: found.grades[query.query_id] for query in queries},
            meaning={int(grade): text for grade, text in config.grades.items()} or {1: "relevant"},
        ),
        groups={query.query_id: fold(query.text) for query in queries},
        slices={},
        parents={part.doc_id: doc_id for doc_id, parts in found.cut.items() for part in parts},
    )


def audit_judgments(found: Judgments) -> dict[str, Any]:
    """Return the audit as plain data: counts, grades, judgements a query, findings with samples."""
    depth = [len(grades) for grades in found.grades.values()]
    by_text: dict[str, list[str]] = defaultdict(list)
    for document in found.documents.values():
        by_text[fold(document.text)].append(document.doc_id)
    copies = [ids for ids in by_text.values() if len(ids) > 1]
    findings = {name: {"count": n, "samples": found.samples[name]} for name, n in found.dropped.items()}
    if copies:
        findings["W_TEXT_DUP"] = {"count": len(copies), "samples": [" = ".join(ids[:4]) for ids in copies[:_SAMPLES]]}
    return {
        "documents": len(found.cut or found.documents),
        **({"passages": len(found.documents)} if found.cut else {}),
        "queries": len(found.queries),
        "judgements": sum(depth),
        "judgements_a_query": round(sum(depth) / max(1, len(depth)), 2),
        "grades": dict(sorted(Counter(grade for grades in found.grades.values() for grade in grades.values()).items())),
        "splits": dict(Counter(found.splits.values())),
        "findings": findings,
    }
