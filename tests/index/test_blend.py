"""A ranking and a cross-encoder's scores as one order, within a budget of time."""

import time
from collections.abc import Sequence

import numpy as np
import pytest

from honed.core.errors import ArtifactError
from honed.encode.pair_graph import score_until
from honed.index.blend import Blend


def test_the_scored_ones_are_ordered_and_the_others_stay_behind() -> None:
    ranked = np.array([3.0, 2.0, 1.0, 0.5])
    assert Blend(ours=1.0, theirs=2.0).order(ranked, np.array([0.0, 1.0])).tolist() == [1, 0, 2, 3]
    assert Blend(ours=1.0, theirs=0.0).order(ranked, np.array([9.0, 9.0, 99.0])).tolist() == [0, 1, 2, 3]
    assert Blend().order(ranked, np.empty(0)).tolist() == [0, 1, 2, 3]


def test_a_round_trip_and_a_forgery() -> None:
    made = Blend(ours=0.5, theirs=1.5, depth=7)
    assert Blend.from_dict(made.as_dict()) == made
    assert Blend.from_dict(None) == Blend()
    for change in ({"ours": float("nan")}, {"depth": 10**9}, {"theirs": None}, {"depth": float("inf")}):
        with pytest.raises(ArtifactError, match="cross-encoder"):
            Blend.from_dict({**made.as_dict(), **change})


class Slow:
    def score(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        time.sleep(0.03)
        return np.array([len(each) for _, each in pairs], dtype=np.float32)


def test_a_time_bounds_how_many_are_scored() -> None:
    pairs = [("q", "d" * n) for n in range(80)]
    assert len(score_until(Slow(), pairs, float("inf"))) == 80
    few = score_until(Slow(), pairs, time.perf_counter() + 0.01)
    assert few.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert 8 <= len(score_until(Slow(), pairs, time.perf_counter() + 0.07)) < 80
    assert len(score_until(Slow(), pairs, time.perf_counter() - 1)) == 0
    assert len(score_until(Slow(), [], time.perf_counter() + 5)) == 0
