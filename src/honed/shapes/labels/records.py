"""Texts with a few labels: the records as they are worked on, and the training examples that labels become."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from honed.core.records import Example
from honed.core.text import fold
from honed.data.split import WITHHELD, find_leaks, unit_interval
from honed.shapes.texts import whole_text

_BLOCK = 10_000
_OWN = ("id", "title", "text", "label", "split", "weak", "confidence")


class Records(Sequence[Mapping[str, str]]):
    """The accepted records of an import, read from their columns as they are asked for; every value is a string.

    A record has ``id``, ``title``, ``text`` and, by their names, all further columns of the file.
    """

    def __init__(self, path: Path) -> None:
        self.table = pq.read_table(path, page_checksum_verification=True)
        for name in _OWN:
            if name not in self.table.column_names:
                import pyarrow as pa

                self.table = self.table.append_column(name, pa.array([""] * self.table.num_rows))
        self.extra: dict[str, str] = {}
        for chunk in self.table.column("fields").chunks:
            for fields in chunk.to_pylist():
                if fields != "{}":
                    self.extra |= dict.fromkeys(json.loads(fields), "")

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            return [self._row(row) for row in self.table.slice(start, max(0, stop - start)).to_pylist()]
        return self._row(self.table.slice(int(at), 1).to_pylist()[0])

    def _row(self, record: Mapping[str, Any]) -> dict[str, str]:
        known = {name: record[name] for name in ("id", "title", "text")}
        values: dict[str, str] = self.extra | json.loads(record["fields"]) | known
        return values

    def __iter__(self) -> Iterator[Mapping[str, str]]:
        for start in range(0, len(self), _BLOCK):
            yield from self[start : start + _BLOCK]

    def column(self, name: str) -> list[str]:
        """Return one of the roles' columns."""
        return [str(value) for value in self.table.column(name).to_pylist()]

    def texts(self) -> list[str]:
        """Return the texts that are encoded: title and text of each record."""
        pairs = zip(self.column("title"), self.column("text"), strict=True)
        return [whole_text(title, text) for title, text in pairs]

    def columns(self) -> list[str]:
        """Return the columns that rules may look at."""
        return ["id", "title", "text", *self.extra]


def splits_of(
    texts: Sequence[str],
    truth: npt.NDArray[np.int64],
    given: Sequence[str],
    *,
    test: float,
    dev: float,
    seed: int,
) -> npt.NDArray[np.str_]:
    """Return "train", "dev" or "test" for each record, or "withheld" where a given split holds a text of a later one.

    Drawn by the text alone: equal texts share a side, and a text keeps it. The side of test is drawn over all records,
    labelled or not, before anyone looks at them: whoever labels the doubtful ones first must not fill the test with
    them. Dev is drawn from labelled records only, since the others are there to be learned from. Where the user gave
    splits they hold; dev is drawn from their train records where none was given.
    """
    splits = np.array([split or "train" for split in given], dtype="<U8")
    first, last = (test, test + dev) if "test" not in splits else (0.0, 0.0 if "dev" in splits else dev)
    keys = [fold(text) for text in texts]
    if any(given):
        key_of = {str(row): key for row, key in enumerate(keys) if key}
        leaks = find_leaks({row: str(splits[int(row)]) for row in key_of}, key_of)
        splits[[int(row) for row in leaks]] = WITHHELD
    labelled = {key for key, label in zip(keys, truth.tolist(), strict=True) if label >= 0}
    draws = {key: unit_interval(seed, key) for key in dict.fromkeys(keys)} if last else {}
    for row in np.flatnonzero(splits == "train").tolist() if last else ():
        draw = draws[keys[row]]
        if draw < first:
            splits[row] = "test"
        elif draw < last and keys[row] in labelled:
            splits[row] = "dev"
    return splits


def group_examples(
    texts: Sequence[str], groups: Sequence[str], weights: Sequence[float], sources: Sequence[str], seed: int
) -> list[Example]:
    """Return one example for each labelled record: the record and another one of its group.

    Weights are the confidence of the labels; an example has the product of its two. Groups of one record are left out.
    """
    random = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    examples = []
    for group, rows in members.items():
        if len({texts[row] for row in rows}) < 2:
            continue
        order = random.permutation(rows)
        for left, right in zip(order, np.roll(order, 1), strict=True):
            if texts[left] != texts[right]:
                examples.append(
                    Example(
                        anchor=texts[left],
                        positive=texts[right],
                        weight=float(weights[left] * weights[right]),
                        source=sources[left],
                        group=group,
                    )
                )
    return [examples[at] for at in random.permutation(len(examples))]
