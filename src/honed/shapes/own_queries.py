"""Real queries with the ids that they mean (the section ``[queries]``), for any shape whose records are searched.

They teach what is learned on dev, and are what the report measures.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from honed.config.config import Config
from honed.config.sections import QueriesSection
from honed.core.errors import DataError
from honed.core.fingerprint import sha256_file
from honed.core.json import Json, JsonObject
from honed.core.plain import as_object
from honed.core.records import JudgedTask, Qrels, Query
from honed.core.text import fold, looks_like_acronym
from honed.data.importer import Importer, PlainRows, iterate_records
from honed.data.rows import Accounting, ImportConfig, Record, Role
from honed.data.split import SplitConfig, unit_interval, withhold_leaks
from honed.data.table import Row, Table, TableFormat
from honed.data.tables import Reject, file_of, table_files
from honed.data.values import label_texts
from honed.evaluate.slices import script_slices
from honed.shapes.findings import LeftOut
from honed.shapes.shape import Compiled

FOLDER = "own_queries"
_ROLES = (
    Role(name="query_id", kind="id", required=False),
    Role(name="text", kind="text", required=True),
    Role(name="ids", kind="word", required=True),
    Role(name="split", kind="split", required=False, may_be_empty=True),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnQuery:
    """A query with the ids that it means, none where it means nothing that is there; ``split`` is "" if not given."""

    query_id: str
    text: str
    ids: tuple[str, ...]
    split: str


@dataclass(kw_only=True)
class OwnQueries(LeftOut):
    """Queries divided into "train" (which teach) and "test", with what was left out."""

    queries: list[OwnQuery]
    books: Accounting

    def of(self, split: str) -> list[OwnQuery]:
        """Return the queries of a split."""
        return [query for query in self.queries if query.split == split]


class _QueryTables(PlainRows):
    """Tables of queries, whatever their columns are called; a cell may hold several ids."""

    def __init__(self, section: QueriesSection) -> None:
        super().__init__(_ROLES)
        self.section = section

    def tables(self, path: Path, form: TableFormat) -> Iterator[Table]:
        """Yield the tables of a path with roles for columns; those that a file lacks are empty."""
        for table in super().tables(path, form):
            columns = self.section.columns_of(table.columns)
            for role in ("text", "ids"):
                if columns.get(role) not in table.columns:
                    raise DataError(
                        "E_HEADER_MISSING",
                        f"{table.file}: no column for the {role} of queries; found: {', '.join(table.columns)}; set "
                        f"{role} in honed.toml under [queries.columns]",
                    )
            yield replace(table, columns=[role.name for role in _ROLES], rows=self._rows(table, columns))

    def _rows(self, table: Table, columns: Mapping[str, str]) -> Iterator[Row | Reject]:
        for row in table.rows:
            if isinstance(row, Row):
                values = {role: row.values.get(column) for role, column in columns.items()}
                values["ids"] = json.dumps(self._ids(values["ids"]), ensure_ascii=False)
                values["query_id"] = values.get("query_id") or f"{row.file}, {row.where}"
                yield replace(row, values=values)
            else:
                yield row

    def _ids(self, value: object) -> list[str]:
        separator = self.section.separator
        ids = [part for text in label_texts(value) for part in (text.split(separator) if separator else [text])]
        return list(dict.fromkeys(part.strip() for part in ids if part.strip()))


def query_settings(config: Config, root: Path) -> dict[str, Json]:
    """Return the section and what is in its files, as plain data; empty without one."""
    if config.queries is None:
        return {}
    files = [file for name in config.queries.input for file in table_files(root / name)]
    section: Json = msgspec.to_builtins(config.queries)
    return {"queries": section, "query_files": [[file.name, sha256_file(file_of(file))] for file in files]}


def read_own_queries(config: Config, root: Path, folder: Path) -> OwnQueries | None:
    """Return the queries of ``[queries]``, divided; None without the section. The records are kept in ``folder``."""
    section = config.queries
    if section is None:
        return None
    form = config.data.import_config()
    importer = Importer(
        ImportConfig(
            shape="queries",
            columns={role.name: role.name for role in _ROLES},
            on_bad_row=form.on_bad_row,
            format=replace(form.format, header=()),
        ),
        _QueryTables(section),
    )
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    books = importer.run([root / name for name in section.input], folder / FOLDER)
    own = OwnQueries(queries=_queries(iterate_records(folder / FOLDER)), books=books)
    _divide(own, config.split.split_config())
    return own


def _queries(records: Iterable[Record]) -> list[OwnQuery]:
    """Return the query of each id; one that stands in several rows means the ids of all of them.

    Raises `DataError` where its rows have different texts or splits.
    """
    queries: dict[str, OwnQuery] = {}
    for record in records:
        ids = tuple(json.loads(record["ids"]))
        query = OwnQuery(query_id=record["query_id"], text=record["text"], ids=ids, split=record["split"])
        first = queries.setdefault(query.query_id, query)
        if first is query:
            continue
        for what, one, other in (("text", first.text, query.text), ("split", first.split, query.split)):
            if fold(one) != fold(other):
                raise DataError("E_ID_DUP", f"[queries]: query {query.query_id} has {what} {one!r} and {other!r}")
        queries[query.query_id] = replace(first, ids=tuple(dict.fromkeys((*first.ids, *ids))))
    return list(queries.values())


def _divide(own: OwnQueries, split: SplitConfig) -> None:
    """Give each query "train" or "test", as stated or drawn by its text; a text on both sides is withheld from train.

    What is called dev teaches like train; where nothing is called test it is what is measured.
    """
    given = {query.split for query in own.queries} - {""}
    tested = next((name for name in ("test", "dev") if name in given), "")
    if len(given) < 2 or not any(query.split != tested for query in own.queries):
        tested = ""
    sides = {}
    for query in own.queries:
        drawn = "test" if unit_interval(split.seed, fold(query.text)) < split.test else "train"
        sides[query.query_id] = drawn if not tested else "test" if query.split == tested else "train"
    kept: dict[tuple[str, str, tuple[str, ...]], OwnQuery] = {}
    for query in own.queries:
        same = (sides[query.query_id], fold(query.text), query.ids)
        if kept.setdefault(same, query) is not query:
            own.drop("W_QUERY_DUP", query.text)
    texts = {query.query_id: key for (_, key, _), query in kept.items()}
    for sentence in withhold_leaks(sides, texts, split.on_leak):
        own.drop("W_QUERY_WITHHELD", sentence)
    own.queries = [replace(query, split=sides[query.query_id]) for query in kept.values()]
    for side in ("train", "test"):
        if not own.of(side):
            raise DataError("E_SPLIT_EMPTY", f"[queries]: no query in {side}: too few, or see the split column")


def with_own_queries(compiled: Compiled, own: OwnQueries, main: str) -> Compiled:
    """Return what a shape compiled to with its own queries as dev (those that teach) and test of its main direction."""
    corpus_task = next(judged for judged, _ in compiled.tasks if judged.name == main)
    documents = _documents_of_ids(compiled, corpus_task)
    tasks = [(_task(own, split, corpus_task, documents), name) for split, name in (("train", "dev"), ("test", "test"))]
    for name in ("dev", "test"):
        if not any(judged.queries for judged, split in tasks if split == name):
            known = next(iter(documents), "none")
            raise DataError(
                "E_QUERY_UNKNOWN_ID",
                f"[queries]: no query means an id of the records, such as {known}: are these files of one collection?",
            )
    numbers = {name: {"queries": len(judged.queries), "without_answer": len(judged.absent)} for judged, name in tasks}
    findings: JsonObject = msgspec.to_builtins(own.left_out())
    audit: JsonObject = {
        **compiled.audit,
        "findings": {**as_object(compiled.audit["findings"]), **findings},
        "own_queries": {**numbers, "import": own.books.as_dict()},
    }
    return replace(compiled, tasks=tasks, audit=audit)


def _documents_of_ids(compiled: Compiled, judged: JudgedTask) -> dict[str, list[str]]:
    """Return the documents under which each id is judged: those of its labels, or the document of that id."""
    by_text: dict[str, list[str]] = defaultdict(list)
    documents: dict[str, list[str]] = {}
    for document in judged.corpus:
        by_text[document.encoder_text()].append(judged.judged_as(document.doc_id))
        documents.setdefault(judged.judged_as(document.doc_id), [judged.judged_as(document.doc_id)])
    by_label: dict[str, list[str]] = defaultdict(list)
    for name in compiled.names:
        if name.kind == "label":
            by_label[name.entity_id] += by_text.get(name.text, [])
    return documents | {entity: list(dict.fromkeys(docs)) for entity, docs in by_label.items() if docs}


def _task(own: OwnQueries, split: str, judged: JudgedTask, documents: Mapping[str, Sequence[str]]) -> JudgedTask:
    """Return the queries of a split as a judged task; those that mean nothing that is there have no answer."""
    queries, absent, grades, groups = [], [], dict[str, dict[str, int]](), dict[str, str]()
    slices: dict[str, set[str]] = defaultdict(set)
    for own_query in own.of(split):
        right = [doc for entity in own_query.ids for doc in documents.get(entity, ())]
        for entity in own_query.ids:
            if entity not in documents:
                own.drop("W_QUERY_UNKNOWN_ID", f"{own_query.text}: {entity}")
        query = Query(query_id=own_query.query_id, text=own_query.text)
        groups[query.query_id] = min(own_query.ids, default=f"query:{fold(own_query.text)}")
        if not right:
            absent.append(query)
            continue
        queries.append(query)
        grades[query.query_id] = dict.fromkeys(right, 1)
        for name in _slices(own_query):
            slices[name].add(query.query_id)
    of_scripts = script_slices({query.query_id: query.text for query in queries})
    return replace(
        judged,
        queries=queries,
        absent=absent,
        qrels=Qrels(grades=grades),
        groups=groups,
        slices={name: frozenset(ids) for name, ids in sorted({**slices, **of_scripts}.items())},
    )


def _slices(query: OwnQuery) -> list[str]:
    names = ["acronym"] if looks_like_acronym(query.text) else []
    if len(query.ids) > 1:
        names.append("several")
    return names


def own_query_lines(audit: JsonObject) -> list[str]:
    """Return the sentence that tells of the queries of one's own; none without them."""
    own = audit.get("own_queries")
    if not isinstance(own, Mapping):
        return []
    parts = []
    for split, verb in (("dev", "teach"), ("test", "are measured")):
        counts = as_object(own[split])
        absent = counts["without_answer"]
        parts.append(f"{counts['queries']}{f' and {absent} without an answer' if absent else ''} {verb}")
    return [f"queries of your own: {', '.join(parts)}"]
