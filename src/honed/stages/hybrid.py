"""The hybrid retriever: built over the index, taught on dev with the encoder that is shipped, measured on test."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from honed.artifacts.data import CheckArtifact
from honed.artifacts.index import HybridArtifact, IndexArtifact
from honed.artifacts.models import CrossEncoderArtifact, ShippedModel
from honed.bundle.names import LABEL, Entity, NameTable
from honed.config.config import Config
from honed.config.sections import HybridSection
from honed.core.effort import DataFacts, Effort
from honed.core.errors import ConfigError, did_you_mean
from honed.core.json import Json
from honed.core.progress import progress
from honed.core.records import JudgedTask, Run
from honed.core.stage import Stage, Work
from honed.core.text import fold, is_other_script, script
from honed.core.writing import write_json
from honed.data.task import Name
from honed.encode.models import encoder_source
from honed.index.blend import Blend
from honed.index.fusion import FusionLearner, JudgedCandidates
from honed.index.hybrid import HYBRID, HYBRID_TENSORS, Candidates, HybridIndex
from honed.index.mentions import ALL, KNOWN, LABELS, Names
from honed.index.parts import HybridTexts
from honed.search.searcher import Searcher
from honed.shapes.judged import judged_task
from honed.shapes.registry import shape_of
from honed.shapes.systems import HYBRID as HYBRID_SYSTEM
from honed.shapes.systems import HYBRID_RANKS, HYBRID_RERANKED, sampled
from honed.stages.answers import answer_facts, learn_answers
from honed.stages.encoded_queries import EncodedQueries, gather_candidates
from honed.stages.fusing import teach_fusion
from honed.stages.searching import open_searcher
from honed.stages.shipped import shipped_model

_ASKED, _RERANKED, _FEWEST = 3000, 500, 20
OF_ONE_QUERY = 17_000  # texts that a look costs as much as, beside those that are searched: for the estimates
_LOOKS_OF_ANSWERS = 3  # that each query takes more, for the estimates: wide, with its answer and without


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {
        "hybrid": asdict(config.hybrid) if config.hybrid else None,
        **({"own_queries": True} if config.queries else {}),
        **({"depth": config.cross_encoder.depth} if config.cross_encoder else {}),
        "answers": asdict(config.answers) if config.answers else None,
        "language": config.language,
        **({"languages": config.field_languages} if config.field_languages else {}),
        "stop_words": config.stop_words,
        "model": encoder_source(config.model).identity(),
    }


def _run(work: Work[Config]) -> dict[str, Json]:
    """Build the parts over the index, and learn on dev; dev, because the model has seen the queries of train."""
    from safetensors.numpy import save_file

    searcher = searcher_of(work, with_hybrid=False)
    names = work.inputs.need(CheckArtifact).names()
    main = shape_of(work.config).directions(work.config)[0].name
    known = known_names(work.inputs.need(CheckArtifact))
    dev = judged_task(work.inputs, main, "dev").with_absent()
    queries = [query.text for query in dev.queries]
    searcher.hybrid = HybridIndex.build(hybrid_texts(searcher, work.config, names, queries))
    if work.config.queries and searcher.hybrid.evidence:
        searcher.hybrid.evidence.names.learn_usual(queries)
    facts = teach(searcher, dev, work.config, known)
    save_file(searcher.hybrid.tensors(), str(work.folder / HYBRID_TENSORS))
    write_json(work.folder / HYBRID, hybrid_data(searcher))
    return facts


def hybrid_data(searcher: Searcher) -> dict[str, Any]:
    """Return what a hybrid needs besides its tensors, as plain data."""
    assert searcher.hybrid is not None
    return {
        **searcher.hybrid.as_dict(),
        "answers": searcher.answers.as_dict() if searcher.answers else None,
        "rerank": searcher.blend.as_dict() if searcher.reranker else None,
    }


def hybrid_texts(
    searcher: Searcher, config: Config, names_known: Sequence[Name] = (), queries: Sequence[str] = ()
) -> HybridTexts:
    """Return the labels of an index with the fields of those that bear them; `ConfigError` for an unknown field.

    ``names_known`` are all names, with whether the protocol lets a search know them. Where they
    or the ``queries`` are not all Latin, scripts are bridged, unless the section says otherwise.
    """
    assert config.hybrid is not None
    names, section = searcher.names, config.hybrid
    texts = [searcher.label_text(number) for number in range(len(searcher.labels))]
    bearers = [names.bearers(int(row), LABEL) for row in searcher.labels]
    entities_of = [[names.entity(bearer) for bearer in of_label] for of_label in bearers]
    known = {name for entities in entities_of for entity in entities for name in entity.fields}
    for name in (*section.fields, *section.weights, *section.kinds):
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise ConfigError("E_FIELD", f"hybrid: no field {name}{did_you_mean(name, known)} (known: {listed})")

    def values(name: str) -> list[str]:
        return [
            " ".join(dict.fromkeys(entity.fields[name] for entity in entities if entity.fields.get(name)))
            for entities in entities_of
        ]

    of_names, weighted = shape_of(config).reads_names, texts
    for name, weight in section.weights.items():
        weighted = [f"{text} {f'{more} ' * weight}".strip() for text, more in zip(weighted, values(name), strict=True)]
    all_names = _all_names(names, texts, bearers, entities_of, names_known) if of_names else None
    return HybridTexts(
        texts=texts,
        fields={name: values(name) for name in section.fields},
        language=config.language,
        languages=config.field_languages,
        stop_words=config.stop_words,
        names=of_names,
        known=all_names,
        kinds={name: values(name) for name in section.kinds},
        weighted=weighted if section.weights else (),
        other_scripts=of_names and _bridges_scripts(section, [*texts, *(name.text for name in names_known), *queries]),
        across=_across_scripts(all_names, queries) if all_names else (),
    )


def _bridges_scripts(section: HybridSection, texts: Sequence[str]) -> bool:
    """Tell whether a hybrid compares names across scripts: as its section says, or where texts are not all Latin."""
    return section.other_scripts == "on" or (section.other_scripts == "auto" and any(map(is_other_script, texts)))


def _across_scripts(names: Names, queries: Sequence[str]) -> list[tuple[str, str]]:
    """Return the known names that are in another script than their label, with it; none that is among the queries.

    What dev asks shall not be told to what dev teaches.
    """
    asked = frozenset(map(fold, queries))
    return [
        (text, texts[0])
        for texts, levels in zip(names.texts, names.levels, strict=True)
        for text, level in zip(texts, levels, strict=True)
        if level == KNOWN and not (text.isascii() and texts[0].isascii()) and script(text) != script(texts[0])
        if fold(text) not in asked
    ]


def _all_names(
    table: NameTable,
    texts: Sequence[str],
    bearers: Sequence[Sequence[int]],
    entities_of: Sequence[Sequence[Entity]],
    names: Sequence[Name],
) -> Names:
    """Return for each label its text, and the aliases of the entities that bear it."""
    known = {(name.entity_id, name.text) for name in names if name.known}
    all_texts, all_levels = [], []
    for text, of_label, entities in zip(texts, bearers, entities_of, strict=True):
        levels = {text: LABELS}
        for bearer, entity in zip(of_label, entities, strict=True):
            for alias in table.aliases(bearer):
                level = KNOWN if (entity.entity_id, alias) in known else ALL
                levels[alias] = min(level, levels.get(alias, ALL))
        all_texts.append(list(levels))
        all_levels.append(list(levels.values()))
    return Names(all_texts, all_levels)


# -- learning ------------------------------------------------------------------------------------


def known_names(check: CheckArtifact) -> frozenset[str]:
    """Return the names that a search knows in the protocol, folded: what it answers by looking up."""
    return frozenset(fold(name.text) for name in check.names() if name.known)


def teach(searcher: Searcher, dev: JudgedTask, config: Config, known: frozenset[str]) -> dict[str, Any]:
    """Give a searcher's hybrid the weights that dev teaches, and the estimates of [answers]; returns what was learned.

    Estimates are learned from queries that are no ``known`` name, where there are enough of them.

    The searcher's own encoder and vectors are asked, so that a student, a quantised model or another engine is judged
    by what it answers itself.
    """
    section, index = config.hybrid, searcher.hybrid
    assert section is not None and index is not None
    asked = EncodedQueries.of(searcher, sampled(dev, _ASKED, config.seed))
    index.level = KNOWN if config.queries else LABELS  # no alias of dev tells of itself
    index.level_of_short = ALL if config.queries else LABELS
    taught = teach_fusion(searcher, asked, section.penalty)
    index.choice = msgspec.to_builtins(taught.choice)
    facts: dict[str, Any] = {"queries": len(asked.texts), "features": len(index.feature_names)}
    facts["fusion"] = taught.choice.sentence()
    if searcher.reranker is not None and config.cross_encoder is not None:
        searcher.blend = Blend(depth=config.cross_encoder.depth)
        searcher.blend = _blend(searcher, asked, taught.candidates[:_RERANKED], section.penalty)
        facts["rerank"] = searcher.blend.as_dict()
    if config.answers is not None:
        new = np.flatnonzero([fold(text) not in known for text in asked.texts])
        searcher.answers = None
        if len(new) >= _FEWEST:
            chosen = [taught.queries[at] for at in new.tolist()]
            searcher.answers = learn_answers(searcher, asked.only(new), chosen, taught.learner, config.answers)
        facts |= answer_facts(searcher.answers, len(new))
    index.level = KNOWN
    return facts


def _blend(searcher: Searcher, asked: EncodedQueries, gathered: Sequence[Candidates], penalty: float) -> Blend:
    """Learn how much the cross-encoder counts beside the fused score, from the candidates of the first queries."""
    index = searcher.hybrid
    assert index is not None
    queries = []
    with progress("cross-encoder, dev", len(gathered)) as bar:
        for at, candidates in enumerate(gathered):
            ranked = index.rank(asked.texts[at], candidates)
            scores = searcher.pair_scores(asked.texts[at], ranked.rows)
            features = np.stack([ranked.scores[: len(scores)], scores], axis=1).astype(np.float32)
            queries.append(JudgedCandidates(features, asked.grades_of(at, ranked.rows[: len(scores)]), 0))
            bar.advance()
    ours, theirs = FusionLearner(names=("ours", "theirs"), penalty=penalty).fit(queries).weights[0].tolist()
    return Blend(ours=ours, theirs=theirs, depth=searcher.blend.depth)


# -- measuring -----------------------------------------------------------------------------------


def hybrid_runs(work: Work[Config], asked: JudgedTask, k: int) -> list[Run]:
    """Return the hybrid's runs: by the weights that were learned, and by reciprocal ranks, which need none."""
    searcher = searcher_of(work, with_hybrid=True)
    index = searcher.hybrid
    assert index is not None
    documents: dict[str, list[str]] = {}
    for document in asked.corpus:
        documents.setdefault(document.encoder_text(), []).append(document.doc_id)
    hits: dict[str, dict[str, Any]] = {
        HYBRID_SYSTEM: {},
        HYBRID_RANKS: {},
        **({HYBRID_RERANKED: {}} if searcher.reranker else {}),
    }
    queries = EncodedQueries.of(searcher, asked)

    def listed(rows: Any, scores: Any) -> list[tuple[str, float]]:
        pairs = zip(rows[:k].tolist(), scores[:k].tolist(), strict=True)
        return [(doc, score) for row, score in pairs for doc in documents[searcher.label_text(row)]]

    for at, candidates in enumerate(gather_candidates(searcher, queries, "hybrid")):
        query_id, text, vector = asked.queries[at].query_id, queries.texts[at], queries.vectors[at]
        ranked = index.rank(text, candidates)
        rows = searcher.extend_ranking(text, vector, ranked, k)
        below = ranked.scores.min(initial=0.0) - np.arange(1, len(rows) - len(ranked.rows) + 1)
        hits[HYBRID_SYSTEM][query_id] = listed(rows, np.concatenate([ranked.scores, below]))
        if searcher.reranker:
            order = searcher.blend.order(ranked.scores, searcher.pair_scores(text, ranked.rows))
            rows = np.concatenate([ranked.rows[order], rows[len(order) :]])
            hits[HYBRID_RERANKED][query_id] = listed(
                rows, -np.arange(len(rows))
            )  # what was not scored has none of that kind
        by_ranks = index.by_ranks(candidates)
        hits[HYBRID_RANKS][query_id] = listed(by_ranks.rows, by_ranks.scores)
    return [Run.sorted(name, ranking) for name, ranking in hits.items()]


def searcher_of(work: Work[Config], *, with_hybrid: bool, timed: bool = False) -> Searcher:
    """Return what ``honed search`` answers with in this run, with the cross-encoder where there is one.

    One that is ``timed`` encodes every query; otherwise a query that was encoded before is not encoded again.
    """
    source = shipped_model(work.config, work.inputs)
    hybrid = work.inputs.need(HybridArtifact) if with_hybrid else None
    encoder = work.executor.model(source) if timed else work.executor.encoder(source)
    searcher = open_searcher(work.inputs.need(IndexArtifact), hybrid, encoder)
    if searcher.hybrid:
        searcher.hybrid.level = KNOWN  # as the protocol has it
    if judge := work.inputs.find(CrossEncoderArtifact):
        searcher.reranker = work.executor.model(judge.scorer())
    return searcher


def _wanted(config: Config) -> bool:
    return config.hybrid is not None and "hybrid" in shape_of(config).optional


def _effort(config: Config, facts: DataFacts) -> Effort:
    asked = facts.dev.times(min(1.0, _ASKED / max(1.0, facts.dev.count)))
    looks = 1 + (_LOOKS_OF_ANSWERS if config.answers else 0)
    fused = looks * asked.count * (facts.names.count + OF_ONE_QUERY)
    return Effort(encoded=(asked,), fused=fused, vectors=3 * facts.names.count)


STAGE: Stage[Config] = Stage(
    name="hybrid",
    artifact=HybridArtifact,
    needs=(CheckArtifact, CrossEncoderArtifact, ShippedModel, IndexArtifact),
    wanted=_wanted,
    settings=_settings,
    run=_run,
    version=6,
    effort=_effort,
)
