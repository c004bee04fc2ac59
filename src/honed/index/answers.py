"""Whether there is an answer at all: the chance that a first hit is right, and sets of candidates that hold the truth.

Fitted on dev and judged on test. How a query without an answer looks is learned from those that dev has, or else from
queries that have one: their right documents are hidden, as if the entity had never been in the catalogue.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from honed.core.absence import AbsentShare
from honed.core.errors import ArtifactError
from honed.core.json import Json, JsonObject
from honed.core.plain import as_floats, as_number, as_object
from honed.core.ranking import distinct
from honed.core.text import looks_like_acronym
from honed.index.fusion import feature_scales
from honed.index.hybrid import Ranking
from honed.index.risk import DevAnswers, Promise

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
_NEXT, _CLEAR = 5, 3.0  # hits that the first is compared with; a lead of this is clear, and more says no more
_N_OF_RANKING = 9  # features of a ranking, before those of its first hit


def answer_evidence(text: str, ranking: Ranking) -> Floats:
    """Return the features by which the first hit of a ranking is judged ``(n_features + 9,)``, all 0 without a hit.

    Nine tell of the scores and of the query: the first hit's share of the softmax and its logarithm, its lead over the
    second and over the mean of the next five, both also bounded, how many tie with it, whether the query looks like an
    acronym, and its number of words / 10. The others are the features of the first hit.
    """
    if not len(ranking.rows):
        return np.zeros(len(ranking.first) + _N_OF_RANKING)
    scores = ranking.scores
    share = float(1 / np.exp(scores - scores[0]).sum())
    rest = scores[1 : _NEXT + 1] if len(scores) > 1 else scores[:1] - 10.0
    leads = [float(scores[0] - rest[0]), float(scores[0] - rest.mean())]
    of_ranking = [
        share,
        float(np.log(share)),
        *leads,
        *(min(lead, _CLEAR) for lead in leads),
        float((rest > scores[0] - 1e-6).sum()),
        float(looks_like_acronym(text)),
        len(text.split()) / 10,
    ]
    return np.concatenate([of_ranking, ranking.first])


@dataclass(frozen=True, kw_only=True)
class AnswerEvidence:
    """What estimates are learned from: `answer_evidence` on n queries, and the truth about them.

    ``shown`` and ``hidden`` ``(n, n_features)`` are the evidence with the right documents and without; ``answerable``
    ``(n,)`` tells which queries have a right document, ``right`` ``(n,)`` where the first hit is one. ``distances``
    ``(n,)`` are how far the right document lies below the first, infinite where it is not among the candidates.
    ``groups`` ``(n,)`` number the queries that belong together, ``parts`` ``(n,)`` are those of cross-fitting, and
    ``draws`` ``(n,)`` numbers in [0, 1) that decide whether a query is asked without its answer.
    """

    shown: Floats
    hidden: Floats
    answerable: Flags
    right: Floats
    distances: Floats
    groups: npt.NDArray[np.int64]
    parts: npt.NDArray[np.int64]
    draws: Floats

    def chance_weights(self, share: AbsentShare, rows: Flags) -> "ChanceWeights":
        """Learn the chance from some of the queries, weighed so that a share of them has no answer."""
        table = np.concatenate([self.shown[rows], self.hidden[rows]])
        target = np.concatenate([self.right[rows], np.zeros(int(rows.sum()))])
        weights = np.concatenate(share.weights(self.answerable[rows]))
        counted = weights > 0
        return ChanceWeights.fit(table[counted], target[counted], weights[counted])

    def absence_weights(self, share: AbsentShare) -> "ChanceWeights":
        """Learn the chance that the catalogue holds no answer, from queries with their answers and without."""
        table = np.concatenate([self.shown, self.hidden])
        target = np.concatenate([~self.answerable, np.ones(len(self.hidden), dtype=bool)]).astype(np.float64)
        weights = np.concatenate(share.weights(self.answerable))
        counted = weights > 0
        return ChanceWeights.fit(table[counted], target[counted], weights[counted])

    def dev_answers(self, share: AbsentShare) -> DevAnswers:
        """Return what a cut on the chance is learned from, each query's by weights that the other parts taught.

        A query counts once, with its answer or without: as its draw says. Then the wrong among the answers given are
        binomial, which they would not be if each counted in part as either.
        """
        absent = self.answerable & (self.draws < share.hidden)
        kept = self.answerable | (self.draws < share.kept)
        asked = np.where(absent[:, None], self.hidden, self.shown)
        chances = np.full(len(asked), 0.5)
        for part in distinct(self.parts):
            of_part = self.parts == part
            if not of_part.all():
                chances[of_part] = self.chance_weights(share, ~of_part).chances(asked[of_part])
        right = np.where(absent, 0.0, self.right)
        return DevAnswers(chances=chances[kept], right=right[kept], groups=self.groups[kept])


@dataclass(frozen=True, kw_only=True)
class ChanceWeights:
    """Logistic regression: ``weights`` ``(n_features + 1,)`` for the standardised evidence and a constant."""

    weights: Floats
    centre: Floats
    scale: Floats

    def chances(self, table: Floats) -> Floats:
        """Return the estimated chances ``(n,)`` that first hits are right, from the evidence ``(n, n_features)``."""
        scores = ((table - self.centre) / self.scale) @ self.weights[:-1] + self.weights[-1]
        chances: Floats = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
        return chances

    @classmethod
    def fit(cls, table: Floats, target: Floats, shares: Floats) -> Self:
        """Learn from evidence ``(n, n_features)`` whether a hit is right; ``shares`` ``(n,)`` are what each counts."""
        from scipy.optimize import minimize

        centre, scale = table.mean(axis=0), feature_scales(table)
        table = np.column_stack([(table - centre) / scale, np.ones(len(table))])

        def loss(weights: Floats) -> tuple[float, Floats]:
            scores = table @ weights
            value = float((shares * (np.logaddexp(0, scores) - target * scores)).sum()) + float(weights @ weights) / 2
            slope = shares * (1 / (1 + np.exp(-np.clip(scores, -500, 500))) - target)
            return value, slope @ table + weights

        weights = minimize(loss, np.zeros(table.shape[1]), jac=True, method="L-BFGS-B").x
        return cls(weights=weights.round(6), centre=centre.round(6), scale=scale.round(6))

    def arrays(self) -> dict[str, Json]:
        """Return the weights as plain data."""
        return {name: getattr(self, name).tolist() for name in ("weights", "centre", "scale")}

    @classmethod
    def read(cls, data: JsonObject, n: int) -> "ChanceWeights":
        """Read weights back; `ValueError` where they are not of evidence of ``n`` numbers."""
        weights, centre, scale = (as_floats(data[name]) for name in ("weights", "centre", "scale"))
        finite = bool(np.isfinite(np.concatenate([*map(np.ravel, (weights, centre, scale))])).all())
        fits = centre.shape == scale.shape == (n,) and weights.shape == (n + 1,)
        if not fits or not finite or not (scale > 0).all():
            raise ValueError("made of other evidence")
        return ChanceWeights(weights=weights, centre=centre, scale=scale)


@dataclass(frozen=True, kw_only=True)
class AnswerModel(ChanceWeights):
    """The chance that a first hit is right, what of it is enough to answer, and a set of candidates that holds it.

    ``risk`` is the share of the answers given that may be wrong, and ``promise`` how that is kept; None, in what was
    made before there was one, takes each answer whose own chance to be wrong is at most ``risk``. ``gap`` is how far
    below the first score a candidate may lie (None: no limit), ``coverage`` the share of queries whose right document
    is within it. ``absence`` estimates that there is no answer at all, ``dev`` is what promises of another risk are
    learned from; None in what was made before there were such.
    """

    gap: float | None
    risk: float
    coverage: float
    promise: Promise | None = None
    absence: ChanceWeights | None = None
    dev: DevAnswers | None = None

    def chance(self, evidence: Floats) -> float:
        """Return the estimated chance that the first hit is right, in [0, 1]."""
        return float(self.chances(evidence))

    def absent(self, evidence: Floats) -> float | None:
        """Return the estimated chance that the catalogue holds no answer, in [0, 1]; None where it was not learned."""
        return None if self.absence is None else float(self.absence.chances(evidence))

    def gives(self, chance: float) -> bool:
        """Tell whether an answer of that chance is given at the risk."""
        return chance >= 1 - self.risk if self.promise is None else self.promise.gives(chance)

    def promise_sentence(self) -> str:
        """Return what is promised about the answers given, or why nothing is."""
        return (
            self.promise.sentence() if self.promise else "no promise about the risk: it was made before there was one"
        )

    def within(self, ranking: Ranking) -> int:
        """Return how many of the first hits are in the candidate set."""
        if self.gap is None or not len(ranking.rows):
            return len(ranking.rows)
        return int((ranking.scores >= ranking.scores[0] - self.gap).sum())

    @classmethod
    def learn(
        cls, evidence: AnswerEvidence, *, absent: float | None, risk: float, confidence: float, coverage: float
    ) -> Self:
        """Learn chance, promise and gap; ``absent`` is the share of queries expected to have no answer.

        None takes the share of the queries themselves, see `AbsentShare.of`. The gap is split-conformal (Vovk et al.
        2005): at least ``coverage`` of exchangeable queries that have an answer have it within the gap; None where too
        few do.
        """
        share = AbsentShare.of(evidence.answerable, absent)
        chance = evidence.chance_weights(share, np.ones(len(evidence.shown), dtype=bool))
        dev = evidence.dev_answers(share)
        made = Promise.learn(dev.chances, dev.right, dev.groups, risk=risk, confidence=confidence, absent=share.absent)
        return cls(
            weights=chance.weights,
            centre=chance.centre,
            scale=chance.scale,
            gap=conformal_gap(evidence.distances[evidence.answerable], coverage),
            risk=risk,
            coverage=coverage,
            promise=made,
            absence=evidence.absence_weights(share),
            dev=dev,
        )

    def as_dict(self) -> dict[str, Json]:
        """Return it as plain data."""
        promise = {"promise": self.promise.as_dict()} if self.promise else {}
        data = {**self.arrays(), "gap": self.gap, "risk": self.risk, "coverage": self.coverage, **promise}
        if self.absence is not None:
            data["absence"] = self.absence.arrays()
        if self.dev is not None:
            data["dev"] = self.dev.as_dict()
        return data

    @classmethod
    def from_dict(cls, data: JsonObject, n_features: int) -> Self:
        """Read it back; `ArtifactError` when it was made of other evidence than ``n_features`` of a hit give."""
        n = n_features + _N_OF_RANKING
        try:
            chance = ChanceWeights.read(data, n)
            absence = ChanceWeights.read(as_object(data["absence"]), n) if "absence" in data else None
            risk, coverage = as_number(data["risk"]), as_number(data["coverage"])
            gap = None if data["gap"] is None else as_number(data["gap"])
            promise = Promise.from_dict(as_object(data["promise"]), risk) if "promise" in data else None
            dev = DevAnswers.from_dict(as_object(data["dev"])) if "dev" in data else None
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError("E_ANSWERS", f"the estimate of the chance cannot be read: {error}") from error
        if not np.isfinite([risk, coverage, gap or 0.0]).all():
            raise ArtifactError("E_ANSWERS", "the estimate of the chance holds what is no finite number")
        return cls(
            weights=chance.weights,
            centre=chance.centre,
            scale=chance.scale,
            gap=gap,
            risk=risk,
            coverage=coverage,
            promise=promise,
            absence=absence,
            dev=dev,
        )


def conformal_gap(distances: Sequence[float] | Floats, coverage: float) -> float | None:
    """Return the distance within which at least ``coverage`` of exchangeable queries stay (Vovk et al. 2005).

    None where too few of the ``distances`` are finite, or there are too few of them.
    """
    ordered = np.sort(np.asarray(distances, dtype=np.float64))
    at = int(np.ceil((len(ordered) + 1) * coverage)) - 1
    return float(ordered[at]) if at < len(ordered) and np.isfinite(ordered[at]) else None
