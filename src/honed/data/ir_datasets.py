"""Collections of the library ir_datasets as files in BEIR's layout, which the shape ``judgments`` reads."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honed.core.errors import DataError, did_you_mean
from honed.core.optional import require
from honed.core.progress import progress
from honed.core.writing import new_file, write_text

PREFIX = "ir:"
_PARTS = ("train", "dev", "test", "valid", "validation")
_SPLITS = {"valid": "dev", "validation": "dev"}
_IDS = ("doc_id", "query_id")


def fetch_ir(name: str, folder: Path) -> list[Path]:
    """Write a collection (``beir/scifact``) with its parts (``beir/scifact/test``) and return the files.

    ``corpus.jsonl`` and ``queries.jsonl`` hold every field that is a text or a number; ``qrels/PART.tsv`` the
    judgements. The library fetches what it does not have yet. Raises `DataError` for a name that it does not know, and
    for a collection without documents or judgements.
    """
    require("ir_datasets")
    import ir_datasets

    known = ir_datasets.registry
    parts = [each for each in (name, *(f"{name}/{part}" for part in _PARTS)) if each in known]
    if not parts:
        raise DataError("E_NO_DATASET", f"ir_datasets knows no {name}{did_you_mean(name, list(known))}")
    loaded = {each: ir_datasets.load(each) for each in parts}
    documents = next((each for each in loaded.values() if each.has_docs()), None)
    judged = {each: found for each, found in loaded.items() if found.has_qrels() and found.has_queries()}
    if documents is None or not judged:
        raise DataError("E_NO_DATASET", f"{name}: has no documents, or none of its parts is judged")
    target = folder / name.replace("/", "_")
    (target / "qrels").mkdir(parents=True, exist_ok=True)
    logging.getLogger("ir_datasets").setLevel(logging.WARNING)
    files = [target / "corpus.jsonl", target / "queries.jsonl"]
    _write(files[0], (_row(each) for each in documents.docs_iter()), "documents")
    queries = {each.query_id: each for found in judged.values() for each in found.queries_iter()}
    _write(files[1], map(_row, queries.values()), "queries")
    for each, found in judged.items():
        part = each.rpartition("/")[2] if each != name or each.rpartition("/")[2] in _PARTS else "test"
        file = target / "qrels" / f"{_SPLITS.get(part, part)}.tsv"
        lines = (
            f"{judgement.query_id}\t{judgement.doc_id}\t{judgement.relevance}\n" for judgement in found.qrels_iter()
        )
        write_text(file, "".join(["query-id\tcorpus-id\tscore\n", *lines]))
        files.append(file)
    return files


def _row(record: Any) -> dict[str, Any]:
    """Return a record as BEIR writes it: ``_id``, ``text``, and its other plain fields."""
    fields: Mapping[str, Any] = record._asdict()
    plain = {name: value for name, value in fields.items() if isinstance(value, str | int | float)}
    row = {"_id": next(str(plain.pop(name)) for name in _IDS if name in plain)}
    if "text" not in plain:
        row["text"] = record.default_text()
    return {**row, **plain}


def _write(path: Path, rows: Iterable[Mapping[str, Any]], what: str) -> None:
    def lines() -> Iterator[str]:
        with progress(what) as bar:
            for row in rows:
                bar.advance()
                yield json.dumps(row, ensure_ascii=False) + "\n"

    with new_file(path) as beside, beside.open("w", encoding="utf-8") as file:
        file.writelines(lines())
