"""The inner loops of word search: compiled where honed was built with a C compiler, else the same by numpy.

Both add in the same order; what they return differs in the last digits at most.
"""

import os
from types import ModuleType

import numpy as np

from honed.core.protocols import Vectors
from honed.core.ranking import Rows, top_rows
from honed.core.tensors import Array

_NONE = np.empty(0, np.float32)
SWITCH = "HONED_KERNEL"  # the environment variable that turns the compiled loops off


def _compiled() -> ModuleType | None:
    """Return the compiled loops, None where there are none or they are turned off."""
    if os.environ.get(SWITCH) == "off":
        return None
    try:
        from honed.index import _kernel
    except ImportError:
        return None
    return _kernel


compiled = _compiled()


def sum_weights(ends: Rows, rows: Array, weights: Vectors | None, numbers: Rows, counts: Vectors, n: int) -> Vectors:
    """Return for each of ``n`` documents the sum of its weights of some terms, each times its count in the query.

    ``ends`` ``(n_terms + 1,)`` tell where the ``rows`` and ``weights`` of each term end, ``numbers`` are the terms.
    Without ``weights`` each is 1.
    """
    if compiled is not None:
        scores = np.empty(n, np.float32)
        compiled.add_up(ends, rows, _NONE if weights is None else weights, numbers, counts, scores)
        return scores
    spans = [slice(int(ends[number]), int(ends[number + 1])) for number in numbers]
    if not spans:
        return np.zeros(n, np.float32)
    held = np.concatenate([rows[span] for span in spans])
    if weights is None:
        added = np.repeat(counts, [span.stop - span.start for span in spans])
    else:
        added = np.concatenate([weights[span] * count for span, count in zip(spans, counts, strict=True)])
    return np.bincount(held, weights=added, minlength=n).astype(np.float32)


def best_rows(scores: Vectors, depth: int) -> Rows:
    """Return the rows of the highest scores that are not 0, best first, ties by row number, up to ``depth``."""
    if compiled is not None:
        best = np.empty(max(0, min(depth, len(scores))), np.int64)
        compiled.best_rows(scores, best)
        return best[best >= 0]
    hits = np.flatnonzero(scores)
    return hits[top_rows(scores[hits], min(depth, len(hits)))] if len(hits) and depth else hits[:0]
