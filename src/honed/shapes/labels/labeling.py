"""The stages of the shape "labels": vectors of all records, then labels for them from a few hand labels and rules."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from honed.artifacts.data import VECTORS, BaseVectors, CheckArtifact, Examples, ImportArtifact
from honed.config.config import Config
from honed.core.artifacts import write_json
from honed.core.fingerprint import sha256_file
from honed.core.json import Json
from honed.core.protocols import Mask
from honed.core.ranking import Rows
from honed.core.stage import Stage, Work
from honed.data import task
from honed.encode.models import BaseModel
from honed.label.combine import Combined
from honed.label.config import LabelConfig
from honed.label.run import Voted
from honed.label.statistics import fights, warnings_of
from honed.label.threshold import (
    above,
    balanced_thresholds,
    class_shares,
    confusion,
    curve,
    precise_thresholds,
    quality,
)
from honed.shapes.grouped.texts import LabelledRecords
from honed.shapes.labels.page import render_labeling
from honed.shapes.labels.records import Records, group_examples
from honed.shapes.labels.task import LabelingTask, label_section

LABELS, REPORT, SHARES, VOTES, PAGE = "labels.parquet", "label.json", "shares.npy", "votes.npz", "label.html"
COVERAGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.87, 0.9, 0.95, 1.0)
Floats = npt.NDArray[np.float64]
Shares = npt.NDArray[np.float64]  # (n_records, n_classes)


class LabelArtifact(Examples, LabelledRecords):
    """Labels for all records, training examples of them, and how right they are."""

    def rows(self) -> list[dict[str, str]]:
        """Return for each record its label, confidence, source, split, likeliest class and hand label."""
        return task.read_rows(self.path(LABELS))

    def texts(self) -> list[str]:
        """Return the text of each record."""
        return [entity.label for entity in task.load_entities(self.folder)]

    def report(self) -> dict[str, Json]:
        """Return the books of the labeling as plain data."""
        return self.read(REPORT, dict[str, Json])

    def probabilities(self) -> npt.NDArray[np.float32]:
        """Return the probability of each class ``(n_records, n_classes)``."""
        found: npt.NDArray[np.float32] = np.load(self.path(SHARES), allow_pickle=False)
        return found

    def votes(self) -> npt.NDArray[np.int16]:
        """Return what each rule says of each record ``(n_records, n_rules)``: a class by number, or -1."""
        with np.load(self.path(VOTES), allow_pickle=False) as stored:
            votes: npt.NDArray[np.int16] = stored["votes"]
            return votes


# -- vectors -------------------------------------------------------------------------------------


def _vector_settings(config: Config, root: Path) -> dict[str, Json]:
    return {"model": BaseModel(config=config.model).identity(), "fields": label_section(config).learner == "fields"}


def encode_records(work: Work[Config]) -> dict[str, Json]:
    """Encode every record with the base model, once, whatever rules and labels change later."""
    records = Records(work.inputs.need(ImportArtifact).table)
    model = BaseModel(config=work.config.model)
    if label_section(work.config).learner == "fields":
        parts = [work.executor.encode(model, records.column(name), "document") for name in ("title", "text")]
        vectors = np.concatenate(parts, axis=1) / np.float32(np.sqrt(2))
    else:
        vectors = work.executor.encode(model, records.texts(), "document")
    np.save(work.folder / VECTORS, vectors, allow_pickle=False)
    return {"records": len(records), "dim": int(vectors.shape[1])}


# -- label ---------------------------------------------------------------------------------------


def _label_settings(config: Config, root: Path) -> dict[str, Json]:
    """Return what shapes the labels: settings, rules, lists, and hand labels given so far."""
    section = label_section(config)
    files = [root / name for name in (*section.rules, *section.lists, section.store, section.terms) if name]
    contents: dict[str, Json] = {
        str(file.relative_to(root) if file.is_relative_to(root) else file): _digest(file) for file in files
    }
    split: dict[str, Json] = {"test": config.split.test, "dev": config.split.dev, "seed": config.split.seed}
    return {"label": asdict(section), "classes": list(config.data.labels), "files": contents, "split": split}


def _digest(path: Path) -> str | list[str]:
    """Return the sha256 of a file; of rules with the modules beside them, of a folder with its lists."""
    if path.is_dir() or (path.suffix == ".py" and path.is_file()):
        files = sorted(path.glob("*.txt") if path.is_dir() else path.parent.glob("*.py"))
        return [f"{file.name} {sha256_file(file)}" for file in files]
    return sha256_file(path) if path.is_file() else ""


def label(work: Work[Config]) -> dict[str, Json]:
    """Label every record: run rules, teach the learner, combine, draw the line; with the books of all of it.

    Raises `DataError` when a rule is broken; no labels are written then, and the message says what the others do.
    """
    labeling = LabelingTask.open(
        work.config, work.root, work.inputs.need(ImportArtifact), work.inputs.find(BaseVectors)
    )
    voted = labeling.voted()
    if voted.problems:
        raise labeling.broken(voted)
    combined = labeling.combined(voted)
    thresholds = fit_thresholds(combined.shares, labeling)
    kept = above(combined.shares, thresholds) & ((voted.votes >= 0).any(axis=1) | combined.learned)
    report = _report(labeling, voted, combined, thresholds, kept)
    _write(work.folder, labeling, combined.shares, kept, labeling.by_hand)
    np.save(work.folder / SHARES, combined.shares.astype(np.float32), allow_pickle=False)
    np.savez_compressed(work.folder / VOTES, votes=voted.votes, names=np.array(voted.names))
    write_json(work.folder / REPORT, report)
    (work.folder / PAGE).write_text(render_labeling(report, work.config.title), encoding="utf-8")
    return {"labelled": report["labelled"], "way": combined.way}


def _report(
    labeling: LabelingTask, voted: Voted, combined: Combined, thresholds: Floats, kept: Mask
) -> dict[str, Json]:
    """Return the books of a labeling: rules, way of combining, thresholds, how right the labels are."""
    by_hand = labeling.by_hand
    return {
        "classes": labeling.classes,
        "records": len(kept),
        "hand": {
            name: int(((labeling.truth >= 0) & (labeling.splits == name)).sum()) for name in ("train", "dev", "test")
        },
        "rules": labeling.statistics(voted),
        "warnings": warnings_of(voted),
        "combine": {"way": combined.way, "reason": combined.reason, "compared": combined.compared},
        "learner_minimum": dict(zip(labeling.classes, combined.minimum.round(4).tolist(), strict=True)),
        "thresholds": dict(zip(labeling.classes, thresholds.round(4).tolist(), strict=True)),
        "temperature": round(combined.temperature, 4),
        "class_shares": dict(
            zip(
                labeling.classes,
                class_shares(combined.shares[labeling.splits != "test"]).round(4).tolist(),
                strict=True,
            )
        ),
        "labelled": int((kept | by_hand).sum()),
        "coverage": round(float(kept[labeling.splits != "test"].mean()), 4),
        "on_hand_labels": _judged(combined.shares, kept, _only(labeling.truth, by_hand), labeling.classes),
        "on_test": _judged(combined.shares, kept, _only(labeling.truth, labeling.splits == "test"), labeling.classes),
        "fights": _fights(labeling, voted),
    }


def fit_thresholds(shares: Shares, labeling: LabelingTask) -> npt.NDArray[np.float64]:
    """Return the threshold of each class, from the records that are not test."""
    own = shares[labeling.splits != "test"]
    if labeling.settings.threshold == "balance":
        return balanced_thresholds(own, labeling.settings.coverage)
    if labeling.settings.threshold == "precision":
        return precise_thresholds(own, labeling.settings.precision)
    return np.zeros(len(labeling.classes))


def _only(truth: Rows, where: Mask) -> Rows:
    return np.where(where, truth, -1)


def _judged(shares: Shares, kept: Mask, truth: Rows, classes: Sequence[str]) -> dict[str, Json] | None:
    if not (truth >= 0).any():
        return None
    everything = np.ones(len(kept), dtype=bool)
    return {
        "kept": quality(shares, kept, truth, classes),
        "all": quality(shares, everything, truth, classes),
        "confusion": confusion(shares, kept, truth),
        "curve": curve(shares, truth, classes, COVERAGES),
    }


def _fights(labeling: LabelingTask, voted: Voted) -> list[dict[str, Json]]:
    return [
        {
            "id": labeling.ids[row],
            "text": labeling.texts[row][:300],
            "votes": labeling.votes_of(voted, row),
        }
        for row in fights(voted, 20, len(labeling.classes)).tolist()
    ]


def _write(folder: Path, labeling: LabelingTask, shares: Shares, kept: Mask, by_hand: Mask) -> None:
    """Write the labels, the examples to train with, and the records as entities that an index can hold."""
    top, confidence = shares.argmax(axis=1), shares.max(axis=1)
    given = np.where(by_hand, labeling.truth, np.where(kept, top, -1))
    sure = np.where(by_hand, 1.0, confidence)
    rows, sources = [], np.where(by_hand, "hand", np.where(kept, "weak", "none"))
    for row, record in enumerate(labeling.ids):
        name = labeling.classes[given[row]] if given[row] >= 0 else ""
        rows.append(
            {
                "id": record,
                "label": name,
                "confidence": float(sure[row]),
                "source": str(sources[row]),
                "split": str(labeling.splits[row]),
                "likeliest": labeling.classes[top[row]],
                "hand": labeling.classes[labeling.truth[row]] if labeling.truth[row] >= 0 else "",
            }
        )
    task.write_rows(folder / LABELS, rows, task.LABELS)
    taught = np.flatnonzero((given >= 0) & (labeling.splits == "train"))
    examples = group_examples(
        [labeling.texts[row] for row in taught],
        [labeling.classes[given[row]] for row in taught],
        sure[taught].tolist(),
        [str(sources[row]) for row in taught],
        labeling.settings.seed,
    )
    task.save_examples(folder / "examples.parquet", examples)
    fields = [{"label": row["label"], "confidence": f"{row['confidence']:.3f}"} if row["label"] else {} for row in rows]
    entities = [
        task.Entity(entity_id=record, label=text, fields=own)
        for record, text, own in zip(labeling.ids, labeling.texts, fields, strict=True)
    ]
    task.save_names(folder, entities, task.label_names(entities))


def _wants_vectors(config: Config) -> bool:
    section = config.section(LabelConfig)
    return section is not None and (section.learner != "none" or config.evaluate is not None)


def _wants_labels(config: Config) -> bool:
    return any(section is not None for section in (config.section(LabelConfig), config.train, config.index))


ENCODE: Stage[Config] = Stage(
    name="encode",
    artifact=BaseVectors,
    needs=(ImportArtifact, CheckArtifact),
    wanted=_wants_vectors,
    settings=_vector_settings,
    run=encode_records,
)
LABEL: Stage[Config] = Stage(
    name="label",
    artifact=LabelArtifact,
    needs=(ImportArtifact, CheckArtifact, BaseVectors),
    wanted=_wants_labels,
    settings=_label_settings,
    run=label,
)
