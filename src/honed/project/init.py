"""What ``honed init`` proposes: shape and columns inferred from names and values, written where people see them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.sections import toml_string
from honed.core.text import fold
from honed.data.importer import SHAPES
from honed.data.tables import Row, Table, TableFormat, open_table, table_files
from honed.label.store import refinery_columns
from honed.project.init_judgments import judged_parts, judged_toml, refuse_missing
from honed.project.init_lines import first_sections

# role -> column names that mean it, best first
_NAMES: Mapping[str, tuple[str, ...]] = {
    "alias": ("alias", "aliases", "synonym", "variant", "mention", "surface", "short_name", "abbreviation", "alt_name"),
    "id": ("id", "qid", "entity_id", "uid", "key", "code", "doc_id", "identifier", "running_id"),
    "label": ("label", "name", "canonical", "canonical_name", "title", "preferred_label", "class", "category", "topic"),
    "text": ("text", "sentence", "body", "description", "content", "utterance", "message"),
    "split": ("split", "set", "fold"),
    "head": ("head_mentions", "head_spans", "subject_mentions"),
    "head_start": ("head_start", "subj_start", "subject_start"),
    "head_end": ("head_end", "subj_end", "subject_end"),
    "tail": ("tail_mentions", "tail_spans", "object_mentions"),
    "tail_start": ("tail_start", "obj_start", "object_start"),
    "tail_end": ("tail_end", "obj_end", "object_end"),
    "head_type": ("head_type", "subj_type", "subject_type"),
    "tail_type": ("tail_type", "obj_type", "object_type"),
    "relation": ("relation", "relation_name", "predicate", "label"),
}
# in texts with labels a title is a title, and a label is a class
_OF_LABELS: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "headline", "subject", "heading"),
    "label": ("label", "class", "category", "topic", "intent"),
}
# a sentence may come as its tokens, which offsets then count
_OF_RELATIONS: Mapping[str, tuple[str, ...]] = {"text": ("tokens", *_NAMES["text"])}
_LOOK = 2000


def propose(
    files: Sequence[Path], project: Path, *, given: Mapping[str, str], shape: str | None, encoding: str
) -> tuple[str, list[str]]:
    """Return the text of honed.toml for some files, and notes on what was inferred.

    Raises `DataError` when no shape fits, naming the columns that were found.
    """
    form = TableFormat(encoding=encoding)
    if shape in (None, "judgments"):
        parts = judged_parts(files, form)
        if parts is not None:
            return judged_toml(parts, project, given, encoding)
        if shape is not None:
            raise refuse_missing(files)
    paths = [file for each in files for file in table_files(each)]
    tables = [open_table(path, form) for path in paths]
    columns = tables[0].columns
    rows = _first_rows(tables[0])
    shape = shape or _shape(columns, given)
    _check_given(shape, columns, given)
    mapping = {**_mapping(shape, columns, rows), **given}
    missing = [role.name for role in SHAPES[shape] if role.required and role.name not in mapping]
    if missing:
        raise DataError(
            "E_HEADER_MISSING",
            f"{paths[0].name}: no column looks like the {' or the '.join(missing)} of the shape {shape}; found: "
            f"{', '.join(columns)}; name it with --map {missing[0]}=COLUMN",
        )
    extra = [name for name in columns if name not in mapping.values()]
    slices = [name for name in extra if _is_category(rows, name)]
    notes = [f"shape: {shape}", *(f"column {column!r} is the {role}" for role, column in mapping.items())]
    if extra:
        notes.append(f"kept as fields: {', '.join(extra)}")
    given_paths = [Path(os.path.relpath(path, project)).as_posix() for path in files]
    return _toml(shape, given_paths, mapping, slices, encoding, [name for name in extra if name not in slices]), notes


def _check_given(shape: str, columns: Sequence[str], given: Mapping[str, str]) -> None:
    if shape not in SHAPES:
        raise ConfigError("E_SHAPE", f"--shape {shape}: not one of {', '.join(SHAPES)}{did_you_mean(shape, SHAPES)}")
    roles = [role.name for role in SHAPES[shape]]
    for role, column in given.items():
        if role not in roles:
            raise ConfigError("E_OPTION", f"--map {role}: no such role{did_you_mean(role, roles)} ({', '.join(roles)})")
        if column not in columns:
            raise ConfigError("E_OPTION", f"--map {role}={column}: no such column{did_you_mean(column, columns)}")


def _first_rows(table: Table) -> list[Row]:
    rows = []
    for row in table.rows:
        if isinstance(row, Row):
            rows.append(row)
        if len(rows) >= _LOOK:
            break
    return rows


def _shape(columns: Sequence[str], given: Mapping[str, str]) -> str:
    if "relation" in given or (
        _match("relation", columns, set()) and _where("head", columns) and _where("tail", columns)
    ):
        return "relations"
    if "alias" in given or _match("alias", columns, set()):
        return "aliases"
    if (
        "text" in given
        or _match("text", columns, set())
        or (_match("id", columns, set()) and _match("label", columns, set()))
    ):
        return "labels"
    raise DataError(
        "E_SHAPE",
        f"no shape fits the columns {', '.join(columns)}; for names and aliases: --map label=COLUMN --map alias=COLUMN",
    )


def _where(side: str, columns: Sequence[str]) -> list[str]:
    """Return the roles that say where an entity stands: all its mentions, or start and end of one."""
    if _match(side, columns, set()):
        return [side]
    ends = [f"{side}_start", f"{side}_end"]
    return ends if all(_match(role, columns, set()) for role in ends) else []


def _mapping(shape: str, columns: Sequence[str], rows: Sequence[Row]) -> dict[str, str]:
    mapping: dict[str, str] = {}
    if shape == "labels":
        kinds = {"manual": "label", "weak": "weak", "confidence": "confidence"}
        mapping |= {kinds[kind]: column for kind, column in refinery_columns(columns).items()}
    places = [*_where("head", columns), *_where("tail", columns)]
    for role in ("alias", "id", "title", "text", *places, "relation", "head_type", "tail_type", "label", "split"):
        if any(each.name == role for each in SHAPES[shape]) and role not in mapping:
            names = {"labels": _OF_LABELS, "relations": _OF_RELATIONS}.get(shape, {}).get(role)
            found = _match(role, columns, set(mapping.values()), names)
            if found and (role != "split" or _is_split(rows, found)):
                mapping[role] = found
    order = [role.name for role in SHAPES[shape]]
    return dict(sorted(mapping.items(), key=lambda each: order.index(each[0])))


def _match(role: str, columns: Sequence[str], taken: set[str], names: Sequence[str] | None = None) -> str | None:
    free = {fold(column).replace(" ", "_"): column for column in columns if column not in taken}
    for name in names or _NAMES[role]:
        if name in free:
            return free[name]
    return None


def _is_split(rows: Sequence[Row], column: str) -> bool:
    values = {fold(str(row.values.get(column))) for row in rows}
    return bool(values) and values <= {"train", "dev", "test", "validation", "valid", "val", "eval"}


def _is_category(rows: Sequence[Row], column: str) -> bool:
    """Tell whether a column names a few kinds of rows, such as acronym, translation, former."""
    values = [row.values.get(column) for row in rows]
    kinds = {value for value in values if isinstance(value, str) and value}
    return 2 <= len(kinds) <= 12 and len(rows) >= 50 and fold(column) in {"kind", "type", "alias_kind", "alias_type"}


def _toml(
    shape: str,
    paths: Sequence[str],
    mapping: Mapping[str, str],
    slices: Sequence[str],
    encoding: str,
    fields: Sequence[str],
) -> str:
    more = [
        *(['empty_label = "abstain"  # an empty label means: not labelled'] if shape == "labels" else []),
        *([f"slice_by = [{', '.join(map(toml_string, slices))}]  # measured apart in the report"] if slices else []),
    ]
    lines = [*first_sections(shape, paths, mapping, encoding, more=more), ""]
    if shape == "aliases":
        lines += [
            "[split]",
            'protocol = "held-out"  # test entities are unseen in training; "catalogue" trains on every pair',
            "",
            "[baselines]",
            "",
            "# [mine]  # hard negatives: a first model finds them, a second learns from them; twice the time",
            "",
            "[train]",
            "epochs = 4",
            "",
            "# [distil]  # a small student, which is then what is searched and shipped",
            "# layers = 4",
            "",
            "[index]",
            "",
            "[hybrid]  # words, letters, initials and meaning together: what honed search answers with",
            *([f"# fields = [{toml_string(fields[0])}]  # searched too, with weights of their own"] if fields else []),
            "",
            "[answers]  # the chance that the first hit is right, and candidate sets",
            "",
            "[evaluate]",
            "",
            "[gate]",
            "gain_over_base = 0.0  # the low bound of the gain in R@1 must be above this",
            "",
        ]
    if shape == "relations":
        lines += [
            *(
                ["# [split]  # by relation, where the file has no splits", "# test = 0.2", "# dev = 0.1", ""]
                if "split" not in mapping
                else []
            ),
            "[triplets]  # see them with  honed triplets",
            'positive = "swap"  # the same sentence of others',
            'negatives = ["same-entities", "same-relation"]  # another relation of the same, and its own with the same',
            "# per_relation = 100  # sentences of a relation at most",
            "",
            "[train]",
            'objective = "triplet"',
            'negatives = "own"  # of each sentence, not of the whole batch',
            "hard_negatives = 2",
            "margin = 0.5",
            "epochs = 1",
            "batch_size = 64",
            "learning_rate = 2e-5",
            "",
            "[index]",
            "",
            "# [retrieval]  # labelled texts to search and to measure with, in place of held-out relations",
            '# input = ["utterances.csv"]',
            '# columns = { text = "text", label = "intent", split = "split" }',
            "# annoy_trees = 20  # an Annoy index beside exact search",
            "",
            "[explain]  # what words count before and after; two texts:  honed explain A B",
            "",
            "[evaluate]",
            "",
        ]
    if shape == "labels":
        lines += [
            "[split]",
            "test = 0.2  # of the records: nothing is learned from them, to measure with",
            "dev = 0.2  # of the labelled records, to choose the best step of the fine-tuning by",
            "",
            "[label]  # from hand labels, rules and lists to labels for all records; try  honed label --serve",
            '# rules = ["rules.py"]    # functions from a record to a class or nothing',
            '# lists = ["lists.toml"]  # terms and patterns of each class',
            'threshold = "balance"  # keep the classes\' shares; "precision" takes all that keeps a precision',
            "coverage = 0.7",
            "",
            "[train]",
            "epochs = 1",
            "batch_size = 64",
            "",
            "[index]",
            "",
            "[evaluate]",
            "",
        ]
    return "\n".join(lines)
