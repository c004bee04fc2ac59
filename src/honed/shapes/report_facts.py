"""What the reports of all shapes say of the data and of how they were made, and what texts in classes compare."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np

from honed.artifacts.data import CheckArtifact
from honed.artifacts.models import TrainArtifact
from honed.config.config import Config
from honed.core.optional import installed_version
from honed.core.ranking import Rows
from honed.core.records import JudgedTask, Qrels, Query
from honed.core.stage import Work
from honed.evaluate.measures import Measure
from honed.evaluate.results import Comparison, GateResult, PublishedFigure, SystemResult
from honed.evaluate.score import Gate, TaskScores
from honed.evaluate.slices import script_slices
from honed.index.analysis import words_sentence
from honed.shapes.systems import BASE, TUNED, WORDS

_PACKAGES = ("honed", "torch", "sentence-transformers", "faiss-cpu")


def report_facts(work: Work[Config], protocol: str) -> dict[str, Any]:
    """Return the fields of a `Report` that tell of data, training, seed and versions."""
    published = work.config.evaluate.published if work.config.evaluate else ()
    trained = work.inputs.find(TrainArtifact)
    return {
        "title": work.config.title,
        "protocol": protocol,
        "published": [
            msgspec.convert(asdict(figure), PublishedFigure) for figure in published if figure.protocol == protocol
        ],
        "audit": work.inputs.need(CheckArtifact).audit(),
        "training": trained.history() if trained else None,
        "seed": work.config.seed,
        "words": words_sentence(work.config.language, work.config.stop_words),
        "versions": {name: installed_version(name) for name in _PACKAGES},
    }


def scores_of_classes(
    name: str, texts: Sequence[str], classes: Rows, names: Sequence[str], measures: Sequence[Measure], seed: int
) -> TaskScores:
    """Return empty scores for queries in classes ``(n,)``; every class with a query is a slice, and every script."""
    ids = [str(row) for row in range(len(texts))]
    of_classes = {label: frozenset(np.array(ids)[classes == number].tolist()) for number, label in enumerate(names)}
    task = JudgedTask(
        name=name,
        queries=[Query(query_id=query_id, text=text) for query_id, text in zip(ids, texts, strict=True)],
        corpus=[],
        qrels=Qrels(grades={}),
        groups={query_id: query_id for query_id in ids},
        slices={
            **{label: members for label, members in of_classes.items() if members},
            **script_slices(dict(zip(ids, texts, strict=True))),
        },
    )
    return TaskScores(task, measures, seed=seed)


def compared(
    work: Work[Config], scores: TaskScores, first: Measure
) -> tuple[list[SystemResult], list[Comparison], list[GateResult]]:
    """Return systems, comparisons and gates of a report on texts in classes."""
    best = scores.best([name for name in WORDS if name in scores.scores], first)
    pairs = [(TUNED, BASE), (TUNED, best)] if TUNED in scores.scores else [(BASE, best)]
    rules, gates, judged_by = work.config.gate, [], work.config.gate_measure(first)
    if rules:
        bounds = {
            "gain over base": (BASE, rules.gain_over_base),
            "gain over best baseline": (best, rules.gain_over_best_baseline),
        }
        gates = [
            Gate(name=name, candidate=TUNED, reference=reference, measure=judged_by, bound=bound)
            for name, (reference, bound) in bounds.items()
            if bound is not None
        ]
    comparisons = [scores.compare(*pair, measure) for pair in pairs for measure in scores.measures]
    return scores.systems(), comparisons, scores.judge(gates)
