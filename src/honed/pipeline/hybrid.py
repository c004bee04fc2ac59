"""The hybrid retriever: words, letters, initials, known names and meaning, together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from honed.core.artifacts import write_json
from honed.core.records import JudgedTask, Run
from honed.data import task
from honed.index.fusion import LearnedFusion, reciprocal_ranks
from honed.pipeline.config import Config
from honed.pipeline.reports import depth_of, language_of
from honed.pipeline.stage import Work, judged, model_key, stored_vectors, trained_encoder
from honed.pipeline.systems import encoder_run, lexical_runs, word_runs

FUSION, DENSE = "fusion.json", "dense"
HYBRID, RANKS = "hybrid, learned", "hybrid, by ranks"


def fusion_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the fusion."""
    settings = asdict(config.hybrid) if config.hybrid else None
    return {
        "hybrid": settings,
        "depth": depth_of(config),
        "language": language_of(config),
        "model": model_key(config, root),
    }


def fusion(work: Work) -> Mapping[str, Any]:
    """Learn on dev how much each system counts; dev, because the model has seen the queries of train."""
    dev, k = judged(work, task.FORWARD, "dev"), depth_of(work.config)
    lexical = lexical_of(work, dev, k)
    vectors = stored_vectors(work.inputs["index"].folder)
    dense = encoder_run(DENSE, trained_encoder(work.config, work.inputs), dev, k, stored=vectors)
    runs = [*lexical, dense]
    learned = LearnedFusion.fit(
        [run.name for run in runs],
        (
            (query.text, [run.hits.get(query.query_id, ()) for run in runs], dev.qrels.grades[query.query_id])
            for query in dev.queries
        ),
        penalty=work.config.hybrid.penalty if work.config.hybrid else 1.0,
    )
    write_json(work.folder / FUSION, learned.as_dict())
    return {"systems": list(learned.systems), "queries": len(dev.queries)}


def lexical_of(work: Work, asked: JudgedTask, k: int) -> list[Run]:
    """Return the runs of the systems that need no model."""
    language = language_of(work.config)
    if work.config.data.shape == "judgments":
        return word_runs(asked, language, k)
    return lexical_runs(asked, task.load_names(work.inputs["check"].folder), language, k)


def hybrid_runs(work: Work, asked: JudgedTask, lexical: Sequence[Run], dense: Run, k: int) -> list[Run]:
    """Return the fused runs: by the weights that were learned, and by reciprocal ranks, which need none.

    ``lexical`` are runs of the same names as in `fusion`, in any order.
    """
    learned = LearnedFusion.from_dict(work.inputs["hybrid"].read_json(FUSION))
    named = {**{run.name: run for run in lexical}, DENSE: dense}
    runs = [named[name] for name in learned.systems]
    hits: dict[str, dict[str, Any]] = {HYBRID: {}, RANKS: {}}
    for query in asked.queries:
        rankings = [run.hits.get(query.query_id, ()) for run in runs]
        hits[HYBRID][query.query_id] = learned.fuse(query.text, rankings, k)
        hits[RANKS][query.query_id] = reciprocal_ranks(rankings, k)
    return [Run.sorted(name, found) for name, found in hits.items()]
