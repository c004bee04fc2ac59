"""Look-up in both directions over an index artifact: a hit is an entity, with the string that matched."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

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

        ``alias-to-label`` returns entities: first those that bear the text as a known name (score 1, the nearest label
        first where several do), then the nearest by meaning. ``label-to-alias`` returns aliases, each with its entity.
        """
        _check_request(texts, k, direction)
        if direction not in self._sides or not texts:
            return [[] for _ in texts]
        side = self._sides[direction]
        vectors = self.encoder.encode(list(texts), "query")
        scores, found = side.index.search(vectors, 4 * k)
        by_entity = direction == "alias-to-label"
        return [
            self._hits(self._exact(text, vector) if by_entity else [], side.rows[rows], line, k, by_entity=by_entity)
            for text, vector, rows, line in zip(texts, vectors, found, scores, strict=True)
        ]

    def _exact(self, text: str, vector: Any) -> Hits:
        """Return the entities that bear a text as a known name; where several do, those of the nearest label first."""
        found = dict(self._known.get(fold(text), ()))
        labels = [self._entities[entity_id]["label"] for entity_id in found]
        near = [float(self._vectors[self._row_of[label]] @ vector) for label in labels]
        order = sorted(zip(near, found.items(), strict=True), key=lambda each: (-each[0], each[1]))
        return [self._hit(entity_id, name, 1.0, 0, by_entity=True) for _, (entity_id, name) in order]

    def _hits(self, exact: Hits, rows: Any, scores: Any, k: int, *, by_entity: bool) -> Hits:
        hits: Hits = [replace(hit, rank=rank) for rank, hit in enumerate(exact[:k], 1)]
        seen = {hit.doc_id for hit in hits}
        if len(hits) == k:
            return hits
        for row, score in zip(rows, scores, strict=True):
            text = self.texts[row]
            for entity_id, kind in self._bearers[text]:
                key = entity_id if by_entity else text
                if key in seen or (kind not in self._wanted if by_entity else kind != "alias"):
                    continue
                seen.add(key)
                hits.append(self._hit(entity_id, text, float(score), len(hits) + 1, by_entity=by_entity))
                if len(hits) == k:
                    return hits
        return hits

    def _hit(self, entity_id: str, text: str, score: float, rank: int, *, by_entity: bool) -> Hit:
        entity = self._entities.get(entity_id, {"label": text, "fields": {}})
        fields = dict(entity["fields"])
        if not by_entity:
            fields["label"] = entity["label"]
        shown = entity["label"] if by_entity else text
        return Hit(
            doc_id=entity_id, text=shown, score=round(min(score, 1.0), 6), matched=text, rank=rank, fields=fields
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
