"""The stage "bases": tries base models on a part of dev and chooses one, which all later stages work with."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np

from honed.artifacts.bases import CHOICE, BasesArtifact
from honed.artifacts.data import CheckArtifact
from honed.config.config import Config
from honed.core.artifacts import Artifact
from honed.core.effort import Texts
from honed.core.json import Json
from honed.core.protocols import Encoder
from honed.core.records import Example, JudgedTask
from honed.core.stage import Stage, Work
from honed.core.writing import write_json
from honed.data.task import EXAMPLES, NAMES
from honed.encode.base_models import resolve
from honed.encode.candidates import candidates, with_base
from honed.encode.config import EncoderConfig
from honed.encode.models import BaseModel
from honed.encode.probe import EncodeSpeed, machine_speed, seconds_of
from honed.evaluate.bases import BaseChoice, BaseTrial, choose_base
from honed.evaluate.measures import Measure, Scores
from honed.evaluate.score import TaskScores
from honed.shapes.dev_sample import dev_sample
from honed.shapes.judged import judged_task
from honed.shapes.registry import shape_of
from honed.shapes.systems import encoder_run

log = logging.getLogger("honed.train")
_MEASURE = Measure("MRR", 10)
_DEPTH = 11  # one more than is measured: a query's own document is left out
_THERE_AND_BACK = 3.0  # a step of training takes about so many times what encoding takes
_COUNTED = 400  # texts whose tokens are counted


def _settings(config: Config, root: Path) -> dict[str, Json]:
    names = candidates(config.model) if config.model.is_open else []
    return {"candidates": [BaseModel(with_base(config.model, name)).identity() for name in names]}


def _run(work: Work[Config]) -> dict[str, Json]:
    """Try the candidates, the smallest first, while the time lasts; writes the choice."""
    shape, check = shape_of(work.config), work.inputs.need(CheckArtifact)
    main = shape.directions(work.config)[0]
    dev = dev_sample(judged_task(work.inputs, main.name, "dev"))
    scores = TaskScores(dev, [_MEASURE])
    for run in shape.lexical_runs(dev, main, check, work.config):
        scores.add(run)
    lexical = {name: round(float(scored[_MEASURE].mean()), 5) for name, scored in scores.scores.items()}
    trials, values = _Trials(work, dev).run()
    choice = BaseChoice(
        chosen=choose_base(trials, values, [dev.groups[query.query_id] for query in dev.queries]),
        measure=str(_MEASURE),
        n_queries=len(dev.queries),
        n_documents=len(dev.corpus),
        tried=trials,
        lexical=lexical,
    )
    for line in choice.lines():
        log.info(line)
    write_json(work.folder / CHOICE, choice)
    return {"chosen": choice.chosen}


class _Trials:
    """The candidates of a run, tried one after the other; each is loaded alone, so that memory holds one of them."""

    def __init__(self, work: Work[Config], dev: JudgedTask) -> None:
        self.config, self.dev = work.config, dev
        self.end = monotonic() + 60 * work.config.model.minutes
        check = work.inputs.need(CheckArtifact)
        self.examples: Sequence[Example] = check.examples() if check.has(EXAMPLES) else ()
        self.names = len({name.text for name in check.names()}) if check.has(NAMES) else len(dev.corpus)

    def run(self) -> tuple[list[BaseTrial], list[Scores]]:
        """Return what was found of each candidate, and the scores ``(n_queries,)`` of those that were tried."""
        models = [with_base(self.config.model, name) for name in candidates(self.config.model)]
        trials: list[BaseTrial] = []
        values: list[Scores] = []
        for size, model in sorted(((_size(model), model) for model in models), key=lambda pair: pair[0]):
            trial, scores = self._try(model, size, first=not values)
            trials.append(trial)
            values += [] if scores is None else [scores]
        return trials, values

    def _try(self, model: EncoderConfig, size: float, *, first: bool) -> tuple[BaseTrial, Scores | None]:
        trial, left = BaseTrial(base=model.base, mb=round(size, 1)), self.end - monotonic()
        if left <= 0 and not first:
            trial.left_out = "left out, no time was left"
            return trial, None
        source = BaseModel(model)
        encoder = source.load()  # not the executor's, which would keep every candidate in memory
        speed = machine_speed(source, encoder)
        texts = [document.encoder_text() for document in self.dev.corpus]
        needs = seconds_of(speed.rates, _counted(encoder, texts))
        needs += seconds_of(speed.rates, _counted(encoder, [query.text for query in self.dev.queries]))
        trial.dim, trial.query_ms = encoder.spec.dim, round(speed.query_ms, 2)
        trial.vectors_mb = round(self.names * encoder.spec.dim * 4 / 1e6, 2)
        trial.train_seconds = self._training(encoder, speed)
        if needs > left and not first:
            trial.left_out = f"left out, dev would take about {needs:,.0f} s and {max(0.0, left):,.0f} s were left"
            return trial, None
        scored = TaskScores(self.dev, [_MEASURE])
        scored.add(encoder_run(model.base, encoder, self.dev, _DEPTH))
        values = scored.scores[model.base][_MEASURE]
        trial.score = round(float(values.mean()), 5)
        return trial, values

    def _training(self, encoder: Encoder, speed: EncodeSpeed) -> float | None:
        """Return about the seconds of [train] with an encoder: every pair there and back, so many times."""
        if self.config.train is None or not self.examples:
            return None
        once = seconds_of(speed.rates, _counted(encoder, [example.anchor for example in self.examples]))
        once += seconds_of(speed.rates, _counted(encoder, [example.positive for example in self.examples]))
        return round(_THERE_AND_BACK * self.config.train.epochs * once, 1)


def _size(model: EncoderConfig) -> float:
    """Return the MB of a base model's weights; it is fetched where it is not here."""
    return sum(file.stat().st_size for file in resolve(model.base).folder.rglob("*.safetensors")) / 1e6


def _counted(encoder: Encoder, texts: Sequence[str]) -> Texts:
    """Return how many texts there are, and the mean number of tokens of some, evenly spaced."""
    if not texts:
        return Texts()
    sample = texts[:: max(1, len(texts) // _COUNTED)]
    count = getattr(encoder, "tokens", None)
    lengths = [len(ids) for ids in count(sample)] if count else [len(text) / 4 for text in sample]
    return Texts(count=len(texts), tokens=float(np.mean(lengths)))


def _settle(config: Config, artifact: Artifact) -> Config:
    assert isinstance(artifact, BasesArtifact)
    return replace(config, model=with_base(config.model, artifact.choice().chosen))


STAGE: Stage[Config] = Stage(
    name="bases",
    artifact=BasesArtifact,
    needs=(CheckArtifact,),
    wanted=lambda config: config.model.is_open,
    settings=_settings,
    run=_run,
    settle=_settle,
)
