"""What every shape compiles down to, as files: training examples, judged retrieval tasks, and names to search."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from honed.core.records import Document, Example, JudgedTask, Qrels, Query

FORWARD, REVERSE = "alias-to-label", "label-to-alias"
DIRECTIONS = (FORWARD, REVERSE)
EXAMPLES, NAMES, ENTITIES, TASKS = "examples.parquet", "names.parquet", "entities.parquet", "tasks"


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """One string that names an entity; ``kind`` is "label" or "alias", ``known`` says that training may know it."""

    entity_id: str
    text: str
    kind: str
    known: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Entity:
    """What a search returns: an id, the label that is shown, and the fields of the user's table."""

    entity_id: str
    label: str
    fields: Mapping[str, str] = field(default_factory=dict)


def write_rows(path: Path, rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> None:
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
    write_rows(path, [{name: getattr(example, name) for name in fields} for example in examples], _EXAMPLES)


def load_examples(path: Path) -> list[Example]:
    """Read training examples."""
    lists = ("negatives", "teacher", "negative_groups")
    rows = read_rows(path)
    return [Example(**{"group": "", **row} | {name: tuple(row.get(name) or ()) for name in lists}) for row in rows]


def save_names(folder: Path, entities: Sequence[Entity], names: Sequence[Name]) -> None:
    """Write entities and all their names."""
    rows = [
        {
            "entity_id": entity.entity_id,
            "label": entity.label,
            "fields": json.dumps(dict(entity.fields), ensure_ascii=False, sort_keys=True),
        }
        for entity in entities
    ]
    write_rows(folder / ENTITIES, rows, _ENTITIES)
    fields = ("entity_id", "text", "kind", "known")
    write_rows(folder / NAMES, [{key: getattr(name, key) for key in fields} for name in names], _NAMES)


def label_names(entities: Sequence[Entity]) -> list[Name]:
    """Return the names of entities that have their label alone."""
    return [Name(entity_id=item.entity_id, text=item.label, kind="label", known=True) for item in entities]


def document_entities(documents: Sequence[Document]) -> list[Entity]:
    """Return documents as entities whose one name is their text."""
    return [Entity(entity_id=doc.doc_id, label=doc.encoder_text(), fields=doc.fields) for doc in documents]


def load_entities(folder: Path) -> list[Entity]:
    """Read the entities back."""
    rows = read_rows(folder / ENTITIES)
    return [Entity(entity_id=row["entity_id"], label=row["label"], fields=json.loads(row["fields"])) for row in rows]


def load_names(folder: Path) -> list[Name]:
    """Read the names of all entities."""
    return [Name(**row) for row in read_rows(folder / NAMES)]


def save_task(folder: Path, task: JudgedTask, split: str) -> None:
    """Write a judged task: the corpus once for its direction, queries and qrels for the split."""
    slices: dict[str, list[str]] = defaultdict(list)
    for name, ids in task.slices.items():
        for query_id in ids:
            slices[query_id].append(name)
    base = folder / TASKS / task.name
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


def count_queries(folder: Path, name: str, split: str) -> int:
    """Return how many queries a judged task has."""
    rows: int = pq.read_metadata(folder / TASKS / name / split / "queries.parquet").num_rows
    return rows


def load_task(folder: Path, name: str, split: str) -> JudgedTask:
    """Read a judged task back."""
    base = folder / TASKS / name
    rows = read_rows(base / split / "queries.parquet")
    grades: dict[str, dict[str, int]] = {row["query_id"]: {} for row in rows}
    for row in read_rows(base / split / "qrels.parquet"):
        grades[row["query_id"]][row["doc_id"]] = row["grade"]
    slices: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        for part in row["slices"]:
            slices[part].add(row["query_id"])
    corpus = read_rows(base / "corpus.parquet")
    parents = {row["doc_id"]: row.pop("parent", None) for row in corpus}
    return JudgedTask(
        name=name,
        queries=[Query(query_id=row["query_id"], text=row["text"]) for row in rows],
        corpus=[Document(**row) for row in corpus],
        qrels=Qrels(grades=grades),
        groups={row["query_id"]: row["group"] for row in rows},
        slices={part: frozenset(ids) for part, ids in sorted(slices.items())},
        parents={doc_id: parent for doc_id, parent in parents.items() if parent},
    )
