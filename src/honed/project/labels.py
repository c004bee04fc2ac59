"""What people ask of the labeling of a project: terms worth adding, records worth a label, labels from a table."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from honed.artifacts.data import BaseVectors, ImportArtifact
from honed.core.errors import ConfigError, DataError, did_you_mean
from honed.core.progress import progress
from honed.core.stage import Inputs
from honed.core.text import fold, is_blank
from honed.data.tables import Reject, open_table
from honed.data.values import holds_nul, label_texts, only_value
from honed.label.arrays import Probabilities
from honed.label.config import LabelConfig
from honed.label.consent import agree
from honed.label.doubts import WORSE
from honed.label.learner import records_to_label
from honed.label.store import HandLabel, LabelStore, refinery_columns
from honed.label.suggest import SuggestedTerm as Term
from honed.label.suggest import suggest_terms
from honed.label.tools import TextToLabel, write_for_tool
from honed.project.workspace import Workspace
from honed.shapes.labels.labeling import LabelArtifact
from honed.shapes.labels.records import Records
from honed.shapes.labels.task import LabelingTask, label_section


class SuggestedTerm(msgspec.Struct, kw_only=True):
    """A term that is worth adding to the list of a class, with the estimated precision of its records."""

    label: str
    term: str
    records: int
    precision: float | None
    low: float | None
    examples: list[int] = []


class Suggestions(msgspec.Struct, kw_only=True):
    """Terms worth adding to lists, and records worth labelling next."""

    terms: list[SuggestedTerm]
    records: list[TextToLabel]


def open_labeling(project: Workspace) -> tuple[LabelingTask, LabelArtifact]:
    """Return the labeling task and the latest labels; the stage "label" runs where it has to.

    Labels that are refused because too many of them are wrong are made here all the same: they are looked at to find
    what would make them better. Raises `ConfigError` without a section [label].
    """
    if project.config.section(LabelConfig) is None:
        raise ConfigError(
            "E_CONFIG_MISSING", 'labelling is for data.shape = "labels": honed.toml has no section [label]'
        )
    try:
        artifacts = Inputs(project.runner.run(until="label"))
    except DataError as error:
        if error.code != WORSE:
            raise
        artifacts = Inputs(project.changed({"label.when_worse": "warn"}).runner.run(until="label"))
    task = LabelingTask.open(project.config, project.root, artifacts.need(ImportArtifact), artifacts.find(BaseVectors))
    return task, artifacts.need(LabelArtifact)


def allow_rules(project: Workspace) -> list[Path]:
    """Note that the rules of a project may run on this machine, as they are now; returns the files of programs."""
    files = [project.root / name for name in label_section(project.config).rules]
    if not files:
        raise ConfigError("E_CONFIG_MISSING", f"{project.file}: label.rules names no file")
    return agree(files)


def worth_labeling(task: LabelingTask, shares: Probabilities, votes: npt.NDArray[np.int16], n: int) -> list[int]:
    """Return the rows of the ``n`` records most worth a label."""
    known = np.flatnonzero((task.truth >= 0) | task.kept_apart).tolist()
    space = task.vectors if task.vectors is not None else np.zeros((len(shares), 1), dtype=np.float32)
    return [int(row) for row in records_to_label(space, np.array(shares), votes, known, n)]


def terms_worth_adding(task: LabelingTask, shares: Probabilities, n: int) -> list[Term]:
    """Return terms for the lists that hand labels and their neighbours speak for; texts of test are not looked at."""
    with progress("terms"):
        seen = np.flatnonzero(~task.kept_apart)
        place = {int(row): at for at, row in enumerate(seen)}
        hand = np.array([place[int(row)] for row in task.hand], dtype=np.int64)
        terms = suggest_terms(
            [task.texts[row] for row in seen],
            np.array(shares)[seen],
            (hand, task.truth[task.hand]),
            task.classes,
            task.taken_terms(),
            n=n,
        )
    return [replace(term, examples=tuple(int(seen[row]) for row in term.examples)) for term in terms]


def suggestions(project: Workspace, n_terms: int, n_records: int) -> Suggestions:
    """Return terms worth adding to lists and records worth labelling next."""
    task, artifact = open_labeling(project)
    shares = artifact.probabilities().astype(np.float64)
    return Suggestions(
        terms=[msgspec.convert(term.as_dict(), SuggestedTerm) for term in terms_worth_adding(task, shares, n_terms)],
        records=_texts_to_label(task, artifact, shares, n_records),
    )


def _texts_to_label(task: LabelingTask, artifact: LabelArtifact, shares: Probabilities, n: int) -> list[TextToLabel]:
    """Return the ``n`` records most worth a label, with their likeliest class."""
    return [
        TextToLabel(
            id=task.ids[row],
            text=task.texts[row],
            likeliest=task.classes[int(shares[row].argmax())],
            confidence=round(float(shares[row].max()), 4),
        )
        for row in worth_labeling(task, shares, artifact.votes(), n)
    ]


def import_hand_labels(
    project: Workspace,
    file: Path,
    *,
    who: str = "",
    id_column: str = "",
    label_column: str = "",
    encoding: str | None = None,
) -> int:
    """Add the labels of a table to the project's store; returns how many.

    Raises `DataError` for a label that is no class, several of one record, and a record that is not there; nothing is
    added then.
    """
    form = project.config.data.import_config().format
    table = open_table(file, replace(form, encoding=encoding or form.encoding, header=()))
    columns = {
        "id": id_column or project.config.data.columns.get("id", "id"),
        "label": label_column or refinery_columns(table.columns).get("manual") or "label",
    }
    _check_columns(file, table.columns, columns)
    artifacts = Inputs(project.runner.run(until="check"))
    records = Records(artifacts.need(ImportArtifact).table)
    known = set(records.column("id"))
    classes = {fold(name): name for name in project.config.data.labels}
    spelled = classes or {fold(name): name for name in records.column("label") if name}  # without declared ones
    labels = []
    for row in table.rows:
        if isinstance(row, Reject):
            raise DataError(row.code, str(row))
        label = _hand_label(row.values, columns, who)
        if label is None:
            continue
        if label.id not in known:
            raise DataError("E_ID_UNKNOWN", f"{file.name}, {row.where}: no record {label.id}")
        if classes and fold(label.label) not in classes:
            near = did_you_mean(label.label, classes.values())
            raise DataError("E_LABEL_UNKNOWN", f"{file.name}, {row.where}: {label.label} is not a class{near}")
        labels.append(replace(label, label=spelled.setdefault(fold(label.label), label.label)))
    return LabelStore(project.root / label_section(project.config).store).add(labels)


def _hand_label(values: Mapping[str, object], columns: Mapping[str, str], who: str) -> HandLabel | None:
    """Return the hand label in a row of another tool's table, None for a row without one.

    ``columns`` names the columns of "id" and "label". Raises `DataError` for several classes of one record.
    """
    names, record = label_texts(values.get(columns["label"])), only_value(values.get(columns["id"]))
    if len(names) > 1:
        raise DataError("E_LABEL_SEVERAL", f"several classes for record {record} ({', '.join(names)}): it has one")
    if not names or is_blank(names[0]) or record in (None, ""):
        return None
    if "\0" in names[0] or holds_nul(record):
        raise DataError("E_NUL", f"record {record!r}: its id or label holds a NUL character")
    return HandLabel(id=str(record), label=names[0], who=who, why="imported")


def export_records(project: Workspace, file: Path, tool: str, n: int) -> int:
    """Write the ``n`` records most worth a label for a labelling tool, with their likeliest class; returns how many.

    Raises `ConfigError` for an unknown tool. Its export is read by `import_hand_labels`.
    """
    task, artifact = open_labeling(project)
    records = _texts_to_label(task, artifact, artifact.probabilities().astype(np.float64), n)
    write_for_tool(tool, records, file)
    return len(records)


def _check_columns(file: Path, there: Sequence[str], columns: dict[str, str]) -> None:
    for role, column in columns.items():
        if column not in there:
            near = did_you_mean(column, there)
            raise DataError("E_HEADER_MISSING", f"{file.name}: no column {column} for the {role}{near}; give --{role}")
