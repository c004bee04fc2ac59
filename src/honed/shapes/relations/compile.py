"""Triplets to train with, and what a model is chosen by."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import msgspec

from honed.artifacts.data import CheckArtifact, Examples, ImportArtifact
from honed.artifacts.evaluation import ReportPart
from honed.config.config import Config
from honed.core.errors import DataError
from honed.core.json import Json
from honed.core.protocols import Encoder
from honed.core.stage import Inputs, Stage, Work
from honed.core.text import fold
from honed.core.writing import write_json
from honed.data import task
from honed.data.split import WITHHELD
from honed.evaluate.results import Finding
from honed.shapes.findings import finding
from honed.shapes.grouped.parts import TripletReport
from honed.shapes.relations.sentences import Sentence, read_sentences
from honed.shapes.relations.triplets import TripletBuilder, TripletConfig
from honed.shapes.shape import DevScore

TRIPLETS = "triplets.json"
_DEV = 1000


class TripletArtifact(Examples, ReportPart):
    """Triplets as training examples."""

    def report(self) -> TripletReport:
        """Return how the triplets were built, with samples."""
        return self.read(TRIPLETS, TripletReport)

    def report_part(self) -> tuple[str, msgspec.Struct]:
        """Return the part "triplets" of the report."""
        return "triplets", self.report()


class SentenceAudit(msgspec.Struct, kw_only=True):
    """What is in the sentences: how many of each relation, their splits, and what is wrong with them."""

    records: int
    labelled: int
    labels: dict[str, int]
    splits: dict[str, int]
    findings: dict[str, Finding]

    def lines(self) -> list[str]:
        """Return the summary in sentences."""
        labels = ", ".join(f"{label} {count}" for label, count in self.labels.items())
        splits = ", ".join(f"{name} {count}" for name, count in self.splits.items())
        return [f"records: {self.records}, labelled {self.labelled} ({labels})", f"splits by relation: {splits}"]


def sentences_of(config: Config, imported: ImportArtifact) -> list[Sentence]:
    """Return all sentences of the import, each with its split."""
    has_splits = "split" in config.data.columns
    return read_sentences(imported.records(), config.split.split_config(), given=has_splits)


def sentences_read(work: Work[Config]) -> list[Sentence]:
    """Return all sentences that a stage works on, each with its split."""
    return sentences_of(work.config, work.inputs.need(ImportArtifact))


def audit_sentences(sentences: Sequence[Sentence]) -> SentenceAudit:
    """Return the audit: counts by relation and split, and findings with samples.

    Raises `DataError` when there is nothing to learn a difference from.
    """
    relations = Counter(sentence.relation for sentence in sentences)
    if len(relations) < 2:
        raise DataError("E_RELATIONS", f"one relation ({next(iter(relations))}): nothing to tell apart")
    spelled: dict[str, str] = {}
    for name in relations:
        if (other := spelled.setdefault(fold(name), name)) != name:
            raise DataError("E_LABEL_NEAR_DUP", f"one relation in several spellings: {other!r}, {name!r}; mend them")
    splits: dict[str, set[str]] = {}
    copies: dict[str, list[Sentence]] = {}
    for sentence in sentences:
        splits.setdefault(sentence.relation, set()).add(sentence.split)
        copies.setdefault(fold(sentence.text), []).append(sentence)
    for names in splits.values():
        names.discard(WITHHELD)
    twice = [same for same in copies.values() if len(same) > 1]
    samples = {
        "W_TEXT_DUP": [_short(same[0].text) for same in twice],
        "W_LABEL_CONFLICT_TEXT": [
            f"{_short(same[0].text)}: {', '.join(sorted({sentence.relation for sentence in same}))}"
            for same in twice
            if len({sentence.relation for sentence in same}) > 1
        ],
        "W_SPAN_OVERLAP": [_short(sentence.text) for sentence in sentences if sentence.without_overlap() is None],
        "W_SPAN_IN_WORD": [_short(sentence.text) for sentence in sentences if _cuts_words(sentence)],
        "W_SPLIT_RELATION": [
            f"{relation}: in {' and '.join(sorted(names))}" for relation, names in splits.items() if len(names) > 1
        ],
        "W_SPLIT_LEAK": [_short(sentence.text) for sentence in sentences if sentence.split == WITHHELD],
        "W_LABEL_RARE": [f"{relation}: {n} sentence" for relation, n in relations.items() if n < 2],
    }
    return SentenceAudit(
        records=len(sentences),
        labelled=len(sentences),
        labels=dict(relations.most_common()),
        splits=dict(Counter(sentence.split for sentence in sentences)),
        findings={code: finding(len(texts), texts) for code, texts in samples.items() if texts},
    )


def _cuts_words(sentence: Sentence) -> bool:
    """Tell whether an entity ends within a word, as all do where tokens were counted and characters are read."""
    text = sentence.text
    return any(
        (start > 0 and text[start - 1 : start + 1].isalnum()) or (end < len(text) and text[end - 1 : end + 1].isalnum())
        for start, end in (*sentence.head, *sentence.tail)
    )


def _short(text: str) -> str:
    return text if len(text) <= 160 else text[:157] + "..."


# -- triplets ------------------------------------------------------------------------------------


def _section(config: Config) -> TripletConfig:
    section = config.section(TripletConfig)
    assert section is not None  # the stage is wanted only then, and training needs it
    return section


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {
        "triplets": asdict(_section(config)),
        "split": config.split.settings(),
        "given": "split" in config.data.columns,
    }


def build_triplets(work: Work[Config]) -> dict[str, Json]:
    """Build triplets from the sentences of train."""
    train = [sentence for sentence in sentences_read(work) if sentence.split == "train"]
    builder = TripletBuilder(train, _section(work.config))
    examples = builder.build()
    if len(examples) < 2:
        raise DataError("E_TRAIN_EMPTY", f"{len(examples)} triplets could be built: {dict(builder.dropped)}")
    task.save_examples(work.folder / task.EXAMPLES, examples)
    report = builder.report(examples)
    write_json(work.folder / TRIPLETS, report)
    return {"triplets": report.triplets, "relations": report.relations}


STAGE: Stage[Config] = Stage(
    name="triplets",
    artifact=TripletArtifact,
    needs=(ImportArtifact, CheckArtifact),
    wanted=lambda config: config.has("triplets"),
    settings=_settings,
    run=build_triplets,
    draws=True,
    command="Build triplets from the sentences, and show some of them.",
)


def triplet_dev_score(config: Config, inputs: Inputs) -> DevScore:
    """Return what scores a model in training: the share of triplets of relations that are not trained on, in which
    another sentence of the relation is nearer than one of another relation that speaks of the same entities.

    Not how well held-out relations keep together as they are: their names alone would do that.
    """
    dev = [sentence for sentence in sentences_of(config, inputs.need(ImportArtifact)) if sentence.split == "dev"]
    relations = {sentence.relation for sentence in dev}
    if len(relations) < 2:
        raise DataError(
            "E_SPLIT_EMPTY", "fewer than 2 relations in dev, to choose a model by: set [split] dev, or the splits"
        )
    per_relation = max(2, _DEV // len(relations))
    wanted = replace(
        _section(config), positive="sentence", negatives=("same-entities",), per_relation=per_relation, seed=0
    )
    triplets = TripletBuilder(dev, wanted).build()
    if not triplets:
        raise DataError("E_SPLIT_EMPTY", "no triplet could be built of the relations in dev")
    anchors = [triplet.anchor for triplet in triplets]
    positives = [triplet.positive for triplet in triplets]
    negatives = [triplet.negatives[0] for triplet in triplets]

    def score(encoder: Encoder) -> float:
        first, right, wrong = (encoder.encode(texts, "document") for texts in (anchors, positives, negatives))
        return float(((first * right).sum(axis=1) > (first * wrong).sum(axis=1)).mean())

    return score
