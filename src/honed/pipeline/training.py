"""The stages that train: a first model, hard negatives, the model that is kept."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from honed.core.artifacts import write_json
from honed.core.optional import require
from honed.core.protocols import Encoder, TextIndex, Vectors
from honed.core.records import Example, JudgedTask
from honed.core.text import fold
from honed.data import task
from honed.index.lexical import Analyzer, Bm25Index, TfidfIndex
from honed.pipeline.config import Config
from honed.pipeline.stage import Work, base_encoder, dev_score, judged, model_key, trained_encoder

EXAMPLES = "examples.parquet"


def train_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes a fine-tuned model."""
    model = {name: value for name, value in model_key(config, root).items() if name != "precision"}
    return {"train": asdict(config.train) if config.train else None, "model": model}


def train(work: Work) -> Mapping[str, Any]:
    """Fine-tune the base model on the examples, with mined negatives where there are any."""
    require("fine-tuning")
    from honed.train.fine_tune import fine_tune

    assert work.config.train is not None  # the stage is wanted only then
    dev = judged(work, task.FORWARD, "dev")
    trained = fine_tune(
        base_encoder(work.config, precision="fp32"),
        task.load_examples(examples_file(work)),
        lambda encoder: dev_score(encoder, dev),
        work.config.train,
        work.folder,
        work.logs,
    )
    return {"spec": trained.spec.as_dict(), "kept": trained.history["kept"]}


def examples_file(work: Work) -> Path:
    """Return the examples of the last stage that made some."""
    made = next(work.inputs[name] for name in ("mine", "check") if name in work.inputs)
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
    from honed.train.mine import choose_negatives, find_candidates, samples

    assert work.config.mine is not None  # the stage is wanted only then
    config, check = work.config.mine, work.inputs["check"].folder
    examples = task.load_examples(check / EXAMPLES)
    documents = [doc.encoder_text() for doc in task.load_task(check, task.FORWARD, "dev").corpus]
    anchors, known = known_documents(examples, task.load_names(check), documents)
    encoder = trained_encoder(work.config, work.inputs, stages=("draft",))
    vectors = encoder.encode(anchors, "query"), encoder.encode(documents, "document")
    lexical = _lexical(work.config, documents)
    found = find_candidates((anchors, vectors[0]), (documents, vectors[1]), known, lexical, config)
    unseen = _pair_scores(judged(work, task.FORWARD, "dev"), encoder, vectors[1]) if "draft" in work.inputs else None
    mined = choose_negatives(found, config, unseen)
    shown = samples(anchors, documents, found, mined, seed=config.seed)
    write_json(work.folder / "mining.json", {**mined.report, "samples": shown})
    task.save_examples(work.folder / EXAMPLES, with_negatives(examples, anchors, documents, mined.negatives))
    return {name: mined.report[name] for name in ("anchors", "chosen", "estimated_false_negatives")}


def _pair_scores(dev: JudgedTask, encoder: Encoder, documents: Vectors) -> Vectors:
    """Return the cosines of the right pairs of dev, which no training sees."""
    row_of = {doc.doc_id: row for row, doc in enumerate(dev.corpus)}
    pairs = [(query.text, row_of[doc]) for query in dev.queries for doc in dev.qrels.relevant(query.query_id)]
    queries = encoder.encode([text for text, _ in pairs], "query")
    scores: Vectors = (queries * documents[[row for _, row in pairs]]).sum(axis=1)
    return scores


def known_documents(
    examples: Sequence[Example], names: Sequence[task.Name], documents: Sequence[str]
) -> tuple[list[str], list[frozenset[int]]]:
    """Return the distinct anchors of examples, and for each the rows of all documents known to be right.

    What is known are the examples and every name that training may know: an alias of several entities has them all.
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
    anchors = list({fold(each.anchor): each.anchor for each in examples}.values())
    return anchors, [frozenset(rows[fold(anchor)]) for anchor in anchors]


def _lexical(config: Config, documents: Sequence[str]) -> TextIndex | None:
    sources = config.mine.candidates if config.mine else ()
    if "bm25" in sources:
        return Bm25Index(documents, Analyzer(_language(config)))
    return TfidfIndex(documents) if "tfidf" in sources else None


def with_negatives(
    examples: Sequence[Example], anchors: Sequence[str], documents: Sequence[str], negatives: Sequence[Sequence[int]]
) -> list[Example]:
    """Return examples with the negatives of their anchors."""
    of = {fold(anchor): tuple(documents[row] for row in rows) for anchor, rows in zip(anchors, negatives, strict=True)}
    return [replace(each, negatives=of[fold(each.anchor)]) for each in examples]
