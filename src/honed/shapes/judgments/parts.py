"""Which files hold documents, which queries, which judgements: by their columns, or TREC's places, and their names."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from honed.core.errors import DataError
from honed.data.lines import numbered_lines
from honed.data.source import file_source, is_hidden, unpacked
from honed.data.table import Row, is_headerless
from honed.data.tables import TableFormat, folder_files, is_table_file, open_tables, table_files
from honed.shapes.judgments.config import QREL_COLUMNS, QUERY_COLUMNS
from honed.shapes.judgments.tables import QREL_ROLES, JudgedTables, trec_values

_DOCUMENT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("doc_id", "_id", "product_id", "passage_id", "docid", "pid", "id", "docno", "document_id", "corpus_id"),
    "title": ("title", "name", "product_title", "headline", "head", "hl", "ti"),
    "text": (
        *("text", "description", "body", "content", "overview", "passage", "abstract", "product_description"),
        *("short_description", "contents", "summary"),
    ),
}
_MOST_QUERY_COLUMNS = 6
_FOLDERS = ("corpus", "queries", "qrels", "documents", "docs", "collection", "topics")  # each is one part, or of it
_QUERIES = re.compile(r"(?<![a-z])(?:quer|topic|question|qry)", re.IGNORECASE)
_LOOK = 20
_MOST_IDS = 1_000_000  # that are compared, to tell which documents the judgements are of
_KNOWN = 0.5  # of the documents that a file of judgements names


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The files of judged search by what they hold, and the columns of the documents by role.

    ``header`` names the columns of documents that have no line of names, as MS MARCO's. ``query_columns`` are those of
    the queries that are not found by their names; ``left_out`` are sentences on files that are not read.
    """

    documents: Sequence[Path]
    queries: Sequence[Path]
    qrels: Sequence[Path]
    columns: Mapping[str, str]
    fields: Sequence[str]
    header: Sequence[str] = ()
    query_columns: Mapping[str, str]
    left_out: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class _Documents:
    """Files of documents with the same columns; ``header`` where they have no line of names."""

    files: list[Path]
    names: list[str]
    header: tuple[str, ...]

    @property
    def columns(self) -> dict[str, str]:
        """The column of each role."""
        named = {name.lower(): name for name in reversed(self.names)}
        return {
            role: named[next(guess for guess in guesses if guess in named)]
            for role, guesses in _DOCUMENT_COLUMNS.items()
            if any(guess in named for guess in guesses)
        }

    @property
    def is_searchable(self) -> bool:
        """Whether there are ids, and something to read."""
        return "id" in self.columns and bool({"title", "text"} & set(self.columns))

    def ids(self, form: TableFormat) -> set[str]:
        """Return the ids of the documents, up to a bound."""
        column, form = self.columns["id"], replace(form, header=self.header)
        rows = (row for file in listed_files(self.files) for table in open_tables(file, form) for row in table.rows)
        return {str(row.values.get(column)) for row in islice(rows, _MOST_IDS) if isinstance(row, Row)}


def judged_parts(files: Sequence[Path], form: TableFormat) -> Parts | None:
    """Tell documents, queries and judgements apart; None where one of the three is missing.

    A folder such as BEIR's (``corpus.jsonl``, ``queries.jsonl``, ``qrels/``) counts as the files in it. Of documents
    with different columns those are taken that the judgements are of.
    """
    queries: list[Path] = []
    qrels: list[Path] = []
    groups: dict[tuple[str, ...], _Documents] = {}
    for path in _opened(files):
        kind, names, header = _kind_of(path, form)
        if kind == "documents":
            groups.setdefault(tuple(names), _Documents(files=[], names=names, header=header)).files.append(path)
        elif kind:
            (queries if kind == "queries" else qrels).append(path)
    documents = [group for group in groups.values() if group.is_searchable]
    if not documents or not queries or not qrels:
        return None
    left_out: list[str] = []
    chosen = documents[0]
    if len(documents) > 1:
        chosen, qrels, left_out = _judged_documents(documents, qrels, form)
    columns = chosen.columns
    return Parts(
        documents=chosen.files,
        queries=queries,
        qrels=qrels,
        columns=columns,
        fields=[name for name in chosen.names if name not in columns.values()],
        header=chosen.header,
        query_columns=_query_columns(queries, qrels, form),
        left_out=left_out,
    )


def _judged_documents(
    groups: Sequence[_Documents], qrels: Sequence[Path], form: TableFormat
) -> tuple[_Documents, list[Path], list[str]]:
    """Return the documents that most judgements are of, the files of those, and sentences on what is left out."""
    ids = [group.ids(form) for group in groups]
    named = {path: _judged(path, "doc_id", form) for path in qrels}
    known = [[sum(n for doc, n in counts.items() if doc in own) for counts in named.values()] for own in ids]
    best = max(range(len(groups)), key=lambda place: sum(known[place]))
    kept = [
        path
        for path, count in zip(qrels, known[best], strict=True)
        if count >= _KNOWN * sum(named[path].values()) or not sum(named[path].values())
    ] or list(qrels)
    others = [path.name for group in groups if group is not groups[best] for path in group.files]
    left_out = [
        *(f"{name} left out: documents of another kind" for name in others),
        *(f"{path.name} left out: judgements of other documents" for path in qrels if path not in kept),
    ]
    return groups[best], kept, left_out


def _judged(path: Path, role: str, form: TableFormat) -> Counter[str]:
    """Return how many judgements of a file name each document, or each query."""
    tables = JudgedTables(QREL_ROLES, {}, QREL_COLUMNS)
    files = table_files(path) if path.is_dir() else [path]
    rows = (row for file in files for table in tables.tables(file, form) for row in table.rows)
    return Counter(str(row.values.get(role)) for row in islice(rows, _MOST_IDS) if isinstance(row, Row))


def _query_columns(queries: Sequence[Path], qrels: Sequence[Path], form: TableFormat) -> dict[str, str]:
    """Return the column of query ids where it is the place of a query that judgements name, as Cranfield's do."""
    rows = [
        row.values
        for path in queries
        if is_table_file(path)
        for file in table_files(path)
        for table in open_tables(file, form)
        if {"id", "number"} <= set(table.columns)
        for row in table.rows
        if isinstance(row, Row)
    ]
    if not rows:
        return {}
    judged = Counter[str]()
    for path in qrels:
        judged += _judged(path, "query_id", form)
    known = {name: sum(judged[str(values[name])] for values in rows) for name in ("id", "number")}
    return {"query_id": "number"} if known["number"] > known["id"] else {}


def _opened(files: Sequence[Path]) -> list[Path]:
    """Return files, with those of folders, and folders of documents, queries or judgements as one each."""
    opened: list[Path] = []
    for file in files:
        if file.is_dir() and not file.name.startswith(_FOLDERS):
            inner = sorted(item for item in file.iterdir() if not is_hidden(item.name))
            tables = folder_files(file)
            opened += tables
            opened += [item for item in inner if item not in tables and item.is_file() and _trec_kind(item)]
            parts = [item for item in inner if item.is_dir() and item.name.startswith(_FOLDERS)]
            opened += [part for part in parts if folder_files(part)]
        elif file.is_dir() or not file.is_file() or is_table_file(file) or not _trec_kind(file):
            opened += [file] if file.is_dir() else table_files(file)
        else:
            opened.append(file)
    return opened


def _trec_kind(file: Path) -> str:
    """Return what a file holds that is no table: "qrels" in TREC's places, "queries" by a tab; "" for anything else."""
    try:
        lines = (line for source in unpacked(file_source(file)) for line in numbered_lines(source, TableFormat()))
        texts = [line.text.strip("\r\n") for line in islice(lines, _LOOK) if not line.problem]
    except DataError:
        return ""
    texts = [text for text in texts if text.strip()]
    judged = [trec_values(text, 3, len(texts[0].split())) for text in texts]
    if texts and all(not problem and values[2].lstrip("-").isdigit() for values, problem in judged):
        return "qrels"
    tabbed = all("\t" in text and len(text.split("\t", 1)[0].split()) == 1 for text in texts)
    return "queries" if texts and tabbed and _QUERIES.search(file.name) else ""


def _kind_of(path: Path, form: TableFormat) -> tuple[str, list[str], tuple[str, ...]]:
    """Return what a file or folder holds, its columns, and names for them where it has none."""
    if path.is_dir() and path.name.startswith("qrels"):
        return "qrels", [], ()
    if path.is_file() and not is_table_file(path):
        return _trec_kind(path), [], ()
    names = next(open_tables(table_files(path)[0], form)).columns
    if is_headerless(names):
        kind = _headerless_kind(path, names)
        header = ("id", "text") if kind == "documents" and len(names) == 2 else ()
        return kind, list(header), header
    return _kind(path, names), names, ()


def _headerless_kind(path: Path, cells: Sequence[str]) -> str:
    """Tell what a file without a header holds: judgements in TREC's places, else what its name says."""
    if len(cells) == 4 and cells[3].lstrip("-").isdigit():
        return "qrels"
    return "queries" if _QUERIES.search(path.name) else "documents"


def _kind(path: Path, columns: Sequence[str]) -> str:
    def has(known: Mapping[str, Sequence[str]], roles: Sequence[str]) -> bool:
        return all(any(name in columns for name in known[role]) for role in roles)

    if has(QREL_COLUMNS, ("query_id", "doc_id", "grade")):
        return "qrels"
    named = any(name in columns for name in ("query_id", "qid", "query", "question", "num", "topic_id"))
    called = _QUERIES.search(path.name) is not None  # BEIR's columns tell no difference
    if has(QUERY_COLUMNS, ("query_id", "text")) and (named or called) and len(columns) <= _MOST_QUERY_COLUMNS:
        return "queries"
    return "documents"


def kind_of_file(path: Path, form: TableFormat) -> str:
    """Return what a file or folder holds: "documents", "queries" or "qrels"."""
    return _kind_of(path, form)[0] or "documents"


def listed_files(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of tables that paths name."""
    return (file for path in paths for file in table_files(path))
