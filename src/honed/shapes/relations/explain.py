"""What fine-tuning changed in how texts are read: contributions of words, over a whole set of held-out pairs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from honed.artifacts.data import CheckArtifact, ImportArtifact
from honed.artifacts.evaluation import ReportPart
from honed.artifacts.models import TrainArtifact
from honed.config.config import Config
from honed.core.errors import DataError
from honed.core.json import Json
from honed.core.progress import progress
from honed.core.protocols import Mask, Vectors
from honed.core.stage import Stage, Work
from honed.core.text import fold
from honed.core.writing import write_json
from honed.encode.models import encoder_source
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.results import Interval
from honed.shapes.explained import explain_section, explained_models
from honed.shapes.grouped.parts import (
    ChangedWord,
    ChangedWords,
    ExplanationReport,
    PairedDifference,
    RemovalCheck,
)
from honed.shapes.grouped.texts import held_out
from honed.shapes.relations.compile import sentences_read
from honed.shapes.relations.sentences import Sentence
from honed.shapes.systems import BASE, TUNED

if TYPE_CHECKING:
    from honed.explain.attribution import Explainer, TokenizedText

CHANGED = "changed.json"
WAYS = ("deletion", "insertion")
_SHOWN, _OFTEN = 15, 5
_Taken = tuple[
    str, "TokenizedText", Vectors, Vectors
]  # relation, the first text, its contributions, the second text's vector


class ExplainArtifact(ReportPart):
    """How fine-tuning changed the contributions of words."""

    def report(self) -> ExplanationReport:
        """Return the report on changed contributions."""
        return self.read(CHANGED, ExplanationReport)

    def report_part(self) -> tuple[str, msgspec.Struct]:
        """Return the part "explained" of the report."""
        return "explained", self.report()


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {
        "explain": asdict(explain_section(config)),
        "model": encoder_source(config.model).identity(),
        "split": config.split.settings(),
    }


def changed(work: Work[Config]) -> dict[str, Json]:
    """Take pairs of held-out sentences apart, with the base and the fine-tuned model."""
    settings = explain_section(work.config)
    pairs = held_out_pairs(sentences_read(work), settings.pairs, settings.seed)
    trained = work.inputs.find(TrainArtifact)
    loaded = explained_models(work.config, trained.model if trained else None)
    groups = Bootstrap([first.relation for first, _ in pairs], seed=settings.seed)
    shares: dict[str, list[float]] = defaultdict(list)
    words: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    named: list[float] = []
    taken: dict[str, list[_Taken]] = defaultdict(list)
    for name, explainer in loaded.items():
        with progress(f"contributions, {name}", len(pairs)) as bar:
            for first, second in pairs:
                other = explainer.vector(second.text, "document")
                read, values = explainer.contributions(first.text, "query", other)
                taken[name].append((first.relation, read, values, other))
                inside = of_entities(read, first)
                weights = np.abs(values) / max(float(np.abs(values).sum()), 1e-12)
                shares[name].append(float(weights[inside].sum()))
                if name == BASE:
                    named.append(float(inside.mean()))
                for word, weight, entity in zip(read.words, weights.tolist(), inside.tolist(), strict=True):
                    if not entity:
                        words[fold(word.text)][name].append(weight)
                bar.advance()
    report = ExplanationReport(
        pairs=len(pairs),
        split=pairs[0][0].split,
        relations=len({first.relation for first, _ in pairs}),
        entity_words=_mean(groups, named),
        entity_share={name: _mean(groups, values) for name, values in shares.items()},
        difference=_difference(groups, shares[TUNED], shares[BASE]) if TUNED in shares else None,
        words=_words(words),
        faithful={
            name: _faithful(name, explainer, taken[name][: settings.check], settings.seed)
            for name, explainer in loaded.items()
        }
        if settings.check
        else {},
    )
    write_json(work.folder / CHANGED, report)
    return {"pairs": len(pairs)}


def held_out_pairs(sentences: Sequence[Sentence], n: int, seed: int) -> list[tuple[Sentence, Sentence]]:
    """Return pairs of sentences of one relation that was not trained on, the relations in turn.

    Raises `DataError` where none is held out.
    """
    split = held_out({sentence.split for sentence in sentences})
    by_relation: dict[str, list[Sentence]] = defaultdict(list)
    for sentence in sentences:
        if sentence.split == split:
            by_relation[sentence.relation].append(sentence)
    random = np.random.default_rng(seed)
    orders = {
        relation: [members[row] for row in random.permutation(len(members))]
        for relation, members in sorted(by_relation.items())
        if len(members) > 1
    }
    turns = max((len(members) for members in orders.values()), default=0) // 2
    pairs = [
        (members[2 * turn], members[2 * turn + 1])
        for turn in range(turns)
        for members in orders.values()
        if 2 * turn + 1 < len(members)
    ]
    if len(pairs) < 2:
        raise DataError("E_SPLIT_EMPTY", "[explain] needs pairs of held-out sentences: test and dev have none")
    return pairs[:n]


def of_entities(read: "TokenizedText", sentence: Sentence) -> Mask:
    """Return which words ``(n_words,)`` of a sentence stand in one of its entities."""
    spans = (*sentence.head, *sentence.tail)
    return np.array([any(word.start < end and start < word.end for start, end in spans) for word in read.words])


def _mean(groups: Bootstrap, values: Sequence[float]) -> Interval:
    return groups.intervals(np.array(values)[:, None])[0].rounded()


def _difference(groups: Bootstrap, after: Sequence[float], before: Sequence[float]) -> PairedDifference:
    values = np.array(after) - np.array(before)
    interval = _mean(groups, values.tolist())
    return PairedDifference(
        mean=interval.mean, low=interval.low, high=interval.high, p_value=round(groups.p_value(values), 5)
    )


def _words(words: Mapping[str, Mapping[str, Sequence[float]]]) -> ChangedWords:
    """Return the words, not of entities, whose share of the contributions rose and fell most; each seen some times."""
    rows = [
        ChangedWord(
            word=word,
            n=len(shares[BASE]),
            base=round(float(np.mean(shares[BASE])), 5),
            tuned=round(float(np.mean(shares[TUNED])), 5),
        )
        for word, shares in words.items()
        if len(shares[BASE]) >= _OFTEN and word.isalpha() and TUNED in shares
    ]
    rows.sort(key=lambda row: (row.base - row.tuned, row.word))
    return ChangedWords(
        rose=[row for row in rows if row.tuned > row.base][:_SHOWN],
        fell=[row for row in reversed(rows) if row.tuned < row.base][:_SHOWN],
    )


def _faithful(name: str, explainer: "Explainer", taken: Sequence[_Taken], seed: int) -> dict[str, RemovalCheck]:
    """Return the mean areas and curves of deletion and insertion, by attribution, raw attention and chance."""
    from honed.explain.faithful import area_under_curve, received_attention, removal_curves, removal_orders

    areas: dict[str, dict[str, list[float]]] = {way: defaultdict(list) for way in WAYS}
    lines: dict[str, dict[str, list[npt.NDArray[np.float64]]]] = {way: defaultdict(list) for way in WAYS}
    with progress(f"words taken away, {name}", len(taken)) as bar:
        for _, read, values, other in taken:
            weights: dict[str, npt.ArrayLike] = {
                "attribution": values,
                "attention": received_attention(explainer.attention(read), read),
            }
            curves = removal_curves(
                read,
                removal_orders(weights, len(values), seed),
                partial(explainer.encoder.encode, role="query"),
                other,
            )
            for order, ways in curves.items():
                for way, curve in ways.items():
                    areas[way][order].append(area_under_curve(curve))
                    lines[way][order].append(curve)
            bar.advance()
    groups = Bootstrap([relation for relation, *_ in taken], seed=seed)
    return {
        way: RemovalCheck(
            area={order: _mean(groups, values) for order, values in areas[way].items()},
            curve={order: np.mean(drawn, axis=0).round(5).tolist() for order, drawn in lines[way].items()},
            against={
                order: _difference(groups, areas[way]["attribution"], areas[way][order])
                for order in ("attention", "random")
            },
        )
        for way in WAYS
    }


STAGE: Stage[Config] = Stage(
    name="explain",
    artifact=ExplainArtifact,
    needs=(ImportArtifact, CheckArtifact, TrainArtifact),
    wanted=lambda config: config.has("explain"),
    settings=_settings,
    run=changed,
)
