"""What the reports of all shapes have in common: names of systems, titles, and how a result was made."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from honed.config.sections import Config
from honed.core.optional import installed_version
from honed.core.records import JudgedTask, Qrels, Query
from honed.evaluate.measures import Measure
from honed.evaluate.score import Gate, TaskScores
from honed.stages.stage import Work
from honed.stages.systems import BM25, TFIDF

BASE, TUNED, STUDENT = "base model", "fine-tuned", "student"
RERANKED, NAMES = " + reranked", " + known names"
LEXICAL = (TFIDF, BM25)


def title_of(config: Config) -> str:
    """Return what reports are named by."""
    return (config.evaluate.title if config.evaluate else "") or ", ".join(config.paths.input)


def language_of(config: Config) -> str:
    """Return the language of the stemmer."""
    return config.baselines.language if config.baselines else "english"


def depth_of(config: Config) -> int:
    """Return how many hits of each system are looked at."""
    depth = config.evaluate.k if config.evaluate else 20
    if config.judgments is None:
        return depth
    return max(depth, 100) * (4 if config.judgments.passages else 1)  # several passages are one document


def seed_of(config: Config) -> int:
    """Return the seed of what is drawn to measure."""
    return config.evaluate.seed if config.evaluate else 0


def made(work: Work, protocol: str) -> dict[str, Any]:
    """Return what every report says of its data and of how it was made."""
    published = work.config.evaluate.published if work.config.evaluate else ()
    packages = ("honed", "torch", "sentence-transformers", "faiss-cpu")
    return {
        "title": title_of(work.config),
        "protocol": protocol,
        "published": [asdict(each) for each in published if each.protocol == protocol],
        "audit": work.inputs["check"].read_json("audit.json"),
        "training": work.inputs["train"].read_json("history.json") if "train" in work.inputs else None,
        "headroom": None,
        "seed": seed_of(work.config),
        "versions": {name: installed_version(name) for name in packages},
    }


def class_scores_task(
    name: str, texts: Sequence[str], classes: Any, names: Sequence[str], measures: Sequence[Measure], seed: int
) -> TaskScores:
    """Return empty scores for queries in classes ``(n,)``; every class with a query is a slice."""
    ids = [str(row) for row in range(len(texts))]
    slices = {each: frozenset(np.array(ids)[classes == at].tolist()) for at, each in enumerate(names)}
    task = JudgedTask(
        name=name,
        queries=[Query(query_id=each, text=text) for each, text in zip(ids, texts, strict=True)],
        corpus=[],
        qrels=Qrels(grades={}),
        groups={each: each for each in ids},
        slices={each: found for each, found in slices.items() if found},
    )
    return TaskScores(task, measures, seed=seed)


def compared(work: Work, scores: TaskScores, first: Measure) -> dict[str, Any]:
    """Return systems, comparisons and gates of a report on texts in classes."""
    lexical = [name for name in LEXICAL if name in scores.scores]
    best = scores.best(lexical, first)
    pairs = [(TUNED, BASE), (TUNED, best)] if TUNED in scores.scores else [(BASE, best)]
    rules = work.config.gate
    gates = []
    if rules:
        bounds: Mapping[str, tuple[str, float | None]] = {
            "gain over base": (BASE, rules.gain_over_base),
            "gain over best baseline": (best, rules.gain_over_best_baseline),
        }
        gates = [
            Gate(name=name, candidate=TUNED, reference=reference, measure=first, bound=bound)
            for name, (reference, bound) in bounds.items()
            if bound is not None
        ]
    return {
        "systems": scores.systems(),
        "comparisons": [scores.compare(*pair, measure) for pair in pairs for measure in scores.measures],
        "gates": scores.judge(gates),
    }
