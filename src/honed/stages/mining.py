"""The texts that the mining stages work on, and the pairs among them that are known to be right."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import msgspec
import numpy as np
from msgspec.structs import replace as replace_fields

from honed.artifacts.data import CheckArtifact, Examples
from honed.artifacts.models import CANDIDATES, MINING, Mined
from honed.config.config import Config
from honed.core.json import Json
from honed.core.records import Document, Example
from honed.core.stage import Inputs, Work
from honed.core.text import bare, fold
from honed.core.writing import write_json
from honed.data import task
from honed.shapes.judged import judged_task
from honed.shapes.registry import shape_of
from honed.shapes.systems import sampled
from honed.shapes.texts import nearest_passage

if TYPE_CHECKING:
    from honed.train.mine import Candidates, MinedNegatives


ARRAYS, REJECTED = ("rows", "scores", "positives", "positive_scores"), "rejected.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class MiningTexts:
    """Distinct anchors, all documents, and for each anchor the rows of the documents that are known to be right."""

    examples: Sequence[Example]
    anchors: list[str]
    documents: list[str]
    known: list[frozenset[int]]

    @classmethod
    def of(cls, work: Work[Config]) -> Self:
        """Read them from the artifacts."""
        check = work.inputs.need(CheckArtifact)
        examples = unmined_examples(work.inputs)
        main = shape_of(work.config).directions(work.config)[0].name
        documents = [doc.encoder_text() for doc in check.task(main, "dev").corpus]
        together = shape_of(work.config).together(check, work.config)
        anchors, known = known_documents(examples, check.names(), documents, together)
        return cls(examples=examples, anchors=anchors, documents=documents, known=known)

    def with_negatives(self, negatives: Sequence[Sequence[int]]) -> list[Example]:
        """Return the examples with the negatives of their anchors."""
        of_anchor = {
            fold(anchor): tuple(self.documents[row] for row in rows)
            for anchor, rows in zip(self.anchors, negatives, strict=True)
        }
        return [
            replace(example, negatives=tuple(dict.fromkeys((*example.negatives, *of_anchor[fold(example.anchor)]))))
            for example in self.examples
        ]


def known_documents(
    examples: Sequence[Example],
    names: Sequence[task.Name],
    documents: Sequence[str],
    together: Sequence[Sequence[str]] = (),
) -> tuple[list[str], list[frozenset[int]]]:
    """Return the distinct anchors of examples, and for each the rows of all documents known to be right.

    What is known are the examples, documents of the anchor's own text, and every name that training may know: an alias
    of several entities has them all.
    Of texts that belong ``together`` (passages of one document) none is a negative where another is right.
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
    for example in examples:
        key = fold(example.anchor)
        rows[key].add(row_of[fold(example.positive)])
        if key in row_of:  # a document of the same text
            rows[key].add(row_of[key])
    group_of: dict[int, list[int]] = {}
    for texts in together:
        group = [row_of[fold(text)] for text in texts if fold(text) in row_of]
        group_of |= dict.fromkeys(group, group)
    if group_of:
        for right in rows.values():
            right.update([row for known in list(right) for row in group_of.get(known, ())])
    anchors = list({fold(example.anchor): example.anchor for example in examples}.values())
    return anchors, [frozenset(rows[fold(anchor)]) for anchor in anchors]


def unmined_examples(inputs: Inputs) -> list[Example]:
    """Return the examples that mining starts from: the last ones without mined negatives."""
    unmined = [
        artifact
        for artifact in inputs.by_stage().values()
        if isinstance(artifact, Examples) and not isinstance(artifact, Mined)
    ]
    return unmined[-1].examples()


def save_mined(
    work: Work[Config], texts: MiningTexts, candidates: "Candidates", mined: "MinedNegatives"
) -> dict[str, Json]:
    """Write the report on mining, with samples; returns its headline figures."""
    from honed.train.mine import sample_pairs

    seed = work.config.mine.seed if work.config.mine else 0
    report = replace_fields(
        mined.report, samples=sample_pairs(texts.anchors, texts.documents, candidates, mined, seed=seed)
    )
    write_json(work.folder / MINING, report)
    return {
        "anchors": report.anchors,
        "chosen": report.chosen,
        "estimated_false_negatives": msgspec.to_builtins(report.estimated_false_negatives),
    }


def save_candidates(folder: Path, candidates: "Candidates") -> None:
    """Write candidates and their scores."""
    np.savez(folder / CANDIDATES, allow_pickle=False, **{name: getattr(candidates, name) for name in ARRAYS})
    write_json(folder / REJECTED, dict(candidates.rejected))


def unseen_pairs(work: Work[Config], most: int = 1_000_000) -> tuple[list[str], list[int]] | None:
    """Return the queries of dev's right pairs and the rows of their documents; None where dev is trained on.

    Pairs of one text are left out, as they are among the candidates.
    """
    if work.config.split.protocol != "held-out":
        return None
    main = shape_of(work.config).directions(work.config)[0].name
    dev = sampled(judged_task(work.inputs, main, "dev"), most, 0)
    row_of = {doc.doc_id: row for row, doc in enumerate(dev.corpus)}
    parts: dict[str, list[Document]] = {}
    for document in dev.corpus:
        parts.setdefault(dev.judged_as(document.doc_id), []).append(document)
    pairs = [
        (query.text, nearest_passage(query.text, parts[doc]))
        for query in dev.queries
        for doc in sorted(dev.qrels.relevant(query.query_id))
    ]
    pairs = [(text, document) for text, document in pairs if bare(text) != bare(document.encoder_text())]
    return [text for text, _ in pairs], [row_of[document.doc_id] for _, document in pairs]
