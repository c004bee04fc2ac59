"""What is marked of two names that are compared."""

import pytest

from honed.match.differences import differences


@pytest.mark.parametrize(
    ("left", "right", "lefts", "rights"),
    [
        ("Universidad de Guadalajara", "universidad de guadalajara", [], []),
        ("México City", "Mexico, CITY", [], []),
        ("Texas University", "University of Texas", [], ["of"]),
        ("Univercity of Oslo", "University of Oslo", ["c"], ["s"]),
        ("Acme GmbH", "Acme Holding", ["GmbH"], ["Holding"]),
        ("Acme", "Acme Acme", [], ["Acme"]),
        ("", "Acme", [], ["Acme"]),
        ("東京大学", "東京大學", ["学"], ["學"]),
    ],
)
def test_words_and_letters_that_the_other_lacks_are_told(
    left: str, right: str, lefts: list[str], rights: list[str]
) -> None:
    found = differences(left, right)
    assert [left[start:end] for start, end in found.left] == lefts
    assert [right[start:end] for start, end in found.right] == rights
    turned = differences(right, left)
    assert ([*turned.right], [*turned.left]) == ([*found.left], [*found.right])


def test_long_texts_cost_no_more_than_their_beginning() -> None:
    long = " ".join(f"word{number}" for number in range(5000))
    found = differences(long, long[::-1])
    assert all(end <= 400 for _, end in [*found.left, *found.right])
