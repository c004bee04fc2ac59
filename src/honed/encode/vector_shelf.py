"""The vectors of one encoder on disk: shards that are written once, and found by the text.

A shard is a safetensors file with the keys of its texts, their vectors, and the sha256 of both. It is named by its keys
and renamed into place when it is whole: a killed process leaves whole shards alone, and several may write at once.
"""

import hashlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import Vectors
from honed.core.tensors import Array, map_safetensors
from honed.core.writing import naming, sync

log = logging.getLogger("honed.encode")
Keys: TypeAlias = npt.NDArray[np.bytes_]  # (n,): the first 16 bytes of the sha256 of each text
Numbers: TypeAlias = npt.NDArray[np.int64]
SUFFIX, UNFINISHED = ".safetensors", ".new"
_WIDTH = 16
_KEY = np.dtype(f"S{_WIDTH}")


def text_keys(texts: Sequence[str]) -> Keys:
    """Return the keys ``(n_texts,)`` of texts."""
    digests = (hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_WIDTH] for text in texts)
    keys: Keys = np.frombuffer(b"".join(digests), dtype=_KEY)
    return keys


class DamagedShardError(Exception):
    """A shard whose bytes are not those that were written; it has been removed."""


class Places(NamedTuple):
    """Where the vectors of some keys are: number of the shard, -1 for none, and row in it, both ``(n_keys,)``."""

    shards: Numbers
    rows: Numbers


class VectorShelf:
    """The shards in a folder, of vectors with ``dim`` numbers; it may not exist yet."""

    def __init__(self, folder: Path, dim: int) -> None:
        self.folder, self.dim = folder, dim
        self._forget()

    def _forget(self) -> None:
        self._names: list[str] = []
        self._verified: set[str] = set()
        self._keys: Keys = np.empty(0, dtype=_KEY)
        self._places = Places(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))

    def refresh(self) -> None:
        """Look at the shards that are there now, whoever wrote them; one without a whole header is removed."""
        while not self._look():
            pass

    def _look(self) -> bool:
        """Read the keys of the shards that are new; False when a damaged one was removed, and all is to be read."""
        there = {path.name for path in self.folder.glob(f"*{SUFFIX}")}
        if set(self._names) - there:
            self._forget()
        keys, places = [self._keys], [self._places]
        for name in sorted(there - set(self._names)):
            try:
                new = _keys_of(self._tensors(name))
            except DamagedShardError:
                return False
            keys.append(new)
            places.append(Places(np.full(len(new), len(self._names), dtype=np.int64), np.arange(len(new))))
            self._names.append(name)
        if len(keys) > 1:
            together = np.concatenate(keys)
            order = np.argsort(together, kind="stable")
            shards, rows = (np.concatenate(column)[order] for column in zip(*places, strict=True))
            self._keys, self._places = together[order], Places(shards, rows)
        return True

    def find(self, keys: Keys) -> Places:
        """Return where the vectors of keys are."""
        if not len(self._keys):
            nowhere = np.full(len(keys), -1, dtype=np.int64)
            return Places(nowhere, nowhere)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        known = self._keys[at] == keys
        return Places(np.where(known, self._places.shards[at], -1), np.where(known, self._places.rows[at], -1))

    def take(self, places: Places) -> Vectors:
        """Return the vectors ``(n, dim)`` at places that `find` gave; the shards are compared with their sha256.

        Raises `DamagedShardError` for one that differs, which is removed.
        """
        vectors = np.empty((len(places.shards), self.dim), dtype=np.float32)
        order = np.argsort(places.shards, kind="stable")
        changes = np.flatnonzero(np.diff(places.shards[order]))
        for positions in np.split(order, changes + 1) if len(order) else ():
            name = self._names[int(places.shards[positions[0]])]
            vectors[positions] = self._tensors(name, verified=True)["vectors"][places.rows[positions]]
        return vectors

    def write(self, keys: Keys, vectors: Vectors) -> None:
        """Write a shard: whole or not at all."""
        from safetensors.numpy import save

        self.folder.mkdir(parents=True, exist_ok=True)
        column = np.ascontiguousarray(keys).view(np.uint8).reshape(-1, _WIDTH)
        unit = np.ascontiguousarray(vectors, dtype=np.float32)
        name = hashlib.sha256(column.tobytes()).hexdigest()[:32] + SUFFIX
        beside = self.folder / f"{name}.{os.getpid()}{UNFINISHED}"
        with naming(self.folder / name):
            beside.write_bytes(save({"keys": column, "vectors": unit, "sha256": _digest(column, unit)}))
            sync(beside)
            beside.replace(self.folder / name)
            sync(self.folder)

    def _tensors(self, name: str, *, verified: bool = False) -> dict[str, Array]:
        """Return keys, vectors and sha256 of a shard, mapped from the disk; its bytes are compared once a process."""
        path = self.folder / name
        try:
            tensors = map_safetensors(path)
            keys, vectors, expected = tensors["keys"], tensors["vectors"], tensors["sha256"]
            whole = keys.shape == (len(vectors), _WIDTH) and vectors.shape[1:] == (self.dim,)
            if verified and name not in self._verified:
                whole = whole and np.array_equal(_digest(keys, vectors), expected)
                self._verified.add(name)
        except (ArtifactError, OSError, ValueError, KeyError):
            whole = False
        if whole:
            return tensors
        log.warning("%s: bytes differ from what was written; its texts are encoded again", path)
        path.unlink(missing_ok=True)
        self._forget()
        raise DamagedShardError(name)


def _keys_of(tensors: dict[str, Array]) -> Keys:
    keys: Keys = np.array(tensors["keys"]).view(_KEY).reshape(-1)
    return keys


def _digest(keys: Array, vectors: Array) -> Array:
    digest = hashlib.sha256(np.ascontiguousarray(keys).data)
    digest.update(np.ascontiguousarray(vectors).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)
