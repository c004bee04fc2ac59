"""What fine-tuning changed in how texts are read: contributions of words, over a whole set of held-out pairs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from honed.config.sections import Config
from honed.core.artifacts import write_json
from honed.core.errors import ConfigError, DataError
from honed.core.progress import progress
from honed.core.text import fold
from honed.evaluate.bootstrap import Bootstrap
from honed.explain.config import ExplainConfig
from honed.shapes.relations.compile import held_out, sentences_of
from honed.shapes.relations.sentences import Sentence
from honed.stages.reports import BASE, TUNED
from honed.stages.stage import Inputs, Work, base_encoder, model_key, trained_encoder

if TYPE_CHECKING:
    from honed.explain.attribution import Explainer, TokenizedText
    from honed.project.project import Project

CHANGED = "changed.json"
WAYS = ("deletion", "insertion")
_SHOWN, _OFTEN = 15, 5
_Taken = tuple[str, "TokenizedText", Any, Any]  # relation, the first text, its contributions, the second text's vector


def settings_of(config: Config) -> ExplainConfig:
    """Return the section [explain], or its defaults."""
    return config.explain or ExplainConfig()


def changed_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes the comparison."""
    return {"explain": asdict(settings_of(config)), "model": model_key(config, root), "split": asdict(config.split)}


def changed(work: Work) -> Mapping[str, Any]:
    """Take pairs of held-out sentences apart, with the base and the fine-tuned model."""
    settings = settings_of(work.config)
    pairs = held_out_pairs(sentences_of(work), settings.pairs, settings.seed)
    loaded = models(work.config, work.inputs)
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
    report = {
        "pairs": len(pairs),
        "split": pairs[0][0].split,
        "relations": len({first.relation for first, _ in pairs}),
        "entity_words": groups.intervals(np.array(named)[:, None])[0].as_dict(),
        "entity_share": {
            name: groups.intervals(np.array(found)[:, None])[0].as_dict() for name, found in shares.items()
        },
        "difference": _difference(groups, shares[TUNED], shares[BASE]) if TUNED in shares else None,
        "words": _words(words),
        "faithful": {
            name: _faithful(name, explainer, taken[name][: settings.check], settings.seed)
            for name, explainer in loaded.items()
        }
        if settings.check
        else {},
    }
    write_json(work.folder / CHANGED, report)
    return {"pairs": len(pairs)}


def models(config: Config, inputs: Inputs) -> dict[str, "Explainer"]:
    """Return explainers of the base model, and of the fine-tuned one where there is one.

    All in fp32: what is explained are differences, and bf16 would drown the small ones.
    """
    from honed.explain.attribution import Explainer

    exact = replace(config, model=replace(config.model, precision="fp32"))
    settings = settings_of(config)

    encoders = {BASE: base_encoder(exact)}
    if "train" in inputs:
        encoders[TUNED] = trained_encoder(exact, inputs, stages=("train",))
    return {
        name: Explainer(encoder, steps=settings.steps, reference=settings.reference)
        for name, encoder in encoders.items()
    }


def held_out_pairs(sentences: Sequence[Sentence], n: int, seed: int) -> list[tuple[Sentence, Sentence]]:
    """Return pairs of sentences of one relation that was not trained on, the relations in turn.

    Raises `DataError` where none is held out.
    """
    split = held_out({each.split for each in sentences})
    by_relation: dict[str, list[Sentence]] = defaultdict(list)
    for each in sentences:
        if each.split == split:
            by_relation[each.relation].append(each)
    random = np.random.default_rng(seed)
    orders = {
        relation: [found[row] for row in random.permutation(len(found))]
        for relation, found in sorted(by_relation.items())
        if len(found) > 1
    }
    turns = max((len(found) for found in orders.values()), default=0) // 2
    pairs = [
        (found[2 * turn], found[2 * turn + 1])
        for turn in range(turns)
        for found in orders.values()
        if 2 * turn + 1 < len(found)
    ]
    if len(pairs) < 2:
        raise DataError("E_SPLIT_EMPTY", "[explain] needs pairs of held-out sentences: test and dev have none")
    return pairs[:n]


def of_entities(read: "TokenizedText", sentence: Sentence) -> Any:
    """Return which words ``(n_words,)`` of a sentence stand in one of its entities."""
    spans = (*sentence.head, *sentence.tail)
    return np.array([any(word.start < end and start < word.end for start, end in spans) for word in read.words])


def _difference(groups: Bootstrap, after: Sequence[float], before: Sequence[float]) -> dict[str, float]:
    values = np.array(after) - np.array(before)
    return {**groups.intervals(values[:, None])[0].as_dict(), "p_value": round(groups.p_value(values), 5)}


def _words(words: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, list[dict[str, Any]]]:
    """Return the words, not of entities, whose share of the contributions rose and fell most; each seen some times."""
    rows: list[dict[str, Any]] = [
        {"word": word, "n": len(found[BASE]), **{name: round(float(np.mean(each)), 5) for name, each in found.items()}}
        for word, found in words.items()
        if len(found[BASE]) >= _OFTEN and word.isalpha()
    ]
    if not rows or TUNED not in rows[0]:
        return {"rose": [], "fell": []}
    rows.sort(key=lambda row: (row[BASE] - row[TUNED], row["word"]))
    return {
        "rose": [row for row in rows if row[TUNED] > row[BASE]][:_SHOWN],
        "fell": [row for row in reversed(rows) if row[TUNED] < row[BASE]][:_SHOWN],
    }


def _faithful(name: str, explainer: "Explainer", taken: Sequence[_Taken], seed: int) -> dict[str, Any]:
    """Return the mean areas and curves of deletion and insertion, by attribution, raw attention and chance."""
    from honed.explain.faithful import area_under_curve, received_attention, removal_curves, removal_orders

    areas: dict[str, dict[str, list[float]]] = {way: defaultdict(list) for way in WAYS}
    lines: dict[str, dict[str, list[Any]]] = {way: defaultdict(list) for way in WAYS}
    with progress(f"words taken away, {name}", len(taken)) as bar:
        for _, read, values, other in taken:
            weights = {"attribution": values, "attention": received_attention(explainer.attention(read), read)}
            found = removal_curves(
                read,
                removal_orders(weights, len(values), seed),
                partial(explainer.encoder.encode, role="query"),
                other,
            )
            for order, ways in found.items():
                for way, curve in ways.items():
                    areas[way][order].append(area_under_curve(curve))
                    lines[way][order].append(curve)
            bar.advance()
    groups = Bootstrap([relation for relation, *_ in taken], seed=seed)
    return {
        way: {
            "area": {
                order: groups.intervals(np.array(found)[:, None])[0].as_dict() for order, found in areas[way].items()
            },
            "curve": {order: np.mean(found, axis=0).round(5).tolist() for order, found in lines[way].items()},
            "against": {
                order: _difference(groups, areas[way]["attribution"], areas[way][order])
                for order in ("attention", "random")
            },
        }
        for way in WAYS
    }


# -- two texts -----------------------------------------------------------------------------------


class Desk:
    """The models of a project, loaded once, and explanations of any two texts by them."""

    def __init__(self, project: "Project") -> None:
        latest = {}
        if project.config.train is not None:
            try:
                latest = {"train": project.runner.latest("train")}
            except ConfigError as error:
                if error.code != "E_NOT_RUN":
                    raise
        self.models = models(project.config, latest)
        self.seed = settings_of(project.config).seed

    def explain(self, first: str, second: str, *, only: str = "") -> dict[str, Any]:
        """Return why two texts are close, by every model or by one, as plain data.

        Raises `DataError` for a text without words, `ConfigError` for a model that is not there.
        """
        from honed.explain.explanation import ExplanationSet
        from honed.explain.pairs import explain

        if only and only not in self.models:
            raise ConfigError("E_OPTION", f"no model {only!r}; there are: {', '.join(self.models)}")
        explanations = ExplanationSet(
            models=[
                explain(explainer, first, second, name=name, seed=self.seed)
                for name, explainer in self.models.items()
                if only in ("", name)
            ]
        )
        plain: dict[str, Any] = msgspec.to_builtins(explanations)
        return plain
