"""Why a model finds two texts close: what their words, and pairs of their words, add to the cosine."""

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from honed.core.protocols import Role, Vectors
from honed.explain.attribution import AttributedText, Explainer
from honed.explain.explanation import ExplainedText, Explanation
from honed.explain.faithful import SHARES, Values, received_attention, removal_curves, removal_orders

_MOST_ATTENTION = 64  # tokens; attention maps of longer texts are left out of the data


def explain(explainer: Explainer, first: str, second: str, *, name: str, seed: int = 0) -> Explanation:
    """Return why a model, shown as ``name``, finds two texts close, or not.

    The first text is read as a query, the second as a document; ``seed`` draws the random orders of the check. Raises
    `DataError` for a text of no words.
    """
    a, b = explainer.attribute(first, "query"), explainer.attribute(second, "document")
    pairs, rest = pair_contributions(a, b)
    return Explanation(
        name=name,
        cosine=round(float(a.vector @ b.vector), 5),
        texts=[
            _explained(explainer, a, b, "query", seed),
            _explained(explainer, b, a, "document", seed),
        ],
        pairs=_rounded(pairs).tolist(),
        pairs_rest=round(rest, 5),
        points=_rounded(SHARES).tolist(),
    )


def _explained(
    explainer: Explainer, text: AttributedText, other: AttributedText, role: Role, seed: int
) -> ExplainedText:
    """Return what the words of ``text``, read in ``role``, add to its cosine with ``other``."""
    tokenized = text.tokenized
    contributions, attention = text.parts @ other.vector, explainer.attention(tokenized)
    received = received_attention(attention, tokenized)
    orders = removal_orders({"attribution": contributions, "attention": received}, len(contributions), seed)
    curves = removal_curves(tokenized, orders, partial(explainer.encoder.encode, role=role), other.vector)
    return ExplainedText(
        text=tokenized.text,
        words=[word.text for word in tokenized.words],
        places=[(word.start, word.end) for word in tokenized.words],
        contributions=_rounded(contributions).tolist(),
        rest=round(float(text.reference @ other.vector), 5),
        pieces=tokenized.pieces,
        attention=_rounded(attention, 3).tolist() if len(tokenized.pieces) <= _MOST_ATTENTION else None,
        received=_rounded(received).tolist(),
        curves={name: _rounded_curves(curves_of_order) for name, curves_of_order in curves.items()},
    )


def _rounded_curves(curves: Mapping[str, Values]) -> dict[str, list[float]]:
    return {way: _rounded(curve).tolist() for way, curve in curves.items()}


def _rounded(values: npt.ArrayLike, places: int = 5) -> Values:
    return np.asarray(np.round(np.asarray(values, dtype=np.float64), places), dtype=np.float64)


def pair_contributions(a: AttributedText, b: AttributedText) -> tuple[Vectors, float]:
    """Return what each pair of words adds to the cosine ``(n_words_a, n_words_b)``, and what no words add.

    The directions of both references are projected out of all vectors first; otherwise the pairs would sum to the
    cosine of the two changes, in which what the references share is counted several times over.
    """
    basis = np.linalg.qr(np.stack([a.reference, b.reference]).T.astype(np.float64))[0]
    if abs(float(a.reference @ b.reference)) > 1 - 1e-6:  # one direction, and noise
        basis = basis[:, :1]

    def without_references(parts: Vectors) -> Values:
        vectors = parts.astype(np.float64)
        projected: Values = vectors - (vectors @ basis) @ basis.T
        return projected

    pairs = without_references(a.parts) @ without_references(b.parts).T
    return pairs.astype(np.float32), float(a.vector @ b.vector) - float(pairs.sum())
