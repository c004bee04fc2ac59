"""Hard negatives: what looks right and is not, with the share of those that are right after all kept in bounds."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from honed.core.progress import progress
from honed.core.protocols import TextIndex, Vectors
from honed.core.text import bare
from honed.index.exact import FlatIndex
from honed.train.calibrate import FEW, Posterior, fit_posterior
from honed.train.config import MineConfig

Rows = npt.NDArray[np.int32]
_BLOCK = 1024
_SAMPLES = 20
_THRESHOLDS = 200
KNOWN, SAME, LIKELY = "known positive", "same text as the anchor or a positive", "likely right (above the threshold)"


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """For each anchor its candidates by falling score: ``rows`` and ``scores`` ``(n_anchors, depth)``, -1 for none.

    ``positives`` holds (anchor, document) rows ``(n_pairs, 2)`` of the known pairs, ``positive_scores`` theirs; pairs
    of the same text are left out, since no candidate is such a pair.
    """

    rows: Rows
    scores: Vectors
    positives: Rows
    positive_scores: Vectors
    rejected: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Mined:
    """What mining gives: for each anchor the documents to push away, hardest first, and the books of it."""

    negatives: list[list[int]]
    report: dict[str, Any]


def find_candidates(
    anchors: tuple[Sequence[str], Vectors],
    documents: tuple[Sequence[str], Vectors],
    known: Sequence[frozenset[int]],
    lexical: Sequence[TextIndex],
    config: MineConfig,
) -> Candidates:
    """Return the nearest documents of each anchor that are not known to be right, in blocks of anchors.

    Anchors and documents are given as (texts, unit vectors ``(n, dim)``); ``known[i]`` holds the rows of the documents
    that are right for anchor i. Documents come from the vectors, where configured, and from the lexical indexes; their
    score is the cosine in every case.
    """
    (texts, vectors), (names, targets) = anchors, documents
    n, depth = len(texts), config.depth
    keys = [bare(name) for name in names]
    rows, scores = np.full((n, depth), -1, dtype=np.int32), np.full((n, depth), -np.inf, dtype=np.float32)
    rejected = dict.fromkeys((KNOWN, SAME), 0)
    index = FlatIndex(targets) if "encoder" in config.candidates else None
    with progress("mine", n) as bar:
        for start in range(0, n, _BLOCK):
            block = range(start, min(n, start + _BLOCK))
            widest = depth + max(len(known[anchor]) for anchor in block)
            for anchor, found in zip(block, _found(index, lexical, texts, vectors, block, widest), strict=True):
                same = {bare(texts[anchor]), *(keys[row] for row in known[anchor])}
                kept = [row for row in found if row not in known[anchor]]
                rejected[KNOWN] += len(found) - len(kept)
                free = np.array([row for row in kept if keys[row] not in same], dtype=np.int32)
                rejected[SAME] += len(kept) - len(free)
                near = targets[free] @ vectors[anchor]
                order = np.argsort(-near, kind="stable")[:depth]
                rows[anchor, : len(order)], scores[anchor, : len(order)] = free[order], near[order]
            bar.advance(len(block))
    pairs = np.array(list(_comparable(texts, keys, known)), dtype=np.int32).reshape(-1, 2)
    own = np.concatenate([(vectors[part[:, 0]] * targets[part[:, 1]]).sum(axis=1) for part in _blocks(pairs)] or [[]])
    return Candidates(
        rows=rows, scores=scores, positives=pairs, positive_scores=own.astype(np.float32), rejected=rejected
    )


def _comparable(
    texts: Sequence[str], keys: Sequence[str], known: Sequence[frozenset[int]]
) -> Iterator[tuple[int, int]]:
    """Yield the known pairs that would be candidates if they were not known: texts that differ, as candidates' do."""
    for anchor, rows in enumerate(known):
        times = Counter([bare(texts[anchor]), *(keys[row] for row in rows)])
        yield from ((anchor, row) for row in sorted(rows) if times[keys[row]] == 1)


def _blocks(pairs: Rows) -> Iterator[Rows]:
    for start in range(0, len(pairs), 16 * _BLOCK):
        yield pairs[start : start + 16 * _BLOCK]


def _found(
    index: FlatIndex | None,
    lexical: Sequence[TextIndex],
    texts: Sequence[str],
    vectors: Vectors,
    block: range,
    k: int,
) -> list[list[int]]:
    """Return the distinct rows that each source finds for each anchor of a block."""
    found: list[dict[int, None]] = [{} for _ in block]
    if index is not None:
        for rows, line in zip(found, index.search(vectors[block.start : block.stop], k)[1].tolist(), strict=True):
            rows.update(dict.fromkeys(line))
    for words in lexical:
        for rows, hits in zip(found, words.search(texts[block.start : block.stop], k), strict=True):
            rows.update(dict.fromkeys(row for row, _ in hits))
    return [list(rows) for rows in found]


def choose_negatives(candidates: Candidates, config: MineConfig, unseen: Vectors | None = None) -> Mined:
    """Return for each anchor up to ``config.negatives`` candidates, hardest first, below a calibrated threshold.

    The threshold is the highest at which the estimated share of right ones among the chosen stays within
    ``config.false_negatives``. A model that was trained on the known pairs scores them higher than the hidden ones:
    then ``unseen`` ``(n,)``, scores of right pairs that it never saw, stand for them.
    """
    there, features = candidates.rows >= 0, candidates.scores
    positives = unseen if unseen is not None and len(unseen) >= FEW else candidates.positive_scores
    posterior = fit_posterior(positives, features[there], seed=config.seed)
    allowed, chances, threshold = there, None, None
    if posterior is not None:
        chances = np.where(there, posterior(features), 0.0)
        threshold = _threshold(features, chances, there, config)
        allowed = there & (features <= threshold)
    elif len(positives):  # too few to calibrate: nothing that scores like almost any known pair
        threshold = float(np.quantile(positives, 0.05))
        allowed = there & (features < threshold)
    chosen, top = _first(allowed, config.negatives), _first(there, config.negatives)
    report = {
        "anchors": len(there),
        "candidates": int(there.sum()),
        "chosen": int(chosen.sum()),
        "anchors_without": int((~chosen.any(axis=1)).sum()),
        "rejected": {**candidates.rejected, LIKELY: int((top & ~chosen).sum())},
        "threshold": None if threshold is None or not np.isfinite(threshold) else round(threshold, 5),
        "calibrated": posterior is not None,
        "calibrated_on": f"{len(positives)} {'known pairs' if positives is not unseen else 'pairs unseen in training'}",
        "hidden_for_each_known": None if posterior is None or positives is unseen else round(posterior.hidden, 4),
        "estimated_false_negatives": {"top": _mean(chances, top), "chosen": _mean(chances, chosen)},
        "curve": [] if posterior is None else _curve(posterior, features, there),
    }
    lines = zip(candidates.rows, chosen, strict=True)
    return Mined(negatives=[row[mark].tolist() for row, mark in lines], report=report)


def _threshold(features: Vectors, chances: Any, there: Any, config: MineConfig) -> float:
    """Return the highest threshold whose chosen negatives are estimated to be right seldom enough."""
    for threshold in np.quantile(features[there], np.linspace(1, 0, _THRESHOLDS)):
        chosen = _first(there & (features <= threshold), config.negatives)
        if not chosen.any() or chances[chosen].mean() <= config.false_negatives:
            return float(threshold)
    return float("-inf")


def _first(allowed: npt.NDArray[np.bool_], n: int) -> npt.NDArray[np.bool_]:
    """Return the first ``n`` allowed of each row."""
    first: npt.NDArray[np.bool_] = allowed & (np.cumsum(allowed, axis=1) <= n)
    return first


def _mean(chances: Any, chosen: Any) -> float | None:
    return None if chances is None or not chosen.any() else round(float(chances[chosen].mean()), 5)


def _curve(posterior: Posterior, features: Vectors, there: Any) -> list[dict[str, float]]:
    """Return the calibration for a picture: the chance to be right at quantiles of the candidates' scores."""
    at = np.unique(np.quantile(features[there], np.linspace(0, 1, 41)))
    return [
        {"score": round(float(score), 4), "chance": round(float(chance), 5)}
        for score, chance in zip(at, posterior(at), strict=True)
    ]


def samples(
    texts: Sequence[str], names: Sequence[str], candidates: Candidates, mined: Mined, *, seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Return some chosen negatives and some that were passed over as likely right, for people to look at."""
    shown: dict[str, list[dict[str, Any]]] = {"chosen": [], LIKELY: []}
    for anchor in np.random.default_rng(seed).permutation(len(texts)).tolist():
        line = [int(row) for row in candidates.rows[anchor] if row >= 0]
        taken = mined.negatives[anchor]
        passed_over = [row for row in line[:1] if row not in taken]
        for kind, rows in (("chosen", taken[:1]), (LIKELY, passed_over)):
            for row in rows[: _SAMPLES - len(shown[kind])]:
                score = candidates.scores[anchor, line.index(row)]
                shown[kind].append({"anchor": texts[anchor], "document": names[row], "score": round(float(score), 4)})
        if all(len(each) >= _SAMPLES for each in shown.values()):
            break
    return shown
