"""A quick look: a sample of the test queries, the stored runs, nothing written."""

from typing import Any

from honed.core.errors import ConfigError
from honed.data import task
from honed.evaluate.measures import DEFAULT_MEASURES
from honed.evaluate.score import TaskScores, task_ceiling
from honed.index.lexical import TfidfIndex
from honed.project.project import Project
from honed.stages.reports import BASE, TUNED, seed_of
from honed.stages.stage import sampled, stored_vectors, trained_encoder
from honed.stages.systems import encoder_run, text_run


def quick_report(project: Project, size: int) -> dict[str, Any]:
    """Return a report over ``size`` test queries for base, tuned and one lexical system."""
    config = project.config
    if config.data.shape != "aliases":
        raise ConfigError("E_OPTION", f'a quick look is for data.shape = "aliases", not "{config.data.shape}"')
    artifacts = project.runner.run(until="index" if config.index else "check")
    seed = seed_of(config)
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
