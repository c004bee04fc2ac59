"""What ``honed init`` proposes for judged search: which file holds documents, which queries, which judgements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from honed.core.errors import DataError
from honed.core.sections import toml_string
from honed.data.table import is_headerless
from honed.data.tables import TableFormat, folder_files, open_tables, table_files
from honed.shapes.judgments.config import QREL_COLUMNS, QUERY_COLUMNS
from honed.shapes.proposal import InitFiles, Proposal, first_sections

_DOCUMENT_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "id": ("doc_id", "_id", "product_id", "passage_id", "docid", "pid", "id"),
    "title": ("title", "name", "product_title", "headline"),
    "text": ("text", "description", "body", "content", "overview", "passage", "abstract", "product_description"),
}
_MOST_QUERY_COLUMNS = 6
_FOLDERS = ("corpus", "queries", "qrels")  # of a data set of the Hub; BEIR's has the last alone


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The files of judged search by what they hold, and the columns of the documents by role.

    ``header`` names the columns of documents that have no line of names, as MS MARCO's.
    """

    documents: Sequence[Path]
    queries: Sequence[Path]
    qrels: Sequence[Path]
    columns: Mapping[str, str]
    fields: Sequence[str]
    header: Sequence[str] = ()


def judged_parts(files: Sequence[Path], form: TableFormat) -> Parts | None:
    """Tell documents, queries and judgements apart by their columns; None where one of the three is missing.

    A folder such as BEIR's (``corpus.jsonl``, ``queries.jsonl``, ``qrels/``) counts as the files in it.
    """
    files_of_part: dict[str, list[Path]] = {"documents": [], "queries": [], "qrels": []}
    columns: dict[str, str] = {}
    fields: list[str] = []
    header: tuple[str, ...] = ()
    for path in _opened(files):
        if path.is_dir() and path.name.startswith("qrels"):
            files_of_part["qrels"].append(path)
            continue
        names = next(open_tables(table_files(path)[0], form)).columns
        if is_headerless(names):
            kind = _headerless_kind(path, names)
            header = ("id", "text") if kind == "documents" else header
            names = list(header)
        else:
            kind = _kind(path, names)
        files_of_part[kind].append(path)
        if kind == "documents" and not columns:
            columns = {
                role: next(guess for guess in guesses if guess in names)
                for role, guesses in _DOCUMENT_COLUMNS.items()
                if any(guess in names for guess in guesses)
            }
            fields = [name for name in names if name not in columns.values()]
    if not all(files_of_part.values()) or "id" not in columns or not {"title", "text"} & set(columns):
        return None
    paths_of_part = {name: tuple(paths) for name, paths in files_of_part.items()}
    return Parts(**paths_of_part, columns=columns, fields=fields, header=header)


def _opened(files: Sequence[Path]) -> list[Path]:
    """Return files, with the tables of folders, and folders of documents, queries or judgements as one each."""
    opened: list[Path] = []
    for file in files:
        if file.is_dir() and not file.name.startswith(_FOLDERS):
            opened += folder_files(file)
            opened += [file / name for name in _FOLDERS if (file / name).is_dir()]
        else:
            opened += [file] if file.is_dir() else table_files(file)
    return opened


def _headerless_kind(path: Path, cells: Sequence[str]) -> str:
    """Tell what a file without a header holds: judgements in TREC's places, else what its name says."""
    if len(cells) == 4 and cells[3].lstrip("-").isdigit():
        return "qrels"
    return "queries" if path.stem.lower().startswith(("quer", "topic", "question")) else "documents"


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


def judged_proposal(parts: Parts, files: InitFiles) -> Proposal:
    """Return the honed.toml for the parts."""
    columns = {**parts.columns, **files.given}
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
    header = f"header = [{', '.join(map(toml_string, parts.header))}]  # the files have no line of names"
    first = first_sections(
        "judgments",
        files.relative(parts.documents),
        columns,
        files.encoding,
        comment="  # the documents",
        more=[*files.format_lines(), *([header] if parts.header else [])],
    )
    return Proposal(text="\n".join([*first, *_sections(parts, files, fields, shown)]), notes=notes)


def _sections(parts: Parts, files: InitFiles, fields: Sequence[str], template: str) -> list[str]:
    def listed(paths: Sequence[Path]) -> str:
        return ", ".join(map(toml_string, files.relative(paths)))

    return [
        "max_length = 128  # tokens; longer documents are cut there, or into passages, see below",
        "",
        "[judgments]",
        f"queries = [{listed(parts.queries)}]",
        f"qrels = [{listed(parts.qrels)}]",
        *(
            [f"template = {toml_string(template)}  # how fields become the text that is searched"]
            if fields and template
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


def missing_parts(files: Sequence[Path]) -> DataError:
    """Return the error for files that are not all that judged search needs."""
    return DataError(
        "E_SHAPE",
        f"{', '.join(file.name for file in files)}: judged search needs documents (an id, a title or a text), queries "
        "(query_id, query) and judgements (query_id, doc_id, relevance); give all three:  honed init corpus.jsonl "
        "queries.jsonl qrels.tsv  or a folder in BEIR's layout",
    )
