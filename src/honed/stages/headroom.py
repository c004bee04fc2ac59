"""Will tuning help? Asked of dev before training, checked against test after it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from honed.config.sections import Config
from honed.core.artifacts import write_json
from honed.core.errors import TrainingError
from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.records import JudgedTask, Run
from honed.core.text import fold
from honed.data import task
from honed.evaluate.measures import Measure
from honed.evaluate.score import TaskScores, task_ceiling
from honed.index.exact import FlatIndex
from honed.index.lexical import InitialismTfidfIndex
from honed.stages.stage import Work, base_encoder, judged, model_key
from honed.stages.systems import hits_of, text_run

log = logging.getLogger("honed.train")
HEADROOM = "headroom.json"
_R1 = Measure("R", 1)
_LEXICAL, _BASE, _PROBE = "initials, then character TF-IDF", "base model", "linear map over the base model"


def headroom_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the estimate."""
    return {"model": model_key(config, root)}


def headroom(work: Work) -> Mapping[str, Any]:
    """Estimate on dev, from base vectors and a lexical baseline, whether fine-tuning is likely to help."""
    require("fine-tuning")
    from honed.train.probe import apply_linear_map, fit_linear_map

    dev = judged(work, task.FORWARD, "dev")
    examples = task.load_examples(work.inputs["check"].folder / "examples.parquet")
    asked = {fold(query.text) for query in dev.queries}
    examples = [each for each in examples if fold(each.anchor) not in asked]  # in a catalogue dev is trained on too
    if len(examples) < 2:
        raise TrainingError("E_TRAIN_EMPTY", f"{len(examples)} training examples; at least 2 are needed")
    encoder = base_encoder(work.config)
    anchors = encoder.encode([each.anchor for each in examples], "query")
    documents = encoder.encode([doc.encoder_text() for doc in dev.corpus], "document")
    row_of = {doc.encoder_text(): row for row, doc in enumerate(dev.corpus)}
    positives = documents[[row_of[each.positive] for each in examples]]
    queries = encoder.encode([query.text for query in dev.queries], "query")
    through = fit_linear_map(anchors, positives, examples)
    scores = TaskScores(dev, [_R1])
    scores.add(_run(_BASE, dev, queries, documents))
    scores.add(_run(_PROBE, dev, apply_linear_map(queries, through), apply_linear_map(documents, through)))
    scores.add(text_run(_LEXICAL, InitialismTfidfIndex, dev, 10))
    found = verdict(scores, task_ceiling(dev))
    log.info(found["said"])
    write_json(work.folder / HEADROOM, found)
    return {name: found[name] for name in ("likely", "expected")}


def _run(name: str, dev: JudgedTask, queries: Vectors, documents: Vectors) -> Run:
    return Run.sorted(name, hits_of(dev, *FlatIndex(documents).search(queries, 10)))


def verdict(scores: TaskScores, ceiling: float) -> dict[str, Any]:
    """Return what is expected of fine-tuning: the gain of the linear map is the least, the ceiling the most."""
    measured = {name: float(np.mean(scores.scores[name][_R1])) for name in (_BASE, _PROBE, _LEXICAL)}
    gain = scores.compare(_PROBE, _BASE, _R1)["difference"]
    most = max(0.0, ceiling - measured[_BASE])
    likely = "likely" if gain["low"] > 0 else "unlikely" if gain["high"] < 0.01 else "unclear"
    helps = f"tuning is {likely} to help"
    if likely == "unclear":
        helps = "whether tuning helps is unclear, more pairs would tell"
    said = (
        f"headroom on dev (R@1): base model {_points(measured[_BASE])}, lexical {_points(measured[_LEXICAL])}, ceiling "
        f"{_points(ceiling)}; a linear map gains {100 * gain['mean']:+.1f} ({100 * gain['low']:+.1f} to "
        f"{100 * gain['high']:+.1f}): {helps}"
    )
    return {
        "likely": likely,
        "expected": {"at_least": gain["low"], "linear_map": gain["mean"], "at_most": round(most, 5)},
        "base": round(measured[_BASE], 5),
        "lexical": round(measured[_LEXICAL], 5),
        "ceiling": round(ceiling, 5),
        "n_queries": len(scores.query_ids),
        "said": said,
    }


def _points(value: float) -> str:
    return f"{100 * value:.1f}"


def judged_after(before: Mapping[str, Any], gain: Mapping[str, float]) -> dict[str, Any]:
    """Return the estimate with what came of it: the paired gain of the fine-tuned model on test."""
    expected = before["expected"]
    helped = gain["low"] > 0
    right = {"likely": helped, "unlikely": not helped, "unclear": None}[before["likely"]]
    inside = expected["at_least"] <= gain["mean"] <= expected["at_most"]
    said = {True: "right", False: "wrong", None: "left open"}[right]
    return {
        **before,
        "realised": dict(gain),
        "right": right,
        "within_expected": inside,
        "said_after": f"tuning gained {100 * gain['mean']:+.1f} points on test ({100 * gain['low']:+.1f} to "
        f"{100 * gain['high']:+.1f}); foretold were {100 * expected['at_least']:+.1f} to "
        f"{100 * expected['at_most']:+.1f}: {said}",
    }
