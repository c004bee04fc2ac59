"""What ``honed init`` proposes for labelled texts: search by label where all have one, weak labels where a few have."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from honed.core.sections import toml_string
from honed.core.text import fold
from honed.data.rows import Role
from honed.label.store import refinery_columns
from honed.shapes.init_columns import Column, class_column, text_column
from honed.shapes.proposal import InitFiles, Proposal

NOT_ACCEPTED = frozenset({"reject", "rejected", "ignore", "ignored", "discarded"})
_ANSWERS = NOT_ACCEPTED | {"accept", "accepted"}
_ORDER = ("id", "title", "text", "label", "split")
# in texts with labels a title is a title, and a label is a class
_COLUMN_NAMES: Mapping[str, tuple[str, ...]] = {
    "title": ("title", "headline", "subject", "heading"),
    "label": (
        *("label_text", "label_name", "label", "class", "category", "topic", "intent", "labels"),
        *("class_name", "sentiment", "emotion", "tag", "target"),
    ),
}
_ALL = 0.95  # of the texts: from here on those without a label are a few that were missed
_MANY, _ENOUGH, _LISTED = 1000, 5000, 300


def labels_proposal(files: InitFiles, roles: Sequence[Role], *, asked: bool) -> Proposal | None:
    """Return the honed.toml for texts, or None where there is neither a text, nor an id and a class."""
    refined = refinery_columns(files.columns)
    kinds = {"manual": "label", "weak": "weak", "confidence": "confidence"}
    given = {**{kinds[kind]: column for kind, column in refined.items()}, **files.given}
    labelled = files.has("label") or bool(refined)
    if not files.has("text") and not (files.has("id") and labelled):
        given = {**_by_content(files), **given}
        if not asked and not {"text", "label"} <= given.keys():
            return None
    renamed = replace(files, given=given)
    mapping = renamed.mapping(roles, _COLUMN_NAMES, _ORDER)
    if "answer" in files.columns and {fold(str(row.values.get("answer"))) for row in files.rows} <= _ANSWERS:
        mapping["answer"] = "answer"
    used = renamed.narrowed(mapping)
    counts = used.counts(mapping["label"]) if "label" in mapping and "answer" not in mapping else Counter[str]()
    total, without = sum(counts.values()), counts.pop("", 0)
    data, notes = _spellings(counts)
    if counts and total - without >= _ALL * total and not {"weak", "confidence"} & mapping.keys():
        more = f" ({without} have none and take no part)" if without else ""
        notes.append(f"every text has a label{more} -> search by label; no rules, no weak labels: add [label] for them")
        sections = _search_sections(total, used.splits(mapping).present if "split" in mapping else frozenset())
    else:
        told = f"{total - without} of {total} texts have" if counts else "no text has"
        notes.append(f"{told} a label -> weak labels from rules, lists and hand labels, see [label]")
        if not counts and not refined:
            notes.append("there are no classes yet: name them,  labels = [...]  under [data], or  honed label --serve")
        sections = _LABEL_SECTIONS
    abstain = ['empty_label = "abstain"  # an empty label means: not labelled'] if without or not counts else []
    proposal = renamed.propose("labels", mapping, sections, data=[*abstain, *data])
    return replace(proposal, notes=[*proposal.notes, *notes])


def _by_content(files: InitFiles) -> dict[str, str]:
    """Return the columns of text and label by what they hold, where their names do not tell."""
    cells = {name: [str(row.values.get(name) or "") for row in files.rows] for name in files.columns}
    columns = [Column.of(name, values) for name, values in cells.items()]
    text = text_column(columns)
    label = files.find("label", [text], _COLUMN_NAMES["label"]) or class_column(columns, text)
    return {role: column for role, column in (("text", text), ("label", label)) if column}


def _spellings(counts: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Return the line of [data] that declares the labels, and a note, where one is spelled in several ways."""
    forms: dict[str, list[str]] = defaultdict(list)
    for label in counts:
        if label:
            forms[fold(label)].append(label)
    several = [names for names in forms.values() if len(names) > 1]
    if not several or len(forms) > _LISTED:
        return [], []
    kept = [max(names, key=lambda name: counts[name]) for names in forms.values()]
    listed = "; ".join(" = ".join(names) for names in several[:3])
    line = f"labels = [{', '.join(map(toml_string, kept))}]  # as they are spelled most often"
    return [line], [f"{len(several)} labels in several spellings count as one ({listed}), see [data] labels"]


def _search_sections(texts: int, present: frozenset[str]) -> list[str]:
    """Return the sections for texts that all have a label; ``present`` are the splits that are given."""
    dev = 0.2 if texts < _MANY else 0.1
    drawn = [] if present else ["test = 0.2  # of the texts: nothing is learned from them, to measure with"]
    chosen = [] if "dev" in present else [f"dev = {dev}  # of the others, to choose the best step of the training by"]
    return [
        *(["[split]", *drawn, *chosen, ""] if drawn or chosen else []),
        "[train]",
        f"epochs = {1 if texts >= _ENOUGH else 3}  # the best step on dev is kept",
        "batch_size = 64",
        "",
        "[index]",
        "",
        "[retrieval]  # texts of test search those of train: the same label is right",
        "# exclude_duplicates = true  # leave texts out that stand in train too",
        "",
        "[evaluate]",
        "",
    ]


_LABEL_SECTIONS = [
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
