"""All names and entities of a catalogue as flat arrays: mapped from a file, they answer without being read."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.bundle.layout import Arrays
from honed.core.errors import ArtifactError
from honed.core.protocols import Mask
from honed.core.ranking import Rows
from honed.core.text import fold

LABEL, ALIAS = 1, 2
KINDS = {"label": LABEL, "alias": ALIAS}
_DTYPES = {
    **dict.fromkeys(("text", "entity", "kinds", "kinds_of"), np.uint8),
    **dict.fromkeys(("text_ends", "entity_ends", "bearer_ends", "name_ends"), np.int64),
    **dict.fromkeys(("bearers", "names", "label_of", "text_rows", "id_rows"), np.int32),
    **dict.fromkeys(("text_keys", "id_keys"), np.uint64),
}
Name = tuple[int, int, str]  # row of a text, row of an entity, "label" or "alias"
TextRows: TypeAlias = Rows | slice  # rows of texts; a slice where they are the first ones
Bytes: TypeAlias = npt.NDArray[np.uint8]
Ends: TypeAlias = npt.NDArray[np.int64]


class Entity(NamedTuple):
    """An entity of the catalogue: its id, its label, and its fields by name."""

    entity_id: str
    label: str
    fields: dict[str, str]


class NameTable:
    """Texts, the entities that bear them as label or alias, and the entities' fields.

    A text has the row number of its vector, an entity that of its record.
    """

    def __init__(self, tensors: Arrays) -> None:
        """Take the arrays that `build` made; `ArtifactError` when their sizes do not fit together."""
        self.tensors = tensors
        try:
            self._text, self._text_ends = tensors["text"], tensors["text_ends"]
            self._entity, self._entity_ends = tensors["entity"], tensors["entity_ends"]
            self._bearers, self._bearer_ends, self._kinds = (
                tensors[name] for name in ("bearers", "bearer_ends", "kinds")
            )
            self._names, self._name_ends = tensors["names"], tensors["name_ends"]
            self.label_of, self.kinds_of = tensors["label_of"], tensors["kinds_of"]
            self.n_texts, self.n_entities = len(self._text_ends) - 1, len(self._entity_ends) - 1
            self._check_dtypes()
            self._check_ends()
            self._check_rows()
        except (KeyError, ValueError, IndexError) as error:
            raise ArtifactError("E_BUNDLE_MISMATCH", f"the names do not fit together: {error}") from error

    def _check_dtypes(self) -> None:
        """Raise `ValueError` naming an array of another type or shape than it must have."""
        for name, dtype in _DTYPES.items():
            if self.tensors[name].ndim != 1 or self.tensors[name].dtype != dtype:
                raise ValueError(name)

    def _check_ends(self) -> None:
        """Raise `ValueError` naming an array of ends that does not ascend, or leads beyond what it divides."""
        n_names = len(self._bearers)
        ends = {
            "text_ends": (self._text_ends, self.n_texts, len(self._text)),
            "entity_ends": (self._entity_ends, self.n_entities, len(self._entity)),
            "bearer_ends": (self._bearer_ends, self.n_texts, n_names),
            "name_ends": (self._name_ends, self.n_entities, n_names),
        }
        for name, (array, n, limit) in ends.items():
            if len(array) != n + 1 or array[0] != 0 or array[-1] > limit or (np.diff(array) < 0).any():
                raise ValueError(name)

    def _check_rows(self) -> None:
        """Raise `ValueError` naming an array of rows that leads to what is not there."""
        n_names = len(self._bearers)
        rows = {
            "bearers": (self._bearers, n_names, self.n_entities),
            "names": (self._names, n_names, n_names),
            "label_of": (self.label_of, self.n_entities, self.n_texts),
            "text_rows": (self.tensors["text_rows"], self.n_texts, self.n_texts),
            "id_rows": (self.tensors["id_rows"], self.n_entities, self.n_entities),
        }
        for name, (array, n, limit) in rows.items():
            if len(array) != n or (n and not 0 <= int(array.min()) <= int(array.max()) < limit):
                raise ValueError(name)
        if len(self._kinds) != n_names or len(self.kinds_of) != self.n_texts:
            raise ValueError("kinds")

    @classmethod
    def build(
        cls, texts: Sequence[str], names: Sequence[Name], entities: Sequence[tuple[str, str, Mapping[str, str]]]
    ) -> Self:
        """Build the arrays of (row of text, row of entity, kind) names and (id, label, fields) entities."""
        by_text = sorted(range(len(names)), key=lambda number: names[number][0])
        by_entity = sorted(range(len(names)), key=lambda number: names[number][1])
        place = {number: at for at, number in enumerate(by_text)}
        labels = {entity: text for text, entity, kind in reversed(names) if kind == "label"}
        text, text_ends = _packed(texts)
        lines = [
            json.dumps([entity_id, label, dict(fields)], ensure_ascii=False) for entity_id, label, fields in entities
        ]
        entity, entity_ends = _packed(lines)
        text_keys, text_rows = _sorted_keys([fold(text) for text in texts])
        id_keys, id_rows = _sorted_keys([entity_id for entity_id, _, _ in entities])
        return cls(
            {
                "text": text,
                "text_ends": text_ends,
                "entity": entity,
                "entity_ends": entity_ends,
                "bearers": np.array([names[number][1] for number in by_text], dtype=np.int32),
                "kinds": np.array([KINDS[names[number][2]] for number in by_text], dtype=np.uint8),
                "bearer_ends": _group_ends((name[0] for name in names), len(texts)),
                "names": np.array([place[number] for number in by_entity], dtype=np.int32),
                "name_ends": _group_ends((name[1] for name in names), len(entities)),
                "label_of": np.array([labels.get(row, 0) for row in range(len(entities))], dtype=np.int32),
                "kinds_of": kinds_of_texts(names, len(texts)),
                "text_keys": text_keys,
                "text_rows": text_rows,
                "id_keys": id_keys,
                "id_rows": id_rows,
            }
        )

    def text(self, row: int) -> str:
        """Return the text of a row."""
        return bytes(self._text[self._text_ends[row] : self._text_ends[row + 1]]).decode()

    def entity(self, row: int) -> Entity:
        """Return the entity of a row."""
        return Entity(*json.loads(bytes(self._entity[self._entity_ends[row] : self._entity_ends[row + 1]])))

    def rows_of(self, kinds: int) -> TextRows:
        """Return the rows of the texts that are of one of the kinds; a slice where they are the first ones."""
        rows = np.flatnonzero(self.kinds_of & kinds)
        return slice(0, len(rows)) if len(rows) and rows[-1] == len(rows) - 1 else rows

    def rows_of_entities(self, allowed: Mask, kinds: int) -> Mask:
        """Return which texts ``(n_texts,)`` some of the allowed entities ``(n_entities,)`` bear as one of the kinds."""
        wanted = allowed[self._bearers] & ((self._kinds & kinds) > 0)
        mask = np.zeros(self.n_texts, dtype=np.bool_)
        mask[np.repeat(np.arange(self.n_texts), np.diff(self._bearer_ends))[wanted]] = True
        return mask

    def bearers(self, row: int, kinds: int) -> list[int]:
        """Return the entities that bear a text as one of the kinds (`LABEL`, `ALIAS` or their sum)."""
        span = slice(int(self._bearer_ends[row]), int(self._bearer_ends[row + 1]))
        pairs = zip(self._bearers[span].tolist(), self._kinds[span].tolist(), strict=True)
        return list(dict.fromkeys(entity for entity, kind in pairs if kind & kinds))

    def aliases(self, entity: int) -> list[str]:
        """Return all aliases of an entity, in the order of the data."""
        places = self._names[self._name_ends[entity] : self._name_ends[entity + 1]]
        rows = np.searchsorted(self._bearer_ends, places, side="right") - 1
        return [self.text(int(row)) for row, place in zip(rows, places, strict=True) if self._kinds[place] == ALIAS]

    def rows_named(self, text: str) -> list[int]:
        """Return the rows of the texts that count as the same as ``text``."""
        key = fold(text)
        return [row for row in self._rows_of_key("text", key) if fold(self.text(row)) == key]

    def entity_row(self, entity_id: str) -> int | None:
        """Return the row of an entity, or None for an unknown id."""
        rows = self._rows_of_key("id", entity_id)
        return next((row for row in rows if self.entity(row).entity_id == entity_id), None)

    def _rows_of_key(self, kind: str, key: str) -> list[int]:
        """Return the rows whose hashed key, of texts or of ids, is that of ``key``, in ascending order."""
        keys, rows = self.tensors[f"{kind}_keys"], self.tensors[f"{kind}_rows"]
        wanted = np.uint64(_hashed(key))
        span = slice(int(np.searchsorted(keys, wanted)), int(np.searchsorted(keys, wanted, side="right")))
        return [int(row) for row in sorted(rows[span].tolist())]


def kinds_of_texts(names: Iterable[Name], n_texts: int) -> npt.NDArray[np.uint8]:
    """Return what every text ``(n_texts,)`` is: `LABEL`, `ALIAS`, their sum for both, 0 for neither."""
    kinds = np.zeros(n_texts, dtype=np.uint8)
    for text, _, kind in names:
        kinds[text] |= KINDS[kind]
    return kinds


def _hashed(text: str) -> int:
    """Return the first 64 bits of the BLAKE2b hash of a text."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _packed(texts: Iterable[str]) -> tuple[Bytes, Ends]:
    """Return the bytes of all texts, one after the other, and where they end ``(n_texts + 1,)``, from 0 on."""
    raw = [text.encode() for text in texts]
    ends = np.cumsum([0, *map(len, raw)], dtype=np.int64)
    return np.frombuffer(b"".join(raw) or b" ", dtype=np.uint8), ends


def _sorted_keys(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
    """Return the hashed texts in ascending order, and the row of each."""
    keys = np.array([_hashed(text) for text in texts], dtype=np.uint64)
    order = np.argsort(keys, kind="stable")
    return keys[order], order.astype(np.int32)


def _group_ends(groups: Iterable[int], n: int) -> Ends:
    """Return where the groups 0 to n - 1 end ``(n + 1,)``, from 0 on, when their members lie group after group."""
    sizes = np.bincount(np.fromiter(groups, np.int64), minlength=n)
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
