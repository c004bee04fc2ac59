"""Data as Python holds it becomes the same Parquet file, whichever library holds it."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from honed.api.frames import Data, paths_of, write_parquet
from honed.core.errors import DataError

COLUMNS = {"alias": ["UdeG", "UNAM", "ﾆﾎﾝ"], "label": ["Universidad de Guadalajara", "Universidad Nacional", "日本"]}
ROWS = list(zip(*COLUMNS.values(), strict=True))


class OnlyInterchange:
    """A data frame that knows the interchange protocol and nothing else."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    def __dataframe__(self, nan_as_null: bool = False, allow_copy: bool = True) -> object:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas would have it gone
            return self._frame.__dataframe__(nan_as_null, allow_copy)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: pd.DataFrame(COLUMNS), id="pandas"),
        pytest.param(lambda: pd.DataFrame(COLUMNS, index=["x", "y", "z"]), id="pandas with an index"),
        pytest.param(lambda: pl.DataFrame(COLUMNS), id="polars"),
        pytest.param(lambda: pa.table(COLUMNS), id="pyarrow"),
        pytest.param(lambda: OnlyInterchange(pd.DataFrame(COLUMNS)), id="the interchange protocol"),
        pytest.param(lambda: ROWS, id="tuples"),
        pytest.param(lambda: iter(ROWS), id="an iterator of tuples"),
        pytest.param(lambda: [dict(zip(COLUMNS, row, strict=True)) for row in ROWS], id="mappings"),
        pytest.param(lambda: COLUMNS, id="columns"),
    ],
)
def test_every_kind_of_data_is_the_same_table(make: Callable[[], Data], tmp_path: Path) -> None:
    file = write_parquet(make(), tmp_path / "new" / "data.parquet", ["alias", "label"])
    assert pq.read_table(file).to_pydict() == COLUMNS


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_parquet(ROWS, tmp_path / "a.parquet", ["alias", "label"])
    second = write_parquet(pa.table(COLUMNS), tmp_path / "b.parquet", [])
    assert first.read_bytes() == second.read_bytes()


def test_missing_values_stay_missing(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": [1, 2], "founded": [1791.0, None], "label": ["a", None]})
    file = write_parquet(frame, tmp_path / "data.parquet", [])
    assert pq.read_table(file).to_pylist()[1] == {"id": 2, "founded": None, "label": None}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (3, "int: no data frame, no rows, no columns and no path"),
        ([], "no rows"),
        ([("a", "b"), ("c",)], "row 1: \\('c',\\) is no row of up to 2 values"),
        ([("a", "b", "c")], "row 0"),
        ([1, 2], "row 0: 1 is no row"),
        ({"alias": "UdeG"}, "each name needs a list of values"),
        ({"alias": ["a", 1]}, "a column is no table's"),
    ],
)
def test_what_is_no_table_is_told(data: Data, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        write_parquet(data, tmp_path / "data.parquet", ["alias", "label"])


def test_paths_are_told_from_rows(tmp_path: Path) -> None:
    file = tmp_path / "names.csv"
    file.write_text("alias,label\n")
    assert paths_of(file) == paths_of(str(file)) == paths_of([file]) == paths_of([str(file)]) == [file]
    assert paths_of(ROWS) is None
    with pytest.raises(DataError, match="neither a file nor a row"):
        paths_of(["UdeG", "UNAM"])
