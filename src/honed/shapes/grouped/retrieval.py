"""How well labelled texts find texts of their label: base and fine-tuned model, words, and what changed."""

import time
from typing import Any

import msgspec
import numpy as np

from honed.artifacts.evaluation import ReportPart
from honed.artifacts.index import IndexArtifact
from honed.artifacts.models import TrainArtifact
from honed.artifacts.report import Report
from honed.config.config import Config
from honed.core.protocols import Encoder, Vectors
from honed.core.ranking import Rows
from honed.core.stage import Work
from honed.encode.models import encoder_source
from honed.evaluate.bootstrap import Bootstrap
from honed.evaluate.classes import MAP, class_scores, completed, nearest
from honed.evaluate.measures import Measure
from honed.evaluate.results import Interval
from honed.evaluate.score import TaskScores
from honed.index.lexical import Bm25Index, TfidfIndex
from honed.shapes.grouped.config import retrieval_section
from honed.shapes.grouped.neighbours import NeighbourChanges, neighbour_changes
from honed.shapes.grouped.parts import ExplanationReport, TripletReport
from honed.shapes.grouped.texts import LabelledQueries, RetrievalFacts, RetrievalTexts
from honed.shapes.report_facts import compared, report_facts, scores_of_classes
from honed.shapes.systems import BASE, BM25, TFIDF, TUNED, Stored, encoded

HIT1 = Measure("Hit", 1)
_TOP = 10


class AnnoyRow(msgspec.Struct, kw_only=True):
    """An Annoy index over a system's vectors beside exact search: shares of hits, ms a query, seconds to build."""

    name: str
    trees: int
    search_k: int
    n: int
    recall: Interval
    hits: dict[str, float]
    exact_hits: dict[str, float]
    ms: float
    build_s: float


class RetrievalReport(Report, kw_only=True):
    """The report of labelled texts that find each other; other stages of the shape add their parts by name."""

    classes: list[str]
    retrieval: RetrievalFacts
    annoy: list[AnnoyRow]
    neighbours: NeighbourChanges | None
    triplets: TripletReport | None = None
    explained: ExplanationReport | None = None


def labelled_measures(neighbours: int) -> list[Measure]:
    """Return the measures of labelled retrieval; ``neighbours`` is the k of k-NN."""
    hits = [Measure("Hit", cut) for cut in (1, 2, 3)]
    return [*hits, Measure("R", 10), Measure("R", 100), MAP, Measure("kNN", neighbours)]


def retrieval_report(work: Work[Config]) -> RetrievalReport:
    """Measure base and fine-tuned model, words, and the index's own loss; and tell what the fine-tuning changed."""
    queries, section = LabelledQueries.of(work.inputs.need(RetrievalTexts)), retrieval_section(work.config)
    measures = work.config.measures(labelled_measures(section.neighbours))
    scores = scores_of_classes(
        "labelled-retrieval", queries.queries, queries.classes, queries.names, measures, work.config.seed
    )
    _add_words(scores, queries, work.config)
    vectors = {BASE: _vectors(queries, work.executor.encoder(encoder_source(work.config.model)), None)}
    if trained := work.inputs.find(TrainArtifact):
        stored = work.inputs.need(IndexArtifact).vector_of_text()
        encoder = work.executor.encoder(trained.source(work.config.model.precision))
        vectors[TUNED] = _vectors(queries, encoder, stored)
    firsts = {}
    for name, both in vectors.items():
        scores.scores[name] = class_scores(
            nearest(*both, queries.own), queries.classes, queries.corpus_classes, measures
        )
        firsts[name] = first_rows(queries, both)
    systems, comparisons, gates = compared(work, scores, HIT1)
    scores.save(work.folder)
    facts = queries.facts
    return RetrievalReport(
        **report_facts(work, "held-out"),
        direction="labelled retrieval",
        headline=[str(measure) for measure in measures if measure.name == "Hit"],
        n_queries=len(queries.queries),
        n_candidates=len(queries.corpus) - facts.same,
        ceiling=round(1 - facts.without_an_answer / len(queries.queries), 5),
        systems=systems,
        comparisons=comparisons,
        gates=gates,
        classes=queries.names,
        retrieval=facts,
        annoy=[row for name in vectors for row in _annoy_rows(work.config, queries, name, vectors[name], firsts[name])],
        neighbours=neighbour_changes(queries, firsts[BASE], firsts[TUNED]) if TUNED in firsts else None,
        **_parts(work),
    )


def _parts(work: Work[Config]) -> dict[str, Any]:
    parts = [artifact.report_part() for artifact in work.inputs.by_stage().values() if isinstance(artifact, ReportPart)]
    return dict(parts)


def _vectors(queries: LabelledQueries, encoder: Encoder, stored: Stored | None) -> tuple[Vectors, Vectors]:
    """Return the vectors of queries and corpus; ``stored`` holds document vectors by text."""
    return encoder.encode(queries.queries, "query"), encoded(encoder, queries.corpus, "document", stored)


def first_rows(queries: LabelledQueries, vectors: tuple[Vectors, Vectors]) -> Rows:
    """Return the first ten corpus rows of each query ``(n, 10)`` by vectors of both, or all where there are fewer."""
    return np.concatenate([ranking.rows for ranking in nearest(*vectors, queries.own, _TOP)])


def _add_words(scores: TaskScores, queries: LabelledQueries, config: Config) -> None:
    corpus, random = list(queries.corpus), np.random.default_rng(config.seed)
    analyzer = config.analyzer(corpus)
    for name, index in ((BM25, Bm25Index(corpus, analyzer)), (TFIDF, TfidfIndex(corpus, analyzer))):
        hits = index.search(queries.queries, len(corpus))
        rankings = completed(hits, len(corpus), random, queries.own)
        scores.scores[name] = class_scores(rankings, queries.classes, queries.corpus_classes, scores.measures)


def _annoy_rows(
    config: Config, queries: LabelledQueries, name: str, vectors: tuple[Vectors, Vectors], exact: Rows
) -> list[AnnoyRow]:
    """Return recall, hits and times of an Annoy index over a system's vectors; ``exact`` rows are ``(n, 10)``."""
    section = retrieval_section(config)
    if not section.annoy_trees:
        return []
    from honed.index.annoy import AnnoyIndex

    started = time.perf_counter()
    index = AnnoyIndex(vectors[1], trees=section.annoy_trees, seed=config.seed)
    built = time.perf_counter() - started
    depth = _TOP + (queries.own is not None)
    bootstrap = Bootstrap([str(row) for row in range(len(queries.queries))], seed=config.seed)
    exactly = _hit_shares(queries, exact)
    rows = []
    for search_k in dict.fromkeys((section.annoy_search_k, 10 * section.annoy_trees * depth)):
        started = time.perf_counter()
        near = index.search(vectors[0], depth, search_k=search_k)[1]
        took = time.perf_counter() - started
        if queries.own is not None:
            near = np.stack([_without(line, own_row) for line, own_row in zip(near, queries.own, strict=True)])
        shares = np.array([len(np.intersect1d(a, b)) / len(a) for a, b in zip(exact, near, strict=True)])
        rows.append(
            AnnoyRow(
                name=name,
                trees=section.annoy_trees,
                search_k=search_k or section.annoy_trees * depth,
                n=exact.shape[1],
                recall=bootstrap.intervals(shares[:, None])[0].rounded(),
                hits=_hit_shares(queries, near),
                exact_hits=exactly,
                ms=round(1000 * took / len(queries.queries), 3),
                build_s=round(built, 2),
            )
        )
    return rows


def _hit_shares(queries: LabelledQueries, rows: Rows) -> dict[str, float]:
    """Return the share of queries with a hit of their label among the first 1, 2 and 3 rows; -1 is no row."""
    right = np.where(rows >= 0, queries.corpus_classes[rows] == queries.classes[:, None], False)
    return {str(k): round(float(right[:, :k].any(axis=1).mean()), 5) for k in (1, 2, 3)}


def _without(line: Rows, own_row: int) -> Rows:
    rest: Rows = line[line != own_row]
    return rest[: len(line) - 1]
