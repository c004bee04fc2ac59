"""Hard negatives: documents that look right and are not, with the share of false negatives kept in bounds."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from honed.core.progress import progress
from honed.core.protocols import Mask, TextIndex, Vectors
from honed.core.text import bare
from honed.index.exact import FlatIndex
from honed.train.calibrate import FEWEST_POSITIVES, Posterior, Values, fit_posterior
from honed.train.config import MineConfig
from honed.train.reports import ChancePoint, FalseNegativeShares, MinedPair, MiningReport

RowNumbers = npt.NDArray[np.int32]
_BLOCK = 1024
_MOST_SAMPLES = 20
_THRESHOLDS = 200
_CAREFUL_QUANTILE = 0.05
CHOSEN = "chosen"
KNOWN, SAME, LIKELY = "known positive", "same text as the anchor or a positive", "likely right (above the threshold)"


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """For each anchor its candidates by falling score: ``rows`` and ``scores`` ``(n_anchors, depth)``, -1 for none.

    ``positives`` ``(n_pairs, 2)`` are the known pairs, as rows of anchor and document, ``positive_scores``
    ``(n_pairs,)`` their scores; pairs of the same text are left out, since no candidate is such a pair. ``rejected``
    counts the documents that are no candidates, by reason.
    """

    rows: RowNumbers
    scores: Vectors
    positives: RowNumbers
    positive_scores: Vectors
    rejected: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class MinedNegatives:
    """For each anchor the rows of its negatives, hardest first, and the report of how they were chosen."""

    negatives: list[list[int]]
    report: MiningReport


class _Search:
    """The documents near anchors, by vectors and by words: the union of what each index returns."""

    def __init__(
        self, texts: Sequence[str], vectors: Vectors, index: FlatIndex | None, lexical: Sequence[TextIndex]
    ) -> None:
        self.texts, self.vectors, self.index, self.lexical = texts, vectors, index, lexical

    def near(self, block: range, k: int) -> list[list[int]]:
        """Return for each anchor of a block the distinct rows of up to ``k`` documents of each index."""
        rows: list[dict[int, None]] = [{} for _ in block]
        if self.index is not None:
            nearest = self.index.search(self.vectors[block.start : block.stop], k)[1].tolist()
            for rows_of_anchor, line in zip(rows, nearest, strict=True):
                rows_of_anchor.update(dict.fromkeys(line))
        for index in self.lexical:
            for rows_of_anchor, hits in zip(rows, index.search(self.texts[block.start : block.stop], k), strict=True):
                rows_of_anchor.update(dict.fromkeys(row for row, _ in hits))
        return [list(rows_of_anchor) for rows_of_anchor in rows]


def find_candidates(
    anchors: tuple[Sequence[str], Vectors],
    documents: tuple[Sequence[str], Vectors],
    known: Sequence[frozenset[int]],
    lexical: Sequence[TextIndex],
    config: MineConfig,
) -> Candidates:
    """Return the nearest documents of each anchor that are not known to be right.

    Anchors and documents are given as (texts, unit vectors ``(n, dim)``); ``known[i]`` holds the rows of the documents
    that are right for anchor i. Documents come from the vectors, where configured, and from the lexical indexes; their
    score is the cosine in every case. A document with the text of the anchor or of a known one is no candidate.
    """
    (texts, vectors), (names, targets) = anchors, documents
    n, depth = len(texts), config.depth
    keys = [bare(name) for name in names]
    rows, scores = np.full((n, depth), -1, dtype=np.int32), np.full((n, depth), -np.inf, dtype=np.float32)
    rejected = dict.fromkeys((KNOWN, SAME), 0)
    search = _Search(texts, vectors, FlatIndex(targets) if "encoder" in config.candidates else None, lexical)
    with progress("mine", n) as bar:
        for start in range(0, n, _BLOCK):
            block = range(start, min(n, start + _BLOCK))
            widest = depth + max(len(known[anchor]) for anchor in block)
            for anchor, near in zip(block, search.near(block, widest), strict=True):
                same = {bare(texts[anchor]), *(keys[row] for row in known[anchor])}
                unknown = [row for row in near if row not in known[anchor]]
                rejected[KNOWN] += len(near) - len(unknown)
                free = np.array([row for row in unknown if keys[row] not in same], dtype=np.int32)
                rejected[SAME] += len(unknown) - len(free)
                cosines = targets[free] @ vectors[anchor]
                order = np.argsort(-cosines, kind="stable")[:depth]
                rows[anchor, : len(order)], scores[anchor, : len(order)] = free[order], cosines[order]
            bar.advance(len(block))
    pairs = np.array(list(_pairs_of_different_texts(texts, keys, known)), dtype=np.int32).reshape(-1, 2)
    return Candidates(
        rows=rows,
        scores=scores,
        positives=pairs,
        positive_scores=_pair_cosines(vectors, targets, pairs),
        rejected=rejected,
    )


def _pairs_of_different_texts(
    texts: Sequence[str], keys: Sequence[str], known: Sequence[frozenset[int]]
) -> Iterator[tuple[int, int]]:
    """Yield the known pairs that would be candidates if they were not known: texts that differ, as candidates' do."""
    for anchor, rows in enumerate(known):
        counts = Counter([bare(texts[anchor]), *(keys[row] for row in rows)])
        yield from ((anchor, row) for row in sorted(rows) if counts[keys[row]] == 1)


def _pair_cosines(vectors: Vectors, targets: Vectors, pairs: RowNumbers) -> Vectors:
    """Return the cosine of each pair of rows ``(n_pairs,)``, block by block to bound the memory."""
    cosines = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), 16 * _BLOCK):
        block = pairs[start : start + 16 * _BLOCK]
        cosines[start : start + len(block)] = (vectors[block[:, 0]] * targets[block[:, 1]]).sum(axis=1)
    return cosines


def choose_negatives(candidates: Candidates, config: MineConfig, unseen: Vectors | None = None) -> MinedNegatives:
    """Return for each anchor up to ``config.negatives`` candidates, hardest first, below a calibrated threshold.

    The threshold is the highest at which the estimated share of right ones among the chosen stays within
    ``config.false_negatives``. A model that was trained on the known pairs scores them higher than the hidden ones:
    then ``unseen`` ``(n,)``, scores of right pairs that it never saw, are used in their place.
    """
    real, scores = candidates.rows >= 0, candidates.scores
    positives = unseen if unseen is not None and len(unseen) >= FEWEST_POSITIVES else candidates.positive_scores
    posterior = fit_posterior(positives, scores[real], seed=config.seed)
    allowed, chances, threshold = real, None, None
    if posterior is not None:
        chances = np.where(real, posterior(scores), 0.0)
        threshold = _highest_threshold(scores, chances, real, config)
        allowed = real & (scores <= threshold)
    elif len(positives):  # too few to calibrate: nothing that scores like almost any known pair
        threshold = float(np.quantile(positives, _CAREFUL_QUANTILE))
        allowed = real & (scores < threshold)
    chosen, nearest = _first(allowed, config.negatives), _first(real, config.negatives)
    is_unseen = positives is unseen
    report = MiningReport(
        anchors=len(real),
        candidates=int(real.sum()),
        chosen=int(chosen.sum()),
        anchors_without=int((~chosen.any(axis=1)).sum()),
        rejected={**candidates.rejected, LIKELY: int((nearest & ~chosen).sum())},
        threshold=None if threshold is None or not np.isfinite(threshold) else round(threshold, 5),
        calibrated=posterior is not None,
        calibrated_on=f"{len(positives)} {'pairs unseen in training' if is_unseen else 'known pairs'}",
        hidden_for_each_known=None if posterior is None or is_unseen else round(posterior.hidden, 4),
        estimated_false_negatives=FalseNegativeShares(top=_mean(chances, nearest), chosen=_mean(chances, chosen)),
        curve=[] if posterior is None else _curve(posterior, scores[real]),
    )
    negatives = [rows[mask].tolist() for rows, mask in zip(candidates.rows, chosen, strict=True)]
    return MinedNegatives(negatives=negatives, report=report)


def _highest_threshold(scores: Vectors, chances: Values, real: Mask, config: MineConfig) -> float:
    """Return the highest threshold at which the estimated share of right ones among the chosen is low enough."""
    for threshold in np.quantile(scores[real], np.linspace(1, 0, _THRESHOLDS)):
        chosen = _first(real & (scores <= threshold), config.negatives)
        if not chosen.any() or chances[chosen].mean() <= config.false_negatives:
            return float(threshold)
    return float("-inf")


def _first(allowed: Mask, n: int) -> Mask:
    """Return the mask of the first ``n`` allowed of each row."""
    first: Mask = allowed & (np.cumsum(allowed, axis=1) <= n)
    return first


def _mean(chances: Values | None, chosen: Mask) -> float | None:
    return None if chances is None or not chosen.any() else round(float(chances[chosen].mean()), 5)


def _curve(posterior: Posterior, scores: Vectors) -> list[ChancePoint]:
    """Return the chance to be right at quantiles of the candidates' scores ``(n_candidates,)``."""
    quantiles = np.unique(np.quantile(scores, np.linspace(0, 1, 41)))
    return [
        ChancePoint(score=round(float(score), 4), chance=round(float(chance), 5))
        for score, chance in zip(quantiles, posterior(quantiles), strict=True)
    ]


def sample_pairs(
    texts: Sequence[str], names: Sequence[str], candidates: Candidates, mined: MinedNegatives, *, seed: int
) -> dict[str, list[MinedPair]]:
    """Return pairs for people to look at: up to 20 chosen negatives, and 20 that were passed over as likely right.

    ``texts`` are those of the anchors, ``names`` those of the documents; the pairs are drawn by ``seed``.
    """
    samples: dict[str, list[MinedPair]] = {CHOSEN: [], LIKELY: []}
    for anchor in np.random.default_rng(seed).permutation(len(texts)).tolist():
        rows = [int(row) for row in candidates.rows[anchor] if row >= 0]
        negatives = mined.negatives[anchor]
        passed_over = [row for row in rows[:1] if row not in negatives]
        for kind, hardest in ((CHOSEN, negatives[:1]), (LIKELY, passed_over)):
            for row in hardest[: _MOST_SAMPLES - len(samples[kind])]:
                score = round(float(candidates.scores[anchor, rows.index(row)]), 4)
                samples[kind].append(MinedPair(anchor=texts[anchor], document=names[row], score=score))
        if all(len(pairs) >= _MOST_SAMPLES for pairs in samples.values()):
            break
    return samples
