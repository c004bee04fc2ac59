"""Several rankings as one: by reciprocal ranks, or by weights learned on queries whose answers are known."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from honed.core.errors import ArtifactError
from honed.core.text import looks_like_acronym

Hits = Sequence[tuple[str, float]]
Floats = npt.NDArray[np.float64]
RRF = 60.0  # of the formula's source: ranks far down count little, whatever their number
_FEATURES = ("score", "rank", "there")


def reciprocal_ranks(rankings: Sequence[Hits], depth: int) -> list[tuple[str, float]]:
    """Return documents by the sum of 1 / (60 + rank) over rankings (Cormack, Clarke, Buettcher 2009)."""
    sums: dict[str, float] = {}
    for hits in rankings:
        for rank, (doc, _) in enumerate(hits, 1):
            sums[doc] = sums.get(doc, 0.0) + 1 / (RRF + rank)
    return sorted(sums.items(), key=lambda hit: (-hit[1], hit[0]))[:depth]


@dataclass(frozen=True, kw_only=True)
class LearnedFusion:
    """Weights for what each system says of a document: its score within its list, its rank, and that it is there.

    ``weights`` ``(2, n_systems * 3)`` are for queries that look like acronyms and for all others.
    """

    systems: tuple[str, ...]
    weights: Floats

    def fuse(self, query: str, rankings: Sequence[Hits], depth: int) -> list[tuple[str, float]]:
        """Return the documents of some rankings, in the order of the systems, best first; the scores are log-odds."""
        docs, features = _features(rankings)
        if not docs:
            return []
        scores = features @ self.weights[int(looks_like_acronym(query))]
        found = zip(docs, scores.tolist(), strict=True)
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))[:depth]

    @classmethod
    def fit(
        cls,
        systems: Sequence[str],
        queries: Iterable[tuple[str, Sequence[Hits], Mapping[str, int]]],
        *,
        penalty: float = 1.0,
    ) -> Self:
        """Learn weights from (text, its rankings in the order of the systems, its grades).

        A softmax over each query's documents, its right ones to be likely, with an L2 penalty; the weights of acronyms
        are shrunk towards the others, so that a few of them do no harm. Convex: the same data give the same weights.
        """
        from scipy.optimize import minimize

        blocks, rights, kinds = [], [], []
        for text, rankings, grades in queries:
            docs, features = _features(rankings)
            right = np.array([max(grades.get(doc, 0), 0) for doc in docs], dtype=np.float64)
            if right.any():
                blocks.append(features)
                rights.append(right / right.sum())
                kinds.append(int(looks_like_acronym(text)))
        width = len(systems) * len(_FEATURES)
        if not blocks:
            return cls(systems=tuple(systems), weights=np.tile([1.0, 0.0, 0.0], (2, len(systems))))
        sizes = np.array([len(block) for block in blocks])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        all_features, target = np.concatenate(blocks), np.concatenate(rights)
        query_of = np.repeat(np.arange(len(blocks)), sizes)
        acronym = np.array(kinds, dtype=np.float64)[query_of]

        def loss(flat: Floats) -> tuple[float, Floats]:
            shared, own = flat[:width], flat[width:]
            scores = all_features @ shared + acronym * (all_features @ own)
            scores -= np.maximum.reduceat(scores, starts)[query_of]
            exps = np.exp(scores)
            likely = exps / np.add.reduceat(exps, starts)[query_of]
            value = -float((target * np.log(np.maximum(likely, 1e-300))).sum()) + penalty * float(flat @ flat) / 2
            slope = likely - target
            return value, np.concatenate([slope @ all_features, (slope * acronym) @ all_features]) + penalty * flat

        flat = minimize(loss, np.zeros(2 * width), jac=True, method="L-BFGS-B").x
        return cls(systems=tuple(systems), weights=np.stack([flat[:width], flat[:width] + flat[width:]]))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"systems": list(self.systems), "weights": self.weights.round(6).tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read it back; `ArtifactError` when the weights do not fit the systems."""
        weights = np.array(data["weights"], dtype=np.float64)
        if weights.shape != (2, len(data["systems"]) * len(_FEATURES)) or not np.isfinite(weights).all():
            raise ArtifactError("E_FUSION", "the weights of the fusion do not fit its systems")
        return cls(systems=tuple(data["systems"]), weights=weights)


def _features(rankings: Sequence[Hits]) -> tuple[list[str], Floats]:
    """Return the distinct documents of some rankings, and what each ranking says of them ``(n, n_systems * 3)``.

    A score is counted from the lowest of its list to the highest, so that systems of any scale meet.
    """
    docs = list(dict.fromkeys(doc for hits in rankings for doc, _ in hits))
    row = {doc: at for at, doc in enumerate(docs)}
    features = np.zeros((len(docs), len(rankings) * len(_FEATURES)))
    for at, hits in enumerate(rankings):
        if not hits:
            continue
        scores = np.array([score for _, score in hits], dtype=np.float64)
        span = float(scores.max() - scores.min())
        scaled = (scores - scores.min()) / span if span > 0 else np.ones(len(scores))
        rows = [row[doc] for doc, _ in hits]
        features[rows, 3 * at] = scaled
        features[rows, 3 * at + 1] = 1 / np.arange(1, len(hits) + 1)
        features[rows, 3 * at + 2] = 1.0
    return docs, features
