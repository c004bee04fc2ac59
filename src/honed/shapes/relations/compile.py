"""The stage of the shape "relations": triplets to train with; and what a model is chosen by."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from honed.config.sections import Config
from honed.core.artifacts import write_json
from honed.core.errors import DataError
from honed.core.protocols import Encoder
from honed.data import task
from honed.data.importer import each_record
from honed.shapes.relations.sentences import Sentence, read_sentences
from honed.shapes.relations.triplets import TripletBuilder
from honed.stages.stage import Work

TRIPLETS, EXAMPLES = "triplets.json", "examples.parquet"
_DEV = 1000


def sentences_of(work: Work) -> list[Sentence]:
    """Return all sentences of the import, each with its split."""
    given = "split" in work.config.data.columns
    return read_sentences(each_record(work.inputs["import"].folder), work.config.split.split_config(), given=given)


def held_out(splits: Collection[str]) -> str:
    """Return the split that nothing was trained on: test, or dev where there is no test."""
    return "test" if "test" in splits or "dev" not in splits else "dev"


def triplets_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the triplets."""
    return {
        "triplets": asdict(config.triplets) if config.triplets else None,
        "split": asdict(config.split),
        "given": "split" in config.data.columns,
    }


def triplets(work: Work) -> Mapping[str, Any]:
    """Build triplets from the sentences of train."""
    assert work.config.triplets is not None  # the stage is wanted only then
    builder = TripletBuilder([each for each in sentences_of(work) if each.split == "train"], work.config.triplets)
    examples = builder.build()
    if len(examples) < 2:
        raise DataError("E_TRAIN_EMPTY", f"{len(examples)} triplets could be built: {dict(builder.dropped)}")
    task.save_examples(work.folder / EXAMPLES, examples)
    report = builder.report(examples)
    write_json(work.folder / TRIPLETS, report)
    return {"triplets": report["triplets"], "relations": report["relations"]}


def dev_score_of(work: Work) -> Callable[[Encoder], float]:
    """Return what scores a model in training: the share of triplets of relations that are not trained on, in which
    another sentence of the relation is nearer than one of another relation that speaks of the same entities.

    Not how well held-out relations keep together as they are: their names alone would do that.
    """
    assert work.config.triplets is not None  # training needs the section
    dev = [each for each in sentences_of(work) if each.split == "dev"]
    if len({each.relation for each in dev}) < 2:
        raise DataError(
            "E_SPLIT_EMPTY", "fewer than 2 relations in dev, to choose a model by: set [split] dev, or the splits"
        )
    per_relation = max(2, _DEV // len({each.relation for each in dev}))
    asked = replace(
        work.config.triplets, positive="sentence", negatives=("same-entities",), per_relation=per_relation, seed=0
    )
    triplets_of_dev = TripletBuilder(dev, asked).build()
    if not triplets_of_dev:
        raise DataError("E_SPLIT_EMPTY", "no triplet could be built of the relations in dev")
    anchors = [each.anchor for each in triplets_of_dev]
    positives = [each.positive for each in triplets_of_dev]
    negatives = [each.negatives[0] for each in triplets_of_dev]

    def score(encoder: Encoder) -> float:
        first, right, wrong = (encoder.encode(texts, "document") for texts in (anchors, positives, negatives))
        return float(((first * right).sum(axis=1) > (first * wrong).sum(axis=1)).mean())

    return score
