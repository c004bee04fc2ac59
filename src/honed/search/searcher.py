"""Look-up in both directions over a bundle or an index artifact: a hit is an entity, with the string that matched."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from honed.bundle.load import BundleEncoder, BundleReranker, load_bundle
from honed.bundle.names import ALIAS, LABEL, NameTable
from honed.core.errors import ArtifactError, ConfigError
from honed.core.filters import Column, Filter, allowed_rows
from honed.core.protocols import Encoder, Mask, VectorIndex
from honed.core.records import Answer, Hit
from honed.core.tensors import map_safetensors
from honed.core.text import fold, is_blank
from honed.encode.pair_graph import score_until
from honed.index.answers import AnswerModel, answer_evidence
from honed.index.blend import Blend
from honed.index.hybrid import DEPTH, HYBRID, HYBRID_TENSORS, WIDE, Candidates, HybridIndex
from honed.index.settings import IndexSettings
from honed.index.stored import StoredVectors

Hits = list[Hit]
DIRECTIONS = ("alias-to-label", "label-to-alias")
MAX_K = 1000
MAX_CHARS = 10_000
_DEEPEST = 4000
NO_ANSWERS = "no candidate sets: they take [answers] in honed.toml, alias-to-label; no reranking, HyDE or filter"
NO_HYBRID = "nothing to explain by: it takes [hybrid] in honed.toml; honed explain TEXT TEXT shows which words count"
NO_RERANKER = "no cross-encoder to rerank with: it takes [hybrid] and [cross_encoder] in honed.toml, and alias-to-label"


class _Side:
    """One direction: the rows of the strings that are searched (or a slice), and the index over them."""

    def __init__(self, index: VectorIndex, rows: Any, n: int) -> None:
        self.index, self._rows, self.n = index, rows, n

    def search(self, vectors: Any, k: int, texts: Mask | None = None) -> tuple[Any, Any]:
        """Return scores and rows of texts; ``texts`` leaves out those where it is False."""
        scores, found = self.index.search(vectors, k, allowed=None if texts is None else texts[self._rows])
        return scores, found if isinstance(self._rows, slice) else np.where(found < 0, -1, self._rows[found])


class _Scope(NamedTuple):
    """What a filter leaves: entities ``(n_entities,)`` and the texts ``(n_texts,)`` of one direction; None: all."""

    entities: Mask | None = None
    texts: Mask | None = None


_ALL = _Scope()


class Searcher:
    """Searches names by meaning; make one with `Searcher.load`."""

    def __init__(
        self,
        encoder: Encoder,
        vectors: StoredVectors,
        names: NameTable,
        *,
        settings: Mapping[str, Any],
        ann: Mapping[str, Any] | None = None,
        manifest: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        report: bytes = b"",
        keep: Any = None,
        hybrid: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None,
        reranker: Any = None,
    ) -> None:
        self.encoder, self.names = encoder, names
        self.hybrid: HybridIndex | None = None
        self.answers: AnswerModel | None = None
        self.reranker, self.blend, self.may_rerank = reranker, Blend(), False
        self.manifest, self.folder, self.report = manifest or {}, folder, report
        self._vectors, self._ann, self._keep = vectors, ann, keep
        self._settings = IndexSettings.from_manifest(settings)
        self._wanted = LABEL if settings.get("names", "labels") == "labels" else LABEL | ALIAS
        self._group = str(settings.get("group_by", ""))
        self._sides: dict[str, _Side | None] = {}
        if hybrid is not None:
            data, tensors = hybrid
            self.hybrid = HybridIndex.from_files(data, tensors, self.label_text, len(self.labels))
            if self.hybrid.fusion is None or self._wanted != LABEL:
                raise ArtifactError(
                    "E_HYBRID", "the hybrid has learned no weights, or the index is not of labels alone"
                )
            self.blend, self.may_rerank = Blend.from_dict(data.get("rerank")), data.get("rerank") is not None
            if data.get("answers") is not None:
                self.answers = AnswerModel.from_dict(data["answers"], len(self.hybrid.feature_names))

    @cached_property
    def labels(self) -> Any:
        """The rows of the texts that are labels ``(n_labels,)``, in their order."""
        rows = self.names.rows_of(LABEL)
        return np.arange(rows.stop) if isinstance(rows, slice) else rows

    def label_text(self, number: int) -> str:
        """Return a label by its number among the labels."""
        return self.names.text(int(self.labels[number]))

    @classmethod
    def load(
        cls, path: str | Path, *, engine: str = "auto", threads: int = 0, public_key: str | Path | None = None
    ) -> Self:
        """Load a bundle, a folder or a zip; see `honed.bundle.load.load_bundle` for what is checked."""
        place = Path(path)
        key = Path(public_key) if public_key else None
        found = load_bundle(place, engine=engine, threads=threads, public_key=key)
        return cls(
            found.encoder,
            found.vectors,
            found.names,
            settings=found.manifest["index"],
            ann=found.ann,
            manifest=found.manifest,
            folder=found.folder,
            report=found.report,
            keep=found.keep,
            hybrid=found.hybrid,
            reranker=found.reranker,
        )

    @classmethod
    def of_artifact(cls, path: Path, hybrid: Path | None = None) -> Self:
        """Load an index artifact of a project, with the encoder that made it (PyTorch), and its hybrid if there is one.

        Raises `ArtifactError` for what is no index of honed.
        """
        if not (path / "encoder.json").is_file():
            raise ArtifactError("E_INDEX", f"{path}: not an index of honed")
        from honed.core.artifacts import Artifact, Manifest

        Artifact(folder=path, manifest=Manifest.read(path)).verify()
        vectors = np.load(path / "vectors.npy", allow_pickle=False)
        texts = [row["text"] for row in _rows(path / "texts.parquet")]
        entities = [
            (row["entity_id"], row["label"], json.loads(row["fields"])) for row in _rows(path / "entities.parquet")
        ]
        text_row = {text: row for row, text in enumerate(texts)}
        entity_row = {entity[0]: row for row, entity in enumerate(entities)}
        names = [
            (text_row[row["text"]], entity_row[row["entity_id"]], row["kind"]) for row in _rows(path / "names.parquet")
        ]
        settings = json.loads((path / "index.json").read_text(encoding="utf-8"))
        table = NameTable.build(texts, names, entities)
        fused = None
        if hybrid is not None:
            made = Manifest.read(hybrid)
            Artifact(folder=hybrid, manifest=made).verify()
            if made.inputs.get("index") != path.name:
                raise ArtifactError("E_HYBRID", f"{hybrid}: made over another index; run  honed run --until hybrid")
            fused = (json.loads((hybrid / HYBRID).read_text("utf-8")), map_safetensors(hybrid / HYBRID_TENSORS))
        return cls(_load_encoder(path), StoredVectors(vectors), table, settings=settings, folder=path, hybrid=fused)

    def warm(self) -> str:
        """Load everything that a first answer would wait for; returns the name of the engine."""
        for direction in DIRECTIONS:
            self._side(direction)
        if isinstance(self.encoder, BundleEncoder):
            self.encoder.warm()
            if isinstance(self.reranker, BundleReranker):
                self.reranker.warm()
            return self.encoder.engine
        return type(self.encoder).__name__

    def _side(self, direction: str) -> _Side | None:
        if direction not in self._sides:
            kinds = self._wanted if direction == DIRECTIONS[0] else ALIAS
            rows = self.names.rows_of(kinds)
            n = rows.stop if isinstance(rows, slice) else len(rows)
            self._sides[direction] = _Side(self._index(rows, direction), rows, n) if n else None
        return self._sides[direction]

    def _index(self, rows: Any, direction: str) -> VectorIndex:
        exact = self.manifest and self._settings.backend == "flat"  # a bundle answers without FAISS
        if exact or self._settings.backend == "exact" or direction != DIRECTIONS[0]:
            return self._vectors.exact(rows)
        from honed.index.backends import build_index, restore_index

        source = self._vectors.subset(rows)
        if self._ann is not None:
            return restore_index(source, self._settings, self._ann)
        return build_index(source, self._settings)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The fields of the entities, to filter by."""
        shown = [self.names.entity(row)[2] for row in range(self.names.n_entities)]
        return {
            name: Column.of(each.get(name) for each in shown)
            for name in sorted({key for each in shown for key in each})
        }

    def _scope(self, where: Filter | None, direction: str) -> _Scope:
        if not where:
            return _ALL
        entities = allowed_rows(where, self.columns, self.names.n_entities)
        kinds = self._wanted if direction == DIRECTIONS[0] else ALIAS
        return _Scope(entities, self.names.rows_of_entities(entities, kinds))

    def search(self, text: str, k: int = 10, *, direction: str = "alias-to-label", where: Filter | None = None) -> Hits:
        """Return up to ``k`` hits for a text, best first; scores are cosines in [-1, 1].

        ``where`` is a filter on the fields of entities, see `honed.core.filters`.
        """
        return self.search_many([text], k, direction=direction, where=where)[0]

    def search_many(
        self, texts: Sequence[str], k: int = 10, *, direction: str = "alias-to-label", where: Filter | None = None
    ) -> list[Hits]:
        """Return hits for each text.

        ``alias-to-label`` returns entities: first those that bear the text as a known name, then those that the hybrid
        ranks, or the nearest by meaning where there is none. Of several that bear a name those that write it the same
        way are first, then those with the nearest labels.
        ``label-to-alias`` returns aliases, each with its entity; an alias of several entities is a hit for each.
        """
        return [list(each.hits) for each in self.answer_many(texts, k, direction=direction, where=where)]

    def answer(self, text: str, k: int = 10, *, candidates: bool = False) -> Answer:
        """Return the hits of a text with the chance that the first is right, and a set of candidates if asked for.

        Without the sections [hybrid] and [answers] there are hits alone; asking for candidates is a `ConfigError` then.
        """
        return self.answer_many([text], k, candidates=candidates)[0]

    def answer_many(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        direction: str = "alias-to-label",
        where: Filter | None = None,
        candidates: bool = False,
        passages: Sequence[str] = (),
        rerank: bool = False,
        budget_ms: float = 0.0,
    ) -> list[Answer]:
        """Return the answer to each text; see `answer` and `search_many`.

        ``passages`` are texts, one for each query, that might stand in a document that answers it: the vector that is
        searched with lies half way to theirs (HyDE). ``rerank`` lets a cross-encoder judge the first hits, as many as
        ``budget_ms`` for all queries allow (0: all that it was taught for). The chance is learned from plain queries in
        the hybrid's own order: it is not told with either, nor with a filter ``where``, which leaves ``k`` hits of what
        passes, where there are so many.
        """
        check_request(texts, k, direction)
        by_entity = direction == DIRECTIONS[0]
        if candidates and (self.answers is None or not by_entity or passages or rerank or where):
            raise ConfigError("E_NO_ANSWERS", NO_ANSWERS)
        if rerank and (self.reranker is None or self.hybrid is None or not by_entity):
            raise ConfigError("E_NO_RERANKER", NO_RERANKER)
        side, scope = self._side(direction), self._scope(where, direction)
        if side is None or not texts:
            return [Answer(hits=[]) for _ in texts]
        vectors = self.encoder.encode(list(texts), "query")
        if passages:
            vectors = vectors + self.encoder.encode(list(passages), "document")
            vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        if by_entity and self.hybrid is not None:
            until = None
            if rerank:
                until = time.perf_counter() + budget_ms / 1000 if budget_ms else np.inf
            near = self.nearest(vectors, DEPTH, scope)
            asked, told = zip(texts, vectors, near, strict=True), not passages and not where
            return [self._fused(*each, k, scope, candidates=candidates, until=until, told=told) for each in asked]
        waiting, width = list(range(len(texts))), 4 * k
        hits: list[Hits] = [[] for _ in texts]
        while waiting:  # one entity may bear many near strings: look further until k are found
            scores, found = side.search(vectors[waiting], width, scope.texts)
            for row, rows, line in zip(waiting, found, scores, strict=True):
                exact = self._exact(texts[row], vectors[row], scope) if by_entity else []
                hits[row] = self._hits(exact, rows, line, vectors[row], k, scope, by_entity=by_entity)
            waiting = [row for row in waiting if len(hits[row]) < k] if width < self._deepest(side.n) else []
            width *= 4
        return [Answer(hits=each) for each in hits]

    def _fused(
        self,
        text: str,
        vector: Any,
        near: Any,
        k: int,
        scope: _Scope,
        *,
        candidates: bool,
        until: float | None,
        told: bool,
    ) -> Answer:
        """Answer by the hybrid: known names first, then what it ranks, judged by the cross-encoder ``until`` a time."""
        assert self.hybrid is not None
        exact = self._exact(text, vector, scope)
        hidden = self._hidden(scope)
        ranked = self.hybrid.rank(text, self.gather(text, vector, near, hidden=hidden))
        exact = self._as_ranked(exact, ranked.rows, text)
        rows = ranked.rows
        if until is not None:
            rows = rows[self.blend.order(ranked.scores, self.pair_scores(text, rows, until))]
        wanted = 4 * k
        while True:  # k may be large, and many labels of one group or entity
            rows = self.lengthened(text, vector, rows, wanted, scope)
            hits = self._hits(exact, *self._of_ranked(rows, vector), vector, k, scope, by_entity=True)
            if len(hits) >= k or len(rows) < wanted or wanted >= self._deepest(len(self.labels)):
                break
            wanted *= 4
        if self.answers is None or until is not None or not told:
            return Answer(hits=hits)
        # a name of one entity is known to be right, of several each may be
        chance = 1 / len(exact) if exact else self.answers.chance(answer_evidence(text, ranked))
        held = (exact or self._candidates(text, vector)) if candidates else None
        return Answer(hits=hits, chance=round(chance, 4), match=chance >= 1 - self.answers.risk, candidates=held)

    def _as_ranked(self, exact: Hits, rows: Any, text: str) -> Hits:
        """Return entities of one name, those that write it like the query first, as their labels are ranked."""
        if len(exact) < 2:
            return exact
        place = {int(row): at for at, row in enumerate(rows.tolist())}
        numbers, last = self._label_numbers(exact), len(place)
        keys = sorted(range(len(exact)), key=lambda at: (exact[at].matched != text, place.get(numbers[at], last)))
        return [exact[at] for at in keys]

    def _label_numbers(self, hits: Hits) -> list[int]:
        """Return the numbers among the labels of the entities of some hits."""
        rows = [self.names.label_of[self.names.entity_row(hit.doc_id)] for hit in hits]
        numbers: list[int] = np.searchsorted(self.labels, rows).tolist()
        return numbers

    def reasons(self, text: str, hits: Hits, *, where: Filter | None = None) -> list[dict[str, float]]:
        """Return for each hit of a text what every part of the hybrid adds to its score, the most first.

        In log-odds beside the mean of all candidates; empty for a hit that no part brought up. ``where`` is the filter
        of the search. Raises `ConfigError` where there is no hybrid.
        """
        if self.hybrid is None:
            raise ConfigError("E_NO_HYBRID", NO_HYBRID)
        vector, scope = self.encoder.encode([text], "query"), self._scope(where, DIRECTIONS[0])
        near = self.nearest(vector, DEPTH, scope)[0]
        candidates = self.gather(text, vector[0], near, hidden=self._hidden(scope))
        parts = self.hybrid.reasons(text, candidates)
        place = {row: at for at, row in enumerate(candidates.rows.tolist())}
        found = []
        for number in self._label_numbers(hits):
            at = place.get(number)
            own = {} if at is None else {name: round(float(column[at]), 3) for name, column in parts.items()}
            found.append(dict(sorted(own.items(), key=lambda each: -abs(each[1]))))
        return found

    def _hidden(self, scope: _Scope) -> Any:
        """Return the numbers of the labels that a filter leaves out."""
        return () if scope.texts is None else np.flatnonzero(~scope.texts[self.labels])

    def lengthened(self, text: str, vector: Any, rows: Any, n: int, scope: _Scope = _ALL) -> Any:
        """Return a ranking of ``n`` labels or more, where there are so many: what is there, then what is deeper."""
        assert self.hybrid is not None
        hidden = self._hidden(scope)
        depth, most = DEPTH, len(self.labels) - len(hidden)
        while len(rows) < min(n, most) and depth < most:
            depth = min(max(4 * depth, n - len(rows)), most)
            near = self.nearest(vector[None], depth, scope)[0]
            deeper = self.hybrid.rank(text, self.gather(text, vector, near, depth=depth, hidden=hidden)).rows
            rows = np.concatenate([rows, deeper[~np.isin(deeper, rows)]])
        return rows

    def _deepest(self, n: int) -> int:
        """Return how far a search may look for hits: all, or a few thousand where only one of a group counts."""
        return min(n, _DEEPEST) if self._group else n

    def pair_scores(self, text: str, rows: Any, until: float = np.inf) -> Any:
        """Return the cross-encoder's scores of a query with the first ranked labels, as many as fit before a time."""
        pairs = [(text, self.label_text(int(row))) for row in rows[: self.blend.depth]]
        return score_until(self.reranker, pairs, until)

    def _candidates(self, text: str, vector: Any) -> Hits:
        """Return all entities within the distance of the first that holds the truth at the chosen rate."""
        assert self.hybrid is not None and self.answers is not None
        near = self.nearest(vector[None], WIDE)[0]
        ranked = self.hybrid.rank(text, self.gather(text, vector, near, depth=WIDE))
        rows = ranked.rows[: self.answers.within(ranked)]
        most = self.names.n_entities
        return self._hits([], *self._of_ranked(rows, vector), vector, most, by_entity=True, grouped=False)

    def _of_ranked(self, rows: Any, vector: Any) -> tuple[Any, Any]:
        """Return the rows of texts and the cosines of ranked labels."""
        texts = self.labels[rows]
        return texts, self._vectors.take(texts) @ vector

    def nearest(self, vectors: Any, k: int, scope: _Scope = _ALL) -> Any:
        """Return the numbers among the labels of the ``k`` nearest, ``(n_queries, k)``, best first."""
        side = self._side(DIRECTIONS[0])
        allowed = None if scope.texts is None else scope.texts[self.labels]
        return side.index.search(vectors, k, allowed=allowed)[1] if side else np.empty((len(vectors), 0), np.int64)

    def gather(
        self, text: str, vector: Any, near: Any, *, depth: int = DEPTH, hidden: Sequence[int] = ()
    ) -> Candidates:
        """Return what the hybrid finds for a query; numbers are among the labels, see `nearest` for ``near``."""
        assert self.hybrid is not None

        def cosines(rows: Any) -> Any:
            return self._vectors.take(self.labels[rows]) @ vector

        return self.hybrid.gather(text, near[near >= 0], cosines, depth=depth, hidden=hidden)

    def similar(self, doc_id: str, k: int = 10, *, where: Filter | None = None) -> Hits:
        """Return the ``k`` entities whose labels are nearest to that of an entity, by meaning alone.

        ``where`` is a filter on the fields of entities, see `honed.core.filters`. Itself, its group (see
        ``index.group_by``) and entities of the same text are left out; of each other group there is one. Raises
        `honed.core.errors.ConfigError` for an id that is not there.
        """
        entity = self.names.entity_row(doc_id)
        if entity is None:
            entity = self.names.entity_row(f"{doc_id}#1")  # a document that was cut: its first passage
        if entity is None:
            raise ConfigError("E_ID_UNKNOWN", f"no record {doc_id}")
        row = int(self.names.label_of[entity])
        vector, text = self._vectors.take(np.array([row]))[0], self.names.text(row)
        own = self._group_of(self._hit(entity, text, 1.0, 1, by_entity=True))
        side, width, scope = self._side(DIRECTIONS[0]), 4 * (k + 1), self._scope(where, DIRECTIONS[0])
        assert side is not None  # the entity has a label
        while True:
            scores, rows = side.search(vector[None], min(width, side.n), scope.texts)
            found = self._hits([], rows[0], scores[0], vector, width, scope, by_entity=True)
            hits = [hit for hit in found if hit.doc_id != doc_id and fold(hit.text) != fold(text)]
            hits = [hit for hit in hits if not own or self._group_of(hit) != own][:k]
            if len(hits) >= k or width >= self._deepest(side.n):
                return [replace(hit, rank=rank) for rank, hit in enumerate(hits, 1)]
            width *= 4

    def searched_vectors(self) -> StoredVectors:
        """Return the vectors that the index is over: of the labels, in their order, or of all names."""
        return StoredVectors(self._vectors.take(self.names.rows_of(self._wanted)))

    def label_vectors(self, entities: Any) -> Any:
        """Return the vectors ``(len(entities), dim)`` of the labels of some entities, by their rows."""
        return self._vectors.take(self.names.label_of[entities])

    def search_labels(self, vectors: Any, k: int) -> tuple[Any, Any]:
        """Return scores and numbers among the labels of the nearest ones, by meaning alone, both ``(n_queries, k)``."""
        return self._vectors.exact(self.names.rows_of(LABEL)).search(vectors, k)

    def index_recall(self, vectors: Any, k: int) -> Any:
        """Return for each query vector ``(n_queries,)`` the share of the exact ``k`` nearest that the index finds."""
        side = self._side(DIRECTIONS[0])
        if side is None:
            return np.ones(len(vectors))
        rows = self.names.rows_of(self._wanted)
        exact = _Side(self._vectors.exact(rows), rows, side.n).search(vectors, k)[1]
        found = side.search(vectors, k)[1]
        return np.array([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), exact.tolist(), strict=True)])

    def time_queries(self, texts: Sequence[str]) -> Any:
        """Return the ms ``(n_texts,)`` that each text takes alone, from text to 10 hits."""
        self.search_many(texts[:3])
        took = []
        for text in texts:
            started = time.perf_counter()
            self.search(text)
            took.append(1000 * (time.perf_counter() - started))
        return np.array(took)

    def is_cut(self, text: str) -> bool:
        """Tell whether a query is longer than the model reads, so that its end was not seen."""
        return isinstance(self.encoder, BundleEncoder) and self.encoder.is_cut(text, "query")

    def count_tokens(self, texts: Sequence[str]) -> int:
        """Return how many tokens the model would read for all texts, none beyond its length."""
        encoder = self.encoder
        return encoder.count_tokens(texts, "query") if isinstance(encoder, BundleEncoder) else 0

    def _nearest_first(self, bearers: Sequence[tuple[int, int]], vector: Any) -> list[tuple[int, int]]:
        """Order (entity, text) bearers of one name by how near the entity's label is to the query."""
        if len(bearers) < 2:
            return list(bearers)
        labels = self._vectors.take(np.array([self.names.label_of[entity] for entity, _ in bearers])) @ vector
        keys = [(-float(near), self.names.entity(each[0])[0]) for near, each in zip(labels, bearers, strict=True)]
        return [each for _, each in sorted(zip(keys, bearers, strict=True))]

    def _exact(self, text: str, vector: Any, scope: _Scope = _ALL) -> Hits:
        """Return the entities that bear a text as a known name, with the cosine to the name as it is written there.

        Those that write it like the query come before those that write it in other case.
        """
        bearers: dict[int, int] = {}
        for row in sorted(self.names.rows_named(text), key=lambda row: self.names.text(row) != text):
            for entity in self.names.bearers(row, LABEL | ALIAS):
                if scope.entities is None or scope.entities[entity]:
                    bearers.setdefault(entity, row)
        hits = []
        for entity, row in self._nearest_first(list(bearers.items()), vector):
            score = float(self._vectors.take(np.array([row]))[0] @ vector)
            hits.append(self._hit(entity, self.names.text(row), score, 0, by_entity=True))
        return sorted(hits, key=lambda hit: hit.matched != text)

    def _hits(
        self,
        exact: Hits,
        rows: Any,
        scores: Any,
        vector: Any,
        k: int,
        scope: _Scope = _ALL,
        *,
        by_entity: bool,
        grouped: bool = True,
    ) -> Hits:
        grouped = grouped and by_entity and bool(self._group)
        if grouped:
            firsts = {self._group_of(hit) or (hit.doc_id,): hit for hit in reversed(exact)}
            exact = [hit for hit in exact if firsts[self._group_of(hit) or (hit.doc_id,)] is hit]
        hits: Hits = [replace(hit, rank=rank) for rank, hit in enumerate(exact[:k], 1)]
        seen = {(hit.doc_id, "") for hit in hits} | {(self._group_of(hit), "group") for hit in hits}
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
            if len(hits) >= k:
                break
            if row < 0:  # an approximate index may find fewer
                continue
            text = self.names.text(row)
            bearers = [
                (entity, row)
                for entity in self.names.bearers(row, self._wanted if by_entity else ALIAS)
                if scope.entities is None or scope.entities[entity]
            ]
            for entity, _ in self._nearest_first(bearers, vector):
                hit = self._hit(entity, text, score, len(hits) + 1, by_entity=by_entity)
                keys = {(hit.doc_id, "" if by_entity else text)}
                if grouped and (group := self._group_of(hit)):
                    keys.add((group, "group"))
                if not keys & seen and len(hits) < k:
                    seen |= keys
                    hits.append(hit)
        return hits

    def _group_of(self, hit: Hit) -> str:
        """Return what a hit shares with others of which only one is to be seen; empty where nothing."""
        return str(hit.fields.get(self._group, "")) if self._group else ""

    def _hit(self, entity: int, text: str, score: float, rank: int, *, by_entity: bool) -> Hit:
        entity_id, label, fields = self.names.entity(entity)
        if not by_entity:
            fields["label"] = label
        return Hit(
            doc_id=entity_id,
            text=label if by_entity else text,
            score=round(max(-1.0, min(score, 1.0)), 6),
            matched=text,
            rank=rank,
            fields=fields,
        )

    def entity(self, entity_id: str) -> dict[str, Any]:
        """Return an entity with its fields and all its aliases; `ConfigError` for an unknown id."""
        row = self.names.entity_row(entity_id)
        if row is None:
            raise ConfigError("E_NO_ENTITY", f"no entity {entity_id!r}")
        _, label, fields = self.names.entity(row)
        return {"id": entity_id, "label": label, "fields": fields, "aliases": self.names.aliases(row)}


def check_request(texts: Sequence[str], k: int, direction: str) -> None:
    """Refuse what cannot be answered; `ConfigError` says which query, and what is allowed."""
    if direction not in DIRECTIONS:
        raise ConfigError("E_DIRECTION", f"direction {direction!r} is not one of {', '.join(DIRECTIONS)}")
    if not 1 <= k <= MAX_K:
        raise ConfigError("E_RANGE", f"k = {k} is out of range; allowed: 1..max_k, which is {MAX_K}")
    for number, text in enumerate(texts):
        which = "the query" if len(texts) == 1 else f"queries[{number}]"
        if is_blank(text[:MAX_CHARS]):
            raise ConfigError("E_QUERY_EMPTY", f"{which} is empty")
        if len(text) > MAX_CHARS:
            raise ConfigError("E_QUERY_TOO_LONG", f"{which} has {len(text)} characters; allowed are {MAX_CHARS}")
        if "\0" in text:
            raise ConfigError("E_NUL", f"{which} holds a NUL character")
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise ConfigError("E_ENCODING", f"{which} holds a lone surrogate, which is no text")


def _load_encoder(folder: Path) -> Encoder:
    from honed.core.optional import require

    require("torch encoder")
    from honed.encode.config import EncoderConfig
    from honed.encode.torch_encoder import TorchEncoder

    source = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
    encoder = (
        TorchEncoder.load_folder((folder / source["model"]).resolve(), precision=source["precision"])
        if "model" in source
        else TorchEncoder.load(EncoderConfig(**source["base"]))
    )
    if encoder.spec.as_dict() != source["spec"]:
        raise ArtifactError(
            "E_SPEC", f"{folder}: the index was made with another model; build it again with  honed index"
        )
    return encoder


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq  # not needed to search a bundle

    return [dict(row) for row in pq.read_table(path, page_checksum_verification=True).to_pylist()]
