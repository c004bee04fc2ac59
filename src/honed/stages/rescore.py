"""The stage "rescore": the cross-encoder scores the candidates, and chooses negatives where asked."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from honed.artifacts.data import Examples
from honed.artifacts.models import MINING, CrossEncoderArtifact, MineArtifact, RescoreArtifact
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort, Texts
from honed.core.json import Json
from honed.core.protocols import PairScorer
from honed.core.records import Example
from honed.core.stage import Stage, Work
from honed.data import task
from honed.stages.mining import REJECTED, MiningTexts, save_mined, unseen_pairs

if TYPE_CHECKING:
    from honed.train.mine import Candidates

_DEV_PAIRS = 1000


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {"mine": asdict(config.mine) if config.mine else None}


def _run(work: Work[Config]) -> dict[str, Json]:
    from honed.train.mine import Candidates, choose_negatives

    config, mined = work.config.mine, work.inputs.need(MineArtifact)
    assert config is not None  # the stage is wanted only then
    scorer = work.executor.model(work.inputs.need(CrossEncoderArtifact).scorer())
    arrays = mined.candidates()
    candidates = Candidates(**arrays, rejected=mined.read(REJECTED, dict[str, int]))
    examples = mined.examples()
    chosen = mined.manifest.facts["chosen"]
    if config.rescore:
        texts = MiningTexts.of(work)
        candidates = rescored(candidates, texts.anchors, texts.documents, scorer)
        unseen = None
        if dev := unseen_pairs(work, _DEV_PAIRS):
            unseen = scorer.score([(query, texts.documents[row]) for query, row in zip(*dev, strict=True)])
        negatives = choose_negatives(candidates, config, unseen)
        examples = texts.with_negatives(negatives.negatives)
        chosen = save_mined(work, texts, candidates, negatives)["chosen"]
    else:
        shutil.copyfile(mined.path(MINING), work.folder / MINING)
    task.save_examples(work.folder / task.EXAMPLES, with_scores(examples, scorer))
    return {"chosen": chosen, "candidates": int((candidates.rows >= 0).sum())}


def rescored(
    candidates: "Candidates", anchors: Sequence[str], documents: Sequence[str], scorer: PairScorer
) -> "Candidates":
    """Return candidates in the order, and with the scores, of a cross-encoder."""
    from honed.train.mine import Candidates

    places = np.argwhere(candidates.rows >= 0)
    pairs = [(anchors[anchor], documents[candidates.rows[anchor, at]]) for anchor, at in places.tolist()]
    scores = np.full(candidates.rows.shape, -np.inf, dtype=np.float32)
    scores[places[:, 0], places[:, 1]] = scorer.score(pairs)
    order = np.argsort(-scores, axis=1, kind="stable")
    known = [(anchors[anchor], documents[row]) for anchor, row in candidates.positives.tolist()]
    return Candidates(
        rows=np.take_along_axis(candidates.rows, order, axis=1),
        scores=np.take_along_axis(scores, order, axis=1),
        positives=candidates.positives,
        positive_scores=scorer.score(known),
        rejected=candidates.rejected,
    )


def with_scores(examples: Sequence[Example], scorer: PairScorer) -> list[Example]:
    """Return examples with a cross-encoder's scores of their positives and negatives."""
    pairs = [(example.anchor, text) for example in examples for text in (example.positive, *example.negatives)]
    score = dict(zip(pairs, scorer.score(pairs).tolist(), strict=True))
    return [
        replace(
            example,
            teacher=tuple(score[example.anchor, text] for text in (example.positive, *example.negatives)),
        )
        for example in examples
    ]


def _effort(config: Config, facts: DataFacts) -> Effort:
    assert config.mine is not None  # it goes with the candidates
    depth = config.mine.depth if config.mine.rescore else 0
    pairs = facts.anchors.count * depth + facts.examples * (1 + config.mine.negatives)
    return Effort(encoded=(Texts(count=pairs, tokens=facts.anchors.tokens + facts.positives.tokens),))


STAGE: Stage[Config] = Stage(
    name="rescore",
    artifact=RescoreArtifact,
    needs=(Examples, CrossEncoderArtifact),
    wanted=lambda config: bool(config.wants_scores),
    settings=_settings,
    run=_run,
    effort=_effort,
)
