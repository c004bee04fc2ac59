"""Look-up in both directions over a catalogue of names: a hit is an entity, with the string that matched."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from honed.bundle.encoder import BundleEncoder
from honed.bundle.layout import HybridFiles
from honed.bundle.load import load_bundle
from honed.bundle.manifest import Manifest
from honed.bundle.names import LABEL, NameTable
from honed.bundle.reranker import BundleReranker
from honed.core.errors import ArtifactError, ConfigError
from honed.core.filters import Column, Filter
from honed.core.json import JsonObject
from honed.core.protocols import Encoder, PairScorer, Role, Vectors
from honed.core.ranking import Rows
from honed.core.records import Answer
from honed.core.tensors import unit_rows
from honed.index.blend import Blend
from honed.index.stored import StoredVectors
from honed.search.catalogue import UNFILTERED, Catalogue, EntityRecord, FilterMasks
from honed.search.hits import AnswerQuery, HitList, Hits
from honed.search.nearest import nearest_hits, similar_hits
from honed.search.request import (
    ALIAS_TO_LABEL,
    DIRECTIONS,
    NO_ANSWERS,
    NO_HYBRID,
    NO_RERANKER,
    check_request,
    direction_of,
)
from honed.search.scores import RankedLabels
from honed.search.source import Source

if TYPE_CHECKING:
    from honed.index.answers import AnswerModel
    from honed.index.hybrid import Candidates, HybridIndex, Ranking
    from honed.search.hybrid import HybridSearch


class Searcher:
    """Searches names by meaning; make one with `Searcher.load`, or of its parts.

    ``hybrid``, ``answers``, ``reranker`` and ``blend`` may be set after it was made: what is learned for a catalogue is
    learned with the searcher that will use it.
    """

    def __init__(
        self,
        encoder: Encoder,
        vectors: StoredVectors,
        names: NameTable,
        *,
        settings: JsonObject,
        hybrid: HybridFiles | None = None,
        reranker: PairScorer | None = None,
        source: Source | None = None,
    ) -> None:
        """Take the parts: ``vectors`` are those of the texts of ``names``, for ``settings`` see `Catalogue`.

        Raises `ArtifactError` for a hybrid without learned weights, or of another catalogue.
        """
        self.source = source or Source()
        self.encoder, self.names = encoder, names
        self.catalogue = Catalogue(
            vectors,
            names,
            settings,
            index_cache=self.source.index_cache,
            without_faiss=bool(self.source.manifest),  # a bundle answers without it
        )
        self.hybrid: HybridIndex | None = None
        self.answers: AnswerModel | None = None
        self.reranker, self.blend, self.may_rerank = reranker, Blend(), False
        if hybrid is not None:
            self._take_hybrid(hybrid)

    def _take_hybrid(self, files: HybridFiles) -> None:
        """Read a hybrid with its estimates and the weight of the cross-encoder."""
        from honed.index.answers import AnswerModel  # with all that ranks; not every bundle has a hybrid
        from honed.index.hybrid import HybridIndex

        labels = self.catalogue.labels
        self.hybrid = HybridIndex.from_files(files.data, files.arrays, self.label_text, len(labels))
        if self.hybrid.fusion is None or self.catalogue.searched_kinds != LABEL:
            raise ArtifactError("E_HYBRID", "the hybrid has learned no weights, or the index is not of labels alone")
        rerank, answers = (files.part(name) for name in ("rerank", "answers"))
        self.blend, self.may_rerank = Blend.from_dict(rerank), rerank is not None
        if answers is not None:
            self.answers = AnswerModel.from_dict(answers, len(self.hybrid.feature_names))

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        engine: str = "auto",
        threads: int = 0,
        public_key: str | Path | None = None,
        notes: bool = True,
    ) -> Self:
        """Load a bundle, a folder or a zip; see `honed.bundle.load.load_bundle` for what is checked."""
        key = Path(public_key) if public_key else None
        bundle = load_bundle(Path(path), engine=engine, threads=threads, public_key=key, notes=notes)
        return cls(
            bundle.encoder,
            bundle.vectors,
            bundle.names,
            settings=Manifest(bundle.manifest).index,
            hybrid=bundle.hybrid,
            reranker=bundle.reranker,
            source=Source(
                folder=bundle.folder,
                manifest=bundle.manifest,
                report=bundle.report,
                index_cache=bundle.index_cache,
                unpacked=bundle.unpacked,
            ),
        )

    @property
    def manifest(self) -> JsonObject:
        """The manifest of the bundle; empty for an index of a project."""
        return self.source.manifest

    def warm(self) -> str:
        """Load everything that a first answer would wait for; returns the name of the engine."""
        for direction in DIRECTIONS:
            self.catalogue.index(direction)
        if isinstance(self.encoder, BundleEncoder):
            self.encoder.warm()
            if isinstance(self.reranker, BundleReranker):
                self.reranker.warm()
            return self.encoder.engine
        return type(self.encoder).__name__

    # -- searching -------------------------------------------------------------------------------

    def search(
        self, text: str, k: int = 10, *, target: str = "", direction: str = "", where: Filter | None = None
    ) -> HitList:
        """Return up to ``k`` hits for a text, best first; for their scores see `honed.search.scores`.

        ``target`` is what is looked for: "entities" (the default; documents and records are such too) or "aliases";
        ``direction`` is the older word for it. ``where`` is a filter on the fields of entities, see
        `honed.core.filters`.
        """
        return self.search_many([text], k, target=target, direction=direction, where=where)[0]

    def search_many(
        self,
        texts: Sequence[str],
        k: int = 10,
        *,
        target: str = "",
        direction: str = "",
        where: Filter | None = None,
    ) -> list[HitList]:
        """Return hits for each text; for ``target`` and ``direction`` see `search`.

        Entities: first those that bear the text as a known name, then those that the hybrid ranks, or the nearest by
        meaning where there is none. Of several that bear a name those that write it the same way are first, then those
        with the nearest labels. Aliases: each with its entity; an alias of several entities is a hit for each.
        """
        answers = self.answer_many(texts, k, direction=direction_of(target, direction), where=where)
        return [HitList(answer.hits) for answer in answers]

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
        direction: str = ALIAS_TO_LABEL,
        where: Filter | None = None,
        candidates: bool = False,
        passages: Sequence[str] = (),
        rerank: bool = False,
        budget_ms: float = 0.0,
        explain: bool = False,
    ) -> list[Answer]:
        """Return the answer to each text; see `answer` and `search_many`.

        ``passages`` are texts, one for each query, that might stand in a document that answers it: the vector that is
        searched with lies half way to theirs (HyDE). ``rerank`` lets a cross-encoder judge the first hits, as many as
        ``budget_ms`` for all queries allow (0: all that it was taught for). The chance is learned from plain queries in
        the hybrid's own order: it is not told with either, nor with a filter ``where``, which leaves ``k`` hits of what
        passes, where there are so many. ``explain`` adds its `reasons` to each hit.
        """
        check_request(texts, k, direction)
        plain = not passages and not where
        self.check_parts(direction, candidates=candidates, rerank=rerank, plain=plain, explain=explain)
        index, masks = self.catalogue.index(direction), self.catalogue.masks(where, direction)
        if index is None or not texts:
            return [Answer(hits=[]) for _ in texts]
        vectors = self._query_vectors(texts, passages)
        until = None
        if rerank:
            until = time.perf_counter() + budget_ms / 1000 if budget_ms else np.inf
        queries = [
            AnswerQuery(
                text=text,
                vector=vector,
                k=k,
                direction=direction,
                masks=masks,
                candidates=candidates,
                rerank_until=until,
                estimated=plain,
                explained=explain,
            )
            for text, vector in zip(texts, vectors, strict=True)
        ]
        if self.hybrid is None or direction != ALIAS_TO_LABEL:
            return [Answer(hits=hits) for hits in nearest_hits(self.catalogue, queries, vectors)]
        hybrid = self._hybrid_search()
        near = self.catalogue.nearest_labels(vectors, hybrid.depth, masks)
        return [hybrid.answer(query, numbers) for query, numbers in zip(queries, near, strict=True)]

    def check_parts(
        self, direction: str, *, candidates: bool, rerank: bool, plain: bool, explain: bool = False
    ) -> None:
        """Raise `ConfigError` for candidate sets, reranking or reasons that this catalogue or direction does not have.

        ``plain`` tells that there is neither a filter nor a passage: candidate sets are learned from such queries.
        """
        forward = direction == ALIAS_TO_LABEL
        if candidates and (self.answers is None or not forward or rerank or not plain):
            raise ConfigError("E_NO_ANSWERS", NO_ANSWERS)
        if rerank and (self.reranker is None or self.hybrid is None or not forward):
            raise ConfigError("E_NO_RERANKER", NO_RERANKER)
        if explain and (self.hybrid is None or not forward):
            raise ConfigError("E_NO_HYBRID", NO_HYBRID)

    def _query_vectors(self, texts: Sequence[str], passages: Sequence[str]) -> Vectors:
        """Return the unit vectors ``(n_texts, dim)`` of queries, half way to those of passages where there are some."""
        vectors = self.encoder.encode(list(texts), "query")
        if not passages:
            return vectors
        return unit_rows(vectors + self.encoder.encode(list(passages), "document"))

    def reasons(self, text: str, hits: Hits, *, where: Filter | None = None) -> list[dict[str, float]]:
        """Return for each hit of a text what every part of the hybrid adds to its score, the most first.

        In log-odds beside the mean of all candidates; empty for a hit that no part brought up. ``where`` is the filter
        of the search. Raises `ConfigError` where there is no hybrid.
        """
        if self.hybrid is None:
            raise ConfigError("E_NO_HYBRID", NO_HYBRID)
        vector, masks = self.encoder.encode([text], "query")[0], self.catalogue.masks(where, ALIAS_TO_LABEL)
        return self._hybrid_search().reasons(text, vector, hits, masks)

    def similar(self, doc_id: str, k: int = 10, *, where: Filter | None = None) -> HitList:
        """Return the ``k`` entities whose labels are nearest to that of an entity, by meaning alone.

        ``where`` is a filter on the fields of entities, see `honed.core.filters`. Itself, its group (see
        ``index.group_by``) and entities of the same text are left out; of each other group there is one. Raises
        `ConfigError` for an id that is not there.
        """
        return HitList(similar_hits(self.catalogue, doc_id, k, where))

    def entity(self, entity_id: str) -> EntityRecord:
        """Return an entity with its fields and all its aliases; `ConfigError` for an unknown id."""
        row = self.names.entity_row(entity_id)
        if row is None:
            raise ConfigError("E_NO_ENTITY", f"no entity {entity_id!r}")
        _, label, fields = self.names.entity(row)
        return {"id": entity_id, "label": label, "fields": fields, "aliases": self.names.aliases(row)}

    # -- what is learned and measured with a searcher ----------------------------------------------

    def _hybrid_search(self) -> "HybridSearch":
        from honed.search.hybrid import HybridSearch

        assert self.hybrid is not None
        return HybridSearch(self.catalogue, self.hybrid, self.answers, self.reranker, self.blend)

    def gather(
        self, text: str, vector: Vectors, near: Rows, *, depth: int | None = None, hidden: Sequence[int] = ()
    ) -> "Candidates":
        """Return the labels that the hybrid finds for a query; see `HybridSearch.gather`."""
        hybrid = self._hybrid_search()
        return hybrid.gather(text, vector, near, depth=depth or hybrid.depth, hidden=hidden)

    def extend_ranking(self, text: str, vector: Vectors, ranking: "Ranking", n: int) -> Rows:
        """Return the numbers of ``n`` labels or more, best first; see `HybridSearch.extend_ranking`."""
        return self._hybrid_search().extend_ranking(text, vector, RankedLabels(ranking.rows, ranking.scores), n).numbers

    def pair_scores(self, text: str, ranking: Rows, until: float = np.inf) -> Vectors:
        """Return the cross-encoder's scores of a query with the first ranked labels; see `HybridSearch.pair_scores`."""
        return self._hybrid_search().pair_scores(text, ranking, until)

    def nearest(self, vectors: Vectors, k: int, masks: FilterMasks = UNFILTERED) -> Rows:
        """Return the numbers among the labels of the ``k`` nearest, ``(n_queries, k)``, best first."""
        return self.catalogue.nearest_labels(vectors, k, masks)

    @property
    def columns(self) -> dict[str, Column]:
        """The fields of the entities, to filter by."""
        return self.catalogue.columns

    @property
    def labels(self) -> Rows:
        """The rows of the texts that are labels ``(n_labels,)``, in their order."""
        return self.catalogue.labels

    def label_text(self, number: int) -> str:
        """Return a label by its number among the labels."""
        return self.catalogue.label_text(number)

    def searched_vectors(self) -> StoredVectors:
        """Return the vectors that the index is over: of the labels, in their order, or of all names."""
        return StoredVectors(self.catalogue.vectors.take(self.catalogue.searched_rows()))

    def label_vectors(self, entities: Rows) -> Vectors:
        """Return the vectors ``(len(entities), dim)`` of the labels of some entities, by their rows."""
        return self.catalogue.label_vectors(entities)

    def search_labels(self, vectors: Vectors, k: int) -> tuple[Vectors, Rows]:
        """Return scores and numbers among the labels of the nearest ones, by meaning alone, both ``(n_queries, k)``."""
        return self.catalogue.vectors.exact(self.names.rows_of(LABEL)).search(vectors, k)

    def is_cut(self, text: str, role: Role = "query") -> bool:
        """Tell whether a text is longer than the model reads, so that its end was not seen."""
        return isinstance(self.encoder, BundleEncoder) and self.encoder.is_cut(text, role)

    def count_tokens(self, texts: Sequence[str], role: Role = "query") -> int:
        """Return how many tokens the model would read for all texts, none beyond its length."""
        encoder = self.encoder
        return encoder.count_tokens(texts, role) if isinstance(encoder, BundleEncoder) else 0
