"""Values of fields in a query: the city or the country beside the name of an entity, or another one."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.tensors import Array, Tensors, check_arrays, divides
from honed.core.text import terms
from honed.index.postings import Keys, term_key
from honed.index.windows import QueryWords

PREFIX = "rest."
FEATURES = ("in the query", "beside the name", "another")
_DTYPES = {"values": np.int32, "keys": np.uint64, "ends": np.int64, "first": np.uint64, "first_rows": np.int32}


WordPlaces: TypeAlias = Mapping[int, list[int]]  # of the words of a query, by their keys
Numbers: TypeAlias = npt.NDArray[np.int32]


def word_places(query: QueryWords) -> WordPlaces:
    """Return the places of each word of a query by its key."""
    places: dict[int, list[int]] = {}
    for at, word in enumerate(query.words):
        if word:
            places.setdefault(term_key(word), []).append(at)
    return places


class FieldValues(NamedTuple):
    """The values of one field of labels, as keys of words.

    ``values`` ``(n_labels,)`` numbers the value of each label, -1 for none; the words of a value are ``keys`` between
    its ``ends`` ``(n_values + 1,)``; ``first`` holds the first word of each value, ascending, and ``first_rows`` whose.
    """

    values: Numbers
    keys: Keys
    ends: Rows
    first: Keys
    first_rows: Numbers

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Return the values of one field of all labels."""
        distinct: dict[str, int] = {}
        words_of = []
        values = np.full(len(texts), -1, dtype=np.int32)
        for row, text in enumerate(texts):
            words = terms(text)
            if words:
                joined = " ".join(words)
                if joined not in distinct:
                    distinct[joined] = len(distinct)
                    words_of.append([term_key(word) for word in words])
                values[row] = distinct[joined]
        first = np.array([keys[0] for keys in words_of], dtype=np.uint64)
        order = np.argsort(first, kind="stable")
        return cls(
            values=values,
            keys=np.array([key for keys in words_of for key in keys], dtype=np.uint64),
            ends=np.cumsum([0, *map(len, words_of)]).astype(np.int64),
            first=first[order],
            first_rows=order.astype(np.int32),
        )

    @classmethod
    def read(cls, tensors: Tensors, prefix: str, n: int) -> Self:
        """Read the arrays of a file; `ArtifactError` when they do not fit together."""
        check_arrays(tensors, _DTYPES, what="fields", code="E_MENTIONS", prefix=prefix)
        field = cls(*(tensors[f"{prefix}{name}"] for name in _DTYPES))
        n_values = len(field.first)
        fits = len(field.values) == n and len(field.first_rows) == n_values
        fits = fits and divides(field.ends, n_values, len(field.keys)) and bool((np.diff(field.ends) > 0).all())
        if not fits or not _within(field.values, -1, n_values) or not _within(field.first_rows, 0, n_values):
            raise ArtifactError("E_MENTIONS", "fields: the arrays do not fit together")
        return field

    def tensors(self, prefix: str) -> dict[str, Array]:
        """Return the arrays by name."""
        return {f"{prefix}{name}": array for name, array in self._asdict().items()}

    def mentioned(self, places: WordPlaces) -> dict[int, list[list[int]]]:
        """Return the values that a query holds, with the places of each of their words."""
        keys = np.fromiter(places, np.uint64, len(places))
        low, high = np.searchsorted(self.first, keys), np.searchsorted(self.first, keys, side="right")
        values: dict[int, list[list[int]]] = {}
        for at in np.flatnonzero(high > low).tolist():
            for value in self.first_rows[low[at] : high[at]].tolist():
                words = self.keys[self.ends[value] : self.ends[value + 1]].tolist()
                if all(word in places for word in words):
                    values[value] = [places[word] for word in words]
        return values

    def columns(self, places: WordPlaces, rows: Rows, starts: Vectors, sizes: Rows) -> list[Vectors]:
        """Return the features of labels by this field, each ``(n_rows,)``, in the order of `FEATURES`.

        A label's name stands in the query's window from ``starts`` ``(n_rows,)``, ``sizes`` words long.
        """
        own = self.values[rows]
        inside, beside, another = (np.zeros(len(rows), np.float32) for _ in range(3))
        ends = starts + sizes
        for value, word_places in self.mentioned(places).items():
            is_own = own == value
            inside[is_own] = 1
            outside = np.ones(len(rows), dtype=np.bool_)
            for at_places in word_places:
                spots = np.array(at_places)[:, None]
                outside &= ((spots < starts) | (spots >= ends)).any(axis=0)
            beside[is_own & outside] = 1
            another[~is_own & outside & (own >= 0)] = 1
        another[inside > 0] = 0
        return [inside, beside, another]


def _within(rows: Numbers, low: int, high: int) -> bool:
    return not len(rows) or bool(low <= int(rows.min()) and int(rows.max()) < high)
