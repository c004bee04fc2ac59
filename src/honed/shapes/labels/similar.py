"""Find similar: how well the vectors of labelled records keep their classes together, before and after fine-tuning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from honed.core.artifacts import write_json
from honed.core.errors import DataError
from honed.core.proportion import wilson
from honed.core.protocols import Encoder, Vectors
from honed.core.ranking import Rows
from honed.data import task
from honed.evaluate.classes import MAP, class_scores, completed, nearest
from honed.evaluate.html import render_similar
from honed.evaluate.measures import Measure, Scores
from honed.index.analysis import Analyzer
from honed.index.lexical import TfidfIndex
from honed.label.learner import predict_probabilities
from honed.shapes.labels.labeling import LABELS, REPORT, VECTORS, settings_of
from honed.stages.reports import BASE, TUNED, class_scores_task, compared, language_of, made, seed_of
from honed.stages.stage import Work, base_encoder, stored_vectors
from honed.stages.systems import TFIDF

CUTS = (5, 10, 20, 50, 100, 200, 500, 1000)
P10 = Measure("P", 10)
_FEWEST, _DOTS, _TAUGHT = 12, 1500, 20_000


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Records with hand labels of some splits: their row numbers among all, texts, classes ``(n,)`` and splits."""

    rows: Rows
    texts: list[str]
    classes: Rows
    splits: list[str]


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What the stage "label" left, read once: a row for each record, its text, and the names of the classes."""

    rows: list[dict[str, Any]]
    texts: list[str]
    names: list[str]

    @classmethod
    def read(cls, work: Work) -> Self:
        """Read the artifact of the stage."""
        artifact = work.inputs["label"]
        return cls(
            rows=task.read_rows(artifact.folder / LABELS),
            texts=[row["label"] for row in task.read_rows(artifact.folder / "entities.parquet")],
            names=artifact.read_json(REPORT)["classes"],
        )

    def judged(self, splits: Sequence[str]) -> Judged:
        """Return the hand-labelled records of some splits; `DataError` when they are too few to measure with."""
        at = [row for row, each in enumerate(self.rows) if each["hand"] and each["split"] in splits]
        classes = np.array([self.names.index(self.rows[row]["hand"]) for row in at], dtype=np.int64)
        counts = np.bincount(classes, minlength=len(self.names))
        if (counts >= 2).sum() < 2 or len(at) < _FEWEST:
            raise DataError(
                "E_SPLIT_EMPTY",
                f"{len(at)} hand labels in {' and '.join(splits)}: to measure, {_FEWEST} in two classes are needed",
            )
        return Judged(
            rows=np.array(at),
            texts=[self.texts[row] for row in at],
            classes=classes,
            splits=[self.rows[row]["split"] for row in at],
        )


def dev_score_of(work: Work) -> Callable[[Encoder], float]:
    """Return what scores a model in training: average precision of dev's records among all hand-labelled ones.

    Hand labels only: weak ones would reward a model for the mistakes that it was taught.
    """
    judged = Labelled.read(work).judged(("train", "dev"))
    asked = np.flatnonzero(np.array(judged.splits) == "dev")
    if not len(asked):
        raise DataError("E_SPLIT_EMPTY", "the dev split has no hand label: set [split] dev, or label more records")
    return lambda encoder: mean_average_precision(encoder.encode(judged.texts, "document"), judged.classes, asked)


def mean_average_precision(vectors: Vectors, classes: Rows, asked: Rows) -> float:
    """Return the mean over asked rows of the average precision of their class among all other rows."""
    rankings = nearest(vectors[asked], vectors, asked)
    return float(class_scores(rankings, classes[asked], classes, [MAP])[MAP].mean())


def evaluate(work: Work) -> Mapping[str, Any]:
    """Measure base and fine-tuned vectors on the test records, with a classifier on each, pictures and gates."""
    labelled = Labelled.read(work)
    judged = labelled.judged(("test",))
    base, tuned = _vectors(work, labelled)
    cuts = [cut for cut in CUTS if cut < len(judged.rows)]
    measures = [Measure("P", cut) for cut in cuts]
    scores = class_scores_task(
        "find-similar", judged.texts, judged.classes, labelled.names, measures, seed_of(work.config)
    )

    def scored(rankings: Any) -> dict[Measure, Scores]:
        return class_scores(rankings, judged.classes, judged.classes, measures)

    everyone = np.arange(len(judged.rows))
    scores.scores[TFIDF] = scored(_lexical(work, judged))
    systems = {BASE: base, **({TUNED: tuned} if tuned is not None else {})}
    for name, found in systems.items():
        own = found[judged.rows]
        scores.scores[name] = scored(nearest(own, own, everyone, cuts[-1]))
    first = P10 if P10 in measures else measures[0]
    report = {
        **made(work, "held-out"),
        "direction": "find-similar",
        "headline": [str(each) for each in measures if each.cut in (10, 100, 1000)],
        "n_queries": len(judged.rows),
        "n_candidates": len(judged.rows),
        "ceiling": None,
        **compared(work, scores, first),
        "classes": labelled.names,
        "classification": _classification(work, labelled, judged, systems),
        "picture": [{"name": name, "points": _main_plane(found, judged)} for name, found in systems.items()],
        "labels": work.inputs["label"].read_json(REPORT),
    }
    scores.save(work.folder)
    write_json(work.folder / "report.json", report)
    (work.folder / "report.html").write_text(render_similar(report, str(first)), encoding="utf-8")
    return {"gates": report["gates"]}


def _vectors(work: Work, labelled: Labelled) -> tuple[Vectors, Vectors | None]:
    """Return base and fine-tuned vectors of all records; None where nothing was trained."""
    joined = "encode" in work.inputs and settings_of(work.config).learner != "fields"
    base = (
        np.load(work.inputs["encode"].path(VECTORS), allow_pickle=False)
        if joined
        else base_encoder(work.config).encode(labelled.texts, "document")
    )
    if "train" not in work.inputs:
        return base, None
    stored = stored_vectors(work.inputs["index"].folder)
    return base, np.stack([stored[text] for text in labelled.texts])


def _lexical(work: Work, judged: Judged) -> Any:
    index = TfidfIndex(judged.texts, Analyzer(language_of(work.config)))
    random, everyone = np.random.default_rng(seed_of(work.config)), np.arange(len(judged.rows))
    return completed(index.search(judged.texts, len(judged.texts)), len(judged.texts), random, everyone)


def _classification(work: Work, labelled: Labelled, judged: Judged, systems: Mapping[str, Vectors]) -> dict[str, Any]:
    """Return a classification report for each system: a classifier taught the training labels, asked the test."""
    rows, names = labelled.rows, labelled.names
    taught = [at for at, row in enumerate(rows) if row["label"] and row["split"] == "train"]
    taught = sorted(np.random.default_rng(seed_of(work.config)).permutation(taught)[:_TAUGHT].tolist())
    classes = np.array([names.index(rows[at]["label"]) for at in taught], dtype=np.int64)
    weights = np.array([rows[at]["confidence"] for at in taught])
    found = []
    for name, vectors in systems.items():
        some = np.concatenate([vectors[taught], vectors[judged.rows]])
        shares = predict_probabilities(some, np.arange(len(taught)), classes, weights, len(names))
        answers = shares[len(taught) :].argmax(axis=1)
        right = int((answers == judged.classes).sum())
        low, high = wilson(right, len(answers))
        found.append(
            {
                "name": name,
                "accuracy": {"mean": round(right / len(answers), 5), "low": round(low, 5), "high": round(high, 5)},
                "classes": {each: _class_report(answers, judged, at) for at, each in enumerate(names)},
            }
        )
    return {"taught": len(taught), "systems": found}


def _class_report(answers: npt.NDArray[np.int64], judged: Judged, each: int) -> dict[str, float]:
    said, true = answers == each, judged.classes == each
    precision = float((said & true).sum() / max(1, said.sum()))
    recall = float((said & true).sum() / max(1, true.sum()))
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4), "n": int(true.sum())}


def _main_plane(vectors: Vectors, judged: Judged) -> list[list[float]]:
    """Return points ``[x, y, class]`` of test records on the two main directions of their vectors."""
    spread = np.linspace(0, len(judged.rows) - 1, min(len(judged.rows), _DOTS)).astype(int)
    own = vectors[judged.rows]
    centred = own - own.mean(axis=0)
    directions = np.linalg.svd(centred[spread], full_matrices=False)[2][:2]
    directions *= np.where(directions[np.arange(2), np.abs(directions).argmax(axis=1)] < 0, -1, 1)[:, None]
    return [
        [round(float(x), 4), round(float(y), 4), int(each)]
        for (x, y), each in zip(centred[spread] @ directions.T, judged.classes[spread], strict=True)
    ]
