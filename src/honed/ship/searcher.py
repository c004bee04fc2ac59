"""Look-up in both directions over an index artifact: a hit is an entity, with the string that matched."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from honed.core.artifacts import Artifact, Manifest
from honed.core.errors import ArtifactError, ConfigError
from honed.core.protocols import Encoder, Vectors
from honed.core.records import Hit
from honed.core.text import fold
from honed.encode.config import EncoderConfig
from honed.index.flat import VECTOR_INDEXES
from honed.ship.bundle import Bundle, is_bundle, load_bundle

Hits = list[Hit]
DIRECTIONS = ("alias-to-label", "label-to-alias")
MAX_K = 1000
MAX_CHARS = 10_000


class _Side:
    """One direction: the rows of the strings that are searched, and the index over them."""

    def __init__(self, vectors: Vectors, rows: Sequence[int], backend: str) -> None:
        self.rows = np.array(rows, dtype=np.int64)
        self.index = VECTOR_INDEXES[backend](vectors[self.rows])


class Searcher:
    """Searches names by meaning; make one with `Searcher.load`."""

    def __init__(
        self, encoder: Encoder, vectors: Vectors, texts: Sequence[str], names: Sequence[dict[str, Any]]
    ) -> None:
        self.encoder, self.texts = encoder, list(texts)
        self._row_of = {text: row for row, text in enumerate(self.texts)}
        self._vectors = vectors
        self._entities: dict[str, dict[str, Any]] = {}
        self._bearers: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._known: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._wanted: set[str] = set()
        self._aliases: dict[str, list[str]] = defaultdict(list)
        for name in names:
            self._bearers[name["text"]].append((name["entity_id"], name["kind"]))
            self._known[fold(name["text"])].append((name["entity_id"], name["text"]))
            if name["kind"] == "alias":
                self._aliases[name["entity_id"]].append(name["text"])
        self._sides: dict[str, _Side] = {}

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load a bundle, or an index artifact with its encoder; `ArtifactError` when something does not fit."""
        path = Path(folder)
        if is_bundle(path):
            return cls._of_bundle(load_bundle(path))
        if not (path / "encoder.json").is_file():
            raise ArtifactError("E_INDEX", f"{path}: neither a bundle nor an index of honed")
        Artifact(folder=path, manifest=Manifest.read(path)).verify()
        vectors = np.load(path / "vectors.npy", allow_pickle=False)
        texts = _column(path / "texts.parquet", "text")
        encoder = _load_encoder(path)
        searcher = cls(encoder, vectors, texts, _rows(path / "names.parquet"))
        settings = json.loads((path / "index.json").read_text(encoding="utf-8"))
        searcher._build(settings.get("backend", "flat"), settings.get("names", "labels"))
        for row in _rows(path / "entities.parquet"):
            searcher._entities[row["entity_id"]] = {"label": row["label"], "fields": json.loads(row["fields"])}
        return searcher

    @classmethod
    def _of_bundle(cls, bundle: Bundle) -> Self:
        names = [
            {"entity_id": bundle.entities[entity][0], "text": bundle.texts[text], "kind": kind}
            for text, entity, kind in bundle.names
        ]
        searcher = cls(bundle.encoder, bundle.vectors, bundle.texts, names)
        searcher._entities = {key: {"label": label, "fields": fields} for key, label, fields in bundle.entities}
        searcher._build("exact", bundle.manifest["index"].get("names", "labels"))
        return searcher

    def _build(self, backend: str, names: str) -> None:
        kinds = [{kind for _, kind in self._bearers[text]} for text in self.texts]
        wanted = {"label"} if names == "labels" else {"label", "alias"}
        forward = [row for row, found in enumerate(kinds) if found & wanted]
        reverse = [row for row, found in enumerate(kinds) if "alias" in found]
        self._wanted = wanted
        for direction, rows in zip(DIRECTIONS, (forward, reverse), strict=True):
            if rows:
                self._sides[direction] = _Side(self._vectors, rows, backend)

    def search(self, text: str, k: int = 10, *, direction: str = "alias-to-label") -> Hits:
        """Return up to ``k`` hits for a text, best first; scores are cosines in [-1, 1]."""
        return self.search_many([text], k, direction=direction)[0]

    def search_many(self, texts: Sequence[str], k: int = 10, *, direction: str = "alias-to-label") -> list[Hits]:
        """Return hits for each text.

        ``alias-to-label`` returns entities: first those that bear the text as a known name (the nearest label first
        where several do), then the nearest by meaning. ``label-to-alias`` returns aliases, each with its entity; an
        alias of several entities is a hit for each.
        """
        _check_request(texts, k, direction)
        if direction not in self._sides or not texts:
            return [[] for _ in texts]
        vectors = self.encoder.encode(list(texts), "query")
        by_entity = direction == "alias-to-label"
        waiting, width = list(range(len(texts))), 4 * k
        hits: list[Hits] = [[] for _ in texts]
        side = self._sides[direction]
        while waiting:  # one entity may bear many near strings: look further until k are found
            scores, found = side.index.search(vectors[waiting], width)
            for row, rows, line in zip(waiting, found, scores, strict=True):
                exact = self._exact(texts[row], vectors[row]) if by_entity else []
                hits[row] = self._hits(exact, side.rows[rows], line, vectors[row], k, by_entity=by_entity)
            waiting = [row for row in waiting if len(hits[row]) < k] if width < len(side.rows) else []
            width *= 4
        return hits

    def _nearest_first(self, bearers: Mapping[str, str], vector: Any) -> list[tuple[str, str]]:
        """Order the (entity, string) bearers of one name by how near the entity's label is to the query."""
        if len(bearers) < 2:
            return list(bearers.items())
        near = {each: float(self._vectors[self._row_of[self._entities[each]["label"]]] @ vector) for each in bearers}
        return sorted(bearers.items(), key=lambda each: (-near[each[0]], each))

    def _exact(self, text: str, vector: Any) -> Hits:
        """Return the entities that bear a text as a known name, with the cosine to the name as it is written there."""
        found = self._nearest_first(dict(self._known.get(fold(text), ())), vector)
        return [
            self._hit(each, name, float(self._vectors[self._row_of[name]] @ vector), 0, by_entity=True)
            for each, name in found
        ]

    def _hits(self, exact: Hits, rows: Any, scores: Any, vector: Any, k: int, *, by_entity: bool) -> Hits:
        hits: Hits = [replace(hit, rank=rank) for rank, hit in enumerate(exact[:k], 1)]
        seen = {(hit.doc_id, "") for hit in hits}
        for row, score in zip(rows, scores, strict=True):
            text = self.texts[row]
            kinds = self._wanted if by_entity else {"alias"}
            bearers = {entity_id: text for entity_id, kind in self._bearers[text] if kind in kinds}
            for entity_id, _ in self._nearest_first(bearers, vector):
                key = (entity_id, "" if by_entity else text)
                if key not in seen and len(hits) < k:
                    seen.add(key)
                    hits.append(self._hit(entity_id, text, float(score), len(hits) + 1, by_entity=by_entity))
        return hits

    def _hit(self, entity_id: str, text: str, score: float, rank: int, *, by_entity: bool) -> Hit:
        entity = self._entities.get(entity_id, {"label": text, "fields": {}})
        fields = dict(entity["fields"])
        if not by_entity:
            fields["label"] = entity["label"]
        shown = entity["label"] if by_entity else text
        return Hit(
            doc_id=entity_id,
            text=shown,
            score=round(max(-1.0, min(score, 1.0)), 6),
            matched=text,
            rank=rank,
            fields=fields,
        )

    def entity(self, entity_id: str) -> dict[str, Any]:
        """Return an entity with its fields and all its aliases; `ConfigError` for an unknown id."""
        if entity_id not in self._entities:
            raise ConfigError("E_NO_ENTITY", f"no entity {entity_id!r}")
        return {"id": entity_id, **self._entities[entity_id], "aliases": self._aliases[entity_id]}


def _check_request(texts: Sequence[str], k: int, direction: str) -> None:
    if direction not in DIRECTIONS:
        raise ConfigError("E_DIRECTION", f"direction {direction!r} is not one of {', '.join(DIRECTIONS)}")
    if not 1 <= k <= MAX_K:
        raise ConfigError("E_K", f"k = {k} is out of range; allowed: 1 to {MAX_K}")
    for text in texts:
        if not text.strip():
            raise ConfigError("E_QUERY_EMPTY", "the query is empty")
        if len(text) > MAX_CHARS:
            raise ConfigError("E_QUERY_TOO_LONG", f"the query has {len(text)} characters; allowed are {MAX_CHARS}")


def _load_encoder(folder: Path) -> Encoder:
    from honed.core.optional import require

    require("torch encoder")
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


def _column(path: Path, name: str) -> list[str]:
    return [str(row[name]) for row in _rows(path)]
