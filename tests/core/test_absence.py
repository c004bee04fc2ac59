"""Queries with and without an answer in the share that is wanted."""

import numpy as np
import pytest

from honed.core.absence import ABSENT, AbsentShare


@pytest.mark.parametrize("real", [0, 10, 50, 99, 100])
@pytest.mark.parametrize("wanted", [None, 0.1, 0.5, 0.9])
def test_the_weights_make_the_share(real: int, wanted: float | None) -> None:
    answerable = np.arange(100) >= real
    share = AbsentShare.of(answerable, wanted)
    asked, hidden = share.weights(answerable)
    without = asked[~answerable].sum() + hidden.sum()
    assert without / (asked.sum() + hidden.sum()) == pytest.approx(share.absent)
    if real < 100:
        assert share.absent == (wanted or (real / 100 if real else ABSENT))
    assert share.measured is ((real == 100 and wanted != 1) or (wanted is None and real > 0))


def test_what_nothing_says_is_taken_from_elsewhere() -> None:
    assert AbsentShare.of(np.ones(5, dtype=bool), None, otherwise=0.3).absent == 0.3
    assert AbsentShare.of(np.array([True, False]), None, otherwise=0.3).absent == 0.5
