"""The compiled loops and the same by numpy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from honed.index import kernel
from honed.index.mentions import Mentions, Names
from honed.index.windows import NameWindows

pytestmark = pytest.mark.skipif(kernel.compiled is None, reason="honed was built without a C compiler")
N_TERMS, N_DOCUMENTS = 40, 300
WORDS = ["north", "university", "of", "the", "valley", "institute", "state", "tech", "technology", "uni", "val"]


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """What a function returns with the compiled loops, and by numpy."""

    def call(function: Callable[[], Any]) -> tuple[Any, Any]:
        first = function()
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "compiled", None)
            return first, function()

    return call


def postings(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    sizes = rng.integers(0, 60, N_TERMS)
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return ends, rng.integers(0, N_DOCUMENTS, ends[-1]).astype(np.int32), rng.random(ends[-1]).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [True, False])
def test_sums_are_the_same_to_the_bit(both: Callable, seed: int, weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    ends, rows, weights = postings(rng)
    numbers = rng.permutation(N_TERMS)[: rng.integers(0, N_TERMS)].astype(np.int64)
    counts = rng.random(len(numbers)).astype(np.float32)
    ours, theirs = both(
        lambda: kernel.sum_weights(ends, rows, weights if weighted else None, numbers, counts, N_DOCUMENTS)
    )
    assert ours.dtype == theirs.dtype == np.float32
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("depth", [0, 1, 7, 60, 400])
@pytest.mark.parametrize("n", [0, 1, 50, 300])
def test_the_best_rows_are_the_same_with_ties_too(both: Callable, depth: int, n: int) -> None:
    rng = np.random.default_rng(n + depth)
    for levels in (2, 5, 1000):
        scores = (rng.integers(0, levels, n) / 7).astype(np.float32)
        ours, theirs = both(lambda scores=scores: kernel.best_rows(scores, depth))
        assert ours.tolist() == theirs.tolist()
        assert len(ours) == min(depth, np.count_nonzero(scores))


@pytest.mark.parametrize("seed", range(8))
def test_names_are_laid_over_a_query_in_the_same_way(both: Callable, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def text(most: int) -> str:
        return " ".join(rng.choice([*WORDS, ",", "-"], rng.integers(1, most)))

    names = Mentions.build(Names([[text(8), text(3)] for _ in range(50)], [[0, 1] for _ in range(50)]))
    for query in (text(14), text(2), "nothing here", ""):
        words = names.read(query)
        ours, theirs = both(lambda words=words: names.windows(words, np.arange(50)))
        for name in NameWindows._fields:
            np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, err_msg=name)
        likely, by_numpy = both(lambda words=words: names.likely(words, 9))
        assert likely.tolist() == by_numpy.tolist()


def test_arrays_that_do_not_fit_are_refused() -> None:
    ends, rows, weights = postings(np.random.default_rng(0))
    one, half = np.array([0], np.int64), np.array([0.5], np.float32)
    n_terms = np.array([N_TERMS], np.int64)
    for numbers, held, n in ((n_terms, rows, N_DOCUMENTS), (one, rows + N_DOCUMENTS, N_DOCUMENTS), (-one - 1, rows, 9)):
        with pytest.raises(ValueError, match="outside"):
            kernel.sum_weights(ends, held, weights, numbers, half, n)
    for wrong in (weights[:-1], weights.astype(np.float64)):
        with pytest.raises(ValueError, match="fit together"):
            kernel.sum_weights(ends, rows, wrong, one, half, N_DOCUMENTS)
    with pytest.raises((TypeError, ValueError, BufferError)):
        kernel.sum_weights(ends[::2], rows, weights, one, half, N_DOCUMENTS)
    assert kernel.compiled is not None
    with pytest.raises(TypeError, match="6 arrays"):
        kernel.compiled.add_up(ends)
    read_only = np.zeros(3, np.int64)
    read_only.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        kernel.compiled.best_rows(half, read_only)
