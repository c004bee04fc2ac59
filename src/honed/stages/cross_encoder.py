"""The stage "cross_encoder": a model that reads query and document together, trained on the mined examples."""

import logging
from dataclasses import asdict
from pathlib import Path

from honed.artifacts.data import Examples
from honed.artifacts.models import CrossEncoderArtifact, DraftArtifact
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort, Texts
from honed.core.json import Json
from honed.core.optional import require
from honed.core.protocols import PairScorer
from honed.core.stage import Stage, Work
from honed.encode.base_models import resolve
from honed.encode.models import NewCrossEncoder, encoder_source
from honed.shapes.judged import DEV_CHARS, judged_task
from honed.shapes.registry import shape_of
from honed.shapes.systems import encoder_run, mean_reciprocal_rank, narrowed, reranked, sampled
from honed.stages.mine import miner

log = logging.getLogger("honed.train")
_DEV_QUERIES = 300


def _settings(config: Config, root: Path) -> dict[str, Json]:
    settings: dict[str, Json] = asdict(config.cross_encoder) if config.cross_encoder else {}
    base = str(settings.get("base") or config.model.base)
    return {
        "cross_encoder": settings,
        "weights": resolve(base).weights,
        "candidates": encoder_source(config.model).identity(),
    }


def _run(work: Work[Config]) -> dict[str, Json]:
    """Train the cross-encoder; dev is the reranking of what the first model finds."""
    require("fine-tuning")
    from honed.train.cross_encoder import train_cross_encoder
    from honed.train.history import TrainingRun

    config = work.config.cross_encoder
    assert config is not None  # the stage is wanted only then
    main = shape_of(work.config).directions(work.config)[0].name
    dev = sampled(narrowed(judged_task(work.inputs, main, "dev"), DEV_CHARS), _DEV_QUERIES, config.seed)
    finder = work.executor.encoder(miner(work.config, work.inputs.find(DraftArtifact)))
    first = encoder_run("dev", finder, dev, config.depth)
    scorer = NewCrossEncoder(
        config.base or work.config.model.base, max_length=config.max_length, seed=config.seed
    ).load()

    def score(current: PairScorer) -> float:
        return mean_reciprocal_rank(reranked("dev", first, dev, current, config.depth), dev)

    examples = work.inputs.need(Examples).examples()
    trained = train_cross_encoder(scorer, examples, score, config, TrainingRun(folder=work.folder, logs=work.logs))
    before, after = mean_reciprocal_rank(first, dev), max(point.score for point in trained.history.dev[1:])
    if after < before:
        log.warning("the cross-encoder ranks dev worse (MRR@10 %.3f) than what it was given (%.3f)", after, before)
    return {"dev_without": before, "dev": after}


def _effort(config: Config, facts: DataFacts) -> Effort:
    section = config.cross_encoder
    assert section is not None  # the stage is wanted only then
    length = facts.anchors.tokens + facts.positives.tokens
    pairs = facts.examples * (1 + section.negatives) * section.epochs
    looks = min(_DEV_QUERIES, facts.dev.count) * section.depth * (section.evaluations + 1)
    return Effort(
        encoded=(Texts(count=looks, tokens=length), facts.dev_documents),
        trained=(Texts(count=pairs, tokens=length),),
        mb=16 * facts.parameters,
    )


STAGE: Stage[Config] = Stage(
    name="cross_encoder",
    artifact=CrossEncoderArtifact,
    needs=(Examples, DraftArtifact),
    wanted=lambda config: config.cross_encoder is not None,
    settings=_settings,
    run=_run,
    resumes=True,
    draws=True,
    effort=_effort,
)
