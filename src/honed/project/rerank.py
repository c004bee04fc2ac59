"""Hits in the order of a cross-encoder, where there is no hybrid that would weigh it in."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from honed.core.protocols import PairScorer
from honed.core.text import fold
from honed.search.hits import Hits
from honed.search.scores import KNOWN_NAME, log_total, rounded, shares


def reranked_hits(texts: Sequence[str], found: Sequence[Hits], scorer: PairScorer) -> list[Hits]:
    """Return hits in the order of a cross-encoder; those that bear the text as a known name stay first.

    The score of the others is their share of the softmax over all hits that were judged, see `honed.search.scores`.
    """
    pairs = [(text, hit.text) for text, hits in zip(texts, found, strict=True) for hit in hits]
    scores, ordered, start = scorer.score(pairs).astype(np.float64), [], 0
    for text, hits in zip(texts, found, strict=True):
        odds = scores[start : start + len(hits)]
        start += len(hits)
        parts = [rounded(share) for share in shares(odds, log_total(odds)).tolist()]
        known = [fold(hit.matched) == fold(text) for hit in hits]
        order = sorted(range(len(hits)), key=lambda at: (not known[at], -odds[at], at))
        ordered.append(
            [
                replace(hits[at], score=KNOWN_NAME if known[at] else parts[at], rank=rank)
                for rank, at in enumerate(order, 1)
            ]
        )
    return ordered
