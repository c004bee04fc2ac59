"""Filters: what passes, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from honed.core.errors import ConfigError
from honed.core.filters import Column, allowed_rows, check_filter, parse_where

COLUMNS = {
    "country": Column.of(["MX", "US", None, "MX", ""]),
    "founded": Column.of(["1900", 1950, 1900.0, None, "unknown"]),
    "day": Column.of(["2020-01-05", "2021-07-01", "2019-12-31", None, "2020-06-01"]),
    "open": Column.of([True, False, None, "true", True]),
}


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"country": "MX"}, [0, 3]),
        ({"country": ["MX", "US"]}, [0, 1, 3]),
        ({"country": []}, []),
        ({"country": "mx"}, []),
        ({"founded": 1900}, [0, 2]),
        ({"founded": "1900"}, [0, 2]),
        ({"founded": {"gt": 1900}}, [1]),
        ({"founded": {"gte": 1900, "lte": 1950}}, [0, 1, 2]),
        ({"day": {"gte": "2020-01-01", "lt": "2021"}}, [0, 4]),
        ({"open": True}, [0, 3, 4]),
        ({"country": "MX", "founded": {"lt": 2000}}, [0]),
    ],
)
def test_documents_pass_by_value_set_and_range(where: dict, wanted: list[int]) -> None:
    assert np.flatnonzero(allowed_rows(where, COLUMNS, 5)).tolist() == wanted


@pytest.mark.parametrize("values", [["29,90", "5"], ["1.299,00"], ["about 1920", 1930], ["cheap", "dear"]])
def test_a_range_of_numbers_names_the_values_that_are_none(values: list[str]) -> None:
    with pytest.raises(ConfigError, match=f"such as '{values[0]}'"):
        allowed_rows({"x": {"lt": 30}}, {"x": Column.of(values)}, len(values))
    assert allowed_rows({"x": values[0]}, {"x": Column.of(values)}, len(values))[0]


def test_a_decimal_comma_in_a_condition_is_refused() -> None:
    with pytest.raises(ConfigError, match="decimal point"):
        parse_where(["price<29,90"])


@given(
    some.lists(some.one_of(some.none(), some.integers(-5, 5)), min_size=1),
    some.integers(-6, 6),
    some.integers(-6, 6),
)
def test_a_range_is_what_python_says(values: list[int | None], low: int, high: int) -> None:
    found = allowed_rows({"x": {"gte": low, "lt": high}}, {"x": Column.of(values)}, len(values))
    assert found.tolist() == [value is not None and low <= value < high for value in values]


def test_conditions_are_read_from_the_command_line() -> None:
    assert parse_where(
        ["country=MX|US", "size=30", "founded>=1900", "founded<2000", "name=a=b", "day<=2020-01-01"]
    ) == {
        "country": ["MX", "US"],
        "size": ["30", 30.0],
        "founded": {"gte": 1900.0, "lt": 2000.0},
        "name": "a=b",
        "day": {"lte": "2020-01-01"},
    }


@pytest.mark.parametrize("expression", ["country", "=MX", "country=", "", ">=3"])
def test_what_is_no_condition_is_refused(expression: str) -> None:
    with pytest.raises(ConfigError, match="write field=value"):
        parse_where([expression])


@pytest.mark.parametrize("pair", [("a=1", "a=2"), ("a>1", "a>2"), ("a=1", "a>2"), ("a>1", "a=2")])
def test_two_conditions_of_one_kind_are_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"has (a|such a) condition"):
        parse_where(list(pair))


@pytest.mark.parametrize(
    "where",
    [[], "x", {"a": None}, {"a": {}}, {"a": {"like": 1}}, {"a": {"gt": None}}, {"a": [[1]]}, {"a": float("nan")}],
)
def test_what_is_no_filter_is_refused(where: object) -> None:
    with pytest.raises(ConfigError, match=r"^E_FILTER: filter"):
        check_filter(where)


def test_what_no_number_can_hold_is_refused_and_found_as_nothing() -> None:
    with pytest.raises(ConfigError, match="allowed are"):
        check_filter({"a": 10**400})
    with pytest.raises(ConfigError, match=r"filter\.'\\ud800'"):
        check_filter({"\ud800": None})
    with pytest.raises(ConfigError, match=r"filter\.'x{50}'"):
        check_filter({"x" * 1000: None})
    column = Column.of([10**400, 3, [1], {"a": 1}])
    assert column.mask({"gt": 1}).tolist() == [False, True, False, False]


def test_a_long_list_costs_no_more_than_it_lists() -> None:
    column = Column.of([f"v{number}" for number in range(20_000)])
    wanted = [f"v{number}" for number in range(0, 20_000, 2)]
    with pytest.MonkeyPatch.context() as patch:
        asked = []
        patch.setattr(
            Column, "_equal", lambda self, value, real=Column._equal: asked.append(value) or real(self, value)
        )
        assert column.mask(wanted).sum() == 10_000
    assert len(asked) == 10_000


def test_too_much_is_refused() -> None:
    with pytest.raises(ConfigError, match="up to 64"):
        check_filter({str(number): 1 for number in range(65)})
    with pytest.raises(ConfigError, match="up to 10000"):
        check_filter({"a": ["x"] * 10_001})
