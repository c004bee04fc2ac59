"""Two texts and why a model finds them close, as plain data for page, picture and API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from honed.core.protocols import Encoder, Role
from honed.explain.attribution import Explainer, Floats, Parts, Read
from honed.explain.faithful import POINTS, curves, orders, received

_MOST_ATTENTION = 64  # tokens; attention maps of longer texts are left out of the data


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What one model sees in two texts.

    ``cosine`` is that of search. ``contributions`` hold for each text what each of its words adds to it ``(n_words,)``
    and ``pairs`` ``(n_words_a, n_words_b)`` what each pair of words adds; each sums to the cosine but for ``rest``,
    which the references (no words at all) have already. ``attention`` ``(n_layers, n_heads, n, n)`` is that of each
    text. ``curves`` check the contributions of each text by taking words away.
    """

    name: str
    cosine: float
    reads: tuple[Read, Read]
    contributions: tuple[Floats, Floats]
    pairs: Floats
    rests: tuple[float, float, float]
    attention: tuple[Floats, Floats]
    curves: tuple[Mapping[str, Any], Mapping[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return {
            "name": self.name,
            "cosine": round(self.cosine, 5),
            "texts": [
                {
                    "text": read.text,
                    "words": [word.text for word in read.words],
                    "places": [[word.start, word.end] for word in read.words],
                    "contributions": _rounded(own),
                    "rest": round(rest, 5),
                    "pieces": read.pieces,
                    "attention": _rounded(weights, 3) if len(read.pieces) <= _MOST_ATTENTION else None,
                    "received": _rounded(received(weights, read)),
                    "curves": {
                        name: {way: _rounded(curve) for way, curve in ways.items()} for name, ways in checked.items()
                    },
                }
                for read, own, rest, weights, checked in zip(
                    self.reads, self.contributions, self.rests[:2], self.attention, self.curves, strict=True
                )
            ],
            "pairs": _rounded(self.pairs),
            "pairs_rest": round(self.rests[2], 5),
            "points": _rounded(POINTS),
        }


def _rounded(values: Any, places: int = 5) -> Any:
    return np.round(np.asarray(values, dtype=np.float64), places).tolist()


def between(a: Parts, b: Parts) -> tuple[Floats, float]:
    """Return what each pair of words adds to the cosine ``(n_words_a, n_words_b)``, and what no words add.

    What both references already say is taken out of all vectors first; otherwise the pairs would sum to the likeness
    of two changes, which counts it several times over.
    """
    basis = np.linalg.qr(np.stack([a.reference, b.reference]).T.astype(np.float64))[0]
    if abs(float(a.reference @ b.reference)) > 1 - 1e-6:  # one direction, and noise
        basis = basis[:, :1]

    def clear(vectors: Any) -> Any:
        return vectors - (vectors @ basis) @ basis.T

    pairs = clear(a.parts.astype(np.float64)) @ clear(b.parts.astype(np.float64)).T
    return pairs.astype(np.float32), float(a.vector @ b.vector) - float(pairs.sum())


def explain(
    explainer: Explainer, first: str, second: str, *, name: str, encoder: Encoder, seed: int = 0
) -> Explanation:
    """Return why a model finds two texts close, or not; ``encoder`` is the same model, for the check.

    The first text is read as a query, the second as a document. Raises `DataError` for a text of no words.
    """
    a, b = explainer.parts(first, "query"), explainer.parts(second, "document")
    pairs, rest = between(a, b)
    contributions = (a.parts @ b.vector, b.parts @ a.vector)
    attention = (explainer.attention(a.read), explainer.attention(b.read))
    checked = []
    roles: tuple[Role, Role] = ("query", "document")
    for own, other, values, weights, role in zip((a, b), (b, a), contributions, attention, roles, strict=True):
        named = orders({"attribution": values, "attention": received(weights, own.read)}, len(values), seed)
        checked.append(curves(own.read, named, partial(encoder.encode, role=role), other.vector))
    return Explanation(
        name=name,
        cosine=float(a.vector @ b.vector),
        reads=(a.read, b.read),
        contributions=contributions,
        pairs=pairs,
        rests=(float(a.reference @ b.vector), float(b.reference @ a.vector), rest),
        attention=attention,
        curves=(checked[0], checked[1]),
    )


def compare_all(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """Return explanations of the same two texts by several models, side by side, as plain data."""
    return {"models": [each.as_dict() for each in explanations]}
