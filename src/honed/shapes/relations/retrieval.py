"""Retrieval of labelled texts: queries find a corpus, and what bears the same label is right.

The texts are tables of their own (another domain than what was trained on), or the project's own labelled ones.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from honed.config.sections import Config, RetrievalSection
from honed.core.artifacts import write_json
from honed.core.errors import DataError
from honed.core.fingerprint import sha256_file
from honed.core.optional import require
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.text import bare, fold
from honed.data import task
from honed.data.importer import UTTERANCES, ImportConfig, Importer, each_record
from honed.data.tables import table_files
from honed.evaluate.classes import MAP, Ranking, class_scores, completed, nearest
from honed.evaluate.html import render_retrieval
from honed.evaluate.measures import Measure, Scores
from honed.index.analysis import Analyzer
from honed.index.lexical import Bm25Index, TfidfIndex
from honed.shapes.labels.similar import Labelled
from honed.shapes.relations.compile import TRIPLETS, held_out, sentences_of
from honed.shapes.relations.explain import CHANGED
from honed.stages.reports import BASE, TUNED, class_scores_task, compared, language_of, made, seed_of
from honed.stages.stage import Work, base_encoder, stored_vectors, trained_encoder
from honed.stages.systems import BM25, TFIDF, Stored, encoded

SIDES, FOUND = ("corpus", "queries"), "retrieval.json"
HIT1 = Measure("Hit", 1)
_SHOWN, _TOP = 12, 10


def settings_of(config: Config) -> RetrievalSection:
    """Return the section [retrieval], or its defaults."""
    return config.retrieval or RetrievalSection()


def is_retrieval(config: Config) -> bool:
    """Tell whether labelled texts are searched to measure."""
    return config.retrieval is not None or config.data.shape == "relations"


# -- the texts -----------------------------------------------------------------------------------


def texts_key(config: Config, root: Path) -> Mapping[str, Any]:
    """Return what shapes corpus and queries."""
    settings = settings_of(config)
    files = [file for each in settings.input for file in table_files(root / each)]
    return {
        "files": [(file.name, sha256_file(file)) for file in files],
        "columns": dict(settings.columns),
        "splits": [list(settings.corpus), list(settings.queries)],
        "exclude": settings.exclude_duplicates,
        "format": asdict(config.data.import_config().format),
        "split": asdict(config.split),
        "given": "split" in config.data.columns,
    }


def texts(work: Work) -> Mapping[str, Any]:
    """Gather corpus and queries, look for texts that stand in both, and write the corpus as records to search."""
    settings = settings_of(work.config)
    if settings.annoy_trees:  # told before the work
        require("Annoy")
    if settings.input:
        rows, accounting = _imported(work, settings)
    else:
        rows, accounting = _own(work), None
    sides = {
        side: [row for row in rows if row["split"] in splits]
        for side, splits in zip(SIDES, (settings.corpus, settings.queries), strict=True)
    }
    same, splits = False, list(settings.queries)
    if not settings.input and work.config.data.shape == "relations":  # held-out relations among themselves
        splits = [held_out({row["split"] for row in rows})]
        asked = [row for row in rows if row["split"] in splits]
        sides, same = {"corpus": asked, "queries": asked}, True
    there = {_same(row["text"]): row for row in sides["corpus"]}
    doubles = [] if same else [row for row in sides["queries"] if _same(row["text"]) in there]
    if settings.exclude_duplicates and not same:
        left = {row["id"] for row in doubles}
        sides["queries"] = [row for row in sides["queries"] if row["id"] not in left]
    for side, found in sides.items():
        if len(found) < 1 + same:
            raise DataError(
                "E_SPLIT_EMPTY", f"no labelled text for the {side} of [retrieval]: see its splits and its input"
            )
    for side, found in sides.items():
        task.write_rows(work.folder / f"{side}.parquet", found, task.LABELLED)
    corpus = sides["corpus"]
    task.save_records(
        work.folder,
        [row["id"] for row in corpus],
        [row["text"] for row in corpus],
        [{"label": row["label"]} for row in corpus],
    )
    taught = Counter(row["label"] for row in corpus)
    facts = {
        "corpus": len(corpus),
        "queries": len(sides["queries"]),
        "labels": len(taught),
        "same": same,
        "splits": splits,
        "import": accounting,
        "duplicates": {
            "count": len(doubles),
            "with_another_label": sum(there[_same(row["text"])]["label"] != row["label"] for row in doubles),
            "excluded": settings.exclude_duplicates,
            "samples": [row["text"] for row in doubles[:5]],
        },
        "without_an_answer": sum(taught[row["label"]] < 1 + same for row in sides["queries"]),
    }
    write_json(work.folder / FOUND, facts)
    return {name: facts[name] for name in ("corpus", "queries", "labels")}


def _same(text: str) -> str:
    """Return what two copies of a text share; texts of signs alone keep them."""
    return bare(text) or fold(text)


def _imported(work: Work, settings: RetrievalSection) -> tuple[list[dict[str, str]], Mapping[str, Any]]:
    """Read the tables of [retrieval]; rows without an id are numbered."""
    form = work.config.data.import_config()
    columns = {role: name for role, name in settings.columns.items() if role != "id"}
    config = ImportConfig(shape="labels", columns=columns, on_bad_row=form.on_bad_row, format=form.format)
    importer = Importer(config, UTTERANCES)
    books = importer.run([work.root / each for each in settings.input], work.folder)
    rows = [
        {"id": f"u{number}", **{role: record[role] for role in ("text", "label", "split")}}
        for number, record in enumerate(each_record(work.folder))
    ]
    return rows, books.as_dict()


def _own(work: Work) -> list[dict[str, str]]:
    """Return the project's own texts with a label that a person gave, or with a relation."""
    if work.config.data.shape == "relations":
        return [
            {"id": each.sentence_id, "text": each.text, "label": each.relation, "split": each.split}
            for each in sentences_of(work)
        ]
    labelled = Labelled.read(work)
    return [
        {"id": row["id"], "text": text, "label": row["hand"], "split": row["split"]}
        for row, text in zip(labelled.rows, labelled.texts, strict=True)
        if row["hand"]
    ]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Corpus and queries with their classes ``(m,)`` and ``(n,)``; ``own`` are rows of queries in the corpus."""

    corpus: list[str]
    queries: list[str]
    corpus_classes: Rows
    classes: Rows
    names: list[str]
    own: Rows | None
    facts: dict[str, Any]

    @classmethod
    def read(cls, work: Work) -> Self:
        """Read the artifact of the stage "retrieval"."""
        made_by = work.inputs["retrieval"]
        rows = {side: task.read_rows(made_by.path(f"{side}.parquet")) for side in SIDES}
        names = sorted({row["label"] for found in rows.values() for row in found})
        number = {name: at for at, name in enumerate(names)}
        classes = {
            side: np.array([number[row["label"]] for row in found], dtype=np.int64) for side, found in rows.items()
        }
        facts = made_by.read_json(FOUND)
        return cls(
            corpus=[row["text"] for row in rows["corpus"]],
            queries=[row["text"] for row in rows["queries"]],
            corpus_classes=classes["corpus"],
            classes=classes["queries"],
            names=names,
            own=np.arange(len(rows["queries"])) if facts["same"] else None,
            facts=facts,
        )

    def vectors(self, encoder: Any, stored: Stored | None = None) -> tuple[Vectors, Vectors]:
        """Return the vectors of queries and corpus; ``stored`` holds document vectors by text."""
        return encoder.encode(self.queries, "query"), encoded(encoder, self.corpus, "document", stored)

    def nearest(self, vectors: tuple[Vectors, Vectors], depth: int = 0) -> Iterator[Ranking]:
        """Yield the rankings of all queries by vectors of queries and corpus."""
        return nearest(*vectors, self.own, depth)

    def first_rows(self, vectors: tuple[Vectors, Vectors]) -> Rows:
        """Return the first ten corpus rows of each query ``(n, 10)``, or all where there are fewer."""
        return np.concatenate([each.rows for each in self.nearest(vectors, _TOP)])


# -- measures ------------------------------------------------------------------------------------


def evaluate(work: Work) -> Mapping[str, Any]:
    """Measure base and fine-tuned model, words, and the index's own loss; and tell what the fine-tuning changed."""
    asked, settings = Asked.read(work), settings_of(work.config)
    measures = [*(Measure("Hit", cut) for cut in (1, 2, 3)), Measure("R", 10), Measure("R", 100), MAP]
    measures.append(Measure("kNN", settings.neighbours))
    scores = class_scores_task(
        "labelled-retrieval", asked.queries, asked.classes, asked.names, measures, seed_of(work.config)
    )

    def scored(rankings: Any) -> dict[Measure, Scores]:
        return class_scores(rankings, asked.classes, asked.corpus_classes, measures)

    analyzer, random = Analyzer(language_of(work.config)), np.random.default_rng(seed_of(work.config))
    for name, index in ((BM25, Bm25Index(asked.corpus, analyzer)), (TFIDF, TfidfIndex(asked.corpus, analyzer))):
        hits = index.search(asked.queries, len(asked.corpus))
        scores.scores[name] = scored(completed(hits, len(asked.corpus), random, asked.own))
    vectors = {BASE: asked.vectors(base_encoder(work.config))}
    if "train" in work.inputs:
        stored = stored_vectors(work.inputs["index"].folder)
        vectors[TUNED] = asked.vectors(trained_encoder(work.config, work.inputs), stored)
    firsts = {}
    for name, both in vectors.items():
        scores.scores[name] = scored(asked.nearest(both))
        firsts[name] = asked.first_rows(both)
    facts = asked.facts
    report = {
        **made(work, "held-out"),
        "direction": "labelled retrieval",
        "headline": [str(measure) for measure in measures if measure.name == "Hit"],
        "n_queries": len(asked.queries),
        "n_candidates": len(asked.corpus) - facts["same"],
        "ceiling": round(1 - facts["without_an_answer"] / len(asked.queries), 5),
        **compared(work, scores, HIT1),
        "classes": asked.names,
        "retrieval": facts,
        "annoy": [row for name in vectors for row in _annoy_rows(work, asked, name, vectors[name], firsts[name])],
        "neighbours": changes(asked, firsts[BASE], firsts[TUNED]) if TUNED in firsts else None,
        "triplets": work.inputs["triplets"].read_json(TRIPLETS) if "triplets" in work.inputs else None,
        "explained": work.inputs["explain"].read_json(CHANGED) if "explain" in work.inputs else None,
    }
    scores.save(work.folder)
    write_json(work.folder / "report.json", report)
    (work.folder / "report.html").write_text(render_retrieval(report, str(HIT1)), encoding="utf-8")
    return {"gates": report["gates"]}


def _annoy_rows(
    work: Work, asked: Asked, name: str, vectors: tuple[Vectors, Vectors], exact: Rows
) -> list[dict[str, Any]]:
    """Return what an Annoy index over a system's vectors finds, beside the ``exact`` first rows ``(n, 10)``."""
    settings = settings_of(work.config)
    if not settings.annoy_trees:
        return []
    from honed.evaluate.bootstrap import Bootstrap
    from honed.index.annoy import AnnoyIndex
    from honed.index.settings import IndexSettings

    queries, corpus = vectors
    started = time.perf_counter()
    trees = IndexSettings(backend="annoy", trees=settings.annoy_trees, seed=seed_of(work.config))
    index = AnnoyIndex(corpus, trees)
    built = time.perf_counter() - started
    depth = _TOP + (asked.own is not None)
    bootstrap = Bootstrap([str(row) for row in range(len(queries))], seed=seed_of(work.config))
    found = []
    for search_k in dict.fromkeys((settings.annoy_search_k, 10 * settings.annoy_trees * depth)):
        started = time.perf_counter()
        rows = index.search(queries, depth, search_k=search_k)[1]
        took = time.perf_counter() - started
        if asked.own is not None:
            rows = np.stack([_without(line, own) for line, own in zip(rows, asked.own, strict=True)])
        shares = np.array([len(np.intersect1d(a, b)) / len(a) for a, b in zip(exact, rows, strict=True)])
        right = np.where(rows >= 0, asked.corpus_classes[rows] == asked.classes[:, None], False)
        exactly = asked.corpus_classes[exact] == asked.classes[:, None]
        found.append(
            {
                "name": name,
                "trees": settings.annoy_trees,
                "search_k": search_k or settings.annoy_trees * depth,
                "n": exact.shape[1],
                "recall": bootstrap.intervals(shares[:, None])[0].as_dict(),
                "hits": {str(k): round(float(right[:, :k].any(axis=1).mean()), 5) for k in (1, 2, 3)},
                "exact_hits": {str(k): round(float(exactly[:, :k].any(axis=1).mean()), 5) for k in (1, 2, 3)},
                "ms": round(1000 * took / len(queries), 3),
                "build_s": round(built, 2),
            }
        )
    return found


def _without(line: Rows, own: int) -> Rows:
    rest: Rows = line[line != own]
    return rest[: len(line) - 1]


# -- what changed --------------------------------------------------------------------------------


def changes(asked: Asked, before: Rows, after: Rows, shown: int = _SHOWN) -> dict[str, Any]:
    """Return how the first rows ``(n, 10)`` of all queries changed: kept, gained and lost, with the clearest cases."""
    rows = (before, after)
    right = [asked.corpus_classes[each[:, 0]] == asked.classes for each in rows]
    shares = [(asked.corpus_classes[each] == asked.classes[:, None]).mean(axis=1) for each in rows]
    kept = np.array([len(np.intersect1d(a, b)) / len(a) for a, b in zip(*rows, strict=True)])
    gain = shares[1] - shares[0]
    gained = np.flatnonzero(~right[0] & right[1])
    lost = np.flatnonzero(right[0] & ~right[1])

    def case(row: int) -> dict[str, Any]:
        return {
            "query": asked.queries[row],
            "label": asked.names[asked.classes[row]],
            "share_before": round(float(shares[0][row]), 3),
            "share_after": round(float(shares[1][row]), 3),
            "before": _neighbour(asked, rows[0][row, 0]),
            "after": _neighbour(asked, rows[1][row, 0]),
        }

    def clearest(some: Rows, sign: int) -> list[dict[str, Any]]:
        order = some[np.argsort(-sign * gain[some], kind="stable")]
        return [case(int(row)) for row in order[:shown]]

    return {
        "overlap": round(float(kept.mean()), 5),
        "top": rows[0].shape[1],
        "same_first": round(float((rows[0][:, 0] == rows[1][:, 0]).mean()), 5),
        "gained": len(gained),
        "lost": len(lost),
        "right_both": int((right[0] & right[1]).sum()),
        "wrong_both": int((~right[0] & ~right[1]).sum()),
        "gained_cases": clearest(gained, 1),
        "lost_cases": clearest(lost, -1),
    }


def _neighbour(asked: Asked, row: int) -> dict[str, str]:
    return {"text": asked.corpus[row], "label": asked.names[asked.corpus_classes[row]]}
