"""Other prompts for the base model, tried on a part of dev: wrong and missing ones are noticed."""

import logging
from collections.abc import Mapping

from honed.artifacts.data import CheckArtifact
from honed.artifacts.evaluation import PROMPTS
from honed.config.config import Config
from honed.core.effort import DataFacts, Texts
from honed.core.protocols import Encoder, Vectors
from honed.core.records import JudgedTask, Run
from honed.core.stage import Work
from honed.core.writing import write_json
from honed.encode.base_models import local_folder, resolve
from honed.encode.models import BaseModel, encoder_source
from honed.encode.prompts import Pair, completed, other_pairs, without_prompts
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.measures import Measure
from honed.evaluate.prompts import PromptPair, PromptTrial
from honed.evaluate.score import TaskScores
from honed.index.exact import FlatIndex
from honed.shapes.dev_sample import MOST_DOCUMENTS, MOST_QUERIES, dev_sample
from honed.shapes.registry import shape_of
from honed.shapes.systems import hits_of

log = logging.getLogger("honed.train")
_MEASURE = Measure("MRR", 10)
_DRAWS = 5000  # of the bootstrap: the tails of intervals that hold together are thin
_USED = "in use"


def try_prompts(work: Work[Config]) -> None:
    """Write what other pairs of prompts score on a sample of dev, and warn where one is surely better.

    Nothing is tried for a model that no prompts are known of and none were written for, and without dev.
    """
    source = encoder_source(work.config.model)
    if not isinstance(source, BaseModel):
        return
    folder = resolve(source.config.base).folder
    used, directions = completed(source.config, folder), shape_of(work.config).directions(work.config)
    pairs = other_pairs(used, folder)
    dev = work.inputs.need(CheckArtifact).task(directions[0].name, "dev")
    if not pairs or not dev.queries:
        return
    model = work.executor.model(BaseModel(without_prompts(source.config), source.precision))
    trial = prompt_trial(model, dev_sample(dev), (used.query_prompt, used.document_prompt), pairs)
    write_json(work.folder / PROMPTS, trial)
    if trial.better:
        log.warning(trial.sentence())


def prompt_trial(encoder: Encoder, dev: JudgedTask, used: Pair, pairs: Mapping[str, Pair]) -> PromptTrial:
    """Return the trial of some pairs, by what they are, beside the pair in use; ``encoder`` has no prompts."""
    vectors: dict[tuple[str, str], Vectors] = {}

    def encode(side: str, prompt: str) -> Vectors:
        if (side, prompt) not in vectors:
            of = [query.text for query in dev.queries] if side == "query" else [d.encoder_text() for d in dev.corpus]
            vectors[side, prompt] = encoder.encode([prompt + text for text in of], "document")
        return vectors[side, prompt]

    scores = TaskScores(dev, [_MEASURE])
    for title, (query, document) in {_USED: used, **pairs}.items():
        index = FlatIndex(encode("document", document))
        scores.add(Run.sorted(title, hits_of(dev, *index.search(encode("query", query), 11))))
    bootstrap = Bootstrap(
        [dev.groups[query.query_id] for query in dev.queries], draws=_DRAWS, level=1 - 0.05 / len(pairs)
    )
    values = {title: scores.scores[title][_MEASURE] for title in (_USED, *pairs)}
    tried = []
    for title, (query, document) in pairs.items():
        difference = bootstrap.intervals((values[title] - values[_USED])[:, None])[0].rounded()
        score = round(float(values[title].mean()), 5)
        tried.append(PromptPair(title=title, query=query, document=document, score=score, difference=difference))
    score = round(float(values[_USED].mean()), 5)
    return PromptTrial(
        measure=str(_MEASURE),
        n_queries=len(dev.queries),
        n_documents=len(dev.corpus),
        used=PromptPair(title=_USED, query=used[0], document=used[1], score=score),
        tried=tried,
    )


def trial_effort(config: Config, facts: DataFacts) -> tuple[Texts, ...]:
    """Return the texts that are encoded at most to try prompts; none where the model is not on disk yet."""
    source = encoder_source(config.model)
    folder = local_folder(config.model.base) if isinstance(source, BaseModel) else None
    pairs = other_pairs(completed(config.model, folder), folder) if folder else {}
    if not pairs:
        return ()
    documents, dev = facts.documents, facts.dev
    prompts = 1 + len({prompt for pair in pairs.values() for prompt in pair})
    return (
        Texts(count=prompts * min(MOST_DOCUMENTS, documents.count), tokens=documents.tokens),
        Texts(count=prompts * min(MOST_QUERIES, dev.count), tokens=dev.tokens),
    )
