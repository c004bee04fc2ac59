"""Hits in the order of a cross-encoder, where there is no hybrid that would weigh it in."""

from collections.abc import Sequence
from dataclasses import replace

from honed.core.protocols import PairScorer
from honed.core.text import fold
from honed.search.hits import Hits


def reranked_hits(texts: Sequence[str], hits_of_texts: Sequence[Hits], scorer: PairScorer) -> list[Hits]:
    """Return hits in the order of a cross-encoder; those that bear the text as a known name stay first."""
    pairs = [(text, hit.text) for text, hits in zip(texts, hits_of_texts, strict=True) for hit in hits]
    scores = iter(scorer.score(pairs).tolist())
    ordered = []
    for text, hits in zip(texts, hits_of_texts, strict=True):
        keyed = [((fold(hit.matched) != fold(text), -float(next(scores)), hit.rank), hit) for hit in hits]
        keyed.sort(key=lambda pair: pair[0])
        ordered.append([replace(hit, rank=rank) for rank, (_, hit) in enumerate(keyed, 1)])
    return ordered
