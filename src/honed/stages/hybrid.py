"""The hybrid retriever: built over the index, taught on dev with the encoder that is shipped, measured on test."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from honed.artifacts.data import CheckArtifact
from honed.artifacts.index import HybridArtifact, IndexArtifact
from honed.artifacts.models import CrossEncoderArtifact, ShippedModel
from honed.bundle.names import LABEL
from honed.config.config import Config
from honed.config.sections import AnswersSection
from honed.core.artifacts import write_json
from honed.core.effort import DataFacts, Effort
from honed.core.errors import ConfigError, did_you_mean
from honed.core.json import Json
from honed.core.progress import progress
from honed.core.records import JudgedTask, Run
from honed.core.stage import Stage, Work
from honed.core.text import fold, looks_like_acronym
from honed.encode.models import encoder_source
from honed.evaluate.answers import AnswerQuality, Estimates, judge_answers
from honed.index.answers import AnswerModel, answer_evidence
from honed.index.blend import Blend
from honed.index.fusion import JudgedCandidates, LearnedFusion
from honed.index.hybrid import DEPTH, HYBRID, HYBRID_TENSORS, WIDE, Candidates, HybridIndex, HybridTexts, Ranking
from honed.search.searcher import Searcher
from honed.shapes.judged import judged_task
from honed.shapes.registry import shape_of
from honed.shapes.systems import HYBRID as HYBRID_SYSTEM
from honed.shapes.systems import HYBRID_RANKS, HYBRID_RERANKED, sampled
from honed.stages.encoded_queries import FOLDS, EncodedQueries
from honed.stages.index import shipped_model
from honed.stages.searching import open_searcher

_ASKED, _BLOCK, _RERANKED, _FEWEST = 3000, 256, 500, 20
_LOOKS_OF_ANSWERS = 3  # that each query takes more, for the estimates: wide, with its answer and without


def _settings(config: Config, root: Path) -> dict[str, Json]:
    return {
        "hybrid": asdict(config.hybrid) if config.hybrid else None,
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
    searcher.hybrid = HybridIndex.build(hybrid_texts(searcher, work.config))
    main = shape_of(work.config).directions(work.config)[0].name
    known = known_names(work.inputs.need(CheckArtifact))
    facts = teach(searcher, judged_task(work.inputs, main, "dev"), work.config, known)
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


def hybrid_texts(searcher: Searcher, config: Config) -> HybridTexts:
    """Return the labels of an index with the fields of those that bear them; `ConfigError` for an unknown field."""
    assert config.hybrid is not None
    names, section = searcher.names, config.hybrid
    texts = [searcher.label_text(number) for number in range(len(searcher.labels))]
    bearers = [[names.entity(entity)[2] for entity in names.bearers(int(row), LABEL)] for row in searcher.labels]
    known = {name for entities in bearers for fields in entities for name in fields}
    for name in (*section.fields, *section.weights):
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise ConfigError("E_FIELD", f"hybrid: no field {name}{did_you_mean(name, known)} (known: {listed})")

    def values(name: str) -> list[str]:
        return [
            " ".join(dict.fromkeys(entity[name] for entity in entities if entity.get(name))) for entities in bearers
        ]

    weighted = texts
    for name, weight in section.weights.items():
        weighted = [f"{text} {f'{more} ' * weight}".strip() for text, more in zip(weighted, values(name), strict=True)]
    return HybridTexts(
        texts=texts,
        fields={name: values(name) for name in section.fields},
        language=config.language,
        languages=config.field_languages,
        stop_words=config.stop_words,
        names=shape_of(config).reads_names,
        weighted=weighted if section.weights else (),
    )


# -- learning ------------------------------------------------------------------------------------


def known_names(check: CheckArtifact) -> frozenset[str]:
    """Return the names that a search knows in the protocol, folded: what it answers by looking up."""
    return frozenset(fold(name.text) for name in check.names() if name.known)


def strangers(asked: JudgedTask, known: frozenset[str]) -> JudgedTask:
    """Return the queries that are no known name: those whose answers are estimated."""
    return replace(asked, queries=[query for query in asked.queries if fold(query.text) not in known])


def teach(searcher: Searcher, dev: JudgedTask, config: Config, known: frozenset[str]) -> dict[str, Any]:
    """Give a searcher's hybrid the weights that dev teaches, and the estimates of [answers]; returns what was learned.

    Estimates are learned from queries that are no ``known`` name, where there are enough of them.

    The searcher's own encoder and vectors are asked, so that a student, a quantised model or another engine is judged
    by what it answers itself.
    """
    section, index = config.hybrid, searcher.hybrid
    assert section is not None and index is not None
    asked = EncodedQueries.of(searcher, sampled(dev, _ASKED, config.seed))
    gathered = list(_gathered(searcher, asked, "hybrid, dev"))
    queries = [
        JudgedCandidates(found.features, _grades(found.rows, asked.grades[at]), looks_like_acronym(asked.texts[at]))
        for at, found in enumerate(gathered)
    ]
    index.fusion = LearnedFusion.fit(index.feature_names, queries, penalty=section.penalty)
    facts: dict[str, Any] = {"queries": len(queries), "features": len(index.feature_names)}
    if searcher.reranker is not None and config.cross_encoder is not None:
        searcher.blend = Blend(depth=config.cross_encoder.depth)
        searcher.blend = _blend(searcher, asked, gathered[:_RERANKED], section.penalty)
        facts["rerank"] = searcher.blend.as_dict()
    if config.answers is not None:
        new = np.flatnonzero([fold(text) not in known for text in asked.texts])
        searcher.answers = None
        if len(new) >= _FEWEST:
            chosen = [queries[at] for at in new]
            searcher.answers = _answers(searcher, asked.only(new), chosen, section.penalty, config.answers)
        facts["gap"] = searcher.answers.gap if searcher.answers else None
    return facts


def _grades(rows: Any, grades: Mapping[int, int]) -> Any:
    return np.array([grades.get(row, 0) for row in rows.tolist()], dtype=np.float32)


def _gathered(searcher: Searcher, asked: EncodedQueries, title: str, *, depth: int = DEPTH) -> Iterator[Candidates]:
    """Yield the candidates of each query."""
    with progress(title, len(asked.texts)) as bar:
        for start in range(0, len(asked.texts), _BLOCK):
            vectors = asked.vectors[start : start + _BLOCK]
            near = searcher.nearest(vectors, depth)
            for at, (vector, rows) in enumerate(zip(vectors, near, strict=True), start):
                yield searcher.gather(asked.texts[at], vector, rows, depth=depth, hidden=asked.own[at])
                bar.advance()


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
            queries.append(JudgedCandidates(features, _grades(ranked.rows[: len(scores)], asked.grades[at]), False))
            bar.advance()
    ours, theirs = LearnedFusion.fit(("ours", "theirs"), queries, penalty=penalty).weights[0].tolist()
    return Blend(ours=ours, theirs=theirs, depth=searcher.blend.depth)


def _answers(
    searcher: Searcher,
    asked: EncodedQueries,
    queries: Sequence[JudgedCandidates],
    penalty: float,
    section: AnswersSection,
) -> AnswerModel:
    """Learn from queries that were ranked by weights which they did not teach (cross-fitting)."""
    index = searcher.hybrid
    assert index is not None and index.fusion is not None
    final = index.fusion
    seen: list[QueryEvidence] = []
    for part in range(FOLDS):
        others = [query for query, fold_number in zip(queries, asked.folds, strict=True) if fold_number != part]
        index.fusion = LearnedFusion.fit(index.feature_names, others, penalty=penalty)
        of_part = asked.only(np.flatnonzero(asked.folds == part))
        seen += _evidence(searcher, of_part, f"answers, dev, part {part + 1} of {FOLDS}")
    index.fusion = final
    return AnswerModel.fit(
        np.stack([evidence.shown for evidence in seen]),
        np.stack([evidence.hidden for evidence in seen]),
        np.array([evidence.right for evidence in seen], dtype=np.float64),
        np.array([evidence.distance for evidence in seen]),
        absent=section.absent,
        risk=section.risk,
        coverage=section.coverage,
    )


class QueryEvidence(NamedTuple):
    """The evidence on a query with and without its answer, whether its first hit is right, and all its candidates.

    ``distance`` is that from the first score to the best right one, infinite where none is among the candidates.
    """

    shown: Any
    hidden: Any
    right: bool
    distance: float
    wide: Ranking


def _evidence(searcher: Searcher, asked: EncodedQueries, title: str) -> Iterator[QueryEvidence]:
    """Yield the evidence on each query, ranked with its right labels and without them."""
    index = searcher.hybrid
    assert index is not None
    for at, candidates in enumerate(_gathered(searcher, asked, title, depth=WIDE)):
        text, vector, right = asked.texts[at], asked.vectors[at], asked.right(at)
        wide = index.rank(text, candidates)
        places = np.flatnonzero(np.isin(wide.rows, right))
        distance = float(wide.scores[0] - wide.scores[places[0]]) if len(places) else np.inf
        near = searcher.nearest(vector[None], DEPTH + len(right))[0]
        shown = index.rank(text, searcher.gather(text, vector, near, hidden=asked.own[at]))
        hidden = index.rank(text, searcher.gather(text, vector, near, hidden=[*right, *asked.own[at]]))
        first = bool(len(shown.rows) and shown.rows[0] in right)
        yield QueryEvidence(answer_evidence(text, shown), answer_evidence(text, hidden), first, distance, wide)


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

    for at, candidates in enumerate(_gathered(searcher, queries, "hybrid")):
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
    if judge := work.inputs.find(CrossEncoderArtifact):
        searcher.reranker = work.executor.model(judge.scorer())
    return searcher


def judged_answers(
    searcher: Searcher, test: JudgedTask, section: AnswersSection, seed: int, known: frozenset[str]
) -> AnswerQuality | None:
    """Return how a searcher's estimates hold on test queries that are no ``known`` name; None where nothing is known.

    Of more than 3,000 queries it is a fixed draw.
    """
    model, new = searcher.answers, strangers(test, known)
    if model is None or not new.queries:
        return None
    asked = EncodedQueries.of(searcher, sampled(new, _ASKED, seed))
    rows = []
    for seen in _evidence(searcher, asked, "answers"):
        gap = np.inf if model.gap is None else model.gap
        held = np.isfinite(seen.distance) and seen.distance <= gap
        rows.append((model.chance(seen.shown), model.chance(seen.hidden), seen.right, model.within(seen.wide), held))
    columns = (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))
    names = ("chances", "without", "right", "sizes", "held")
    estimates = Estimates(**dict(zip(names, columns, strict=True)))
    return judge_answers(
        estimates,
        absent=section.absent,
        risk=section.risk,
        reached=model.gap is not None,
        wanted=section.coverage,
        known_names=len(test.queries) - len(new.queries),
    )


def _wanted(config: Config) -> bool:
    return config.hybrid is not None and "hybrid" in shape_of(config).optional


def _effort(config: Config, facts: DataFacts) -> Effort:
    asked = facts.dev.times(min(1.0, _ASKED / max(1.0, facts.dev.count)))
    looks = 1 + (_LOOKS_OF_ANSWERS if config.answers else 0)
    return Effort(encoded=(asked,), fused=looks * asked.count * facts.names.count, vectors=3 * facts.names.count)


STAGE: Stage[Config] = Stage(
    name="hybrid",
    artifact=HybridArtifact,
    needs=(CheckArtifact, CrossEncoderArtifact, ShippedModel, IndexArtifact),
    wanted=_wanted,
    settings=_settings,
    run=_run,
    version=3,
    effort=_effort,
)
