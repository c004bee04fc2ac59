"""Whether an attribution is faithful: words are taken away in its order, and the cosine shows what that costs.

Deletion takes the weightiest words first (the lower the curve, the better the order), insertion puts them first into
an empty text (the higher, the better); after Petsiuk et al. 2018, arXiv 1806.07421. Texts stay real texts: words are
left out and the rest is encoded anew, nothing is masked.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Vectors
from honed.core.ranking import Rows
from honed.explain.attribution import TokenizedText

Values = npt.NDArray[np.float64]
Encode = Callable[[Sequence[str]], Vectors]
SHARES = np.linspace(0.0, 1.0, 11)
"""The shares of words taken away, or put in, at which curves are given."""
RANDOM_ORDERS = 5


def received_attention(attention: Vectors, tokenized: TokenizedText) -> Values:
    """Return the attention that each word receives in the last layer ``(n_words,)``: mean over heads and tokens.

    ``attention`` is ``(n_layers, n_heads, n_tokens, n_tokens)``, from row to column.
    """
    return tokenized.sum_by_word(attention[-1].mean(axis=0).mean(axis=0)).astype(np.float64)


def removal_orders(weights: Mapping[str, npt.ArrayLike], n_words: int, seed: int) -> dict[str, list[Rows]]:
    """Return orders of words by name: one for each weighting ``(n_words,)``, weightiest first, and "random" ones."""
    random = np.random.default_rng(seed)
    orders: dict[str, list[Rows]] = {
        name: [np.argsort(-np.asarray(values), kind="stable")] for name, values in weights.items()
    }
    return {**orders, "random": [random.permutation(n_words) for _ in range(RANDOM_ORDERS)]}


def removal_curves(
    tokenized: TokenizedText, orders: Mapping[str, Sequence[Rows]], encode: Encode, other: Vectors
) -> dict[str, dict[str, Values]]:
    """Return for each name its "deletion" and "insertion" curve ``(11,)``: cosines with a unit vector ``(dim,)``.

    The curves run over `SHARES` of words taken away, or put in; of several orders of a name they are the mean.
    """
    n = len(tokenized.words)
    row_of_text: dict[str, int] = {}

    def row_without(words: Rows) -> int:
        return row_of_text.setdefault(tokenized.without_words(set(words.tolist())), len(row_of_text))

    rows = {
        name: {
            "deletion": [[row_without(order[:cut]) for cut in range(n + 1)] for order in orders_of_name],
            "insertion": [[row_without(order[cut:]) for cut in range(n + 1)] for order in orders_of_name],
        }
        for name, orders_of_name in orders.items()
    }
    cosines = (encode(list(row_of_text)) @ np.asarray(other)).astype(np.float64)
    shares = np.linspace(0.0, 1.0, n + 1)
    return {
        name: {
            way: np.mean([np.interp(SHARES, shares, cosines[line]) for line in lines], axis=0)
            for way, lines in ways.items()
        }
        for name, ways in rows.items()
    }


def area_under_curve(curve: npt.ArrayLike) -> float:
    """Return the area under a curve of equally spaced values over [0, 1], by trapezoids."""
    values = np.asarray(curve, dtype=np.float64)
    return float(((values[1:] + values[:-1]) / 2).mean())
