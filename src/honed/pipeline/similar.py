"""Find similar: how well the vectors of labelled records keep their classes together, before and after fine-tuning."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.core.artifacts import write_json
from honed.core.errors import DataError
from honed.core.optional import installed_version
from honed.core.proportion import wilson
from honed.core.protocols import Encoder, Vectors
from honed.core.records import JudgedTask, Qrels, Query
from honed.data import task
from honed.evaluate.html import render_similar
from honed.evaluate.measures import Measure
from honed.evaluate.score import Gate, TaskScores
from honed.index.flat import FlatIndex
from honed.index.lexical import Analyzer, TfidfIndex
from honed.label.learner import classify
from honed.pipeline.labelling import LABELS, REPORT, VECTORS, title_of
from honed.pipeline.stage import Work, base_encoder, stored_vectors

CUTS = (5, 10, 20, 50, 100, 200, 500, 1000)
P10 = Measure("P", 10)
BASE, TUNED, WORDS = "base model", "fine-tuned", "TF-IDF, stemmed words"
_FEWEST, _DOTS, _TAUGHT = 12, 1500, 20_000


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Records with hand labels of one split: their row numbers among all records, texts and classes ``(n,)``."""

    rows: npt.NDArray[np.int64]
    texts: list[str]
    classes: npt.NDArray[np.int64]
    names: list[str]


def judged_records(work: Work, splits: Sequence[str]) -> Judged:
    """Return the hand-labelled records of some splits; `DataError` when they are too few to measure with."""
    labels = task.read_rows(work.inputs["label"].folder / LABELS)
    texts = [row["label"] for row in task.read_rows(work.inputs["label"].folder / "entities.parquet")]
    names = work.inputs["label"].read_json(REPORT)["classes"]
    rows = [at for at, row in enumerate(labels) if row["hand"] and row["split"] in splits]
    classes = np.array([names.index(labels[at]["hand"]) for at in rows], dtype=np.int64)
    counts = np.bincount(classes, minlength=len(names))
    if (counts >= 2).sum() < 2 or len(rows) < _FEWEST:
        raise DataError(
            "E_SPLIT_EMPTY",
            f"{len(rows)} hand labels in {' and '.join(splits)}: to measure, {_FEWEST} in two classes are needed",
        )
    return Judged(rows=np.array(rows), texts=[texts[at] for at in rows], classes=classes, names=names)


def dev_score_of(work: Work) -> Callable[[Encoder], float]:
    """Return what scores a model in training: average precision of dev's records among all hand-labelled ones.

    Hand labels only: weak ones would reward a model for the mistakes that it was taught.
    """
    judged = judged_records(work, ("train", "dev"))
    labels = task.read_rows(work.inputs["label"].folder / LABELS)
    asked = np.flatnonzero([labels[at]["split"] == "dev" for at in judged.rows])
    if not len(asked):
        raise DataError("E_SPLIT_EMPTY", "the dev split has no hand label: set [split] dev, or label more records")

    def score(encoder: Encoder) -> float:
        vectors = encoder.encode(judged.texts, "document")
        return float(average_precision(vectors, judged.classes, asked).mean())

    return score


def average_precision(vectors: Vectors, classes: npt.NDArray[np.int64], asked: npt.NDArray[np.int64]) -> Any:
    """Return for each asked row ``(n_asked,)`` the average precision of its class among all other rows."""
    found = []
    for row in asked:
        likeness = vectors @ vectors[row]
        order = np.argsort(-likeness, kind="stable")
        right = (classes[order[order != row]] == classes[row]).astype(float)
        ranks = np.cumsum(right) / np.arange(1, len(right) + 1)
        found.append((ranks * right).sum() / max(1.0, right.sum()))
    return np.array(found)


def neighbours(vectors: Vectors, k: int) -> npt.NDArray[np.int64]:
    """Return the ``k`` nearest other rows of each row ``(n, k)``."""
    return without_self(FlatIndex(vectors).search(vectors, k + 1)[1])


def without_self(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return neighbours ``(n, k)`` of ``(n, k + 1)`` ones: without the own row, or the last where that is not there."""
    own = rows == np.arange(len(rows))[:, None]
    own[~own.any(axis=1), -1] = True
    return np.asarray(rows[~own].reshape(len(rows), -1))


def precision_at(
    rows: npt.NDArray[np.int64], classes: npt.NDArray[np.int64], cuts: Sequence[int]
) -> dict[Measure, npt.NDArray[np.float64]]:
    """Return P@k of each query ``(n,)``: the share of its first k neighbours ``(n, k)`` that are of its class."""
    right = np.cumsum(classes[rows] == classes[:, None], axis=1)
    return {Measure("P", cut): right[:, cut - 1] / cut for cut in cuts if cut <= rows.shape[1]}


def evaluate(work: Work) -> Mapping[str, Any]:
    """Measure base and fine-tuned vectors on the test records, with a classifier on each, pictures and gates."""
    settings, judged = work.config.evaluate, judged_records(work, ("test",))
    assert settings is not None  # the stage is wanted only then
    labels = work.inputs["label"].read_json(REPORT)
    base, tuned = _vectors(work, judged)
    cuts = [cut for cut in CUTS if cut < len(judged.rows)]
    ids = [str(row) for row in judged.rows]
    slices = {name: frozenset(np.array(ids)[judged.classes == at]) for at, name in enumerate(judged.names)}
    asked = JudgedTask(
        name="find-similar",
        queries=[Query(query_id=each, text=text) for each, text in zip(ids, judged.texts, strict=True)],
        corpus=[],
        qrels=Qrels(grades={}),
        groups={each: each for each in ids},
        slices={name: found for name, found in slices.items() if found},
    )
    scores = TaskScores(asked, [Measure("P", cut) for cut in cuts], seed=settings.seed)
    scores.scores[WORDS] = precision_at(_lexical(work, judged, cuts[-1]), judged.classes, cuts)
    systems = {BASE: base, **({TUNED: tuned} if tuned is not None else {})}
    for name, found in systems.items():
        scores.scores[name] = precision_at(neighbours(found[judged.rows], cuts[-1]), judged.classes, cuts)
    pairs = [(TUNED, BASE), (TUNED, WORDS)] if tuned is not None else [(BASE, WORDS)]
    rules = work.config.gate
    bound = rules.gain_over_base if rules else 0.0
    gates = [Gate(name="gain over base", candidate=TUNED, reference=BASE, measure=P10, bound=bound)]
    report = {
        "title": title_of(work.config),
        "protocol": "held-out",
        "direction": "find-similar",
        "headline": [str(each) for each in scores.measures if each.cut in (10, 100, 1000)],
        "n_queries": len(ids),
        "n_candidates": len(ids),
        "ceiling": None,
        "systems": scores.systems(),
        "comparisons": [scores.compare(*pair, measure) for pair in pairs for measure in scores.measures],
        "gates": scores.judge(gates) if rules else [],
        "published": [asdict(each) for each in settings.published],
        "classes": judged.names,
        "classification": _classification(work, judged, systems),
        "picture": [{"name": name, "points": _main_plane(found, judged)} for name, found in systems.items()],
        "labels": labels,
        "headroom": None,
        "audit": work.inputs["check"].read_json("audit.json"),
        "training": work.inputs["train"].read_json("history.json") if "train" in work.inputs else None,
        "seed": settings.seed,
        "versions": {name: installed_version(name) for name in ("honed", "torch", "sentence-transformers")},
    }
    write_json(work.folder / "report.json", report)
    first = str(P10 if 10 in cuts else Measure("P", cuts[0]))
    (work.folder / "report.html").write_text(render_similar(report, first), encoding="utf-8")
    return {"gates": report["gates"]}


def _vectors(work: Work, judged: Judged) -> tuple[Vectors, Vectors | None]:
    """Return base and fine-tuned vectors of all records; None where nothing was trained."""
    texts = [row["label"] for row in task.read_rows(work.inputs["label"].folder / "entities.parquet")]
    joined = work.config.label is None or work.config.label.learner != "fields"
    base = (
        np.load(work.inputs["encode"].path(VECTORS), allow_pickle=False)
        if joined
        else base_encoder(work.config).encode(texts, "document")
    )
    if "train" not in work.inputs:
        return base, None
    stored = stored_vectors(work.inputs["index"].folder)
    return base, np.stack([stored[text] for text in texts])


def _lexical(work: Work, judged: Judged, k: int) -> npt.NDArray[np.int64]:
    language = work.config.baselines.language if work.config.baselines else "english"
    index = TfidfIndex(judged.texts, Analyzer(language))
    rows = np.empty((len(judged.texts), k + 1), dtype=np.int64)
    random = np.random.default_rng(work.config.evaluate.seed if work.config.evaluate else 0)
    for start in range(0, len(judged.texts), 256):
        found = index.search(judged.texts[start : start + 256], k + 1)
        for at, hits in enumerate(found, start):
            near = [row for row, _ in hits]
            rest = random.permutation(np.setdiff1d(np.arange(len(judged.texts)), near))  # all as far: in any order
            rows[at] = [*near, *rest[: k + 1 - len(near)]]
    return without_self(rows)


def _classification(work: Work, judged: Judged, systems: Mapping[str, Vectors]) -> dict[str, Any]:
    """Return a classification report for each system: a classifier taught the training labels, asked the test."""
    labels = task.read_rows(work.inputs["label"].folder / LABELS)
    taught = [at for at, row in enumerate(labels) if row["label"] and row["split"] == "train"]
    seed = work.config.evaluate.seed if work.config.evaluate else 0
    taught = sorted(np.random.default_rng(seed).permutation(taught)[:_TAUGHT].tolist())
    classes = np.array([judged.names.index(labels[at]["label"]) for at in taught], dtype=np.int64)
    weights = np.array([labels[at]["confidence"] for at in taught])
    found = []
    for name, vectors in systems.items():
        some = np.concatenate([vectors[taught], vectors[judged.rows]])
        shares = classify(some, np.arange(len(taught)), classes, weights, len(judged.names))
        answers = shares[len(taught) :].argmax(axis=1)
        right = int((answers == judged.classes).sum())
        low, high = wilson(right, len(answers))
        found.append(
            {
                "name": name,
                "accuracy": {"mean": round(right / len(answers), 5), "low": round(low, 5), "high": round(high, 5)},
                "classes": {each: _class_report(answers, judged, at) for at, each in enumerate(judged.names)},
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
