"""Values of JSON as the types that they must have."""

from collections.abc import Callable

import numpy as np
import pytest

from honed.core.json import Json
from honed.core.plain import as_floats, as_integer, as_list, as_number, as_object, as_text, as_texts


def test_what_has_the_type_is_returned() -> None:
    assert as_object({"a": 1}) == {"a": 1}
    assert as_list([1, "a"]) == [1, "a"]
    assert as_text("a") == "a"
    assert as_texts(["a", "b"]) == ["a", "b"]
    assert as_integer(3) == 3
    assert as_number(3) == 3.0
    assert np.array_equal(as_floats([[1, 2.5], [3, 4]]), [[1, 2.5], [3, 4]])


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (as_object, [1], "expected an object, got list"),
        (as_list, {"a": 1}, "expected a list, got dict"),
        (as_list, "ab", "expected a list, got str 'ab'"),
        (as_text, None, "expected a text, got NoneType None"),
        (as_texts, ["a", 1], "expected a text, got int 1"),
        (as_integer, 1.0, "expected an integer, got float"),
        (as_integer, True, "expected an integer, got bool"),
        (as_number, "1", "expected a number, got str '1'"),
        (as_number, False, "expected a number, got bool"),
        (as_floats, 1.5, "expected a list, got float"),
    ],
)
def test_anything_else_is_a_type_error_that_shows_it(read: Callable[[Json], object], value: Json, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        read(value)


def test_lists_of_several_lengths_are_no_array() -> None:
    with pytest.raises(ValueError, match="inhomogeneous"):
        as_floats([[1, 2], [3]])
