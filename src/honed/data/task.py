"""The two things that every shape compiles down to: training examples, and judged retrieval tasks; and their files."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.records import Document, Example, JudgedTask, Qrels, Query
from honed.shapes.aliases.catalogue import Catalogue, slices_of_pair

FORWARD, REVERSE = "alias-to-label", "label-to-alias"
DIRECTIONS = (FORWARD, REVERSE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """One string that names an entity; ``kind`` is "label" or "alias", ``known`` says that training may know it."""

    entity_id: str
    text: str
    kind: str
    known: bool


def alias_examples(catalogue: Catalogue, splits: Sequence[set[str]]) -> list[Example]:
    """Return one example for each train pair and label of its entity."""
    return [
        Example(anchor=pair.alias, positive=label, source="pair")
        for pair, split in zip(catalogue.pairs, splits, strict=True)
        if "train" in split
        for label in catalogue.entities[pair.entity_id].labels
    ]


def alias_names(catalogue: Catalogue, splits: Sequence[set[str]]) -> list[Name]:
    """Return every name of every entity; an alias that only dev or test may see is not ``known``."""
    names = [
        Name(entity_id=entity.entity_id, text=label, kind="label", known=True)
        for entity in catalogue.entities.values()
        for label in entity.labels
    ]
    return names + [
        Name(entity_id=pair.entity_id, text=pair.alias, kind="alias", known=bool(split & {"train", "withheld"}))
        for pair, split in zip(catalogue.pairs, splits, strict=True)
    ]


def alias_tasks(
    catalogue: Catalogue, splits: Sequence[set[str]], slice_by: Sequence[str]
) -> dict[tuple[str, str], JudgedTask]:
    """Return the judged task of each (direction, split) with split "dev" or "test".

    A document is a distinct string, whose id is that of the first entity that bears it; one query is one pair
    (forwards) or one label with its aliases (backwards).
    """
    labels = _documents((label, entity.entity_id) for entity in catalogue.entities.values() for label in entity.labels)
    aliases = _documents((pair.alias, pair.entity_id) for pair in catalogue.pairs)
    tasks = {}
    for split in ("dev", "test"):
        chosen = [index for index, each in enumerate(splits) if split in each]
        tasks[FORWARD, split] = _forward(catalogue, chosen, labels, slice_by)
        tasks[REVERSE, split] = _reverse(catalogue, chosen, aliases)
    return tasks


def _documents(strings: Any) -> dict[str, Document]:
    bearers: dict[str, list[str]] = defaultdict(list)
    for text, entity_id in strings:
        bearers[text].append(entity_id)
    taken: set[str] = set()
    documents = {}
    for text, ids in bearers.items():
        doc_id = ids[0] if ids[0] not in taken else f"{ids[0]}#{text}"
        taken.add(doc_id)
        documents[text] = Document(doc_id=doc_id, text=text)
    return documents


def _forward(
    catalogue: Catalogue, chosen: Sequence[int], labels: Mapping[str, Document], slice_by: Sequence[str]
) -> JudgedTask:
    groups, named = catalogue.groups(), catalogue.labels_of_alias()
    queries, grades, group_of = [], {}, {}
    slices: dict[str, set[str]] = defaultdict(set)
    for index in chosen:
        pair = catalogue.pairs[index]
        query_id = f"q{index}"
        queries.append(Query(query_id=query_id, text=pair.alias))
        grades[query_id] = {labels[label].doc_id: 1 for label in catalogue.entities[pair.entity_id].labels}
        group_of[query_id] = groups[pair.entity_id]
        for name in slices_of_pair(pair, named, slice_by):
            slices[name].add(query_id)
    return _task(FORWARD, queries, labels, grades, group_of, slices)


def _reverse(catalogue: Catalogue, chosen: Sequence[int], aliases: Mapping[str, Document]) -> JudgedTask:
    groups = catalogue.groups()
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    queries, group_of = {}, {}
    for index in chosen:
        pair = catalogue.pairs[index]
        for label in catalogue.entities[pair.entity_id].labels:
            query_id = f"label:{label}"
            queries[query_id] = Query(query_id=query_id, text=label)
            grades[query_id][aliases[pair.alias].doc_id] = 1
            group_of[query_id] = groups[pair.entity_id]
    return _task(REVERSE, list(queries.values()), aliases, grades, group_of, {})


def _task(
    name: str,
    queries: Sequence[Query],
    documents: Mapping[str, Document],
    grades: Mapping[str, Mapping[str, int]],
    groups: Mapping[str, str],
    slices: Mapping[str, set[str]],
) -> JudgedTask:
    return JudgedTask(
        name=name,
        queries=queries,
        corpus=list(documents.values()),
        qrels=Qrels(grades=grades),
        groups=groups,
        slices={key: frozenset(ids) for key, ids in sorted(slices.items())},
    )


# -- files ---------------------------------------------------------------------------------------


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write rows as Parquet with page checksums."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Read rows that `write_rows` wrote; a changed page is an error of pyarrow."""
    return [dict(row) for row in pq.read_table(path, page_checksum_verification=True).to_pylist()]


_TEXT = pa.string()
TEXTS = pa.schema([("text", _TEXT)])
LABELLED = pa.schema([(name, _TEXT) for name in ("id", "text", "label", "split")])
LABELS = pa.schema(
    [
        ("id", _TEXT),
        ("label", _TEXT),
        ("confidence", pa.float32()),
        ("source", _TEXT),
        ("split", _TEXT),
        ("likeliest", _TEXT),
        ("hand", _TEXT),
    ]
)
_EXAMPLES = pa.schema(
    [
        ("anchor", _TEXT),
        ("positive", _TEXT),
        ("negatives", pa.list_(_TEXT)),
        ("weight", pa.float32()),
        ("source", _TEXT),
        ("score", pa.float32()),
        ("teacher", pa.list_(pa.float32())),
        ("group", _TEXT),
        ("negative_groups", pa.list_(_TEXT)),
    ]
)
_NAMES = pa.schema([("entity_id", _TEXT), ("text", _TEXT), ("kind", _TEXT), ("known", pa.bool_())])
_ENTITIES = pa.schema([("entity_id", _TEXT), ("label", _TEXT), ("fields", _TEXT)])
_QUERIES = pa.schema([("query_id", _TEXT), ("text", _TEXT), ("group", _TEXT), ("slices", pa.list_(_TEXT))])
_CORPUS = pa.schema([("doc_id", _TEXT), ("text", _TEXT), ("title", _TEXT), ("parent", _TEXT)])
_QRELS = pa.schema([("query_id", _TEXT), ("doc_id", _TEXT), ("grade", pa.int32())])


def save_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write training examples."""
    fields = tuple(_EXAMPLES.names)
    write_rows(path, [{name: getattr(each, name) for name in fields} for each in examples], _EXAMPLES)


def load_examples(path: Path) -> list[Example]:
    """Read training examples."""
    lists = ("negatives", "teacher", "negative_groups")
    rows = read_rows(path)
    return [Example(**{"group": "", **row} | {name: tuple(row.get(name) or ()) for name in lists}) for row in rows]


def save_names(folder: Path, catalogue: Catalogue, names: Sequence[Name]) -> None:
    """Write the entities and their names."""
    rows = [
        {
            "entity_id": entity.entity_id,
            "label": entity.labels[0],
            "fields": json.dumps(entity.fields, ensure_ascii=False, sort_keys=True),
        }
        for entity in catalogue.entities.values()
    ]
    write_rows(folder / "entities.parquet", rows, _ENTITIES)
    fields = ("entity_id", "text", "kind", "known")
    write_rows(folder / "names.parquet", [{key: getattr(each, key) for key in fields} for each in names], _NAMES)


def save_records(folder: Path, ids: Sequence[str], texts: Sequence[str], fields: Sequence[Mapping[str, str]]) -> None:
    """Write records as entities whose one name is their text."""
    named = [
        {"entity_id": entity_id, "label": text, "fields": json.dumps(extra, ensure_ascii=False, sort_keys=True)}
        for entity_id, text, extra in zip(ids, texts, fields, strict=True)
    ]
    write_rows(folder / "entities.parquet", named, _ENTITIES)
    names = [{"entity_id": row["entity_id"], "text": row["label"], "kind": "label", "known": True} for row in named]
    write_rows(folder / "names.parquet", names, _NAMES)


def save_documents(folder: Path, documents: Sequence[Document]) -> None:
    """Write documents as entities whose one name is their text."""
    fields = [document.fields for document in documents]
    save_records(folder, [each.doc_id for each in documents], [each.encoder_text() for each in documents], fields)


def load_names(folder: Path) -> list[Name]:
    """Read the names of all entities."""
    return [Name(**row) for row in read_rows(folder / "names.parquet")]


def save_task(folder: Path, task: JudgedTask, split: str) -> None:
    """Write a judged task: the corpus once for its direction, queries and qrels for the split."""
    slices: dict[str, list[str]] = defaultdict(list)
    for name, ids in task.slices.items():
        for query_id in ids:
            slices[query_id].append(name)
    base = folder / "tasks" / task.name
    queries = [
        {"query_id": q.query_id, "text": q.text, "group": task.groups[q.query_id], "slices": slices[q.query_id]}
        for q in task.queries
    ]
    write_rows(base / split / "queries.parquet", queries, _QUERIES)
    qrels = [
        {"query_id": query_id, "doc_id": doc_id, "grade": grade}
        for query_id, judged in task.qrels.grades.items()
        for doc_id, grade in judged.items()
    ]
    write_rows(base / split / "qrels.parquet", qrels, _QRELS)
    corpus = [
        {"doc_id": doc.doc_id, "text": doc.text, "title": doc.title, "parent": task.parents.get(doc.doc_id)}
        for doc in task.corpus
    ]
    write_rows(base / "corpus.parquet", corpus, _CORPUS)


def load_task(folder: Path, name: str, split: str) -> JudgedTask:
    """Read a judged task back."""
    base = folder / "tasks" / name
    rows = read_rows(base / split / "queries.parquet")
    grades: dict[str, dict[str, int]] = {row["query_id"]: {} for row in rows}
    for row in read_rows(base / split / "qrels.parquet"):
        grades[row["query_id"]][row["doc_id"]] = row["grade"]
    slices: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for each in row["slices"]:
            slices[each].add(row["query_id"])
    corpus = read_rows(base / "corpus.parquet")
    parents = {row["doc_id"]: row.pop("parent", None) for row in corpus}
    return JudgedTask(
        name=name,
        queries=[Query(query_id=row["query_id"], text=row["text"]) for row in rows],
        corpus=[Document(**row) for row in corpus],
        qrels=Qrels(grades=grades),
        groups={row["query_id"]: row["group"] for row in rows},
        slices={each: frozenset(ids) for each, ids in sorted(slices.items())},
        parents={doc_id: parent for doc_id, parent in parents.items() if parent},
    )
