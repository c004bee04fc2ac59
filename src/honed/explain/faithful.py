"""Whether an attribution tells the truth: words are taken away in its order, and the cosine is asked what it lost.

Deletion takes the weightiest words first (the lower the curve, the better the order), insertion puts them first into
an empty text (the higher, the better); after Petsiuk et al. 2018, arXiv 1806.07421. Texts stay real texts: words are
left out and the rest is encoded anew, nothing is masked.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Vectors
from honed.explain.attribution import Read

Floats = npt.NDArray[np.float64]
Encode = Callable[[Sequence[str]], Vectors]
POINTS = np.linspace(0.0, 1.0, 11)
RANDOM_ORDERS = 5


def received(attention: Any, read: Read) -> Floats:
    """Return the raw attention that each word receives in the last layer ``(n_words,)``: mean over heads and tokens."""
    return np.asarray(read.by_word(attention[-1].mean(axis=0).mean(axis=0)), dtype=np.float64)


def orders(weights: Mapping[str, Any], n: int, seed: int) -> dict[str, list[npt.NDArray[np.int64]]]:
    """Return for each named weighting ``(n_words,)`` the order of words, weightiest first, and some random orders."""
    random = np.random.default_rng(seed)
    found = {name: [np.argsort(-np.asarray(each), kind="stable")] for name, each in weights.items()}
    return {**found, "random": [random.permutation(n) for _ in range(RANDOM_ORDERS)]}


def curves(read: Read, named: Mapping[str, Sequence[Any]], encode: Encode, other: Any) -> dict[str, dict[str, Floats]]:
    """Return for each named order its "deletion" and "insertion" curve ``(11,)``: cosines with a unit vector.

    The curve runs over the share of words taken away, or put in, from 0 to 1; both end at the whole text or at none.
    """
    n = len(read.words)
    texts: dict[str, int] = {}

    def row(gone: Any) -> int:
        return texts.setdefault(read.without(gone.tolist()), len(texts))

    wanted = {
        name: {
            "deletion": [[row(order[:cut]) for cut in range(n + 1)] for order in several],
            "insertion": [[row(order[cut:]) for cut in range(n + 1)] for order in several],
        }
        for name, several in named.items()
    }
    cosines = (encode(list(texts)) @ np.asarray(other)).astype(np.float64)
    shares = np.linspace(0.0, 1.0, n + 1)
    return {
        name: {
            way: np.mean([np.interp(POINTS, shares, cosines[line]) for line in lines], axis=0)
            for way, lines in ways.items()
        }
        for name, ways in wanted.items()
    }


def area(curve: Any) -> float:
    """Return the area under a curve over [0, 1], by trapezoids."""
    values = np.asarray(curve, dtype=np.float64)
    return float(((values[1:] + values[:-1]) / 2).mean())
