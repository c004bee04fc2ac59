"""Vectors that are made once: every text an encoder has encoded is found again, whoever asks for it.

The unit of what is kept is the text, the unit of what is written a shard of up to 2,048 texts. So a list that shares
texts with another one costs its new texts alone, and a killed process loses one shard.
"""

import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from honed.core.fingerprint import fingerprint
from honed.core.json import Json, JsonObject, parse_object
from honed.core.progress import Bar, progress, progress_within
from honed.core.protocols import Encoder, Role, Vectors
from honed.core.records import EncoderSpec
from honed.core.writing import write_json
from honed.encode.vector_shelf import UNFINISHED, DamagedShardError, Keys, Numbers, VectorShelf, text_keys

SHARD_TEXTS, SHARD_CHARS = 2048, 1 << 18
_IDENTITY, _USED = "encoder.json", "used"
_FORMAT = 1


def encoder_identity(encoder: Encoder, role: Role, facts: JsonObject | None = None) -> dict[str, Json]:
    """Return all that the vectors of an encoder in a role depend on, as plain data.

    Of an encoder to which the role is nothing but a prompt (``role_is_prompt``) two roles with one prompt are one.
    ``facts`` are further settings of encoders that are code.
    """
    spec: dict[str, Json] = encoder.spec.as_dict()
    del spec["query_prompt"], spec["document_prompt"]
    kind = type(encoder)
    return {
        "format": _FORMAT,
        "encoder": f"{kind.__module__}.{kind.__qualname__}",
        "precision": str(getattr(encoder, "precision", "")),
        "spec": spec,
        "prompt": encoder.spec.prompt(role),
        "role": "" if getattr(encoder, "role_is_prompt", False) else role,
        "facts": dict(facts or {}),
    }


class VectorStore:
    """Shelves of vectors in a folder, one for each encoder and prompt."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def encoder(self, encoder: Encoder, facts: JsonObject | None = None) -> "StoredEncoder":
        """Return an encoder that looks its texts up here first; see `encoder_identity` for ``facts``."""
        return StoredEncoder(encoder, self, facts or {})

    def shelf(self, identity: JsonObject, dim: int) -> VectorShelf:
        """Return the shelf of an encoder's identity, marked as used now."""
        folder = self.root / fingerprint(identity)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / _IDENTITY).is_file():
            write_json(folder / _IDENTITY, identity)
        (folder / _USED).touch()
        return VectorShelf(folder, dim)

    def prune(self, weights: Collection[str], most_bytes: int) -> None:
        """Remove the vectors of models whose weights are not among those given, then, over a size, the longest unused.

        What a killed process has left half written goes too. Nobody else may be writing.
        """
        shelves = [folder for folder in self.root.glob("*") if folder.is_dir()]
        kept = [folder for folder in shelves if _weights(folder) in weights]
        for folder in set(shelves) - set(kept):
            shutil.rmtree(folder)
        for folder in kept:
            for file in folder.glob(f"*{UNFINISHED}"):
                file.unlink()
        left = most_bytes
        for folder in sorted(kept, key=_last_used, reverse=True):
            left -= sum(file.stat().st_size for file in folder.iterdir())
            if left < 0:
                shutil.rmtree(folder)


def _weights(folder: Path) -> str:
    """Return the fingerprint of the weights that the vectors of a folder were made with; empty where nothing says."""
    try:
        spec = parse_object((folder / _IDENTITY).read_text(encoding="utf-8"))["spec"]
    except (OSError, ValueError, KeyError):
        return ""
    return str(spec["weights"]) if isinstance(spec, dict) else ""


def _last_used(folder: Path) -> float:
    used = folder / _USED
    return used.stat().st_mtime if used.is_file() else 0.0


class StoredEncoder:
    """An encoder whose vectors are kept: it encodes distinct texts that are not there yet, shard by shard.

    Shards are cut from the missing texts in the order of their keys, so that what they hold depends on content alone,
    and a run that goes on after a kill makes the very shards that were still to come.
    """

    def __init__(self, encoder: Encoder, store: VectorStore, facts: JsonObject) -> None:
        self.encoder, self.store, self.facts = encoder, store, facts
        self._shelves: dict[str, VectorShelf] = {}

    @property
    def spec(self) -> EncoderSpec:
        """How the encoder is to be used."""
        return self.encoder.spec

    def encode(self, texts: Sequence[str], role: Role) -> Vectors:
        """Return unit vectors ``(n_texts, dim)`` in float32, in the order of ``texts``."""
        keys, first, number = np.unique(text_keys(texts), return_index=True, return_inverse=True)
        distinct = _Distinct(keys, [texts[row] for row in first], role)
        shelf = self._shelf(role)
        while True:
            try:
                self._complete(shelf, distinct)
                places = shelf.find(keys)
                return shelf.take(type(places)(places.shards[number], places.rows[number]))
            except DamagedShardError:
                continue  # the shard is gone, and its texts are missing now

    def _shelf(self, role: Role) -> VectorShelf:
        if role not in self._shelves:
            identity = encoder_identity(self.encoder, role, self.facts)
            self._shelves[role] = self.store.shelf(identity, self.spec.dim)
        return self._shelves[role]

    def _complete(self, shelf: VectorShelf, wanted: "_Distinct") -> None:
        """Encode what is missing on a shelf, and write each shard as soon as it is made."""
        shelf.refresh()
        missing = np.flatnonzero(shelf.find(wanted.keys).shards < 0)
        if not len(missing):
            return
        with progress(f"encode {wanted.role} texts", len(wanted.texts)) as bar:
            if there := len(wanted.texts) - len(missing):
                bar.advance(there)
                bar.note(f"{there} there already")
            for rows in shards_of(wanted.texts, missing):
                shelf.write(wanted.keys[rows], self._encoded([wanted.texts[row] for row in rows], wanted.role, bar))
        shelf.refresh()

    def _encoded(self, texts: Sequence[str], role: Role, bar: Bar) -> Vectors:
        with progress_within(bar, len(texts)):
            return self.encoder.encode(texts, role)


class _Distinct:
    """Distinct texts in the order of their keys, to be encoded in a role."""

    def __init__(self, keys: Keys, texts: Sequence[str], role: Role) -> None:
        self.keys, self.texts, self.role = keys, texts, role


def shards_of(texts: Sequence[str], rows: Numbers) -> Iterator[Numbers]:
    """Yield rows in shards, in their order: each of at most 2,048 texts and 2**18 characters, and at least one text."""
    start = chars = 0
    for at, row in enumerate(rows.tolist()):
        chars += len(texts[row])
        if at > start and (at - start == SHARD_TEXTS or chars > SHARD_CHARS):
            yield rows[start:at]
            start, chars = at, len(texts[row])
    if start < len(rows):
        yield rows[start:]
