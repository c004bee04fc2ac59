"""Whether a bundle answers as the trained model does: flips, overlap, cosines; and how far apart the two may be."""

from collections.abc import Sequence

import numpy as np

from honed.bundle.facts import Parity
from honed.core.errors import ArtifactError
from honed.core.proportion import wilson
from honed.core.protocols import Encoder, Vectors
from honed.index.exact import ExactIndex
from honed.search.searcher import Searcher

# precision -> (the share of top-1 answers that may differ from the trained model's, least mean cosine of the queries)
BOUNDS = {"fp32": (0.005, 0.9999), "bf16": (0.02, 0.999), "int8": (0.05, 0.999)}
_TIE = 1e-5  # cosines of the trained model that differ by less are one: fp32 products differ by as much between CPUs


def compare(trained: Encoder, labels: Vectors, searcher: Searcher, queries: Sequence[str]) -> Parity:
    """Return how far a bundle's answers are from the trained model's: top-1 flips, top-10 overlap, cosine, scores.

    Both search the labels by meaning alone, the trained model in fp32 over the stored vectors (``labels``), the bundle
    over its own. Another first hit is a flip where the trained model scores it lower; labels that it scores alike are a
    tie, which either may break in its own way.
    """
    exact = trained.encode(queries, "query")
    vectors = searcher.encoder.encode(queries, "query")
    cosines = (exact * vectors).sum(axis=1)
    their_scores, theirs = ExactIndex(labels).search(exact, 10)
    our_scores, ours = searcher.search_labels(vectors, 10)
    overlap = np.mean([len(set(left) & set(right)) for left, right in zip(ours, theirs, strict=True)]) / ours.shape[1]
    other = ours[:, 0] != theirs[:, 0]
    lower = their_scores[:, 0] - (exact * labels[ours[:, 0]]).sum(axis=1) > _TIE
    return Parity(
        n_queries=len(queries),
        engine=getattr(searcher.encoder, "engine", ""),
        top1_flips=round(float((other & lower).mean()), 5),
        top1_ties=round(float((other & ~lower).mean()), 5),
        top10_overlap=round(float(overlap), 5),
        mean_cosine=round(float(cosines.mean()), 6),
        min_cosine=round(float(cosines.min()), 6),
        largest_top1_score_difference=round(float(np.abs(our_scores[:, 0] - their_scores[:, 0]).max()), 6),
    )


def check_parity(parity: Parity, most_flips: float, least_cosine: float) -> None:
    """Raise `ArtifactError` where more answers differ than chance explains, or the vectors are too far.

    A share of few queries says little: what must not exceed the allowed share is its low 95 % bound.
    """
    share, n = parity.top1_flips, parity.n_queries
    low, _ = wilson(round(share * n), n)
    if low > most_flips or parity.mean_cosine < least_cosine:
        raise ArtifactError(
            "E_PARITY",
            f"the bundle answers too often otherwise than the trained model: {100 * share:.2f} % of {n} top-1 answers "
            f"differ (allowed {100 * most_flips:g} %; {100 * low:.2f} % or more with 95 % confidence), mean cosine "
            f"{parity.mean_cosine} (at least {least_cosine}); export another precision, or raise --most-flips",
        )
