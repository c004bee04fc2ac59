"""The stages that train: a first model, hard negatives, the model that is kept."""

import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from honed.config.sections import Config
from honed.core.artifacts import write_json
from honed.core.optional import require
from honed.core.protocols import Encoder, TextIndex
from honed.core.records import Document, Example
from honed.core.text import bare, fold
from honed.data import task
from honed.data.importer import RECORDS
from honed.encode.base_models import resolve
from honed.index.analysis import Analyzer
from honed.index.lexical import Bm25Index, TfidfIndex
from honed.pipeline import processes
from honed.shapes.judgments.passages import nearest_passage
from honed.shapes.labels import labeling as labelling
from honed.shapes.labels import similar
from honed.shapes.labels.records import Records
from honed.shapes.relations import compile as relations
from honed.stages.stage import (
    Work,
    base_encoder,
    dev_score,
    dev_task,
    judged,
    mean_reciprocal_rank,
    model_key,
    sampled,
    trained_encoder,
)
from honed.stages.systems import encoder_run, reranked
from honed.train.config import TAUGHT

log = logging.getLogger("honed.train")
EXAMPLES = "examples.parquet"
DevScore = Callable[[Encoder], float]


def train_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes a fine-tuned model."""
    model = {name: value for name, value in model_key(config, root).items() if name != "precision"}
    return {"train": asdict(config.train) if config.train else None, "model": model}


def train(work: Work) -> Mapping[str, Any]:
    """Fine-tune the base model on the examples, with mined negatives where there are any."""
    require("fine-tuning")
    from honed.train.fine_tune import fine_tune

    assert work.config.train is not None  # the stage is wanted only then
    if work.config.train.processes > 1 and not processes.in_process():
        processes.launch(work, work.config.train.processes)  # and below the result is read back
    trained = fine_tune(
        base_encoder(work.config, precision="fp32"),
        task.load_examples(examples_file(work)),
        _dev_score_of(work),
        work.config.train,
        work.folder,
        work.logs,
        _stored_base(work),
    )
    return {"spec": trained.spec.as_dict(), "kept": trained.history["kept"]}


def _stored_base(work: Work) -> Mapping[str, Any] | None:
    """Return the base model's vectors of records by text, where the shape "labels" has made them."""
    if "encode" not in work.inputs or work.config.train is None or work.config.train.head == "none":
        return None
    found = np.load(work.inputs["encode"].path(labelling.VECTORS), allow_pickle=False)
    texts = Records(work.inputs["import"].folder / RECORDS).texts()
    joined = labelling.settings_of(work.config).learner != "fields"
    return dict(zip(texts, found, strict=True)) if joined else None


def _dev_score_of(work: Work) -> DevScore:
    if work.config.data.shape == "labels":
        return similar.dev_score_of(work)
    if work.config.data.shape == "relations":
        return relations.dev_score_of(work)
    dev = dev_task(work)
    return lambda encoder: dev_score(encoder, dev)


def draft_config(config: Config) -> Config:
    """Return how the first model is trained: as the last, but without what only comes after it."""
    assert config.train is not None  # the stage is wanted only then
    objective = "auto" if config.train.objective in TAUGHT else config.train.objective
    negatives = "semi-hard" if config.train.negatives == "own" else config.train.negatives
    return replace(config, train=replace(config.train, objective=objective, negatives=negatives, hard_negatives=0))


def draft_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the first model."""
    return train_key(draft_config(config), root)


def draft(work: Work) -> Mapping[str, Any]:
    """Fine-tune a first model, without mined negatives, that mining is done with."""
    return train(replace(work, config=draft_config(work.config)))


def examples_file(work: Work) -> Path:
    """Return the examples of the last stage that made some."""
    made = next(work.inputs[name] for name in ("rescore", "mine", "triplets", "label", "check") if name in work.inputs)
    return made.folder / EXAMPLES


# -- mine ----------------------------------------------------------------------------------------


def mine_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the mined negatives."""
    settings = asdict(config.mine) if config.mine else None
    return {"mine": settings, "language": _language(config), "model": model_key(config, root)}


def _language(config: Config) -> str:
    return config.baselines.language if config.baselines else "english"


def mine(work: Work) -> Mapping[str, Any]:
    """Mine hard negatives for the training examples."""
    from honed.train.mine import choose_negatives, find_candidates

    assert work.config.mine is not None  # the stage is wanted only then
    config, texts = work.config.mine, _Texts.read(work)
    encoder = trained_encoder(work.config, work.inputs, stages=("draft",))
    anchors = texts.anchors, encoder.encode(texts.anchors, "query")
    documents = texts.documents, encoder.encode(texts.documents, "document")
    found = find_candidates(anchors, documents, texts.known, _lexical(work.config, texts.documents), config)
    unseen = None
    if "draft" in work.inputs and (pairs := _unseen_pairs(work)):
        queries, rows = pairs
        unseen = (encoder.encode(queries, "query") * documents[1][rows]).sum(axis=1)
    mined = choose_negatives(found, config, unseen)
    np.savez(work.folder / "candidates.npz", **{name: getattr(found, name) for name in _ARRAYS})
    write_json(work.folder / "rejected.json", dict(found.rejected))
    return _save_mined(work, texts, found, mined, texts.with_negatives(mined.negatives))


_ARRAYS = ("rows", "scores", "positives", "positive_scores")


class _Texts(NamedTuple):
    """The texts that mining works on: distinct anchors, all documents, and what is known to be right."""

    examples: list[Example]
    anchors: list[str]
    documents: list[str]
    known: list[frozenset[int]]

    @classmethod
    def read(cls, work: Work) -> "_Texts":
        check = work.inputs["check"].folder
        examples = task.load_examples(check / EXAMPLES)
        documents = [doc.encoder_text() for doc in task.load_task(check, task.FORWARD, "dev").corpus]
        anchors, known = known_documents(examples, task.load_names(check), documents, _passages(work))
        return cls(examples, anchors, documents, known)

    def with_negatives(self, negatives: Sequence[Sequence[int]]) -> list[Example]:
        """Return the examples with the negatives of their anchors."""
        of = {
            fold(anchor): tuple(self.documents[row] for row in rows)
            for anchor, rows in zip(self.anchors, negatives, strict=True)
        }
        return [
            replace(each, negatives=tuple(dict.fromkeys((*each.negatives, *of[fold(each.anchor)]))))
            for each in self.examples
        ]


def _save_mined(work: Work, texts: _Texts, found: Any, mined: Any, examples: list[Example]) -> Mapping[str, Any]:
    from honed.train.mine import samples

    seed = work.config.mine.seed if work.config.mine else 0
    shown = samples(texts.anchors, texts.documents, found, mined, seed=seed)
    write_json(work.folder / "mining.json", {**mined.report, "samples": shown})
    task.save_examples(work.folder / EXAMPLES, examples)
    return {name: mined.report[name] for name in ("anchors", "chosen", "estimated_false_negatives")}


def _unseen_pairs(work: Work, most: int = 1_000_000) -> tuple[list[str], list[int]] | None:
    """Return the queries of dev's right pairs and the rows of their documents; None where dev is trained on.

    Pairs of one text are left out, as they are among the candidates.
    """
    if work.config.split.protocol != "held-out":
        return None
    dev = sampled(judged(work, task.FORWARD, "dev"), most, 0)
    row_of = {doc.doc_id: row for row, doc in enumerate(dev.corpus)}
    parts: dict[str, list[Document]] = {}
    for document in dev.corpus:
        parts.setdefault(dev.judged_as(document.doc_id), []).append(document)
    pairs = [
        (query.text, nearest_passage(query.text, parts[doc]))
        for query in dev.queries
        for doc in sorted(dev.qrels.relevant(query.query_id))
    ]
    pairs = [(text, found) for text, found in pairs if bare(text) != bare(found.encoder_text())]
    return [text for text, _ in pairs], [row_of[found.doc_id] for _, found in pairs]


# -- cross-encoder -------------------------------------------------------------------------------

_DEV_QUERIES = 300


def cross_encoder_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the cross-encoder."""
    settings = asdict(config.cross_encoder) if config.cross_encoder else {}
    base = settings.get("base") or config.model.base
    return {"cross_encoder": settings, "weights": resolve(base).weights, "candidates": model_key(config, root)}


def cross_encoder(work: Work) -> Mapping[str, Any]:
    """Train a cross-encoder on the mined examples; dev is the reranking of what the base model finds."""
    require("fine-tuning")
    from honed.encode.cross_encoder import TorchCrossEncoder
    from honed.train.cross_encoder import train_cross_encoder

    config = work.config.cross_encoder
    assert config is not None  # the stage is wanted only then
    dev = sampled(dev_task(work), _DEV_QUERIES, config.seed)
    first = encoder_run("dev", trained_encoder(work.config, work.inputs, stages=("draft",)), dev, config.depth)
    scorer = TorchCrossEncoder.new(
        config.base or work.config.model.base, max_length=config.max_length, seed=config.seed
    )

    def score(current: TorchCrossEncoder) -> float:
        return mean_reciprocal_rank(reranked("dev", first, dev, current, config.depth), dev)

    trained = train_cross_encoder(
        scorer, task.load_examples(examples_file(work)), score, config, work.folder, work.logs
    )
    before, after = mean_reciprocal_rank(first, dev), max(each["score"] for each in trained.history["dev"][1:])
    if after < before:
        log.warning("the cross-encoder ranks dev worse (MRR@10 %.3f) than what it was given (%.3f)", after, before)
    return {"dev_without": before, "dev": after}


def rescore_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the examples with a cross-encoder's scores."""
    return {"mine": asdict(config.mine) if config.mine else None}


def rescore(work: Work) -> Mapping[str, Any]:
    """Score the candidates with the cross-encoder, choose negatives by it where asked, and keep its scores."""
    from honed.encode.cross_encoder import TorchCrossEncoder
    from honed.train.mine import Candidates, choose_negatives

    config = work.config.mine
    assert config is not None  # the stage is wanted only then
    texts, mined = _Texts.read(work), work.inputs["mine"]
    scorer = TorchCrossEncoder.load_folder(work.inputs["cross_encoder"].folder / "model")
    with np.load(mined.path("candidates.npz"), allow_pickle=False) as stored:
        found = Candidates(**{name: stored[name] for name in _ARRAYS}, rejected=mined.read_json("rejected.json"))
    examples = task.load_examples(mined.path(EXAMPLES))
    report, shown = mined.read_json("mining.json"), found
    if config.rescore:
        judgements = rescored(found, texts.anchors, texts.documents, scorer)
        unseen = None
        if dev := _unseen_pairs(work, 1000):
            unseen = scorer.score([(query, texts.documents[row]) for query, row in zip(*dev, strict=True)])
        chosen = choose_negatives(judgements, config, unseen)
        _save_mined(work, texts, judgements, chosen, examples := texts.with_negatives(chosen.negatives))
        report, shown = chosen.report, judgements
    else:
        shutil.copyfile(mined.path("mining.json"), work.folder / "mining.json")
    task.save_examples(work.folder / EXAMPLES, with_scores(examples, scorer))
    return {"chosen": report["chosen"], "candidates": int((shown.rows >= 0).sum())}


def rescored(found: Any, anchors: Sequence[str], documents: Sequence[str], scorer: Any) -> Any:
    """Return candidates in the order, and with the scores, of a cross-encoder."""
    from honed.train.mine import Candidates

    places = np.argwhere(found.rows >= 0)
    pairs = [(anchors[anchor], documents[found.rows[anchor, at]]) for anchor, at in places.tolist()]
    scores = np.full(found.rows.shape, -np.inf, dtype=np.float32)
    scores[places[:, 0], places[:, 1]] = scorer.score(pairs)
    order = np.argsort(-scores, axis=1, kind="stable")
    known = [(anchors[anchor], documents[row]) for anchor, row in found.positives.tolist()]
    return Candidates(
        rows=np.take_along_axis(found.rows, order, axis=1),
        scores=np.take_along_axis(scores, order, axis=1),
        positives=found.positives,
        positive_scores=scorer.score(known),
        rejected=found.rejected,
    )


def with_scores(examples: Sequence[Example], scorer: Any) -> list[Example]:
    """Return examples with a cross-encoder's scores of their positives and negatives."""
    pairs = [(each.anchor, text) for each in examples for text in (each.positive, *each.negatives)]
    score = dict(zip(pairs, scorer.score(pairs).tolist(), strict=True))
    return [
        replace(each, teacher=tuple(score[each.anchor, text] for text in (each.positive, *each.negatives)))
        for each in examples
    ]


# -- what is known -------------------------------------------------------------------------------


def known_documents(
    examples: Sequence[Example],
    names: Sequence[task.Name],
    documents: Sequence[str],
    passages: Sequence[Sequence[str]] = (),
) -> tuple[list[str], list[frozenset[int]]]:
    """Return the distinct anchors of examples, and for each the rows of all documents known to be right.

    What is known are the examples and every name that training may know: an alias of several entities has them all.
    ``passages`` are the texts of each document that was cut: where one is right, no other of them is a negative.
    """
    row_of = {fold(text): row for row, text in enumerate(documents)}
    labels: dict[str, set[int]] = defaultdict(set)
    for name in names:
        if name.kind == "label" and fold(name.text) in row_of:
            labels[name.entity_id].add(row_of[fold(name.text)])
    rows: dict[str, set[int]] = defaultdict(set)
    for name in names:
        if name.known:
            rows[fold(name.text)] |= labels[name.entity_id]
    for each in examples:
        rows[fold(each.anchor)].add(row_of[fold(each.positive)])
    for parts in passages:
        together = {row_of[fold(text)] for text in parts if fold(text) in row_of}
        for right in rows.values():
            if right & together:
                right |= together
    anchors = list({fold(each.anchor): each.anchor for each in examples}.values())
    return anchors, [frozenset(rows[fold(anchor)]) for anchor in anchors]


def _passages(work: Work) -> list[list[str]]:
    """Return the texts of the passages of each document that was cut into several."""
    if work.config.judgments is None or not work.config.judgments.passages:
        return []
    cut: dict[str, list[str]] = defaultdict(list)
    whole = task.load_task(work.inputs["check"].folder, task.FORWARD, "dev")
    for document in whole.corpus:
        cut[whole.judged_as(document.doc_id)].append(document.encoder_text())
    return [texts for texts in cut.values() if len(texts) > 1]


def _lexical(config: Config, documents: Sequence[str]) -> list[TextIndex]:
    sources = config.mine.candidates if config.mine else ()
    found: list[TextIndex] = []
    if "bm25" in sources:
        found.append(Bm25Index(documents, Analyzer(_language(config))))
    if "tfidf" in sources:
        found.append(TfidfIndex(documents))
    return found
