"""The stages of the shape "labels": vectors of all records, then labels for them from a few hand labels and rules."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
from msgspec import structs

from honed.artifacts.data import VECTORS, BaseVectors, CheckArtifact, Examples, ImportArtifact
from honed.config.config import Config
from honed.core.effort import Effort
from honed.core.fingerprint import sha256_file
from honed.core.json import Json
from honed.core.protocols import Mask
from honed.core.ranking import Rows
from honed.core.stage import Stage, Work
from honed.core.writing import write_json
from honed.data import task
from honed.encode.models import encoder_source
from honed.label.arrays import Probabilities
from honed.label.combine import CombinedLabels
from honed.label.config import LabelConfig
from honed.label.doubts import Rightness, asked_share, check_rightness, class_warnings, estimate_rightness
from honed.label.report import (
    CombineReport,
    DisputedRecord,
    HandLabelCounts,
    LabelEvaluation,
    LabelReport,
    LabelWarning,
    LearnerReport,
)
from honed.label.run import RuleVotes
from honed.label.statistics import disputed_records, rule_warnings
from honed.label.threshold import (
    balanced_thresholds,
    class_shares,
    confusion_counts,
    coverage_curve,
    label_quality,
    overall_thresholds,
    precise_thresholds,
    reaches_threshold,
)
from honed.shapes.grouped.texts import LabelledRecords
from honed.shapes.labels.page import render_labeling
from honed.shapes.labels.records import Records, group_examples
from honed.shapes.labels.task import LabelingTask, label_section

LABELS, REPORT, SHARES, VOTES, PAGE = "labels.parquet", "label.json", "shares.npy", "votes.npz", "label.html"
_FEWEST_A_CLASS = 10  # hand labels on average, from which on each class has its own threshold
COVERAGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.87, 0.9, 0.95, 1.0)


class LabelArtifact(Examples, LabelledRecords):
    """Labels for all records, training examples of them, and how right they are."""

    def rows(self) -> list[dict[str, str]]:
        """Return for each record its label, confidence, source, split, likeliest class and hand label."""
        return task.read_rows(self.path(LABELS))

    def texts(self) -> list[str]:
        """Return the text of each record."""
        return [entity.label for entity in task.load_entities(self.folder)]

    def report(self) -> LabelReport:
        """Return how the labels came about and how right they are."""
        return self.read(REPORT, LabelReport)

    def probabilities(self) -> npt.NDArray[np.float32]:
        """Return the probability of each class ``(n_records, n_classes)``."""
        shares: npt.NDArray[np.float32] = np.load(self.path(SHARES), allow_pickle=False)
        return shares

    def votes(self) -> npt.NDArray[np.int16]:
        """Return the votes ``(n_records, n_rules)`` of the rules: the number of a class, or -1."""
        with np.load(self.path(VOTES), allow_pickle=False) as stored:
            votes: npt.NDArray[np.int16] = stored["votes"]
            return votes


# -- vectors -------------------------------------------------------------------------------------


def _vector_settings(config: Config, root: Path) -> dict[str, Json]:
    return {"model": encoder_source(config.model).identity(), "fields": label_section(config).learner == "fields"}


def encode_records(work: Work[Config]) -> dict[str, Json]:
    """Encode every record with the base model; changed rules and labels do not make it run again."""
    records = Records(work.inputs.need(ImportArtifact).table)
    model = encoder_source(work.config.model)
    if label_section(work.config).learner == "fields":
        parts = [work.executor.encode(model, records.column(name), "document") for name in ("title", "text")]
        vectors = np.concatenate(parts, axis=1) / np.float32(np.sqrt(2))
    else:
        vectors = work.executor.encode(model, records.texts(), "document")
    np.save(work.folder / VECTORS, vectors, allow_pickle=False)
    return {"records": len(records), "dim": int(vectors.shape[1])}


# -- label ---------------------------------------------------------------------------------------


def _label_settings(config: Config, root: Path) -> dict[str, Json]:
    """Return the settings that the labels depend on: section, rules, lists, and hand labels."""
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

    Raises `DataError` when a rule is broken, and when hand labels say that too many labels would be wrong; no labels
    are written then, and the message says what to do.
    """
    labeling = LabelingTask.open(
        work.config, work.root, work.inputs.need(ImportArtifact), work.inputs.find(BaseVectors)
    )
    voted = labeling.voted()
    if voted.problems:
        raise labeling.broken(voted)
    combined = labeling.combined(voted)
    thresholds = fit_thresholds(combined.probabilities, labeling)
    kept = reaches_threshold(combined.probabilities, thresholds) & (
        (voted.votes >= 0).any(axis=1) | combined.has_learner
    )
    doubts = check_rightness(_rightness(labeling, combined.probabilities, kept), labeling.settings)
    report = _report(labeling, voted, combined, thresholds, kept)
    report = structs.replace(report, warnings=[*doubts, *_warnings(labeling, voted, combined, kept)])
    _write(work.folder, labeling, combined.probabilities, kept, labeling.by_hand)
    np.save(work.folder / SHARES, combined.probabilities.astype(np.float32), allow_pickle=False)
    np.savez_compressed(work.folder / VOTES, votes=voted.votes, names=np.array(voted.names))
    write_json(work.folder / REPORT, report)
    (work.folder / PAGE).write_text(render_labeling(report, work.config.title), encoding="utf-8")
    return {"labelled": report.labelled, "way": combined.way}


def _report(
    labeling: LabelingTask, voted: RuleVotes, combined: CombinedLabels, thresholds: Probabilities, kept: Mask
) -> LabelReport:
    """Return how the labels came about: rules, way of combining, thresholds, and how right the labels are."""
    probabilities, not_test = combined.probabilities, ~labeling.kept_apart

    def by_class(values: Probabilities) -> dict[str, float]:
        return dict(zip(labeling.classes, values.round(4).tolist(), strict=True))

    def hand_labels(split: str) -> int:
        return int(((labeling.truth >= 0) & (labeling.splits == split)).sum())

    return LabelReport(
        classes=labeling.classes,
        records=len(kept),
        hand=HandLabelCounts(train=hand_labels("train"), dev=hand_labels("dev"), test=hand_labels("test")),
        rules=labeling.statistics(voted),
        warnings=[],
        combine=CombineReport(
            way=combined.way,
            reason=combined.reason,
            compared=[comparison.as_entry() for comparison in combined.comparisons],
        ),
        learner_minimum=by_class(combined.learner_minimums),
        thresholds=by_class(thresholds),
        by_class=thresholds_by_class(labeling),
        learner=_learner(combined),
        temperature=round(combined.temperature, 4),
        class_shares=by_class(class_shares(probabilities[not_test])),
        labelled=int((kept | labeling.by_hand).sum()),
        coverage=round(float(kept[not_test].mean()), 4),
        on_hand_labels=_evaluated(probabilities, kept, labeling.by_hand, labeling),
        on_test=_evaluated(probabilities, kept, labeling.splits == "test", labeling),
        fights=_disputed(labeling, voted),
    )


def _learner(combined: CombinedLabels) -> LearnerReport | None:
    """Return how the learner was fitted, None without one."""
    if not combined.has_learner:
        return None
    recipe = combined.recipe
    return LearnerReport(c=recipe.c, nearness=recipe.nearness, lesson=combined.lesson, unseen=round(recipe.unseen, 4))


def _rightness(labeling: LabelingTask, probabilities: Probabilities, kept: Mask) -> Rightness:
    """Return how right the labels would be, of hand labels judged unseen."""
    truth = _only(labeling.truth, labeling.by_hand)
    return estimate_rightness(probabilities, kept, truth, ~labeling.kept_apart, asked_share(labeling.settings))


def _warnings(labeling: LabelingTask, voted: RuleVotes, combined: CombinedLabels, kept: Mask) -> list[LabelWarning]:
    """Return what is odd about rules, and the classes that too little is known of to label records as them."""
    n_classes = len(labeling.classes)
    hand = np.bincount(labeling.truth[labeling.hand], minlength=n_classes)
    given = np.bincount(combined.probabilities[kept].argmax(axis=1), minlength=n_classes)
    return rule_warnings(voted) + class_warnings(hand, voted.votes, given, labeling.classes)


def thresholds_by_class(labeling: LabelingTask) -> bool:
    """Tell whether the classes' shares can be kept: not where they would be guessed from a few hand labels each."""
    n_hand = len(labeling.hand)
    return not n_hand or n_hand >= _FEWEST_A_CLASS * len(labeling.classes)


def fit_thresholds(shares: Probabilities, labeling: LabelingTask) -> Probabilities:
    """Return the threshold of each class, from the records that are not test."""
    known = shares[~labeling.kept_apart]
    if labeling.settings.threshold == "balance":
        fit = balanced_thresholds if thresholds_by_class(labeling) else overall_thresholds
        return fit(known, labeling.settings.coverage)
    if labeling.settings.threshold == "precision":
        return precise_thresholds(known, labeling.settings.precision)
    return np.zeros(len(labeling.classes))


def _only(truth: Rows, where: Mask) -> Rows:
    return np.where(where, truth, -1)


def _evaluated(probabilities: Probabilities, kept: Mask, where: Mask, labeling: LabelingTask) -> LabelEvaluation | None:
    truth, classes = _only(labeling.truth, where), labeling.classes
    if not (truth >= 0).any():
        return None
    everything = np.ones(len(kept), dtype=bool)
    return LabelEvaluation(
        kept=label_quality(probabilities, kept, truth, classes),
        all_records=label_quality(probabilities, everything, truth, classes),
        confusion=confusion_counts(probabilities, kept, truth),
        curve=coverage_curve(probabilities, truth, classes, COVERAGES, by_class=thresholds_by_class(labeling)),
    )


def _disputed(labeling: LabelingTask, voted: RuleVotes) -> list[DisputedRecord]:
    return [
        DisputedRecord(id=labeling.ids[row], text=labeling.texts[row][:300], votes=labeling.votes_of(voted, row))
        for row in disputed_records(voted, 20, len(labeling.classes)).tolist()
    ]


def _write(folder: Path, labeling: LabelingTask, shares: Probabilities, kept: Mask, by_hand: Mask) -> None:
    """Write the labels, the examples to train with, and the records as entities that an index can hold."""
    top, confidence = shares.argmax(axis=1), shares.max(axis=1)
    classes = np.where(by_hand, labeling.truth, np.where(kept, top, -1))
    sure = np.where(by_hand, 1.0, confidence)
    rows, sources = [], np.where(by_hand, "hand", np.where(kept, "weak", "none"))
    for row, record in enumerate(labeling.ids):
        name = labeling.classes[classes[row]] if classes[row] >= 0 else ""
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
    taught = np.flatnonzero((classes >= 0) & (labeling.splits == "train"))
    examples = group_examples(
        [labeling.texts[row] for row in taught],
        [labeling.classes[classes[row]] for row in taught],
        sure[taught].tolist(),
        [str(sources[row]) for row in taught],
        labeling.settings.seed,
    )
    task.save_examples(folder / "examples.parquet", examples)
    fields = [{"label": row["label"], "confidence": f"{row['confidence']:.3f}"} if row["label"] else {} for row in rows]
    entities = [
        task.Entity(entity_id=record, label=text, fields=record_fields)
        for record, text, record_fields in zip(labeling.ids, labeling.texts, fields, strict=True)
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
    effort=lambda _, facts: Effort(encoded=(facts.names,), vectors=facts.names.count),
)
LABEL: Stage[Config] = Stage(
    name="label",
    artifact=LabelArtifact,
    needs=(ImportArtifact, CheckArtifact, BaseVectors),
    wanted=_wants_labels,
    settings=_label_settings,
    run=label,
    version=2,
)
