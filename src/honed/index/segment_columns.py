"""The fields of a segment's records as columns that filters use: distinct values, and the number of each record's."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from honed.core.filters import Value, number_of
from honed.core.json import Json
from honed.index.store_records import Record

COLUMNS = "columns.json"
MOST_VALUES = 200_000  # distinct ones of a field that can be filtered by: they are held in memory
log = logging.getLogger("honed.store")


class ColumnWriter:
    """Numbers the values of fields as records come; a field of more than 200,000 values becomes no column."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[tuple[str, Value], int]] = {}  # of each value of a field, in order
        self._codes: dict[str, list[npt.NDArray[np.int32]]] = {}
        self._too_wide: set[str] = set()
        self._n = 0

    def add(self, records: Sequence[Record]) -> None:
        """Take the fields of more records; -1 stands for a record without the field."""
        for name in {name for record in records for name in record.fields} - self._numbers.keys():
            self._numbers[name] = {}
            self._codes[name] = [np.full(self._n, -1, dtype=np.int32)]
        for name, numbers in self._numbers.items():
            if name in self._too_wide:
                continue
            codes = [number_of(record.fields.get(name), numbers) for record in records]
            self._codes[name].append(np.array(codes, dtype=np.int32))
            if len(numbers) > MOST_VALUES:
                self._too_wide.add(name)
                numbers.clear()
                self._codes[name].clear()
        self._n += len(records)

    def write(self, folder: Path) -> None:
        """Write a file of numbers for each column, and one with the values of all."""
        if self._too_wide:
            names = ", ".join(sorted(self._too_wide))
            log.warning("more than %d values, so that no filter can use it: %s", MOST_VALUES, names)
        columns = {}
        for at, name in enumerate(sorted(self._numbers.keys() - self._too_wide)):
            np.save(folder / f"column{at}.npy", np.concatenate(self._codes[name]), allow_pickle=False)
            columns[name] = {"file": f"column{at}.npy", "values": [value for _, value in self._numbers[name]]}
        (folder / COLUMNS).write_text(json.dumps(columns, ensure_ascii=False), encoding="utf-8")


def read_value(value: Json) -> Value:
    """Return a value of a field as it was read from JSON; `TypeError` for what is none."""
    if not isinstance(value, (str, int, float, bool)):
        raise TypeError(f"{value!r} is no value of a field")
    return value
