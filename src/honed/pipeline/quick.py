"""A quick look: a sample of the test queries, the stored runs, nothing written."""

import dataclasses
from typing import Any

from honed.core.records import JudgedTask
from honed.data import task
from honed.data.split import unit_interval
from honed.evaluate.measures import DEFAULT_MEASURES
from honed.evaluate.score import TaskScores, task_ceiling
from honed.index.lexical import TfidfIndex
from honed.pipeline.project import Project
from honed.pipeline.stage import trained_encoder
from honed.pipeline.stages import BASE, TUNED, stored_vectors
from honed.pipeline.systems import encoder_run, text_run


def sampled(judged: JudgedTask, size: int, seed: int) -> JudgedTask:
    """Return a task with a fixed sample of its queries; the corpus stays whole."""
    order = sorted(judged.queries, key=lambda query: unit_interval(seed, query.query_id))[:size]
    kept = frozenset(query.query_id for query in order)
    queries = [query for query in judged.queries if query.query_id in kept]
    slices = {name: ids & kept for name, ids in judged.slices.items() if ids & kept}
    return dataclasses.replace(judged, queries=queries, slices=slices)


def quick_report(project: Project, size: int) -> dict[str, Any]:
    """Return a report over ``size`` test queries for base, tuned and one lexical system."""
    config = project.config
    artifacts = project.runner.run(until="index" if config.index else "check")
    seed = config.evaluate.seed if config.evaluate else 0
    judged = sampled(task.load_task(artifacts["check"].folder, task.FORWARD, "test"), size, seed)
    scores = TaskScores(judged, DEFAULT_MEASURES, seed=seed)
    scores.add(text_run("TF-IDF, character 2-4-grams", lambda texts: TfidfIndex(texts), judged, 10))
    from honed.encode.torch_encoder import TorchEncoder

    scores.add(encoder_run(BASE, TorchEncoder.load(config.model), judged, 10))
    if "train" in artifacts and "index" in artifacts:
        vectors = stored_vectors(artifacts["index"].folder)
        scores.add(encoder_run(TUNED, trained_encoder(config, artifacts), judged, 10, stored=vectors))
    comparisons = [scores.compare(TUNED, BASE, DEFAULT_MEASURES[0])] if TUNED in scores.scores else []
    return {
        "title": f"a sample of {len(judged.queries)} queries",
        "protocol": config.split.protocol,
        "direction": task.FORWARD,
        "n_queries": len(judged.queries),
        "n_candidates": len(judged.corpus),
        "ceiling": round(task_ceiling(judged), 5),
        "systems": scores.systems(),
        "comparisons": comparisons,
        "gates": [],
        "published": [],
        "reverse": {"systems": []},
    }
