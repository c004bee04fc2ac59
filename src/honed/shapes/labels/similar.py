"""Find similar: how well the vectors of labelled records keep their classes together, before and after fine-tuning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
import numpy as np

from honed.artifacts.data import BaseVectors
from honed.artifacts.index import IndexArtifact
from honed.artifacts.models import TrainArtifact
from honed.artifacts.report import Report
from honed.config.config import Config
from honed.core.errors import DataError
from honed.core.proportion import wilson
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.stage import Work
from honed.encode.models import encoder_source
from honed.evaluate.classes import MAP, Ranking, class_scores, completed, nearest
from honed.evaluate.measures import Measure
from honed.evaluate.results import Interval
from honed.index.lexical import TfidfIndex
from honed.label.learner import predict_probabilities
from honed.label.report import LabelReport
from honed.shapes.labels.labeling import LabelArtifact
from honed.shapes.labels.page import Cloud
from honed.shapes.labels.task import label_section
from honed.shapes.report_facts import compared, report_facts, scores_of_classes
from honed.shapes.shape import DevScore
from honed.shapes.systems import BASE, TFIDF, TUNED

CUTS = (5, 10, 20, 50, 100, 200, 500, 1000)
P10 = Measure("P", 10)
_FEWEST, _DOTS, _TAUGHT = 12, 1500, 20_000


class ClassReport(msgspec.Struct, kw_only=True):
    """How one class was recognised: shares, and the number of its test records."""

    precision: float
    recall: float
    f1: float
    n: int


class ClassifierReport(msgspec.Struct, kw_only=True):
    """A classifier on a system's vectors."""

    name: str
    accuracy: Interval
    classes: dict[str, ClassReport]


class Classification(msgspec.Struct, kw_only=True):
    """Classifiers trained on ``taught`` labels of train, measured on the test records."""

    taught: int
    systems: list[ClassifierReport]


class SimilarReport(Report, kw_only=True):
    """The report of find-similar; ``labels`` are the books of the labeling, ``picture`` the records as points."""

    classes: list[str]
    classification: Classification
    picture: list[Cloud]
    labels: LabelReport


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """Records with hand labels of some splits: their row numbers among all, texts, classes ``(n,)`` and splits."""

    rows: Rows
    texts: list[str]
    classes: Rows
    splits: list[str]


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The result of the stage "label": a row for each record, its text, and the names of the classes."""

    rows: list[dict[str, str]]
    texts: list[str]
    names: list[str]

    @classmethod
    def of(cls, artifact: LabelArtifact) -> Self:
        """Read the artifact of the stage."""
        return cls(rows=artifact.rows(), texts=artifact.texts(), names=artifact.report().classes)

    def by_hand(self, splits: Sequence[str]) -> LabelledRows:
        """Return the hand-labelled records of some splits; `DataError` when they are too few to measure with."""
        places = [place for place, row in enumerate(self.rows) if row["hand"] and row["split"] in splits]
        number = {name: at for at, name in enumerate(self.names)}
        classes = np.array([number[self.rows[place]["hand"]] for place in places], dtype=np.int64)
        counts = np.bincount(classes, minlength=len(self.names))
        if (counts >= 2).sum() < 2 or len(places) < _FEWEST:
            raise DataError(
                "E_SPLIT_EMPTY",
                f"{len(places)} hand labels in {' and '.join(splits)}: to measure, {_FEWEST} in two classes are needed",
            )
        return LabelledRows(
            rows=np.array(places),
            texts=[self.texts[place] for place in places],
            classes=classes,
            splits=[self.rows[place]["split"] for place in places],
        )


def similar_dev_score(work: Work[Config]) -> DevScore:
    """Return the dev score of training: mean average precision of dev's records among all hand-labelled ones.

    Hand labels only: weak ones would reward a model for the mistakes that it was taught.
    """
    labelled = Labels.of(work.inputs.need(LabelArtifact)).by_hand(("train", "dev"))
    dev = np.flatnonzero(np.array(labelled.splits) == "dev")
    if not len(dev):
        raise DataError("E_SPLIT_EMPTY", "the dev split has no hand label: set [split] dev, or label more records")
    return lambda encoder: mean_average_precision(encoder.encode(labelled.texts, "document"), labelled.classes, dev)


def mean_average_precision(vectors: Vectors, classes: Rows, queries: Rows) -> float:
    """Return the mean over some rows of the average precision of their class among all other rows."""
    rankings = nearest(vectors[queries], vectors, queries)
    return float(class_scores(rankings, classes[queries], classes, [MAP])[MAP].mean())


def similar_report(work: Work[Config]) -> SimilarReport:
    """Measure base and fine-tuned vectors on the test records, with a classifier on each."""
    artifact = work.inputs.need(LabelArtifact)
    labels = Labels.of(artifact)
    test = labels.by_hand(("test",))
    base, tuned = _vectors(work, labels)
    cuts = [cut for cut in CUTS if cut < len(test.rows)]
    measures = work.config.measures([Measure("P", cut) for cut in cuts])
    scores = scores_of_classes("find-similar", test.texts, test.classes, labels.names, measures, work.config.seed)
    everyone = np.arange(len(test.rows))
    words = _lexical_rankings(work.config, test)
    scores.scores[TFIDF] = class_scores(words, test.classes, test.classes, measures)
    systems = {BASE: base, **({TUNED: tuned} if tuned is not None else {})}
    for name, vectors in systems.items():
        test_vectors = vectors[test.rows]
        rankings = nearest(test_vectors, test_vectors, everyone, cuts[-1] if len(measures) == len(cuts) else 0)
        scores.scores[name] = class_scores(rankings, test.classes, test.classes, measures)
    results, comparisons, gates = compared(work, scores, P10 if P10 in measures else measures[0])
    scores.save(work.folder)
    return SimilarReport(
        **report_facts(work, "held-out"),
        direction="find-similar",
        headline=[str(measure) for measure in measures if measure.cut in (10, 100, 1000)],
        n_queries=len(test.rows),
        n_candidates=len(test.rows),
        ceiling=None,
        systems=results,
        comparisons=comparisons,
        gates=gates,
        classes=labels.names,
        classification=_classification(work.config.seed, labels, test, systems),
        picture=[Cloud(name=name, points=_main_plane(vectors, test)) for name, vectors in systems.items()],
        labels=artifact.report(),
    )


def _vectors(work: Work[Config], labels: Labels) -> tuple[Vectors, Vectors | None]:
    """Return base and fine-tuned vectors of all records; None where nothing was trained."""
    encoded = work.inputs.find(BaseVectors)
    if encoded is not None and label_section(work.config).learner != "fields":
        base = encoded.vectors()
    else:
        base = work.executor.encode(encoder_source(work.config.model), labels.texts, "document")
    if work.inputs.find(TrainArtifact) is None:
        return base, None
    stored = work.inputs.need(IndexArtifact).vector_of_text()
    return base, np.stack([stored[text] for text in labels.texts])


def _lexical_rankings(config: Config, test: LabelledRows) -> "list[Ranking]":
    index = TfidfIndex(test.texts, config.analyzer(test.texts))
    random, everyone = np.random.default_rng(config.seed), np.arange(len(test.rows))
    return list(completed(index.search(test.texts, len(test.texts)), len(test.texts), random, everyone))


def _classification(seed: int, labels: Labels, test: LabelledRows, systems: Mapping[str, Vectors]) -> Classification:
    """Return a classification report for each system: trained on the training labels, measured on test."""
    rows, number = labels.rows, {name: at for at, name in enumerate(labels.names)}
    taught = [place for place, row in enumerate(rows) if row["label"] and row["split"] == "train"]
    taught = sorted(np.random.default_rng(seed).permutation(taught)[:_TAUGHT].tolist())
    classes = np.array([number[rows[place]["label"]] for place in taught], dtype=np.int64)
    weights = np.array([rows[place]["confidence"] for place in taught])
    reports = []
    for name, vectors in systems.items():
        both = np.concatenate([vectors[taught], vectors[test.rows]])
        shares = predict_probabilities(both, np.arange(len(taught)), classes, weights, len(number))
        answers = shares[len(taught) :].argmax(axis=1)
        right = int((answers == test.classes).sum())
        low, high = wilson(right, len(answers))
        reports.append(
            ClassifierReport(
                name=name,
                accuracy=Interval(mean=right / len(answers), low=low, high=high).rounded(),
                classes={label: _class_report(answers, test, at) for label, at in number.items()},
            )
        )
    return Classification(taught=len(taught), systems=reports)


def _class_report(answers: Rows, test: LabelledRows, number: int) -> ClassReport:
    said, true = answers == number, test.classes == number
    precision = float((said & true).sum() / max(1, said.sum()))
    recall = float((said & true).sum() / max(1, true.sum()))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return ClassReport(precision=round(precision, 4), recall=round(recall, 4), f1=round(f1, 4), n=int(true.sum()))


def _main_plane(vectors: Vectors, test: LabelledRows) -> list[tuple[float, float, int]]:
    """Return points ``(x, y, class)`` of test records on the two main directions of their vectors."""
    spread = np.linspace(0, len(test.rows) - 1, min(len(test.rows), _DOTS)).astype(int)
    test_vectors = vectors[test.rows]
    centred = test_vectors - test_vectors.mean(axis=0)
    directions = np.linalg.svd(centred[spread], full_matrices=False)[2][:2]
    directions *= np.where(directions[np.arange(2), np.abs(directions).argmax(axis=1)] < 0, -1, 1)[:, None]
    return [
        (round(float(x), 4), round(float(y), 4), int(label))
        for (x, y), label in zip(centred[spread] @ directions.T, test.classes[spread], strict=True)
    ]
