"""What ``honed init`` proposes for judged search: the files of documents, queries and judgements, and what is read."""

from collections.abc import Sequence
from pathlib import Path

from honed.core.errors import DataError
from honed.core.sections import toml_string, toml_value
from honed.shapes.judgments.parts import Parts, listed_files
from honed.shapes.proposal import InitFiles, Proposal, first_sections


def judged_proposal(parts: Parts, files: InitFiles) -> Proposal:
    """Return the honed.toml for the parts."""
    columns = {**parts.columns, **files.given}
    notes = [
        "shape: judgments",
        *parts.left_out,
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
    text = "\n".join([*first, *_sections(parts, files, fields, shown)])
    return Proposal(text=text, notes=notes, inputs=list(listed_files(parts.documents)))


def _sections(parts: Parts, files: InitFiles, fields: Sequence[str], template: str) -> list[str]:
    def listed(paths: Sequence[Path]) -> str:
        return ", ".join(map(toml_string, files.relative(paths)))

    columns = f"query_columns = {toml_value(dict(parts.query_columns))}"
    numbered = [f"{columns}  # judgements name the place of a query, not its id"] if parts.query_columns else []
    return [
        "max_length = 128  # tokens; longer documents are cut there, or into passages, see below",
        "",
        "[judgments]",
        f"queries = [{listed(parts.queries)}]",
        f"qrels = [{listed(parts.qrels)}]",
        *numbered,
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
