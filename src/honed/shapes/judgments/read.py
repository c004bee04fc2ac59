"""Documents, queries and judgements read together, and divided into train, dev and test.

Queries and judgements are tables, or TREC's files; their rows are accounted for like those of any import.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from honed.core.errors import DataError
from honed.core.records import Document
from honed.core.text import fold, is_blank
from honed.data.importer import Importer, iterate_records
from honed.data.rows import Accounting, ImportConfig, Record
from honed.data.split import WITHHELD, SplitConfig, later_side, refuse_leaks, unit_interval
from honed.shapes.findings import LeftOut
from honed.shapes.judgments.config import QREL_COLUMNS, QUERY_COLUMNS, JudgmentsConfig
from honed.shapes.judgments.documents import documents_of
from honed.shapes.judgments.passages import passages_of
from honed.shapes.judgments.tables import QREL_ROLES, QUERY_ROLES, JudgedTables
from honed.shapes.texts import nearest_passage

QUERIES, QRELS = "queries", "qrels"


@dataclass(kw_only=True)
class Judgments(LeftOut):
    """Documents by id, queries by id, grades by query and document, and the split of each query.

    ``books`` are those of the tables of queries and judgements. Where documents were cut, ``documents`` holds passages,
    and ``cut`` those of each document.
    """

    documents: dict[str, Document]
    queries: dict[str, str] = field(default_factory=dict)
    grades: dict[str, dict[str, int]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    cut: dict[str, list[Document]] = field(default_factory=dict)
    books: dict[str, Accounting] = field(default_factory=dict)

    def is_known(self, doc_id: str) -> bool:
        """Tell whether judgements may name a document."""
        return doc_id in (self.cut or self.documents)

    def text_for(self, query: str, doc_id: str) -> str:
        """Return the text of a document for a query: of its passages the one that has most of the query's words."""
        if self.cut:
            return nearest_passage(self.queries[query], self.cut[doc_id]).text
        return self.documents[doc_id].text


def read_documents(records: Iterable[Record], config: JudgmentsConfig, columns: Mapping[str, str]) -> Judgments:
    """Return the documents of an import, cut into passages where that is asked for, and no queries yet."""
    judgments = Judgments(documents={})
    for doc_id, text, fields in documents_of(records, config.template, columns):
        if is_blank(text):
            judgments.drop("W_DOCUMENT_EMPTY", doc_id)
            continue
        document = Document(doc_id=doc_id, text=text, fields=fields)
        parts = [document]
        if config.passages:
            parts = judgments.cut[doc_id] = passages_of(document, config.passages, config.overlap)
        judgments.documents |= {part.doc_id: part for part in parts}
    return judgments


def read_judgments(
    documents: Judgments, config: JudgmentsConfig, root: Path, form: ImportConfig, split: SplitConfig, folder: Path
) -> Judgments:
    """Read queries and judgements of some documents, and divide the queries into train, dev and test.

    The accounted records are written into ``folder``. Raises `DataError` for tables without the columns, one query
    judged twice with different grades, and when nothing is left to learn from or to measure with.
    """
    judgments, sides = documents, dict[str, set[str]]()
    _import(QUERIES, judgments, config, root, form, folder)
    _read_queries(judgments, sides, iterate_records(folder / QUERIES))
    _import(QRELS, judgments, config, root, form, folder)
    for record in iterate_records(folder / QRELS):
        if record["query_id"] in judgments.queries and judgments.is_known(record["doc_id"]):
            _note_split(sides, record["query_id"], record["split"])
    given_splits = _settled(judgments, sides, split.on_leak)
    _read_qrels(judgments, given_splits, config, iterate_records(folder / QRELS))
    _refuse_foreign(judgments)
    unjudged = [
        query for query in judgments.queries if not any(grade > 0 for grade in judgments.grades.get(query, {}).values())
    ]
    for query in unjudged:
        judgments.drop("W_QUERY_WITHOUT_ANSWER", judgments.queries[query])
        del judgments.queries[query]
        judgments.grades.pop(query, None)
    judgments.splits = _divided(judgments, given_splits, config, split)
    for name in ("test",) if config.synthetic else ("train", "test"):
        if name not in judgments.splits.values():
            raise DataError("E_SPLIT_EMPTY", f"no judged query in {name}: too few, or see [split] and the split column")
    return judgments


def unknown_judgements(judgments: Judgments) -> str:
    """Return a sentence on judgements of documents and queries that are not there, empty where all are."""
    n = judgments.books[QRELS].accepted
    parts = []
    for code, kind in (("W_QREL_UNKNOWN_DOCUMENT", "documents"), ("W_QREL_UNKNOWN_QUERY", "queries")):
        if count := judgments.dropped[code]:
            example = judgments.samples[code][0].rsplit(": ", 1)[-1]
            parts.append(f"{count} of {n} judgements name unknown {kind}, such as {example}")
    return "; ".join(parts)


def _refuse_foreign(judgments: Judgments) -> None:
    """Raise `DataError` where no judgement is of a query and a document that are there."""
    if not any(judgments.grades.values()) and (unknown := unknown_judgements(judgments)):
        known = f"the documents have ids such as {next(iter(judgments.cut or judgments.documents), 'none')}"
        raise DataError("E_QREL_UNKNOWN", f"{unknown}; {known}: are these files of one collection?")


def _import(
    kind: str, judgments: Judgments, config: JudgmentsConfig, root: Path, form: ImportConfig, folder: Path
) -> None:
    """Import the tables of queries or of judgements; their accepted records are then in the folder of their kind."""
    if kind == QUERIES:
        tables, names = JudgedTables(QUERY_ROLES, config.query_columns, QUERY_COLUMNS), config.queries
    else:
        tables, names = JudgedTables(QREL_ROLES, config.qrel_columns, QREL_COLUMNS, config.grade_factor), config.qrels
    columns = {role.name: role.name for role in tables.roles}
    importer = Importer(
        ImportConfig(
            shape=kind,
            columns=columns,
            on_bad_row=form.on_bad_row,
            format=replace(form.format, header=()),
            splits=form.splits,
        ),
        tables,
    )
    (folder / kind).mkdir(parents=True, exist_ok=True)
    judgments.books[kind] = importer.run([root / name for name in names], folder / kind)


def _note_split(sides: dict[str, set[str]], query: str, split: str) -> None:
    if split:
        sides.setdefault(query, set()).add(split)


def _settled(judgments: Judgments, sides: Mapping[str, set[str]], on_leak: str) -> dict[str, str]:
    """Return the one split of each query that has any: of several the last, which its judgements in others leave."""
    leaks = [f"query {query} stands in {' and '.join(sorted(splits))}" for query, splits in sides.items()]
    leaks = [sentence for sentence, splits in zip(leaks, sides.values(), strict=True) if len(splits) > 1]
    refuse_leaks(leaks, on_leak)
    for sentence in leaks:
        judgments.drop("W_SPLIT_LEAK", sentence)
    return {query: later_side(splits) for query, splits in sides.items()}


def _read_queries(judgments: Judgments, sides: dict[str, set[str]], records: Iterator[Record]) -> None:
    for record in records:
        query, text = record["query_id"], record["text"]
        if judgments.queries.setdefault(query, text) != text:
            raise DataError("E_ID_DUP", f"{record['where']}: query {query} stands twice, with different texts")
        _note_split(sides, query, record["split"])


def _read_qrels(
    judgments: Judgments, given_splits: Mapping[str, str], config: JudgmentsConfig, records: Iterable[Record]
) -> None:
    for record in records:
        query, doc, grade, where = record["query_id"], record["doc_id"], int(record["grade"]), record["where"]
        if query not in judgments.queries:
            judgments.drop("W_QREL_UNKNOWN_QUERY", f"{where}: {query}")
        elif not judgments.is_known(doc):
            judgments.drop("W_QREL_UNKNOWN_DOCUMENT", f"{where}: {doc}")
        elif record["split"] in ("", given_splits.get(query)):
            right = grade if grade >= config.relevant_from else min(grade, 0)
            if judgments.grades.setdefault(query, {}).setdefault(doc, right) != right:
                raise DataError(
                    "E_QREL_CONFLICT", f"{where}: query {query} and document {doc} are judged twice, differently"
                )


def _divided(
    judgments: Judgments, given_splits: Mapping[str, str], config: JudgmentsConfig, split: SplitConfig
) -> dict[str, str]:
    """Return the split of each query: as given, or drawn by the query's text where none is given at all.

    Queries without a split among others that have one are trained on. A query that is asked in test is withheld from
    dev, and one that is asked in either from train.
    """
    draws = {query: unit_interval(split.seed, fold(text)) for query, text in judgments.queries.items()}
    sides = {given_splits.get(query, "train") for query in draws}
    if given_splits and (("train" not in sides and not config.synthetic) or sides == {"train"}):
        lacking = "anything but train" if "train" in sides else "train"
        judgments.drop("W_SPLIT_DRAWN", f"no query is given for {lacking}: the splits are drawn")
        given_splits = {}
    if given_splits:
        splits = {query: given_splits.get(query, "train") for query in judgments.queries}
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
    _withhold_asked(judgments, splits, split.on_leak if given_splits else "withhold")
    for name in ("train", "dev", "test"):
        most = int(getattr(config, f"{name}_queries"))
        mine = [query for query, split_name in splits.items() if split_name == name]
        for query in sorted(mine, key=lambda query: drawn_order(config, query))[most:] if most else ():
            splits[query] = "unused"
    return splits


def _withhold_asked(judgments: Judgments, splits: dict[str, str], on_leak: str) -> None:
    """Withhold queries whose text is asked in a later split too, or refuse them."""
    leaks = []
    for earlier, later in (("dev", ("test",)), ("train", ("dev", "test"))):
        asked = {fold(judgments.queries[query]) for query, name in splits.items() if name in later}
        for query, name in splits.items():
            if name == earlier and fold(judgments.queries[query]) in asked:
                judgments.drop("W_QUERY_WITHHELD", judgments.queries[query])
                leaks.append(f"query {query} of {earlier} is asked in a later split: {judgments.queries[query]}")
                splits[query] = WITHHELD
    refuse_leaks(leaks, on_leak)


def drawn_order(config: JudgmentsConfig, query: str) -> float:
    """Return the place of a query or document in the fixed draw of a configuration, in [0, 1)."""
    return unit_interval(config.seed + 1, query)
