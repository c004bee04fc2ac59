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
from honed.data.split import unit_interval

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

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            start, stop, _ = at.indices(len(self))
            return [_row(each) for each in self.table.slice(start, max(0, stop - start)).to_pylist()]
        return _row(self.table.slice(int(at), 1).to_pylist()[0])

    def __iter__(self) -> Iterator[Mapping[str, str]]:
        for start in range(0, len(self), _BLOCK):
            yield from self[start : start + _BLOCK]

    def column(self, name: str) -> list[str]:
        """Return one of the roles' columns."""
        return [str(value) for value in self.table.column(name).to_pylist()]

    def texts(self) -> list[str]:
        """Return what an encoder reads of each record: title and text, one after the other."""
        pairs = zip(self.column("title"), self.column("text"), strict=True)
        return [whole_text(title, text) for title, text in pairs]

    def columns(self) -> list[str]:
        """Return the columns that rules may look at."""
        first: dict[str, str] = self[0] if len(self) else {}
        return list(first)


def whole_text(title: str, text: str) -> str:
    """Return what an encoder reads of a record: title and text, one after the other."""
    return f"{title} {text}" if title and text else title or text


def _row(record: Mapping[str, Any]) -> dict[str, str]:
    own = {name: record[name] for name in ("id", "title", "text")}
    extra = {name: value for name, value in json.loads(record["fields"]).items() if name not in own}
    return own | extra


def splits_of(
    texts: Sequence[str],
    truth: npt.NDArray[np.int64],
    given: Sequence[str],
    *,
    test: float,
    dev: float,
    seed: int,
) -> npt.NDArray[np.str_]:
    """Return "train", "dev" or "test" for each record; unlabelled ones are "train".

    Drawn for each class by the text alone, so that a text keeps its side when labels come or go, and equal texts share
    it. Where the user gave splits they hold; dev is drawn from the labelled train records where no dev was given.
    """
    found = np.array([each or "train" for each in given], dtype="<U5")
    has_test, has_dev = "test" in found, "dev" in found
    draws: dict[str, float] = {}
    for row in np.flatnonzero((truth >= 0) & (found == "train")).tolist():
        draw = draws.setdefault(key := fold(texts[row]), unit_interval(seed, key))
        if not has_test:
            found[row] = "test" if draw < test else "dev" if draw < test + dev else "train"
        elif not has_dev and draw < dev:
            found[row] = "dev"
    return found


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
