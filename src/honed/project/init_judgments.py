"""What ``honed init`` proposes for judged search: which file holds documents, which queries, which judgements."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.core.errors import DataError
from honed.core.sections import toml_string
from honed.data.tables import SUFFIXES, TableFormat, open_table, table_files
from honed.project.init_lines import first_sections
from honed.shapes.judgments.judgments import QREL_COLUMNS, QUERY_COLUMNS

_DOCUMENT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("doc_id", "_id", "product_id", "passage_id", "docid", "pid", "id"),
    "title": ("title", "name", "product_title", "headline"),
    "text": ("text", "description", "body", "content", "overview", "passage", "abstract", "product_description"),
}
_MOST_QUERY_COLUMNS = 6


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The files of judged search by what they hold, and the columns of the documents by role."""

    documents: Sequence[Path]
    queries: Sequence[Path]
    qrels: Sequence[Path]
    columns: Mapping[str, str]
    fields: Sequence[str]


def judged_parts(files: Sequence[Path], form: TableFormat) -> Parts | None:
    """Tell documents, queries and judgements apart by their columns; None where one of the three is missing.

    A folder such as BEIR's (``corpus.jsonl``, ``queries.jsonl``, ``qrels/``) counts as the files in it.
    """
    found: dict[str, list[Path]] = {"documents": [], "queries": [], "qrels": []}
    columns: dict[str, str] = {}
    fields: list[str] = []
    for path in _opened(files):
        if path.is_dir():
            found["qrels"].append(path)
            continue
        names = open_table(path, form).columns
        kind = _kind(path, names)
        found[kind].append(path)
        if kind == "documents" and not columns:
            columns = {
                role: next(each for each in guesses if each in names)
                for role, guesses in _DOCUMENT_COLUMNS.items()
                if any(each in names for each in guesses)
            }
            fields = [name for name in names if name not in columns.values()]
    if not all(found.values()) or "id" not in columns or not {"title", "text"} & set(columns):
        return None
    return Parts(**{name: tuple(paths) for name, paths in found.items()}, columns=columns, fields=fields)


def _opened(files: Sequence[Path]) -> list[Path]:
    """Return files, with the tables of folders, and a folder of judgements as one."""
    opened: list[Path] = []
    for file in files:
        if file.is_dir() and file.name != "qrels":
            inside = sorted(each for each in file.iterdir() if each.suffix.lower() in SUFFIXES)
            opened += [*inside, *([file / "qrels"] if (file / "qrels").is_dir() else [])]
        else:
            opened += [file] if file.is_dir() else table_files(file)
    return opened


def _kind(path: Path, columns: Sequence[str]) -> str:
    def has(known: Mapping[str, Sequence[str]], roles: Sequence[str]) -> bool:
        return all(any(name in columns for name in known[role]) for role in roles)

    if has(QREL_COLUMNS, ("query_id", "doc_id", "grade")):
        return "qrels"
    named = any(name in columns for name in ("query_id", "qid", "query", "question"))
    called = path.stem.lower().startswith(("quer", "topic", "question"))  # BEIR's columns tell no difference
    if has(QUERY_COLUMNS, ("query_id", "text")) and (named or called) and len(columns) <= _MOST_QUERY_COLUMNS:
        return "queries"
    return "documents"


def judged_toml(parts: Parts, project: Path, given: Mapping[str, str], encoding: str) -> tuple[str, list[str]]:
    """Return the text of honed.toml for the parts, and notes on what was inferred."""

    def relative(paths: Sequence[Path]) -> list[str]:
        return [Path(os.path.relpath(path, project)).as_posix() for path in paths]

    def listed(paths: Sequence[Path]) -> str:
        return ", ".join(map(toml_string, relative(paths)))

    columns = {**parts.columns, **given}
    notes = [
        "shape: judgments",
        *(
            f"{kind}: {', '.join(path.name for path in getattr(parts, kind))}"
            for kind in ("documents", "queries", "qrels")
        ),
        *(f"column {column!r} is the {role}" for role, column in columns.items()),
    ]
    fields = [name for name in parts.fields if name not in columns.values() and name != "metadata"]
    if fields:
        notes.append(f"kept as fields: {', '.join(fields)}")
    shown = "{title}: {text}" if {"title", "text"} <= columns.keys() else ""
    lines = [
        *first_sections("judgments", relative(parts.documents), columns, encoding, said="  # the documents"),
        "max_length = 128  # tokens; longer documents are cut there, or into passages, see below",
        "",
        "[judgments]",
        f"queries = [{listed(parts.queries)}]",
        f"qrels = [{listed(parts.qrels)}]",
        *(
            [f"template = {toml_string(shown)}  # how fields become the text that is searched"]
            if fields and shown
            else []
        ),
        "relevant_from = 1  # grades from here on are right",
        "# synthetic = 1    # queries made of every document, where few are judged",
        "# passages = 100   # cut documents into passages of so many words",
        "",
        "[baselines]",
        "",
        "# [mine]  # hard negatives beside those that were judged wrong",
        '# encoder = "base"',
        "",
        "[train]",
        "epochs = 1",
        "",
        "[index]",
        "",
        "[hybrid]  # words and meaning together: what honed search answers with",
        *([f"# fields = [{toml_string(fields[0])}]  # searched apart, with weights of their own"] if fields else []),
        "",
        "[answers]  # the chance that the first hit is right, and candidate sets",
        "",
        "[evaluate]",
        "",
    ]
    return "\n".join(lines), notes


def refuse_missing(files: Sequence[Path]) -> DataError:
    """Return the error for files that are not all that judged search needs."""
    return DataError(
        "E_SHAPE",
        f"{', '.join(file.name for file in files)}: judged search needs documents (an id, a title or a text), queries "
        "(query_id, query) and judgements (query_id, doc_id, relevance); give all three:  honed init corpus.jsonl "
        "queries.jsonl qrels.tsv  or a folder in BEIR's layout",
    )
