"""Will tuning help? Asked of dev before training, checked against test after it."""

import logging
from pathlib import Path

import msgspec
import numpy as np

from honed.artifacts.data import CheckArtifact
from honed.artifacts.evaluation import HEADROOM, HeadroomArtifact
from honed.config.config import Config
from honed.core.effort import DataFacts, Effort
from honed.core.errors import TrainingError
from honed.core.json import Json
from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.records import JudgedTask, Run
from honed.core.stage import Stage, Work
from honed.core.text import fold
from honed.core.writing import write_json
from honed.data import task
from honed.encode.models import encoder_source
from honed.evaluate.headroom import Expected, Headroom
from honed.evaluate.measures import Measure
from honed.evaluate.score import TaskScores, task_ceiling
from honed.index.exact import FlatIndex
from honed.index.lexical import InitialismTfidfIndex
from honed.shapes.judged import measured_task
from honed.shapes.registry import shape_of
from honed.shapes.systems import BASE, INITIALS_LETTERS, hits_of, text_run

log = logging.getLogger("honed.train")
_R1 = Measure("R", 1)
_PROBE = "linear map over the base model"


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {"model": encoder_source(config.model).identity(), **config.query_settings}


def _run(work: Work[Config]) -> dict[str, Json]:
    """Estimate on dev, from base vectors and a lexical baseline, whether fine-tuning is likely to help."""
    require("fine-tuning")
    from honed.train.probe import apply_linear_map, fit_linear_map

    dev = measured_task(work, task.FORWARD, "dev")
    examples = work.inputs.need(CheckArtifact).examples()
    asked = {fold(query.text) for query in dev.queries}
    examples = [
        example for example in examples if fold(example.anchor) not in asked
    ]  # in a catalogue dev is trained on too
    if len(examples) < 2:
        raise TrainingError("E_TRAIN_EMPTY", f"{len(examples)} training examples; at least 2 are needed")
    encoder = work.executor.encoder(encoder_source(work.config.model))
    anchors = encoder.encode([example.anchor for example in examples], "query")
    documents = encoder.encode([doc.encoder_text() for doc in dev.corpus], "document")
    row_of = {doc.encoder_text(): row for row, doc in enumerate(dev.corpus)}
    positives = documents[[row_of[example.positive] for example in examples]]
    queries = encoder.encode([query.text for query in dev.queries], "query")
    through = fit_linear_map(anchors, positives, examples)
    scores = TaskScores(dev, [_R1])
    scores.add(_exact_run(BASE, dev, queries, documents))
    scores.add(_exact_run(_PROBE, dev, apply_linear_map(queries, through), apply_linear_map(documents, through)))
    scores.add(text_run(INITIALS_LETTERS, InitialismTfidfIndex, dev, 10))
    estimate = verdict(scores, task_ceiling(dev))
    log.info(estimate.said)
    write_json(work.folder / HEADROOM, estimate)
    return {"likely": estimate.likely, "expected": msgspec.to_builtins(estimate.expected)}


def _exact_run(name: str, dev: JudgedTask, queries: Vectors, documents: Vectors) -> Run:
    return Run.sorted(name, hits_of(dev, *FlatIndex(documents).search(queries, 10)))


def verdict(scores: TaskScores, ceiling: float) -> Headroom:
    """Return the expected gain of fine-tuning: at least that of the linear map, at most up to the ceiling."""
    measured = {name: float(np.mean(scores.scores[name][_R1])) for name in (BASE, _PROBE, INITIALS_LETTERS)}
    gain = scores.compare(_PROBE, BASE, _R1).difference
    most = max(0.0, ceiling - measured[BASE])
    likely = "likely" if gain.low > 0 else "unlikely" if gain.high < 0.01 else "unclear"
    helps = f"tuning is {likely} to help"
    if likely == "unclear":
        helps = "whether tuning helps is unclear, more pairs would tell"
    said = (
        f"headroom on dev (R@1): base model {_points(measured[BASE])}, lexical {_points(measured[INITIALS_LETTERS])}, "
        f"ceiling {_points(ceiling)}; a linear map gains {100 * gain.mean:+.1f} ({100 * gain.low:+.1f} to "
        f"{100 * gain.high:+.1f}): {helps}"
    )
    return Headroom(
        likely=likely,
        expected=Expected(at_least=gain.low, linear_map=gain.mean, at_most=round(most, 5)),
        base=round(measured[BASE], 5),
        lexical=round(measured[INITIALS_LETTERS], 5),
        ceiling=round(ceiling, 5),
        n_queries=len(scores.query_ids),
        said=said,
    )


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def _wanted(config: Config) -> bool:
    return config.train is not None and config.baselines is not None and shape_of(config).forecasts


def _effort(config: Config, facts: DataFacts) -> Effort:
    pairs = facts.dev.count * facts.documents.count
    return Effort(
        encoded=(facts.anchors, facts.dev), compared=2 * pairs, matched=pairs, vectors=3 * facts.documents.count
    )


STAGE: Stage[Config] = Stage(
    name="headroom",
    artifact=HeadroomArtifact,
    needs=(CheckArtifact,),
    wanted=_wanted,
    settings=_settings,
    run=_run,
    effort=_effort,
)
