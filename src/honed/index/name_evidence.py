"""What all names of a label say of a query that holds one among other words; see `honed.index.mentions`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject
from honed.core.plain import as_texts
from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.core.tensors import Array, Tensors
from honed.core.text import terms
from honed.index import field_values, mentions
from honed.index.field_values import FieldValues
from honed.index.mentions import ALL, Mentions, Names
from honed.index.windows import QueryWords

NAMES, REST, KIND = "names", "rest", "kind"  # of the features: by the names, by a field, by what kind of thing it is
_MOST_KINDS, _FEWEST = 24, 20  # values that get a weight of their own, and the labels that such a value has at least
_KIND_TENSOR = "kinds"
_SEVERAL = "|"  # between the values of a field that holds several

Flags: TypeAlias = npt.NDArray[np.uint8]


class NameEvidence:
    """All names of labels, the values of their short fields, and the kinds of things that they are.

    ``kinds`` ``(n_labels, n_kinds)`` tells which of ``kind_names`` a label is of: its commonest words, and values of
    the fields that say what kind of thing an entity is.
    """

    def __init__(
        self, names: Mentions, fields: Mapping[str, FieldValues], kind_names: Sequence[str], kinds: Flags
    ) -> None:
        self.names, self.fields, self.kind_names, self.kinds = names, dict(fields), tuple(kind_names), kinds
        self.feature_names = [
            *(f"{NAMES}: {feature}" for feature in mentions.FEATURES),
            f"{NAMES}: rank",
            *(f"{field}, {REST}: {feature}" for field in self.fields for feature in field_values.FEATURES),
            *(f"{KIND}: {name}" for name in self.kind_names),
        ]

    @classmethod
    def build(
        cls, names: Names, fields: Mapping[str, Sequence[str]], kinds: Mapping[str, Sequence[str]] | None = None
    ) -> Self:
        """Build from the names of each label, its short fields, and fields whose values are kinds ("a|b": both)."""
        labels = [texts[0] for texts in names.texts]
        kind_names, columns = _commonest("word", [set(terms(label)) for label in labels])
        for field, values in (kinds or {}).items():
            of_field = [{part.strip() for part in value.split(_SEVERAL) if part.strip()} for value in values]
            more_names, more = _commonest(field, of_field)
            kind_names, columns = kind_names + more_names, columns + more
        table = np.stack(columns, axis=1) if columns else np.zeros((len(labels), 0), np.uint8)
        values_of = {field: FieldValues.of(values) for field, values in fields.items()}
        return cls(Mentions.build(names), values_of, kind_names, table)

    def columns(self, query: QueryWords, rows: Rows, ranks: Vectors, *, level: int = ALL) -> list[Vectors]:
        """Return the features of labels ``(n_rows,)`` each, in the order of `feature_names`.

        ``query`` was read by ``names``; ``ranks`` are those of the labels among the likely ones, and ``level`` says
        which names count, see `honed.index.mentions`.
        """
        windows = self.names.windows(query, rows, level=level)
        best = windows.best_of(len(rows))
        columns = [*self.names.features(query, windows, best), ranks]
        starts, sizes = windows.places_of(best)
        places = field_values.word_places(query) if self.fields else {}
        for values in self.fields.values():
            columns += values.columns(places, rows, starts, sizes)
        return [*columns, *self.kinds[rows].astype(np.float32).T]

    def tensors(self) -> dict[str, Array]:
        """Return named arrays for a safetensors file."""
        arrays = {f"{mentions.PREFIX}{name}": array for name, array in self.names.tensors.items()}
        for number, values in enumerate(self.fields.values()):
            arrays |= values.tensors(f"{field_values.PREFIX}{number}.")
        return {**arrays, _KIND_TENSOR: self.kinds}

    def as_dict(self) -> dict[str, Json]:
        """Return the names of fields and kinds as plain data."""
        return {"fields": list(self.fields), "kinds": list(self.kind_names)}

    @classmethod
    def read(cls, data: JsonObject, tensors: Tensors, n: int) -> Self:
        """Read back what `as_dict` and `tensors` returned, for ``n`` labels; `ArtifactError` for other data."""
        own = {
            name.removeprefix(mentions.PREFIX): array
            for name, array in tensors.items()
            if name.startswith(mentions.PREFIX)
        }
        kind_names, kinds = as_texts(data["kinds"]), tensors.get(_KIND_TENSOR)
        if kinds is None or kinds.dtype != np.uint8 or kinds.shape != (n, len(kind_names)):
            raise ArtifactError("E_MENTIONS", "names: the kinds of labels are missing, or of other labels")
        fields = {
            name: FieldValues.read(tensors, f"{field_values.PREFIX}{number}.", n)
            for number, name in enumerate(as_texts(data["fields"]))
        }
        return cls(Mentions(own, n), fields, kind_names, kinds)


def _commonest(title: str, values_of: Sequence[set[str]]) -> tuple[list[str], list[Flags]]:
    """Return the commonest values of labels, named, and for each which labels have it ``(n_labels,)``."""
    counts = Counter(value for values in values_of for value in values)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_KINDS]
    chosen = [value for value, count in ordered if _FEWEST <= count < len(values_of)]
    number = {value: at for at, value in enumerate(chosen)}
    table = np.zeros((len(chosen), len(values_of)), dtype=np.uint8)
    for row, values in enumerate(values_of):
        for value in values:
            if value in number:
                table[number[value], row] = 1
    return [f"{title} {value}" for value in chosen], list(table)
