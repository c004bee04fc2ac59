"""The stage "mine": hard negatives for the training examples."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from honed.artifacts.data import Examples
from honed.artifacts.models import DraftArtifact, MineArtifact
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort
from honed.core.json import Json
from honed.core.protocols import TextIndex
from honed.core.stage import Stage, Work
from honed.data import task
from honed.encode.models import EncoderSource, encoder_source
from honed.index.lexical import Bm25Index, TfidfIndex
from honed.stages.mining import MiningTexts, save_candidates, save_mined, unseen_pairs


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {
        "mine": asdict(config.mine) if config.mine else None,
        "language": config.language,
        **({"stop_words": config.stop_words} if config.mine and "bm25" in config.mine.candidates else {}),
        "model": encoder_source(config.model).identity(),
    }


def _run(work: Work[Config]) -> dict[str, Json]:
    """Find candidates with the first model or the base model, and choose negatives among them."""
    from honed.train.mine import choose_negatives, find_candidates

    config, texts = work.config.mine, MiningTexts.of(work)
    assert config is not None  # the stage is wanted only then
    draft = work.inputs.find(DraftArtifact)
    source = miner(work.config, draft)
    anchors = texts.anchors, work.executor.encode(source, texts.anchors, "query")
    documents = texts.documents, work.executor.encode(source, texts.documents, "document")
    candidates = find_candidates(anchors, documents, texts.known, _lexical(work.config, texts.documents), config)
    unseen = None
    if draft is not None and (pairs := unseen_pairs(work)):
        queries, rows = pairs
        unseen = (work.executor.encode(source, queries, "query") * documents[1][rows]).sum(axis=1)
    mined = choose_negatives(candidates, config, unseen)
    save_candidates(work.folder, candidates)
    task.save_examples(work.folder / task.EXAMPLES, texts.with_negatives(mined.negatives))
    return save_mined(work, texts, candidates, mined)


def miner(config: Config, draft: DraftArtifact | None) -> EncoderSource:
    """Return the model that candidates are searched with: the draft, or the base model."""
    return draft.source(config.model.precision) if draft else encoder_source(config.model)


def _lexical(config: Config, documents: Sequence[str]) -> list[TextIndex]:
    sources = config.mine.candidates if config.mine else ()
    indexes: list[TextIndex] = []
    if "bm25" in sources:
        indexes.append(Bm25Index(documents, config.analyzer(documents)))
    if "tfidf" in sources:
        indexes.append(TfidfIndex(documents))
    return indexes


def _effort(config: Config, facts: DataFacts) -> Effort:
    assert config.mine is not None  # the stage is wanted only then
    pairs = facts.anchors.count * facts.documents.count
    words = len(set(config.mine.candidates) - {"encoder"})
    return Effort(
        encoded=(facts.anchors, facts.documents), compared=pairs, matched=words * pairs, vectors=facts.documents.count
    )


STAGE: Stage[Config] = Stage(
    name="mine",
    artifact=MineArtifact,
    needs=(Examples, DraftArtifact),
    wanted=lambda config: config.mine is not None,
    settings=_settings,
    run=_run,
    draws=True,
    command="Mine hard negatives, and show how they were chosen.",
    effort=_effort,
)
